#!/usr/bin/env bash
# Train on several GPUs, or in several processes where there is no GPU:
#   bash tools/dist_train.sh CONFIG GPUS [ARGUMENTS OF train.py]
# Leaves with 75 where a signal asked the run to leave and it left a checkpoint, with 130 after Ctrl-C.
# For several machines set NNODES, NODE_RANK, MASTER_ADDR and PORT on each. With MAX_RESTARTS=3 a lost process makes all of
# them start again from the newest checkpoint, so many times.
set -euo pipefail
CONFIG=${1:?"usage: bash tools/dist_train.sh CONFIG GPUS [ARGUMENTS OF train.py]"}
GPUS=${2:?"usage: bash tools/dist_train.sh CONFIG GPUS [ARGUMENTS OF train.py]"}

ADDRESS=${MASTER_ADDR:-127.0.0.1}
if [ "${MAX_RESTARTS:-0}" = 0 ]; then
    MEETING=(--node-rank="${NODE_RANK:-0}" --master-addr="$ADDRESS" --master-port="${PORT:-29500}")
else # new processes must not read the addresses of lost ones: a rendezvous anew, with a store of its own
    export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
    MEETING=(--rdzv-backend=c10d --rdzv-endpoint="$ADDRESS:${PORT:-29500}" --rdzv-id="${PORT:-29500}")
    [ "${NODE_RANK:-0}" != 0 ] || MEETING+=(--local-addr="$ADDRESS")
fi
"${PYTHON:-python}" "$(dirname "$0")/train.py" "$CONFIG" "${@:3}" --check # mistakes are told once, and at once
exec "${PYTHON:-python}" "$(dirname "$0")/torchrun.py" \
    --nnodes="${NNODES:-1}" --nproc-per-node="$GPUS" --max-restarts="${MAX_RESTARTS:-0}" "${MEETING[@]}" \
    "$(dirname "$0")/train.py" "$CONFIG" --launcher pytorch "${@:3}"
