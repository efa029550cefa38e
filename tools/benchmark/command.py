"""Time a command: seconds, peak memory, and the size of what it writes.

Example:
    python tools/benchmark/command.py --writes nw_ucla.pkl --out record.json \
        -- python tools/data/nw_ucla.py all_sqe.zip nw_ucla.pkl
"""
import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

from timing import spread


def main() -> None:
    description, example = __doc__.split('\n\n', 1)
    parser = argparse.ArgumentParser(
        description=description, epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('command', nargs='+', metavar='-- COMMAND')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--writes', type=Path, required=True,
                        help='the file whose size counts')
    parser.add_argument('--out', type=Path, required=True,
                        help='JSON file to write')
    args = parser.parse_args()
    seconds = []
    for _ in range(args.repeats):
        start = time.perf_counter()
        if subprocess.run(args.command).returncode:
            sys.exit(f'error: {" ".join(args.command)} failed.')
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    args.out.write_text(json.dumps(dict(
        command=' '.join(args.command), processor=platform.machine(),
        cores=os.cpu_count(), repeats=args.repeats, seconds=spread(seconds),
        peak_memory=1024 * peak, bytes_written=args.writes.stat().st_size),
        indent=1) + '\n')


if __name__ == '__main__':
    main()
