"""Whole commands: precision, accumulation, several processes, their end."""
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.commands import CONFIG, TINY, call, environment

BANKS = ('cls_head.spatial_bank.', 'cls_head.temporal_bank.')


def load(path):
    return torch.load(path, weights_only=True)


def losses(done, name='loss'):
    """The values of a loss in a log, as text."""
    return re.findall(rf' {name}: (\S+)', done.stdout)


def test_amp_accumulation_and_the_best_model(root, tmp_path):
    """bfloat16 here; every second step is the optimizer's."""
    train = [sys.executable, root / 'tools/train.py', root / CONFIG,
             '--work-dir', tmp_path]
    options = ['--cfg-options', *TINY, 'default_hooks.logger.interval=1',
               'default_hooks.checkpoint.save_best=auto']
    done = call(*train, '--amp', *options,
                'optim_wrapper.accumulative_counts=2', cwd=tmp_path)
    for name in ('loss', 'loss_spatial', 'loss_temporal'):
        values = losses(done, name)
        assert len(values) == 4  # of a batch each
        assert all(0 < float(value) < 100 for value in values)
    last = load(tmp_path / 'epoch_1.pth')
    # the learning rate of the four steps is one schedule, with two updates
    steps = {int(state['step']) if 'step' in state else None
             for state in last['optimizer']['state'].values()}
    assert steps <= {None, 2}
    for bank in BANKS:
        features = last['state_dict'][f'{bank}features']
        assert features.dtype == torch.float32
        assert torch.allclose(features.norm(dim=1), torch.ones(64), atol=1e-5)

    # the best model has the weights, not the banks, and cannot be resumed
    best, = tmp_path.glob('best_*.pth')
    weights = {name: tensor for name, tensor in last['state_dict'].items()
               if not name.startswith(BANKS)}
    best_weights = load(best)['state_dict']
    assert best_weights.keys() == weights.keys()
    assert all(torch.equal(best_weights[name], weights[name])
               for name in weights)
    size = 2 * 64 * (256 * 4 + 8)  # bytes of the banks
    assert best.stat().st_size + size < (
        tmp_path / 'epoch_1.pth').stat().st_size
    refused = call(*train, '--resume', best, *options,
                   'train_cfg.max_epochs=2', cwd=tmp_path, check=False)
    assert refused.returncode != 0
    assert ('has no memory bank "cls_head.spatial_bank"'
            in refused.stderr + refused.stdout)


def test_uneven_batches_and_another_number_of_processes(root, tmp_path):
    """Two processes, the last batch of one shorter; one goes on alone."""
    options = ['--work-dir', tmp_path, '--cfg-options', *TINY[3:5],
               'train_dataloader.dataset.num_sequences=61',
               'train_dataloader.sampler.round_up=False',
               'train_dataloader.drop_last=False',
               'model.cls_head.memory_bank.type=ClassBalancedMemoryBank',
               'model.cls_head.memory_bank.slots_per_class=3',
               'val_cfg=None', 'val_dataloader=None', 'val_evaluator=None']
    call('bash', root / 'tools/dist_train.sh', root / CONFIG, 2, *options,
         'train_cfg.max_epochs=1', cwd=tmp_path)
    first = load(tmp_path / 'epoch_1.pth')['state_dict']
    indices = first[f'{BANKS[0]}indices'].view(16, 3)
    assert (indices >= 0).all()  # every class has three of its sequences
    assert (indices % 16 == torch.arange(16)[:, None]).all()
    assert len(indices.unique()) == 48

    done = call(sys.executable, root / 'tools/train.py', root / CONFIG,
                '--resume', *options, 'train_cfg.max_epochs=2', cwd=tmp_path)
    assert 'resumed epoch: 1' in done.stdout
    assert 'Memory banks: 48, 48 slots for 61 sequences' in done.stdout
    second = load(tmp_path / 'epoch_2.pth')['state_dict']
    times = second[f'{BANKS[0]}written'] - first[f'{BANKS[0]}written']
    assert (times > 0).all()  # it went on counting


def processes_below(pid):
    """Process ids of the descendants of one."""
    children = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    return [below for child in children
            for below in (int(child), *processes_below(int(child)))]


def worker(launcher, rank):
    """The process id of a rank."""
    for pid in processes_below(launcher.pid):
        variables = Path(f'/proc/{pid}/environ').read_bytes().split(b'\0')
        if f'RANK={rank}'.encode() in variables:
            return pid
    raise AssertionError(f'no process of rank {rank}')


def is_running(pid):
    try:
        return ') Z ' not in Path(f'/proc/{pid}/stat').read_text()
    except FileNotFoundError:
        return False


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def training(root, tmp_path):
    """Start an endless training with two processes; ends it whatever comes.

    Returns a function that takes options and returns the launcher, when the
    training has begun, and its log.
    """
    started, log = [], tmp_path / 'log.txt'

    def start(*options):
        with open(log, 'w') as file:
            launcher = subprocess.Popen(
                ['bash', root / 'tools/dist_train.sh', root / CONFIG, '2',
                 '--work-dir', tmp_path, '--cfg-options', *TINY,
                 'train_cfg.max_epochs=1000', 'train_cfg.val_interval=1000',
                 'default_hooks.logger.interval=1',
                 'default_hooks.checkpoint.interval=1000', *options],
                env=environment(), cwd=tmp_path, stdout=file, stderr=file,
                start_new_session=True)
        started.append(launcher)
        wait_for(lambda: 'Epoch(train)' in log.read_text()
                 or launcher.poll() is not None, 200)
        assert launcher.poll() is None, log.read_text()[-3000:]
        return launcher, log

    yield start
    for launcher in started:
        workers = [] if launcher.poll() is not None else processes_below(
            launcher.pid)
        for pid in workers:  # torchrun gives them sessions of their own
            os.kill(pid, signal.SIGKILL)
        if launcher.poll() is None:
            os.killpg(launcher.pid, signal.SIGKILL)
            launcher.wait()


needs_proc = pytest.mark.skipif(not Path('/proc/self/task').is_dir(),
                                reason='finds processes in /proc')


@needs_proc
def test_the_death_of_a_process_ends_the_run(training):
    launcher, _ = training()
    survivor = worker(launcher, 0)
    os.kill(worker(launcher, 1), signal.SIGKILL)
    assert launcher.wait(timeout=120) != 0  # the time-out is 600
    assert not is_running(survivor)


@needs_proc
@pytest.mark.slow
def test_a_process_that_hangs_ends_the_run(training):
    launcher, log = training('env_cfg.dist_cfg.timeout=10')
    waiting, hanging = worker(launcher, 0), worker(launcher, 1)
    os.kill(hanging, signal.SIGSTOP)
    wait_for(lambda: not is_running(waiting), 120)
    assert 'Timed out waiting 10000ms' in log.read_text()
    os.kill(hanging, signal.SIGCONT)  # torchrun's SIGTERM needs it awake
    assert launcher.wait(timeout=120) != 0
