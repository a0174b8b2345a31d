# Training and testing on GPUs. This file has not been built or run by us; report what is wrong with it.
# docker build -t mmtsf .
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends gcc git libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/mmtsf
COPY requirements.txt ./
COPY requirements requirements/
# The wheel of PyTorch for Linux brings its own CUDA libraries; the machine needs a driver and the container toolkit
RUN pip install --no-cache-dir -r requirements.txt \
    && pip install --no-cache-dir --no-deps --force-reinstall -r requirements/replacements.txt
COPY . .
RUN pip install --no-cache-dir --no-deps .
WORKDIR /workspace
CMD ["python", "-c", "import mmtsf, torch; print(mmtsf.__version__, torch.cuda.is_available())"]
