#!/usr/bin/env bash
# Test on several GPUs, or in several processes where there is no GPU:
#   bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [ARGUMENTS OF test.py]
# For several machines set NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
set -euo pipefail
CONFIG=${1:?"usage: bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [ARGUMENTS OF test.py]"}
CHECKPOINT=${2:?"usage: bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [ARGUMENTS OF test.py]"}
GPUS=${3:?"usage: bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [ARGUMENTS OF test.py]"}

"${PYTHON:-python}" "$(dirname "$0")/test.py" "$CONFIG" "$CHECKPOINT" "${@:4}" --check # mistakes are told once, and at once
exec "${PYTHON:-python}" "$(dirname "$0")/torchrun.py" \
    --nnodes="${NNODES:-1}" --node-rank="${NODE_RANK:-0}" --nproc-per-node="$GPUS" \
    --master-addr="${MASTER_ADDR:-127.0.0.1}" --master-port="${PORT:-29500}" \
    "$(dirname "$0")/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "${@:4}"
