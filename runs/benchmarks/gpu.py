"""Test, train and time this package on one GPU, within a time limit.

1. Run the tests that need a GPU (pytest -m gpu).
2. Run a study, eight runs at a time. The default study uses the published
   settings on NW-UCLA, which is converted first if necessary.
3. Time the contrastive loss and a training step.

Each result is added to OUT/results.json at once; OUT/<name of the study>.csv
contains the results of the study. A second call skips recorded results and
resumes interrupted runs. Without a GPU, everything runs on the CPU.

Example:
    python -m runs.benchmarks.gpu --minutes 9 --out work_dirs/gpu
"""
import argparse
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Optional

ROOT = Path(__file__).resolve().parents[2]
STUDY = ROOT / 'runs/studies/nw_ucla_full.py'
# the arms of this study, the most important ones first
ARMS = ('[!r]*trgcn_joint', '[!r]*tgcn_joint', '*ctrgcn_joint',
        '*stgcn_joint', '*ctrgcn_*', '*stgcn_*')
NW_UCLA = ROOT / 'data/nw_ucla'
TIMING = 4  # minutes reserved for step 3
COMPILATION = 2  # minutes that compiling an encoder may take
# benchmark -> batch size, training sequences
BATCHES = {'nw-ucla-xview': (16, 1020), 'ntu60-xsub': (64, 40091)}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=9,
                        help='time limit; default: %(default)s')
    parser.add_argument('--out', type=Path, required=True,
                        help='folder for results and work directories')
    parser.add_argument('--study', type=Path, help='study file; default: '
                        'runs/studies/nw_ucla_full.py')
    parser.add_argument('--small', action='store_true', help='time only HCN '
                        'on small clips (to try this command on a CPU)')
    return parser.parse_args()


class Results:
    """Results, each of which is written to a file at once."""

    def __init__(self, path: Path, minutes: float) -> None:
        self.path = path
        self.end = time.monotonic() + 60 * minutes
        self.content = json.loads(path.read_text()) if path.is_file() else {}

    @property
    def left(self) -> float:
        """Minutes until the time limit."""
        return (self.end - time.monotonic()) / 60

    def add(self, name: str, function, *args) -> None:
        """Add the dict that a function returns, unless it is recorded."""
        known = self.content.get(name, dict(error='missing'))
        if self.left < 0 or not ({'error', 'failed'} & {*known}
                                 or known.get('runs_left')):
            return
        from projects.stdcl.utils import environment
        from projects.stdcl.utils.atomic_write import atomic_write
        try:
            result = function(*args)
        except Exception as error:  # the next results do not depend on it
            result = dict(error=f'{type(error).__name__}: {error}'[-2000:])
        self.content[name] = dict(result, machine=environment.machine_kind(),
                                  **environment.current_commit())
        print(name, result, flush=True)
        with atomic_write(self.path) as partial:
            partial.write_text(json.dumps(self.content, indent=1))


def call(minutes: Optional[float], *command) -> str:
    """Run Python in the root directory, and return its output.

    It is in a session of its own, so that a timeout also ends its children.
    """
    child = subprocess.Popen(
        [sys.executable, *map(str, command)], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True, env={
            **os.environ, 'PYTHONPATH': os.pathsep.join(
                [str(ROOT), os.environ.get('PYTHONPATH', '')])})
    try:
        output = child.communicate(timeout=minutes and 60 * minutes)[0]
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        output = f'{child.communicate()[0]}\nended after {minutes} minutes'
    except BaseException:  # such as Ctrl-C; a study saves its runs
        os.killpg(child.pid, signal.SIGTERM)
        raise
    if child.returncode:
        raise RuntimeError(output)
    return output


def run_tests(minutes: float) -> dict:
    """Run the tests that need a GPU. Failures do not stop the next steps."""
    try:
        output = call(minutes, '-m', 'pytest', '-n', 0, '-q', '-m', 'gpu',
                      'tests/test_gpu.py')
    except RuntimeError as error:
        return dict(failed=str(error).splitlines()[-200:])
    return dict(summary=output.splitlines()[-1])


def run_study(study: Path, arms: str, out: Path, minutes: float) -> dict:
    """Train and test the arms of a study that match a pattern."""
    if study == STUDY and not (NW_UCLA / 'nw_ucla.pkl').exists():
        call(minutes, 'tools/data/nw_ucla.py', NW_UCLA / 'all_sqe.zip',
             NW_UCLA / 'nw_ucla.pkl')
    output = call(  # stops by itself, after the runs have saved checkpoints
        None, 'tools/experiments/run_study.py', study, '--jobs', 8,
        '--minutes', minutes, '--only', arms, '--records', out,
        '--work-dir', out / 'work_dirs')
    return dict(runs_left=int(re.search(r'runs left: (\d+)', output)[1]),
                output=output.splitlines())


def measure(function, seconds: float) -> dict:
    """Return the time (ms) and the GPU memory (MiB) of a function."""
    import torch
    from torch.utils.benchmark import Timer
    function()  # the first call compiles it
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    # the timer waits for the GPU
    times = Timer('function()', globals=dict(function=function)
                  ).blocked_autorange(min_run_time=seconds)
    return dict(ms=1e3 * times.median, iqr=1e3 * times.iqr,
                runs=len(times.times) * times.number_per_run,
                mib=torch.cuda.max_memory_allocated() / 2**20)


def time_step(mode: str, benchmark: str, encoder: str, method: str,
              device: str, small: bool) -> dict:
    """Time the forward and backward pass of a training step."""
    import torch
    from mmengine.config import Config

    from projects.stdcl.catalogue import find_config
    from runs.benchmarks.training_step import TrainingStep
    step = TrainingStep(
        Config.fromfile(find_config(encoder, benchmark, method == 'STD-CL')),
        *BATCHES.get(benchmark, (4, 16)), device)
    if mode == 'compiled':
        torch._dynamo.reset()
        step.loss = torch.compile(step.loss, fullgraph=True,
                                  backend='eager' if small else 'inductor')
    return measure(step, 0.01 if small else 1)


def time_loss(dtype: str, device: str) -> dict:
    """Time both passes of the loss for 64 anchors and 40,091 slots."""
    import torch
    import torch.nn.functional as F

    from projects.stdcl.models import CrossSequenceContrastiveLoss
    bank = F.normalize(torch.randn(40091, 256, device=device), dim=1)
    labels = torch.arange(len(bank), device=device) % 60
    anchors, own = bank[:64].clone().requires_grad_(), labels.new_tensor(
        range(64))
    bank, loss = bank.to(getattr(torch, dtype)), CrossSequenceContrastiveLoss()
    largest = -(-len(bank) // 60)
    return measure(lambda: loss(anchors, labels[:64], own, bank, labels,
                                largest)[0].backward(), seconds=0.2)


def main() -> None:
    args = parse_args()
    out = args.out.resolve()
    results = Results(out / 'results.json', args.minutes)
    results.add('tests', run_tests, min(4, args.minutes))
    for arms in ('*', ) if args.study else ARMS:
        if results.left > TIMING:
            results.add(f'study {arms}', run_study,
                        (args.study or STUDY).resolve(), arms, out,
                        results.left - TIMING)
    import torch

    from projects.stdcl.catalogue import ENCODERS
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    for dtype in ('float32', 'float16'):
        results.add(f'loss, {dtype}', time_loss, dtype, device)
    # compiling takes longest, so it comes last
    for setting in itertools.product(
            ('eager', 'compiled'), ('synthetic', ) if args.small else BATCHES,
            ('hcn', ) if args.small else ENCODERS, ('plain', 'STD-CL')):
        if setting[0] == 'eager' or results.left > COMPILATION:
            results.add(', '.join(setting), time_step, *setting, device,
                        args.small)


if __name__ == '__main__':
    main()
