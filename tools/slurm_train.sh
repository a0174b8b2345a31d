#!/usr/bin/env bash
# Train under Slurm, one task a GPU: [GPUS=8 GPUS_PER_NODE=8 CPUS_PER_TASK=12 SRUN_ARGS=...]
#   bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [ARGUMENTS OF train.py]
# In a batch job, `#SBATCH --requeue --signal=USR1@120` makes a run that must leave go on later.
# Leaves with 75 where a signal asked the run to leave and it left a checkpoint.
# All tasks leave by themselves when one does, within a minute: killed, they would hide the code that asks for a restart.
# A task decodes its videos on its own CPUs, one worker each up to 16: too few leave the GPU waiting for data.
set -euo pipefail
USAGE="usage: bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [ARGUMENTS OF train.py]"
PARTITION=${1:?"$USAGE"}
JOB_NAME=${2:?"$USAGE"}
CONFIG=${3:?"$USAGE"}
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-8}

"${PYTHON:-python}" "$(dirname "$0")/train.py" "$CONFIG" "${@:4}" --check # mistakes are told before there is a queue

asked= task=
# hand a signal to the tasks, which save and leave
forward() {
    asked=1
    [ -z "$task" ] || kill "-$1" "$task"
}
trap 'forward TERM' TERM INT
trap 'forward USR1' USR1
train() {
    srun -p "$PARTITION" --job-name="$JOB_NAME" --gres=gpu:"$GPUS_PER_NODE" --ntasks="$GPUS" \
        --ntasks-per-node="$GPUS_PER_NODE" --cpus-per-task="${CPUS_PER_TASK:-12}" --kill-on-bad-exit=0 --wait=60 ${SRUN_ARGS:-} \
        "${PYTHON:-python}" -u "$(dirname "$0")/train.py" "$CONFIG" --launcher slurm "$@" &
    task=$! status=0
    wait "$task" || status=$?
    while kill -0 "$task" 2>/dev/null; do # a signal ended the waiting, not the tasks
        status=0
        wait "$task" || status=$?
    done
}
# 75: a signal asked the run to leave, and it left a checkpoint
train "${@:4}"
while [ "$status" = 75 ] && [ -z "${SLURM_JOB_ID:-}$asked" ]; do
    train "${@:4}" --resume
done
[ "$status" != 75 ] || [ -z "${SLURM_JOB_ID:-}" ] || scontrol requeue "$SLURM_JOB_ID" # which starts this script again, and that resumes
exit "$status"
