#!/usr/bin/env bash
# Install, make a data set, train, test and draw; everything lands in quickstart/:
#   bash tools/quickstart.sh                 a generated data set in which only the order of frames tells the class
#   bash tools/quickstart.sh --data FOLDER   your own FOLDER/CLASS/VIDEO
set -euo pipefail
cwd=$PWD
source "$(dirname "$0")/install.sh"
cd "$cwd"
exec "$(dirname "$0")/../$VENV/bin/python" "$(dirname "$0")/quickstart.py" "$@"
