"""Whole commands, as a user types them, on a set-up that takes seconds."""
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

CONFIG = 'configs/stdcl/stdcl-stgcn_synthetic.py'
# seconds instead of minutes: few sequences, a narrow encoder
TINY = ['train_dataloader.dataset.num_sequences=64',
        'val_dataloader.dataset.num_sequences=32',
        'test_dataloader.dataset.num_sequences=32',
        'model.backbone.base_channels=8', 'model.cls_head.in_channels=32',
        'train_cfg.max_epochs=1', 'train_cfg.val_interval=1']


def environment():
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    return {**os.environ, 'OMP_NUM_THREADS': '1', 'PORT': str(port),
            'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}'}


def call(*command, cwd, check=True, **kwargs):
    done = subprocess.run([str(part) for part in command], cwd=cwd,
                          env=environment(), capture_output=True, text=True,
                          timeout=300, **kwargs)
    if check:
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def accuracy(done) -> float:
    return float(re.findall(r'acc/top1: ([\d.]+)', done.stdout)[-1])


def train_command(root, work_dir, *options):
    """The command of a training of a narrow encoder."""
    return [sys.executable, str(root / 'tools/train.py'), str(root / CONFIG),
            '--work-dir', str(work_dir), '--seed', '1', *options]


def kill_a_child(pid, number):
    """Send a signal to the first child of a process."""
    children = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    os.kill(int(children[0]), number)


def stop(command, cwd, when, number=signal.SIGKILL, to=os.kill, **kwargs):
    """Start a command and send it a signal.

    Args:
        command (list): The command.
        cwd (Path): Its working directory.
        when (str | callable): Part of a line of its output, a regular
            expression; or a function that tells when.
        number (int): The signal. Defaults to SIGKILL.
        to (callable): Takes the process and the signal: ``os.kill``,
            ``os.killpg`` for all its processes, or ``kill_a_child``. Defaults
            to ``os.kill``.

    Returns:
        CompletedProcess: With what it has printed.
    """
    log = Path(cwd) / f'stopped_{time.monotonic_ns()}.log'
    with open(log, 'w') as file:
        process = subprocess.Popen(
            command, cwd=cwd, env=environment(), stdout=file,
            stderr=subprocess.STDOUT, start_new_session=True, **kwargs)
    ready = when if callable(when) else (
        lambda: re.search(when, log.read_text()))
    deadline = time.monotonic() + 200
    try:
        while not ready():
            assert process.poll() is None and time.monotonic() < deadline, (
                log.read_text()[-3000:])
        to(process.pid, number)
        process.wait(timeout=100)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return subprocess.CompletedProcess(command, process.returncode,
                                       log.read_text())
