"""Time a training step's contrast against the size of the memory banks.

A step is what STD-CL adds after the encoder: the exchange between processes,
the update of both banks, and both losses, forward and backward, on the CPU.
Measured are a full bank (a slot for each sequence) in float32 and float16 and
a class-balanced one, for several batches and numbers of processes; the memory
that a step takes beyond the banks; the size of a bank in memory and in a
checkpoint; and what half precision changes in loss and gradient.

Examples:
    python tools/benchmark/memory_bank.py --out bank.json
    python tools/benchmark/memory_bank.py --checkpoint nw-ucla/epoch_5.pth
"""
import argparse
import ctypes
import functools
import json
import logging
import os
import os.path as osp
import platform
import socket
import sys
import time
from pathlib import Path
from typing import List, NamedTuple

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from timing import STATUS, process_memory, spread, timed

sys.path.insert(0, osp.dirname(osp.dirname(osp.dirname(
    osp.abspath(__file__)))))

from mmaction.structures import ActionDataSample

import projects.stdcl  # noqa: F401
from projects.stdcl.models import (
    CrossSequenceContrastiveLoss,
    MemoryBank,
    STDCLHead,
)

DIM, CLASSES = 256, 60
FULL, HALF = dict(type='MemoryBank'), dict(type='MemoryBank', dtype='float16')
BOUNDED = dict(type='ClassBalancedMemoryBank')
BANKS = {'full': FULL, 'full, float16': HALF, 'class-balanced': BOUNDED}
BATCHES = (16, 64)
# training sequences and classes of the benchmarks
DATASETS = {'NW-UCLA': (1020, 10), 'NTU RGB+D 60 X-Sub': (40091, 60),
            'NTU RGB+D 60 X-View': (37646, 60),
            'NTU RGB+D 120 X-Sub': (63026, 120),
            'NTU RGB+D 120 X-Set': (54468, 120)}
SECONDS = 3  # of a case, beyond its least number of repeats


class Case(NamedTuple):
    """What is timed together."""
    bank: str
    sequences: int
    batch: int  # of each process


def cases_of(processes: int, largest: int) -> List[Case]:
    """All for one process; fewer for several, which share this machine."""
    sizes = {1: {'full': (3, 4, 5, 6), 'full, float16': (3, 4, 5, 6),
                 'class-balanced': (4, 5, 6, 7)}}.get(
        processes, {'full': (4, 5), 'class-balanced': (5, )})
    return [Case(bank, 10**power, batch) for bank, powers in sizes.items()
            for power in powers if 10**power <= largest for batch in BATCHES]


def clustered(num: int, classes: int, seed: int = 0) -> tuple:
    """Features that are more alike in a class, and labels."""
    generator = torch.Generator().manual_seed(seed)
    centers = torch.randn(classes, DIM, generator=generator)
    labels = torch.arange(num) % classes
    features = torch.randn(num, DIM, generator=generator)
    return F.normalize(features.add_(centers[labels]), dim=1), labels


@functools.lru_cache(maxsize=1)
def make_head(kind: str, sequences: int) -> STDCLHead:
    """A head whose banks have seen as many sequences as they can hold."""
    torch.manual_seed(0)
    head = STDCLHead(
        num_classes=CLASSES, in_channels=DIM,
        decoupler=dict(type='AttentiveDecoupler'),
        memory_bank=BANKS[kind],
        loss_contrast=dict(type='CrossSequenceContrastiveLoss'))
    head.init_weights()
    head.resize_banks(sequences)
    num = min(sequences, len(head.spatial_bank))
    features, labels = clustered(num, CLASSES)
    for bank in (head.spatial_bank, head.temporal_bank):
        for first in range(0, num, 4 * CLASSES):
            part = slice(first, first + 4 * CLASSES)
            bank.update(features[part], labels[part],
                        torch.arange(num)[part])
    return head


def make_steps(head: STDCLHead, case: Case, rank: int):
    """A function that makes one step, of other sequences each time."""
    generator = torch.Generator().manual_seed(rank)

    def step():
        indices = torch.randint(case.sequences, (case.batch, ),
                                generator=generator)
        samples = []
        for index in indices.tolist():
            samples.append(
                ActionDataSample().set_gt_label(index % CLASSES))
            samples[-1].set_metainfo(dict(sample_idx=index))
        feats = torch.randn(case.batch, 1, DIM, 1, 1, generator=generator)
        losses = head.contrast(feats, samples)
        (losses['loss_spatial'] + losses['loss_temporal']).backward()

    return step


def run_case(case: Case, rank: int, repeats: int) -> dict:
    """Time a case; the same number of steps in all processes."""
    head = make_head(case.bank, case.sequences)
    step = make_steps(head, case, rank)
    taken = torch.tensor([timed(step, 'cpu'), timed(step, 'cpu')])
    if dist.is_initialized():
        dist.all_reduce(taken, dist.ReduceOp.MAX)
    number = max(repeats, min(5 * repeats, int(SECONDS / taken[1])))
    seconds = [timed(step, 'cpu') for _ in range(number)]
    result = dict(
        case._asdict(), slots=len(head.spatial_bank), repeats=number,
        seconds=spread(seconds), bank_bytes=head.spatial_bank.nbytes)
    if not dist.is_initialized():
        result['checkpoint_bytes'] = saved_bytes(head.spatial_bank)
        if STATUS.is_file():
            # free memory goes back, and the highest mark of before
            ctypes.CDLL(None).malloc_trim(0)
            Path('/proc/self/clear_refs').write_text('5')
            before = process_memory('VmRSS')
            step()
            result['step_memory'] = process_memory('VmHWM') - before
    return result


class _Counter:
    """A file that only counts."""
    size = 0

    def write(self, data) -> int:
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        pass


def saved_bytes(bank: MemoryBank) -> int:
    """Bytes of a bank in a checkpoint."""
    torch.save(bank.state_dict(), counter := _Counter())
    return counter.size


def measure(rank: int, processes: int, port: int, args, out: str) -> None:
    """All cases of a number of processes; the first writes the results."""
    logging.disable(logging.INFO)  # initialisation of the decouplers
    torch.set_num_threads(args.threads)
    if processes > 1:
        dist.init_process_group(
            'gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank,
            world_size=processes)
    results = []
    for case in cases_of(processes, args.largest):
        result = dict(processes=processes, **run_case(case, rank,
                                                      args.repeats))
        results.append(result)
        if rank == 0:
            show(result)
    if processes > 1:
        dist.destroy_process_group()
    if rank == 0:
        Path(out).write_text(json.dumps(results))


def show(result: dict) -> None:
    """Print the figures of a case."""
    seconds = result['seconds']
    print(f'{result["bank"]:15s} {result["sequences"]:10,} sequences, '
          f'{result["processes"]} x {result["batch"]}: '
          f'{1e3 * seconds["median"]:9.2f} ms ({1e3 * seconds["min"]:.2f} to '
          f'{1e3 * seconds["max"]:.2f}), bank '
          f'{result["bank_bytes"] / 2**20:.1f} MiB', flush=True)


def half_precision(features: torch.Tensor, labels: torch.Tensor) -> dict:
    """Largest relative differences of loss and gradient, in ten batches."""
    loss, differences = CrossSequenceContrastiveLoss(), []
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        own = torch.randperm(len(labels), generator=generator)[:64]
        results = []
        for bank in (features, features.half()):
            torch.manual_seed(seed)  # the same random negatives
            anchors = features[own].clone().requires_grad_()
            value, _ = loss(anchors, labels[own], own, bank, labels)
            value.backward()
            results.append((value.detach(), anchors.grad))
        (value, gradient), (half_value, half_gradient) = results
        differences.append((
            float((half_value - value).abs() / value),
            float((half_gradient - gradient).norm() / gradient.norm())))
    values, gradients = zip(*differences)
    return dict(slots=len(labels), loss=max(values), gradient=max(gradients))


def fit(cases: list) -> dict:
    """Seconds of a step of the full bank: a + batch * (b + slots * c).

    Of one process, to the fastest repeats (a busy machine only adds to them),
    by least squares of the relative error.

    Returns:
        dict: a, b, c, and ``worst``, the largest factor by which a case is
        faster or slower than that.
    """
    rows = [case for case in cases
            if case['processes'] == 1 and case['bank'] == 'full']
    seconds = torch.tensor([row['seconds']['min'] for row in rows],
                           dtype=torch.float64)[:, None]
    terms = torch.tensor([[1, row['batch'], row['batch'] * row['slots']]
                          for row in rows], dtype=torch.float64)
    scale = terms.amax(dim=0)
    solution = torch.linalg.lstsq(terms / scale / seconds,
                                  torch.ones_like(seconds)).solution
    ratios = terms / scale @ solution / seconds
    a, b, c = (solution.flatten() / scale).tolist()
    return dict(a=a, b=b, c=c,
                worst=float(torch.maximum(ratios, 1 / ratios).max()))


def dataset_bytes() -> dict:
    """Bytes of both banks of the benchmarks, for each kind."""
    sizes = {}
    for name, (sequences, classes) in DATASETS.items():
        sizes[name] = dict(sequences=sequences, classes=classes)
        for kind, config in BANKS.items():
            head = STDCLHead(
                num_classes=classes, in_channels=DIM, memory_bank=config,
                decoupler=dict(type='AttentiveDecoupler'),
                loss_contrast=dict(type='CrossSequenceContrastiveLoss'))
            head.resize_banks(sequences)
            sizes[name][kind] = (saved_bytes(head.spatial_bank)
                                 + saved_bytes(head.temporal_bank))
    return sizes


def main() -> None:
    description, examples = __doc__.split('\n\nExamples', 1)
    parser = argparse.ArgumentParser(
        description=description, epilog=f'examples{examples}',
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--repeats', type=int, default=3,
                        help='least number of them; default: 3')
    parser.add_argument('--threads', type=int, default=1,
                        help='of each process; default: 1')
    parser.add_argument('--processes', type=int, nargs='+',
                        default=[1, 2, 4], help='default: 1 2 4')
    parser.add_argument('--largest', type=int, default=10**7,
                        help='most sequences; default: 10,000,000')
    parser.add_argument('--checkpoint', type=Path,
                        help='of a training with full banks, to see what half '
                        'precision changes with its features')
    parser.add_argument('--out', type=Path, help='JSON file to write')
    args = parser.parse_args()
    start = time.perf_counter()
    cases, part = [], f'/tmp/memory_bank_{os.getpid()}.json'
    for processes in args.processes:
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        mp.spawn(measure, (processes, port, args, part), processes)
        cases += json.loads(Path(part).read_text())
        os.remove(part)
    halves = {name: half_precision(*clustered(*size))
              for name, size in DATASETS.items() if size[0] <= args.largest}
    if args.checkpoint:
        state = torch.load(args.checkpoint, weights_only=True)['state_dict']
        for which in ('spatial', 'temporal'):
            halves[f'trained, {which}'] = half_precision(
                *(state[f'cls_head.{which}_bank.{name}']
                  for name in MemoryBank.STATE))
    for name, half in halves.items():
        print(f'float16 instead of float32, {name}: loss differs by '
              f'{half["loss"]:.0e} of it, gradient by '
              f'{half["gradient"]:.0e}')
    record = dict(
        processor=platform.machine(), cores=os.cpu_count(),
        threads=args.threads, torch=torch.__version__, features=DIM,
        classes=CLASSES, cases=cases, half_precision=halves,
        dataset_bytes=dataset_bytes(), fit=fit(cases))
    a, b, c, worst = record['fit'].values()
    print(f'{time.perf_counter() - start:.0f} s; a step of the full bank is '
          f'{1e3 * a:.1f} ms + batch * ({1e3 * b:.2f} ms + slots * '
          f'{1e9 * c:.1f} ns), within a factor of {worst:.1f}')
    if args.out:
        args.out.write_text(json.dumps(record, indent=1) + '\n')


if __name__ == '__main__':
    main()
