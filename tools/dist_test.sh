#!/usr/bin/env bash
# Test on several GPUs, or with several processes on a CPU.
#   bash tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [options of tools/test.py]
# On several machines, set NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
set -euo pipefail

if [ $# -lt 3 ]; then
    sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
CONFIG=$1
CHECKPOINT=$2
GPUS=$3
PORT=${PORT:-29500}
if ! [[ $GPUS =~ ^([1-9][0-9]*|gpu|cpu|auto)$ ]]; then
    echo "error: PROCESSES is $GPUS, expected a positive integer." >&2
    exit 1
fi
TOOLS=$(CDPATH= cd -- "$(dirname "$0")" && pwd)

# only the first machine listens on the port, so only it can check the port
[ "${NODE_RANK:-0}" != 0 ] || python - "$PORT" <<'EOF'
import socket
import sys
try:
    socket.create_server(('', int(sys.argv[1]))).close()
except (OSError, OverflowError, ValueError) as error:
    sys.exit(f'error: PORT is {sys.argv[1]}, expected a free port ({error}).')
EOF

# exec forwards signals, such as a scheduler's SIGTERM, to the processes
exec python -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="$PORT" \
    --nproc_per_node="$GPUS" \
    "$TOOLS/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "${@:4}"
