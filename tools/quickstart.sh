#!/usr/bin/env bash
# Install, make a data set, train, test and draw; everything lands in quickstart/ or quickstart_FOLDER/:
#   bash tools/quickstart.sh                 a generated data set in which only the order of frames tells the class
#   bash tools/quickstart.sh --data FOLDER   your own FOLDER/CLASS/VIDEO
set -euo pipefail
start=$PWD
source "$(dirname "$0")/install.sh"
tools=$PWD/tools
cd "$start"
exec "$VENV/bin/python" "$tools/quickstart.py" "$@"
