"""What the benchmarks share: their arguments, times, memory and records."""
import argparse
import ctypes
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

RECORDS = Path(__file__).resolve().parents[2] / 'runs' / 'benchmarks'
STATUS = Path('/proc/self/status')  # exists on Linux


def make_parser(description: str, repeats: int) -> argparse.ArgumentParser:
    """Arguments of all benchmarks, with the default number of repeats."""
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--repeats', type=int, default=repeats,
                        help='default: %(default)s')
    parser.add_argument('--threads', type=int, default=1,
                        help='CPU threads; default: 1')
    parser.add_argument('--out', type=Path, default=RECORDS, metavar='FOLDER',
                        help='folder of the CSV files to write; default: '
                        'runs/benchmarks of the repository')
    return parser


def parse_args(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the arguments, and set the number of threads."""
    args = parser.parse_args()
    os.environ['OMP_NUM_THREADS'] = str(args.threads)  # for child processes
    import torch
    torch.set_num_threads(args.threads)
    return args


def save(path: Path, rows: List[dict], key: Sequence[str]) -> None:
    """Print rows, and record them in a CSV file; ``key`` are its key columns.
    """
    import pandas as pd

    from projects.stdcl.studies.records import add_benchmark
    print(pd.json_normalize(rows).T.to_string(header=False), flush=True)
    module = Path(sys.argv[0]).stem
    path.parent.mkdir(parents=True, exist_ok=True)
    add_benchmark(path, rows, key, ' '.join(
        [f'python -m tools.benchmark.{module}', *sys.argv[1:]]))


def timed(step: Callable, device: str = 'cpu') -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    step()
    if device == 'cuda':
        import torch
        torch.cuda.synchronize()
    return time.perf_counter() - start


def in_turn(steps: Dict[str, Callable], repeats: int,
            device: str = 'cpu') -> Dict[str, List[float]]:
    """Seconds of calls, in turn, so that a drifting machine hits all alike.

    A first call of each, to warm up, does not count.
    """
    seconds = {name: [] for name in steps}
    for repeat in range(repeats + 1):
        for name, step in steps.items():
            taken = timed(step, device)
            if repeat:
                seconds[name].append(taken)
    return seconds


def spread(values: list, factor: float = 1) -> dict:
    """Median, minimum and maximum, to four significant digits."""
    return {name: float(f'{factor * reduce(values):.4g}') for name, reduce in (
        ('median', statistics.median), ('min', min), ('max', max))}


def milliseconds(seconds: Dict[str, list]) -> Dict[str, dict]:
    """Columns of :func:`in_turn`."""
    return {f'ms, {name}': spread(values, 1e3)
            for name, values in seconds.items()}


def ratio(numerators: list, denominators: list) -> dict:
    """Spread of the ratios of calls that followed one another."""
    return spread([a / b for a, b in zip(numerators, denominators)])


def process_memory(field: str) -> int:
    """Bytes of memory of this process, from Linux: VmRSS, VmHWM, ..."""
    lines = dict(line.split(':', 1) for line in
                 STATUS.read_text().splitlines())
    return 1024 * int(lines[field].split()[0])


def added_memory(step: Callable) -> Optional[float]:
    """MiB that a call adds at most; None except on Linux."""
    if not STATUS.is_file():
        return None
    # give freed memory back, and reset the high-water mark
    ctypes.CDLL(None).malloc_trim(0)
    Path('/proc/self/clear_refs').write_text('5')
    before = process_memory('VmRSS')
    step()
    return round((process_memory('VmHWM') - before) / 2**20, 1)
