#!/usr/bin/env bash
# Train on several GPUs, or in several processes where there is no GPU:
#   bash tools/dist_train.sh CONFIG GPUS [ARGUMENTS OF train.py]
# For several machines set NNODES, NODE_RANK, MASTER_ADDR and PORT on each. With MAX_RESTARTS=3 a lost process makes all of
# them start again from the newest checkpoint, so many times.
set -euo pipefail
CONFIG=${1:?"usage: bash tools/dist_train.sh CONFIG GPUS [ARGUMENTS OF train.py]"}
GPUS=${2:?"usage: bash tools/dist_train.sh CONFIG GPUS [ARGUMENTS OF train.py]"}

exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node-rank="${NODE_RANK:-0}" --nproc-per-node="$GPUS" \
    --max-restarts="${MAX_RESTARTS:-0}" --master-addr="${MASTER_ADDR:-127.0.0.1}" --master-port="${PORT:-29500}" \
    "$(dirname "$0")/train.py" "$CONFIG" --launcher pytorch "${@:3}"
