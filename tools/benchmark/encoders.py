"""Time the encoders against their obvious twins.

A training step (forward, cross entropy, backward) and an eval step of encoder
and classifier, on the CPU or a GPU, with the same weights. The twins
(tests/twins/) are written straight from the papers' formulas, as the authors'
code is. MMAction2's ST-GCN and AGCN, timed in turn with them, are the scale on
which a twin is compared with times of the authors' code from elsewhere.

Example:
    python tools/benchmark/encoders.py --threads 2 --out encoders.json
"""
import argparse
import json
import multiprocessing
import os.path as osp
import platform
import sys
from pathlib import Path
from typing import Optional

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.registry import init_default_scope

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))
sys.path[:0] = [ROOT, osp.join(ROOT, 'tools', 'analysis')]

from timing import STATUS, process_memory, spread, timed

import projects.stdcl  # noqa: F401
from projects.stdcl.evaluation.flops import count
from tests.twins.encoders import (
    Size,
    converted,
    for_twin,
    ours,
    twin,
)

NW_UCLA = Size('nw-ucla', persons=1, frames=52, classes=10)
# name: (clips, batch)
CASES = {'CTR-GCN': (NW_UCLA, 16), 'Hyperformer': (Size(), 4),
         'HCN': (NW_UCLA._replace(frames=64), 16)}
YARDSTICKS = {
    'ST-GCN': dict(type='STGCN', graph_cfg=dict(
        layout='nw-ucla', mode='stgcn_spatial')),
    'AGCN': dict(type='AAGCN', gcn_attention=False, num_person=1,
                 graph_cfg=dict(layout='nw-ucla', mode='spatial'))}
# seconds of a training step of the authors' code on these clips, and of the
# yardsticks, on another CPU of two cores
AUTHORS = {'CTR-GCN': 1.18, 'Hyperformer': 2.60, 'ST-GCN': 0.77, 'AGCN': 1.03}


class Case:
    """An encoder and its twin, on a batch of random clips, seeded."""

    def __init__(self, name: str, device: str) -> None:
        torch.manual_seed(0)
        init_default_scope('mmaction')
        size, batch = CASES[name]
        reference = twin(name, size)
        model = ours(name, size)
        model.load_state_dict(converted(name, reference.state_dict()))
        self.clips = size.clips(batch).to(device)
        self.labels = torch.randint(size.classes, (batch, )).to(device)
        self.models = dict(ours=model.to(device), twin=reference.to(device))
        self.inputs = dict(ours=self.clips,
                           twin=for_twin(self.clips).contiguous())

    def train_step(self, which: str) -> None:
        """Forward, loss, backward."""
        model = self.models[which].train()
        model.zero_grad()
        F.cross_entropy(model(self.inputs[which]), self.labels).backward()

    @torch.no_grad()
    def eval_step(self, which: str) -> torch.Tensor:
        """Forward."""
        return self.models[which].eval()(self.inputs[which])


def in_turn(steps: dict, repeats: int, device: str) -> dict:
    """Time steps in turn, so that a drifting machine hits all alike."""
    seconds = {which: [] for which in steps}
    for _ in range(repeats):
        for which, step in steps.items():
            step()  # memory and caches are as in a training of its own
            seconds[which].append(timed(step, device))
    result = dict(seconds={which: spread(taken)
                           for which, taken in seconds.items()})
    result['times_faster'] = spread(
        [b / a for a, b in zip(seconds['ours'], seconds['twin'])])
    return result


def peak_memory(name: str, which: str, device: str,
                threads: int) -> Optional[int]:
    """Bytes that a training step adds at most, in a process of its own.

    On a CPU known from Linux only.
    """
    if device == 'cpu' and not STATUS.is_file():
        return None
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        return pool.apply(_peak_memory, (name, which, device, threads))


def _peak_memory(name: str, which: str, device: str, threads: int) -> int:
    torch.set_num_threads(threads)
    case = Case(name, device)
    if device == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        case.train_step(which)
        return torch.cuda.max_memory_allocated() - before
    # else the highest mark may be of before
    Path('/proc/self/clear_refs').write_text('5')
    before = process_memory('VmRSS')
    case.train_step(which)
    return process_memory('VmHWM') - before


def yardsticks() -> dict:
    """Training steps of MMAction2's encoders on the clips of CTR-GCN."""
    size, batch = CASES['CTR-GCN']
    clips = size.clips(batch)
    encoders = {name: MODELS.build(config)
                for name, config in YARDSTICKS.items()}
    return {name: lambda encoder=encoder: encoder(
        clips).square().mean().backward()
        for name, encoder in encoders.items()}


def run_case(name: str, repeats: int, device: str, compiled: bool) -> dict:
    """All figures of an encoder."""
    case = Case(name, device)
    logits = {which: case.eval_step(which) for which in case.models}
    parameters, flops = count(case.models['ours'].eval(), case.clips[:1])
    if compiled:
        case.models['compiled'] = torch.compile(case.models['ours'])
        case.inputs['compiled'] = case.clips
    result = dict(
        clips=list(case.clips.shape), parameters=parameters, flops=flops,
        difference=float((logits['ours'] - logits['twin']).abs().max()
                         / logits['twin'].abs().max()))
    if result['difference'] > 1e-4:
        raise SystemExit(f'error: {name}: the logits of ours and of the twin '
                         f'differ by {result["difference"]:.1e} of the '
                         'largest; a benchmark of the two says nothing.')
    for mode, step in dict(training=case.train_step,
                           eval=case.eval_step).items():
        steps = {which: lambda which=which, step=step: step(which)
                 for which in case.models}
        if mode == 'training' and device == 'cpu' and name in AUTHORS:
            steps.update(yardsticks())
        result[mode] = in_turn(steps, repeats, device)
    if name in AUTHORS and device == 'cpu':
        seconds = {which: taken['median'] for which, taken in
                   result['training']['seconds'].items()}
        # what the authors' code would take here
        result['authors_seconds'] = {
            yardstick: AUTHORS[name] * seconds[yardstick] / AUTHORS[yardstick]
            for yardstick in YARDSTICKS}
    result['peak_memory'] = {
        which: peak_memory(name, which, device, torch.get_num_threads())
        for which in ('ours', 'twin')}
    return result


def show(name: str, case: dict) -> None:
    """Print the figures of an encoder."""
    memory = {which: '?' if size is None else f'{size / 2**20:.0f} MiB'
              for which, size in case['peak_memory'].items()}
    print(f'{name}, clips {case["clips"]}: {case["parameters"]:,} parameters, '
          f'{case["flops"] / 1e9:.2f} GFLOPs a clip; peak memory of a '
          f'training step {memory["ours"]}, twin {memory["twin"]}')
    for mode in ('training', 'eval'):
        faster = case[mode]['times_faster']
        taken = ', '.join(
            f'{which} {1e3 * seconds["median"]:.1f} ms '
            f'({1e3 * seconds["min"]:.1f} to {1e3 * seconds["max"]:.1f})'
            for which, seconds in case[mode]['seconds'].items())
        print(f'  {mode:8s} {taken}: {faster["median"]:.2f} times faster '
              f'({faster["min"]:.2f} to {faster["max"]:.2f})')
    medians = {which: seconds['median'] for which, seconds in
               case['training']['seconds'].items()}
    for yardstick, authors in case.get('authors_seconds', {}).items():
        print(f"  on the scale of MMAction2's {yardstick}, the authors' code "
              f'would take {1e3 * authors:.0f} ms in training: the twin is '
              f'{authors / medians["twin"]:.2f} times as fast, ours '
              f'{authors / medians["ours"]:.2f} times')


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n\n')[0],
        epilog='example: python tools/benchmark/encoders.py --threads 2 '
        '--out encoders.json')
    parser.add_argument('--encoders', nargs='+', default=list(CASES),
                        choices=list(CASES), help='default: all')
    parser.add_argument('--repeats', type=int, default=11)
    parser.add_argument('--threads', type=int, help='CPU threads')
    parser.add_argument('--device', choices=['cpu', 'cuda'],
                        default='cuda' if torch.cuda.is_available() else 'cpu',
                        help='default: %(default)s')
    parser.add_argument('--compile', action='store_true', help='time '
                        'torch.compile as well; always done on a GPU')
    parser.add_argument('--out', type=Path, help='JSON file to write')
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    init_default_scope('mmaction')
    record = dict(
        device=args.device, processor=platform.machine(),
        threads=torch.get_num_threads(), torch=torch.__version__,
        repeats=args.repeats, cases={})
    if args.device == 'cuda':
        record['gpu'] = torch.cuda.get_device_name()
    for name in args.encoders:
        record['cases'][name] = case = run_case(
            name, args.repeats, args.device,
            args.compile or args.device == 'cuda')
        show(name, case)
    if args.out:
        args.out.write_text(json.dumps(record, indent=1) + '\n')


if __name__ == '__main__':
    main()
