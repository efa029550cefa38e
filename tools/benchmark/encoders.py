"""Time the encoders against their readable twins.

A training step and an eval step of encoder and classifier, with the same
weights. The twins (tests/twins) follow the formulas of the papers.

example: python -m tools.benchmark.encoders --threads 2
"""
from functools import partial

from tools.benchmark import timing

NW_UCLA = dict(layout='nw-ucla', persons=1, frames=52, classes=10)
# name: (size of clips, batch)
CASES = {'CTR-GCN': (NW_UCLA, 16), 'Hyperformer': ({}, 4),
         'HCN': (dict(NW_UCLA, frames=64), 16)}


def run_step(model, clips, labels, training: bool) -> None:
    """Forward; in training also loss and backward."""
    import torch
    with torch.set_grad_enabled(training):
        scores = model.train(training)(clips)
    if training:
        model.zero_grad()
        torch.nn.functional.cross_entropy(scores, labels).backward()


def run_case(name: str, repeats: int, device: str) -> list:
    """A row for the training step, and one for the eval step."""
    import torch
    from mmengine.registry import init_default_scope

    from projects.stdcl.evaluation.flops import count
    from tests.twins.encoders import Size, converted, for_twin, ours, twin
    torch.manual_seed(0)
    init_default_scope('mmaction')
    size, batch = Size(**CASES[name][0]), CASES[name][1]
    reference, model = twin(name, size), ours(name, size)
    model.load_state_dict(converted(name, reference.state_dict()))
    clips = size.clips(batch).to(device)
    labels = torch.randint(size.classes, (batch, )).to(device)
    models = dict(ours=(model.to(device), clips, labels),
                  twin=(reference.to(device), for_twin(clips).contiguous(),
                        labels))
    parameters, flops = count(model.eval(), clips[:1])
    rows = []
    for title in ('training', 'eval'):
        steps = {which: partial(run_step, *inputs, title == 'training')
                 for which, inputs in models.items()}
        seconds = timing.in_turn(steps, repeats, device)
        rows.append({
            'encoder': name, 'step': title,
            'clips (N, M, T, V, C)': ' x '.join(map(str, clips.shape)),
            'parameters': parameters, 'GFLOPs a clip': round(flops / 1e9, 2),
            **timing.milliseconds(seconds),
            'times faster': timing.ratio(seconds['twin'], seconds['ours']),
            **{f'MiB, {which}': timing.added_memory(call)
               for which, call in steps.items() if device == 'cpu'},
            'repeats': repeats})
    return rows


def main() -> None:
    args = timing.parse_args(timing.make_parser(__doc__, 11))
    for name in CASES:
        timing.save(args.out / 'encoders.csv', run_case(
            name, args.repeats, args.device), ['encoder', 'step'])


if __name__ == '__main__':
    main()
