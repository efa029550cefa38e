"""Time the contrastive loss against the published algorithm.

Forward and backward of one bank. The published algorithm is that of
tests/twins/contrastive_loss.py. The product of anchors and bank with its
gradient, which no exact algorithm can avoid, is the lower limit.

example: python -m tools.benchmark.contrastive_loss --threads 2
"""
from tools.benchmark import timing

# name: (slots, batch, classes)
CASES = {'NW-UCLA, five slots each': (5100, 16, 10),
         'NTU60 X-Sub': (40091, 64, 60)}


def make_losses(slots: int, batch: int, classes: int, device: str) -> dict:
    """The three functions to time, on a full bank and anchors from it."""
    import torch
    import torch.nn.functional as F

    from projects.stdcl.models import CrossSequenceContrastiveLoss
    from tests.twins.contrastive_loss import contrastive_loss

    generator = torch.Generator().manual_seed(0)
    bank = F.normalize(torch.randn(slots, 256, generator=generator), dim=1)
    bank_labels = torch.randint(classes, (slots, ), generator=generator)
    own = torch.randperm(slots, generator=generator)[:batch]
    anchors = F.normalize(
        bank[own] + torch.randn(batch, 256, generator=generator) / 16, dim=1)
    anchors, labels, own, bank, bank_labels = (
        tensor.to(device) for tensor in (anchors, bank_labels[own], own, bank,
                                         bank_labels))
    ours = CrossSequenceContrastiveLoss()

    def step(loss) -> None:
        loss(anchors.clone().requires_grad_()).backward()

    return {
        'ours': lambda: step(
            lambda z: ours(z, labels, own, bank, bank_labels)[0]),
        'published algorithm': lambda: step(lambda z: contrastive_loss(
            z, labels, own, bank, bank_labels, ours.num_positives,
            ours.num_negatives, ours.temperature)[0]),
        'matrix product alone': lambda: step(lambda z: (bank @ z.T).sum())}


def main() -> None:
    args = timing.parse_args(timing.make_parser(__doc__, 20))
    rows = []
    for name, case in CASES.items():
        seconds = timing.in_turn(make_losses(*case, args.device), args.repeats,
                                 args.device)
        rows.append({
            'bank': name, 'slots': case[0], 'batch': case[1],
            **timing.milliseconds(seconds), 'times faster': timing.ratio(
                seconds['published algorithm'], seconds['ours']),
            'repeats': args.repeats})
    timing.save(args.out / 'contrastive_loss.csv', rows, ['bank'])


if __name__ == '__main__':
    main()
