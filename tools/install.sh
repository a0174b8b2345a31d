#!/usr/bin/env bash
# Make the virtual environment .venv and install the pinned requirements: bash tools/install.sh [dev|analysis|bitsandbytes|demo|docs|export|lora|mlflow|ray|shards|storage|sweep|tensorboard|torchcodec|wandb]
# Name another Python with PYTHON=python3.12, another folder with VENV=/path. Nothing is installed twice.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."
VENV=$(realpath -m "${VENV:-.venv}")
PYTHON=${PYTHON:-python3}

"$PYTHON" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || {
    echo "Python is $("$PYTHON" --version 2>&1), expected 3.10 to 3.13; name one with PYTHON=python3.11" >&2
    exit 1
}
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
# Install uv, which takes a tenth of the processor time of pip, and tell it where pip looks: it reads none of pip's settings
prepare_uv() {
    local settings variable name
    cmp -s requirements/uv.txt "$VENV/installed-uv.txt" || {
        "$VENV/bin/pip" install --disable-pip-version-check -q -r requirements/uv.txt &&
            cp requirements/uv.txt "$VENV/installed-uv.txt"
    } || {
        echo 'uv cannot be installed: pip goes on, which takes longer' >&2
        return
    }
    settings=$("$VENV/bin/pip" config list)
    export UV_INDEX_STRATEGY=unsafe-best-match # as pip: of all places the newest
    for variable in UV_DEFAULT_INDEX=index-url UV_EXTRA_INDEX_URL=extra-index-url UV_FIND_LINKS=find-links \
        UV_CONSTRAINT=constraint SSL_CERT_FILE=cert; do
        name=${variable%=*}
        [ -n "${!name:-}" ] ||
            printf -v "$name" '%s' "$(sed -n "s/^[a-z:]*\.${variable#*=}='\(.*\)'$/\1/p" <<<"$settings" | tail -n 1 | sed 's/\\n/ /g')"
        [ -z "${!name}" ] || export "${name?}"
    done
}
# once LIST COMMAND...: install what a list says, unless that has been done for this very list
once() {
    local done="$VENV/installed-$(basename "$1")"
    cmp -s "$1" "$done" && return
    [ -n "${prepared:-}" ] || prepare_uv
    prepared=1
    if [ -x "$VENV/bin/uv" ]; then
        "$VENV/bin/uv" pip install --python "$VENV/bin/python" "${@:2}"
    else
        "$VENV/bin/pip" install --disable-pip-version-check "${@:2}"
    fi
    cp "$1" "$done"
}
# Let torchcodec find the FFmpeg in PyAV's wheel, by the names it looks for: with LD_LIBRARY_PATH=.venv/ffmpeg
link_ffmpeg() {
    mkdir -p "$VENV/ffmpeg"
    for library in "$VENV"/lib/python*/site-packages/av.libs/lib{avcodec,avdevice,avfilter,avformat,avutil,sw}*; do
        if [[ $library =~ /(lib[a-z]+)-[^/]*(\.so\.[0-9]+) ]]; then
            ln -sfn "$library" "$VENV/ffmpeg/${BASH_REMATCH[1]}${BASH_REMATCH[2]}"
        fi
    done
}
# the replacements lie over files of other packages, which a change of the list above brings back
cmp -s requirements.txt "$VENV/installed-requirements.txt" || rm -f "$VENV/installed-replacements.txt"
once requirements.txt -r requirements.txt
once requirements/replacements.txt --no-deps --force-reinstall -r requirements/replacements.txt
once setup.py --no-deps -e .
case "${1:-}" in
dev)
    once requirements/dev.txt -r requirements/dev.txt
    once requirements/oracles.txt --no-deps -r requirements/oracles.txt
    link_ffmpeg
    ;;
torchcodec)
    once requirements/torchcodec.txt -r requirements/torchcodec.txt
    link_ffmpeg
    ;;
analysis | bitsandbytes | demo | docs | export | lora | mlflow | ray | shards | storage | sweep | tensorboard | wandb) once "requirements/$1.txt" -r "requirements/$1.txt" ;;
esac
