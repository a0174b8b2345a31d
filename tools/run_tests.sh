#!/usr/bin/env bash
# Install what testing needs into .venv and run the linters and tests: bash tools/run_tests.sh [PYTEST ARGUMENTS]
set -euo pipefail
source "$(dirname "$0")/install.sh" dev
unset PYTHONDONTWRITEBYTECODE # or each of hundreds of processes would compile mmtsf, and three of them all tests
bin=$VENV/bin
"$bin/ruff" check .
"$bin/ruff" format --check .
# beside the tests, many of which wait: for signals, time limits and pages
"$bin/mypy" mmtsf &
types=$!
find mmtsf tools -name '*.py' -exec "$bin/symilar" -d 8 -i --ignore-docstrings --ignore-imports --ignore-signatures {} + |
    tee /dev/stderr | grep -q ' duplicates=0 ' &
duplicates=$!
# for the same reason two processes more than there are cores; tests of a GPU share it.
# Files in their order: by the number of their tests those with few and long ones would come last, alone
processes=$(($(nproc) + 2))
[[ " $* " == *" -m gpu "* ]] && processes=0
export LD_LIBRARY_PATH=$VENV/ffmpeg${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}  # for torchcodec
OMP_NUM_THREADS=1 "$bin/python" -m pytest -q -n "$processes" --dist loadfile --no-loadscope-reorder "$@" tests
wait "$types" || { echo 'mypy has found mistakes: see above' >&2; exit 1; }
wait "$duplicates" || { echo 'symilar has found duplicate code: see above' >&2; exit 1; }
