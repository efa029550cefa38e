"""What the benchmarks share."""
import statistics
import time
from pathlib import Path
from typing import Callable

import torch

STATUS = Path('/proc/self/status')  # there on Linux


def timed(step: Callable, device: str) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    step()
    if device == 'cuda':
        torch.cuda.synchronize()
    return time.perf_counter() - start


def spread(values: list) -> dict:
    """Minimum, median and maximum."""
    return dict(min=min(values), median=statistics.median(values),
                max=max(values))


def process_memory(field: str) -> int:
    """Bytes of memory of this process, from Linux: VmRSS, VmHWM, ..."""
    lines = dict(line.split(':', 1) for line in
                 STATUS.read_text().splitlines())
    return 1024 * int(lines[field].split()[0])
