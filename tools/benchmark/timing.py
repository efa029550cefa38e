"""What the benchmarks share: their arguments, times, memory and records."""
import argparse
import ctypes
import re
import statistics
import sys
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

ROOT = Path(__file__).resolve().parents[2]
STATUS = Path('/proc/self/status')  # exists on Linux


def make_parser(description: str, repeats: int) -> argparse.ArgumentParser:
    """Arguments of all benchmarks."""
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--repeats', type=int, default=repeats,
                        help='default: %(default)s')
    parser.add_argument('--threads', type=int, default=1,
                        help='CPU threads; default: 1')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu',
                        help='of losses and encoders; default: cpu')
    parser.add_argument('--out', type=Path, default=ROOT / 'runs/benchmarks',
                        help='folder of the CSV files; default: %(default)s')
    return parser


def parse_args(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the arguments, and set the number of threads."""
    args = parser.parse_args()
    import torch
    torch.set_num_threads(args.threads)
    return args


def save(path: Path, rows: List[dict], key: Sequence[str]) -> None:
    """Print rows, and record them in a CSV file with the key columns."""
    import pandas as pd

    from projects.stdcl.studies.records import add_benchmark
    print(pd.json_normalize(rows).T.to_string(header=False), flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    name = Path(sys.argv[0]).stem
    add_benchmark(path, rows, key, ' '.join(
        [f'python -m tools.benchmark.{name}', *sys.argv[1:]]))


def in_turn(steps: Dict[str, Callable], repeats: int,
            device: str = 'cpu') -> Dict[str, List[float]]:
    """Seconds of calls, in turn; a first call of each does not count."""
    import torch
    seconds = {name: [] for name in steps}
    for _ in range(repeats + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if device == 'cuda':
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - start)
    return {name: taken[1:] for name, taken in seconds.items()}


def spread(values: list, factor: float = 1) -> dict:
    """Median, minimum and maximum, to four significant digits."""
    return {name: float(f'{factor * reduce(values):.4g}') for name, reduce in (
        ('median', statistics.median), ('min', min), ('max', max))}


def milliseconds(seconds: Dict[str, list]) -> Dict[str, dict]:
    return {f'ms, {name}': spread(one, 1e3) for name, one in seconds.items()}


def ratio(numerators: list, denominators: list) -> dict:
    """Spread of the ratios of calls that followed one another."""
    return spread([a / b for a, b in zip(numerators, denominators)])


def process_memory(field: str) -> int:
    """Bytes of memory of this process, from Linux: VmRSS, VmHWM, ..."""
    found = re.search(rf'{field}:\s*(\d+) kB', STATUS.read_text())
    return 1024 * int(found[1])


def added_memory(step: Callable) -> Optional[float]:
    """MiB that a call adds at most; None except on Linux."""
    if not STATUS.is_file():
        return None
    ctypes.CDLL(None).malloc_trim(0)  # give freed memory back
    Path('/proc/self/clear_refs').write_text('5')  # reset VmHWM
    before = process_memory('VmRSS')
    step()
    return round((process_memory('VmHWM') - before) / 2**20, 1)
