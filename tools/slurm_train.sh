#!/usr/bin/env bash
# Train on a Slurm cluster.
#   bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of tools/train.py]
# Variables and defaults: GPUS=8, GPUS_PER_NODE=8, GRES=gpu:$GPUS_PER_NODE,
# CPUS_PER_TASK=5, SRUN_ARGS. Without GPUs, set GRES=; GPUS counts processes.
set -euo pipefail

if [ $# -lt 3 ]; then
    sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
PARTITION=$1
JOB_NAME=$2
CONFIG=$3
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-8}
GRES=${GRES-gpu:$GPUS_PER_NODE}
TOOLS=$(CDPATH= cd -- "$(dirname "$0")" && pwd)
export MASTER_PORT=${MASTER_PORT:-$((12000 + RANDOM % 20000))}

# SRUN_ARGS may contain several arguments, so it is not quoted
# shellcheck disable=SC2086
exec srun -p "$PARTITION" \
    --job-name="$JOB_NAME" \
    ${GRES:+--gres="$GRES"} \
    --ntasks="$GPUS" \
    --ntasks-per-node="$GPUS_PER_NODE" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    python -u "$TOOLS/train.py" "$CONFIG" --launcher slurm "${@:4}"
