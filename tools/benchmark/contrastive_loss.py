"""Time the contrastive loss against the published algorithm.

Forward and backward of one bank on the CPU or a GPU, at the sizes of NW-UCLA
(5,100 slots: each sequence five times, as the authors have it) and NTU60 X-Sub
(40,091). The published algorithm (tests/twins/contrastive_loss.py) loops over
anchors, sorts, and builds the table of logits; the product of anchors and bank
and its gradient, which no exact algorithm can do without, is the limit.

Example:
    python tools/benchmark/contrastive_loss.py --out loss.json
"""
import argparse
import json
import os.path as osp
import platform
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from timing import spread, timed

sys.path.insert(0, osp.dirname(osp.dirname(osp.dirname(
    osp.abspath(__file__)))))

import projects.stdcl  # noqa: F401
from projects.stdcl.models import CrossSequenceContrastiveLoss
from tests.twins.contrastive_loss import contrastive_loss

# name: (slots, batch, classes)
CASES = {'NW-UCLA, five slots each': (5100, 16, 10),
         'NTU60 X-Sub': (40091, 64, 60)}


def make_case(slots: int, batch: int, classes: int, device: str) -> tuple:
    """A full bank and anchors from it, seeded."""
    generator = torch.Generator().manual_seed(0)
    bank = F.normalize(torch.randn(slots, 256, generator=generator), dim=1)
    bank_labels = torch.randint(classes, (slots, ), generator=generator)
    own = torch.randperm(slots, generator=generator)[:batch]
    anchors = F.normalize(
        bank[own] + torch.randn(batch, 256, generator=generator) / 16, dim=1)
    return tuple(tensor.to(device) for tensor in (
        anchors, bank_labels[own], own, bank, bank_labels))


def run_case(case: tuple, repeats: int, device: str) -> dict:
    """Time the three in turn, so that a drifting machine hits all alike."""
    anchors, labels, own, bank, bank_labels = case
    ours = CrossSequenceContrastiveLoss()

    def step(loss):
        z = anchors.clone().requires_grad_()
        value = loss(z)
        value.backward()
        return value.detach(), z.grad

    def our_loss(z):
        return ours(z, labels, own, bank, bank_labels)[0]

    def published(z, drawn=None):
        return contrastive_loss(
            z, labels, own, bank, bank_labels, ours.num_positives,
            ours.num_negatives, ours.temperature, drawn)[0]

    def product(z):
        return (bank @ z.T).sum()

    # the same draw for both, to compare the value
    slots, mask = ours._random_negatives(labels, bank_labels)
    drawn = [row[keep] for row, keep in zip(slots, mask)]
    random_negatives, ours._random_negatives = (
        ours._random_negatives, lambda *_: (slots, mask))
    value, gradient = step(our_loss)
    their_value, their_gradient = step(lambda z: published(z, drawn))
    ours._random_negatives = random_negatives

    steps = dict(ours=our_loss, published=published, product=product)
    seconds = {name: [] for name in steps}
    for repeat in range(repeats + 1):  # the first is a warm-up
        for name, loss in steps.items():
            taken = timed(lambda loss=loss: step(loss), device)
            if repeat:
                seconds[name].append(taken)
    ratios = [b / a for a, b in zip(seconds['ours'], seconds['published'])]
    return dict(
        difference_of_value=float((value - their_value).abs()),
        difference_of_gradient=float((gradient - their_gradient).abs().max()),
        seconds={name: spread(taken) for name, taken in seconds.items()},
        times_faster=spread(ratios))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n\n')[0],
        epilog='example: python tools/benchmark/contrastive_loss.py '
        '--out loss.json')
    parser.add_argument('--repeats', type=int, default=15)
    parser.add_argument('--threads', type=int, help='CPU threads')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument('--out', type=Path, help='JSON file to write')
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    record = dict(
        device=args.device, processor=platform.machine(),
        threads=torch.get_num_threads(), torch=torch.__version__,
        repeats=args.repeats, cases={})
    if args.device == 'cuda':
        record['gpu'] = torch.cuda.get_device_name()
    for name, (slots, batch, classes) in CASES.items():
        result = run_case(make_case(slots, batch, classes, args.device),
                          args.repeats, args.device)
        record['cases'][name] = dict(
            slots=slots, batch=batch, classes=classes, **result)
        print(f'{name}: {slots} slots x 256, batch {batch}')
        for which, taken in result['seconds'].items():
            print(f'  {which:10s} {1e3 * taken["median"]:8.2f} ms '
                  f'({1e3 * taken["min"]:.2f} to {1e3 * taken["max"]:.2f})')
        faster = result['times_faster']
        print(f'  {faster["median"]:.1f} times faster than published '
              f'({faster["min"]:.1f} to {faster["max"]:.1f}); value differs '
              f'by {result["difference_of_value"]:.1e}, gradient by '
              f'{result["difference_of_gradient"]:.1e}')
    if args.out:
        args.out.write_text(json.dumps(record, indent=1) + '\n')


if __name__ == '__main__':
    main()
