"""Run complete commands with a model that trains in seconds."""
import contextlib
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import torch
from mmengine.utils import digit_version

from projects.stdcl.utils.folder_lock import lock_folder

ROOT = Path(__file__).parents[1]
CONFIG = 'configs/stdcl/stdcl-stgcn_synthetic.py'
# the extra "deploy" needs PyTorch 2.9; PyTorch 2.6 cannot export batch norm
EXPORTS_ONNX = digit_version(torch.__version__) >= digit_version('2.9')
# few sequences and a narrow encoder, so that training takes seconds
TINY = ['train_dataloader.batch_size=16',
        'train_dataloader.dataset.num_sequences=64',
        'val_dataloader.dataset.num_sequences=32',
        'test_dataloader.dataset.num_sequences=32',
        'model.backbone.base_channels=8', 'model.cls_head.in_channels=32',
        'train_cfg.max_epochs=1', 'train_cfg.val_interval=1']
ATTENTIVE = 'model.cls_head.decoupler.type=AttentiveDecoupler'


def environment():
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    return {**os.environ, 'OMP_NUM_THREADS': '1', 'PORT': str(port),
            'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}'}


def call(*command, cwd):
    done = subprocess.run([str(part) for part in command], cwd=cwd,
                          env=environment(), capture_output=True, text=True,
                          timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def attentive_config(folder):
    """Write a config that adds the attentive decoupler to CONFIG."""
    path = folder / 'attentive.py'
    path.write_text(f"""_base_ = {str(ROOT / CONFIG)!r}
model = dict(cls_head=dict(decoupler=dict(type='AttentiveDecoupler')))
""")
    return path


def accuracy(done) -> float:
    return float(re.findall(r'acc/top1: ([\d.]+)', done.stdout)[-1])


def train(run, work_dir, *options, status=0):
    """Train with :data:`CONFIG`; ``run`` is a WarmCommands server."""
    return run('tools/train.py', *arguments(work_dir), *options, cwd=work_dir,
               status=status)


def arguments(work_dir):
    """Return the arguments of tools/train.py that precede its options."""
    return [ROOT / CONFIG, '--work-dir', work_dir, '--seed', '1']


def stop_training(run, work_dir, *options, when, number=signal.SIGKILL,
                  to=os.kill):
    """Start :func:`train`, and stop it as :func:`interrupt` describes."""
    pid = run.start('tools/train.py', *arguments(work_dir), *options,
                    cwd=work_dir)
    interrupt(pid, work_dir / 'stdout', when, number, to)
    return run.wait()


@contextlib.contextmanager
def hold_folder(folder):
    """Let another process lock a folder, and kill that process at the end."""

    def hold():
        with lock_folder(folder):
            locked.set()
            signal.pause()

    fork = multiprocessing.get_context('fork')
    locked, process = fork.Event(), fork.Process(target=hold, daemon=True)
    process.start()
    assert locked.wait(60)
    yield process
    process.kill()
    process.join()


def kill_a_child(pid, number):
    """Send a signal to the first child of a process."""
    children = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    os.kill(int(children[0]), number)


def interrupt(pid, log, when, number, to) -> None:
    """Wait for an output of a command, and then send the command a signal.

    Args:
        when (str | callable): Regular expression of the output to wait for,
            or a function that returns whether to send the signal.
        to (callable): Function that sends the signal: ``os.kill``,
            ``os.killpg`` for all processes, or ``kill_a_child``.
    """
    ready = when if callable(when) else (
        lambda: re.search(when, log.read_text()))
    deadline = time.monotonic() + 200
    while not ready():
        os.kill(pid, 0)  # raises an error if the process has ended
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.005)  # a loop without a break would slow the command
    to(pid, number)
