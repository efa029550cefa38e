"""Compare the speed of an earlier commit with that of this one.

The two commits take turns, in processes of their own. A training step is the
forward pass with all losses and the backward pass on 16 random clips of
NW-UCLA. Encoders that the earlier commit lacks are skipped. The start is the
shortest run of tools/train.py: one step, and validation. Use an idle machine.
Example, with the last commit before the encoders became faster:

    python -m runs.benchmarks.commits 61498b0 --threads 1 2
"""
import argparse
import json
import os
import subprocess
import sys
import time
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

import projects.stdcl  # noqa: F401 (registers the models)
from projects.stdcl.apis.clip_shape import find_clip_shape
from projects.stdcl.catalogue import ENCODERS, find_config
from runs.benchmarks.cpu import TITLES, WIDTHS, add, spread, take_turns

ROOT = Path(__file__).resolve().parents[2]
START = ['tools/train.py', 'configs/stdcl/stdcl-hcn_synthetic.py',
         '--cfg-options', 'train_cfg.max_epochs=1',
         'train_dataloader.dataset.num_sequences=16',
         'val_dataloader.dataset.num_sequences=16', '--work-dir']
# the worker uses only what both commits have
WORKER = '''
import inspect, json, sys, time
import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
import projects.stdcl
try:
    from projects.stdcl.utils.allocator import keep_freed_memory
    keep_freed_memory()  # as in tools/train.py
except ImportError:
    pass
cfg, shape, threads = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
init_default_scope('mmaction')
model = MODELS.build(Config.fromfile(cfg).model).train()
head = model.cls_head
if hasattr(head, 'resize_banks'):
    sizes = 1020, -(-1020 // head.num_classes)
    head.resize_banks(*sizes[:len(inspect.signature(
        head.resize_banks).parameters)])
    indices = torch.arange(1020)
    for bank in (head.spatial_bank, head.temporal_bank):
        features = torch.randn(1020, bank.features.shape[1])
        bank.update(torch.nn.functional.normalize(features),
                    indices % head.num_classes, indices)
clips, samples = torch.rand(16, 1, *shape), []
for index in range(16):
    samples.append(ActionDataSample(metainfo=dict(sample_idx=index)))
    samples[-1].set_gt_label(index % head.num_classes)
clock = time.process_time if threads == 1 else time.perf_counter
for _ in sys.stdin:
    start = clock()
    model.zero_grad()
    losses = model(clips, samples, mode='loss')
    model.parse_losses(losses)[0].backward()
    print(1e3 * (clock() - start), flush=True)
'''


def old_config(root: Path, encoder: str, benchmark: str, stdcl: bool) -> Path:
    """Find the config of the joint stream in an earlier commit."""
    name = ('stdcl-' if stdcl else '') + encoder
    folder = root / 'configs' / ('stdcl' if stdcl else encoder)
    return next(path for path in sorted(folder.glob(f'{name}_*.py'))
                if benchmark in path.stem and 'bone' not in path.stem
                and 'motion' not in path.stem)


def time_commits(root: Path, encoder: str, benchmark: str, stdcl: bool,
                 repeats: int) -> dict[str, str]:
    """Time the steps of both commits in turns."""
    config = find_config(encoder, benchmark, stdcl)
    cfg = Config.fromfile(config)
    shape = json.dumps(find_clip_shape(cfg, MODELS.build(cfg.model)))
    workers = [subprocess.Popen(
        [sys.executable, '-c', WORKER, str(path), shape,
         str(torch.get_num_threads())], cwd=folder, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for folder, path in (
            (root, old_config(root, encoder, benchmark, stdcl)),
            (ROOT, config))]
    times = []
    for _ in range(repeats + 2):
        times.append([])
        for worker in workers:
            print(file=worker.stdin, flush=True)
            times[-1].append(float(worker.stdout.readline()))
    for worker in workers:
        worker.communicate()
    before, now = pd.DataFrame(times[2:]).T.values  # the first two warm up
    return spread({'ms, before': before, 'ms, now': now,
                   'before : now': before / now})


def time_starts(root: Path, repeats: int) -> dict[str, str]:
    """Time the shortest run of both commits in turns."""
    with TemporaryDirectory() as folder:
        ms = take_turns(repeats, time.perf_counter, **{
            name: partial(subprocess.run, [sys.executable, *START, folder],
                          cwd=path, env={**os.environ, 'PYTHONPATH': path},
                          check=True, capture_output=True)
            for name, path in (('before', str(root)), ('now', str(ROOT)))})
    return spread({'s, before': ms.before / 1e3, 's, now': ms.now / 1e3,
                   'before : now': ms.before / ms.now})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('commit', help='the earlier commit')
    parser.add_argument('--encoders', nargs='+', default=list(ENCODERS))
    parser.add_argument('--threads', nargs='+', type=int, default=[1])
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--out', type=Path, default=Path(__file__).parent)
    args = parser.parse_args()
    init_default_scope('mmaction')
    command = f'commits {args.commit}'
    with TemporaryDirectory() as folder:
        subprocess.run(['git', 'worktree', 'add', '--detach', folder,
                        args.commit], cwd=ROOT, check=True)
        try:
            add(args.out / 'commits_start.csv', command,
                dict(tool='tools/train.py'), time_starts, Path(folder),
                args.repeats)
            for threads, encoder, width, stdcl in product(
                    args.threads, args.encoders, WIDTHS, (False, True)):
                if not (Path(folder) / 'configs' / encoder).is_dir():
                    continue
                torch.set_num_threads(threads)
                add(args.out / 'commits.csv', command, dict(
                    encoder=TITLES[encoder], width=width,
                    stdcl='yes' if stdcl else 'no', threads=threads),
                    time_commits, Path(folder), encoder, WIDTHS[width], stdcl,
                    args.repeats)
        finally:
            subprocess.run(['git', 'worktree', 'remove', '--force', folder],
                           cwd=ROOT, check=True)


if __name__ == '__main__':
    main()
