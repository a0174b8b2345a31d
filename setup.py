from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = next(
    line.split("'")[1]
    for line in (ROOT / 'mmtsf/__init__.py').read_text().splitlines()
    if line.startswith('__version__')
)

setup(
    name='mmtsf',
    version=VERSION,
    description='TimeSformer as an MMAction2-style codebase: five attention schemes, three variants, from video files',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['mmtsf', 'mmtsf.*']),
    package_data={'mmtsf': ['model-index.yml']},
    python_requires='>=3.10,<3.13',
    install_requires=[
        'torch>=2.11,<2.16',
        'numpy>=2.2',
        'mmengine==0.10.7',
        'mmcv-lite>=2.0.1,<2.1',
        'mmaction2==1.1.0',
        'einops>=0.8',
        'importlib_metadata',
        'jinja2',
        'av>=17.1',
        'matplotlib',
        'pyyaml',
        'rich',
        'safetensors',
        'tensorboard',
    ],
)
