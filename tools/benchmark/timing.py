"""What the benchmarks share."""
import statistics
import time
from typing import Callable

import torch


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
