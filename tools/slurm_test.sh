#!/usr/bin/env bash
# Test under Slurm, one task a GPU: [GPUS=8 GPUS_PER_NODE=8 CPUS_PER_TASK=12 SRUN_ARGS=...]
#   bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [ARGUMENTS OF test.py]
# A task decodes its videos on its own CPUs, one worker each up to 16: too few leave the GPU waiting for data.
set -euo pipefail
USAGE="usage: bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [ARGUMENTS OF test.py]"
PARTITION=${1:?"$USAGE"}
JOB_NAME=${2:?"$USAGE"}
CONFIG=${3:?"$USAGE"}
CHECKPOINT=${4:?"$USAGE"}
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-8}

"${PYTHON:-python}" "$(dirname "$0")/test.py" "$CONFIG" "$CHECKPOINT" "${@:5}" --check # mistakes are told before there is a queue
exec srun -p "$PARTITION" --job-name="$JOB_NAME" --gres=gpu:"$GPUS_PER_NODE" --ntasks="$GPUS" \
    --ntasks-per-node="$GPUS_PER_NODE" --cpus-per-task="${CPUS_PER_TASK:-12}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$(dirname "$0")/test.py" "$CONFIG" "$CHECKPOINT" --launcher slurm "${@:5}"
