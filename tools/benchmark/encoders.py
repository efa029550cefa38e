"""Time the encoders against their readable twins.

A training step (forward, cross entropy, backward) and an eval step of encoder
and classifier, on the CPU or a GPU, with the same weights. The twins
(tests/twins) are written straight from the formulas of the papers, as the
authors' code is.

example: python -m tools.benchmark.encoders --threads 2
"""
import multiprocessing
from functools import partial
from typing import Optional

from tools.benchmark import timing

NW_UCLA = dict(layout='nw-ucla', persons=1, frames=52, classes=10)
# name: (size of clips, batch)
CASES = {'CTR-GCN': (NW_UCLA, 16), 'Hyperformer': ({}, 4),
         'HCN': (dict(NW_UCLA, frames=64), 16)}


class Case:
    """An encoder and its twin, on a batch of random clips, seeded."""

    def __init__(self, name: str, device: str) -> None:
        import torch
        from mmengine.registry import init_default_scope

        import projects.stdcl  # noqa: F401  repairs the stack
        from tests.twins.encoders import Size, converted, for_twin, ours, twin
        torch.manual_seed(0)
        init_default_scope('mmaction')
        size, batch = Size(**CASES[name][0]), CASES[name][1]
        reference, model = twin(name, size), ours(name, size)
        model.load_state_dict(converted(name, reference.state_dict()))
        self.clips = size.clips(batch).to(device)
        self.labels = torch.randint(size.classes, (batch, )).to(device)
        self.models = dict(ours=model.to(device), twin=reference.to(device))
        self.inputs = dict(ours=self.clips,
                           twin=for_twin(self.clips).contiguous())

    def training(self, which: str) -> None:
        """Forward, loss, backward."""
        from torch.nn.functional import cross_entropy
        model = self.models[which].train()
        model.zero_grad()
        cross_entropy(model(self.inputs[which]), self.labels).backward()

    def eval(self, which: str) -> None:
        """Forward."""
        import torch
        with torch.no_grad():
            self.models[which].eval()(self.inputs[which])


def peak_memory(name: str, which: str, device: str) -> Optional[float]:
    """MiB that a training step adds, in a process of its own."""
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        return pool.apply(_peak_memory, (name, which, device))


def _peak_memory(name: str, which: str, device: str) -> Optional[float]:
    case = Case(name, device)
    if device == 'cpu':
        return timing.added_memory(lambda: case.training(which))
    import torch
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    case.training(which)
    return round((torch.cuda.max_memory_allocated() - before) / 2**20, 1)


def run_case(name: str, repeats: int, device: str) -> list:
    """A row for the training step, and one for the eval step."""
    from projects.stdcl.evaluation.flops import count
    case, rows = Case(name, device), []
    parameters, flops = count(case.models['ours'].eval(), case.clips[:1])
    for step in ('training', 'eval'):
        seconds = timing.in_turn({
            which: partial(getattr(case, step), which)
            for which in case.models}, repeats, device)
        rows.append({
            'encoder': name, 'step': step,
            'clips (N, M, T, V, C)': ' x '.join(map(str, case.clips.shape)),
            'parameters': parameters, 'GFLOPs a clip': round(flops / 1e9, 2),
            **timing.milliseconds(seconds),
            'times faster': timing.ratio(seconds['twin'], seconds['ours'])})
    rows[0].update({f'MiB, {which}': peak_memory(name, which, device)
                    for which in ('ours', 'twin')})
    return [dict(row, repeats=repeats) for row in rows]


def main() -> None:
    parser = timing.make_parser(__doc__, 11)
    parser.add_argument('--encoders', nargs='+', default=list(CASES),
                        choices=list(CASES), help='default: all')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu',
                        help='default: cpu')
    args = timing.parse_args(parser)
    for name in args.encoders:
        timing.save(args.out / 'encoders.csv',
             run_case(name, args.repeats, args.device), ['encoder', 'step'])


if __name__ == '__main__':
    main()
