"""Count the operations of a training step, with and without STD-CL.

With small batches, a GPU spends most of a step on starting operations.

Example:
    python -m runs.benchmarks.operations
"""
import argparse
import contextlib
from pathlib import Path
from unittest import mock

import pandas as pd
import torch
from mmengine.config import Config
from torch.utils._python_dispatch import TorchDispatchMode

from projects.stdcl.catalogue import ENCODERS, find_config
from projects.stdcl.utils import environment
from runs.benchmarks.training_step import TrainingStep

OUT = Path(__file__).parent / 'operations.csv'
# operations that compute nothing, in addition to views
FREE = ('empty', 'empty_like', 'empty_strided', 'new_empty',
        'new_empty_strided', '_unsafe_view', 'is_same_size')


class OperationCounter(TorchDispatchMode):
    """Mode that counts all operations except views and allocations."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        """Count one operation, and run it."""
        name = function.__name__.partition('.')[0]
        self.count += not function.is_view and name not in FREE
        return function(*args, **(kwargs or {}))


def count_operations(cfg: Config) -> int:
    """Count the operations that a training step would start on a GPU.

    Operations are those of PyTorch's ATen library, each of which starts at
    least one kernel. Views, allocations and the optimizer do not count.
    """
    # on the meta device, the code takes the same branches as on a GPU
    step = TrainingStep(cfg, device='meta')
    with meta_autocast(), OperationCounter() as counter:
        step()
    return counter.count


@contextlib.contextmanager
def meta_autocast():
    """Let ``torch.autocast`` accept the meta device, and do nothing on it."""
    autocast = torch.autocast

    def accept(device_type: str, **kwargs):
        return contextlib.nullcontext() if device_type == 'meta' else autocast(
            device_type, **kwargs)

    with mock.patch('torch.autocast', accept):
        yield


def count(encoder: str) -> dict:
    """Return the row of an encoder in the table."""
    plain, stdcl = (count_operations(Config.fromfile(
        find_config(encoder, 'nw-ucla-xview', method)))
        for method in (False, True))
    return {'encoder': ENCODERS[encoder].title, 'operations, plain': plain,
            'operations, STD-CL': stdcl, 'added by STD-CL': stdcl - plain,
            'added, %': round(100 * (stdcl / plain - 1))}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--encoders', nargs='+', metavar='NAME',
                        help='encoders, as in configs/; default: all')
    parser.add_argument('--out', type=Path, default=OUT,
                        help='CSV file to write; default: %(default)s')
    args = parser.parse_args()
    frame = pd.DataFrame(map(count, args.encoders or ENCODERS)).assign(
        command='python -m runs.benchmarks.operations',
        commit=environment.current_commit()['commit'],
        versions=f'torch={environment.package_versions()["torch"]}')
    frame.to_csv(args.out, index=False)


if __name__ == '__main__':
    main()
