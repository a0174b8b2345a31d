#!/usr/bin/env bash
# Make the virtual environment .venv and install the pinned requirements: bash tools/install.sh [dev]
# Name another Python with PYTHON=python3.12, another folder with VENV=/path. Nothing is installed twice.
set -euo pipefail
cd "$(dirname "$0")/.."
export VENV=${VENV:-.venv}
PYTHON=${PYTHON:-python3}

"$PYTHON" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' || {
    echo "Python is $("$PYTHON" --version 2>&1), expected 3.10 to 3.12; name one with PYTHON=python3.11" >&2
    exit 1
}
wanted=(requirements.txt requirements/replacements.txt)
if [ "${1:-}" = dev ]; then wanted+=(requirements/dev.txt); fi
stamp=$(cat "${wanted[@]}" setup.py | cksum)
if [ "$(cat "$VENV/installed${1:+-$1}" 2>/dev/null)" != "$stamp" ]; then
    [ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
    "$VENV/bin/pip" install --disable-pip-version-check -r requirements.txt
    "$VENV/bin/pip" install --disable-pip-version-check --no-deps --force-reinstall -r requirements/replacements.txt
    if [ "${1:-}" = dev ]; then "$VENV/bin/pip" install --disable-pip-version-check -r requirements/dev.txt; fi
    "$VENV/bin/pip" install --disable-pip-version-check --no-deps --no-build-isolation -e .
    echo "$stamp" > "$VENV/installed${1:+-$1}"
fi
