"""Interrupted and resumed runs equal an uninterrupted run to the last bit."""
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from mmaction.registry import DATA_SAMPLERS
from mmengine.hooks import Hook
from torch.utils.data import BatchSampler, RandomSampler

from projects.stdcl import apis
from projects.stdcl.apis.train import warn_of_earlier_run
from projects.stdcl.compat.checkpoint import save_to_local
from projects.stdcl.engine.hooks import PreemptionHook, SafeCheckpointHook
from projects.stdcl.engine.hooks.run_record_hook import read_record
from projects.stdcl.engine.hooks.safe_checkpoint_hook import _mean_gradients
from projects.stdcl.utils.checkpoint_file import find_damage, find_latest
from projects.stdcl.utils.folder_lock import lock_folder
from projects.stdcl.utils.input_error import InputError
from tests.commands import (
    CONFIG,
    ROOT,
    TINY,
    arguments,
    call,
    environment,
    hold_folder,
    interrupt,
    kill_a_child,
    stop_training,
    train,
)
from tests.tiny_run import plain, run, tiny_config
from tests.tiny_run import train as train_tiny

OPTIONS = ['--cfg-options', *TINY, 'train_cfg.max_epochs=3',
           'train_dataloader.batch_size=8',  # eight steps per epoch
           'val_dataloader.batch_size=4', 'default_hooks.logger.interval=1']
WORKERS = ['train_dataloader.num_workers=2', 'val_dataloader.num_workers=1',
           'train_dataloader.persistent_workers=True']
PARTS = 'state_dict', 'optimizer', 'param_schedulers'


def content(path):
    """Return the entries of a checkpoint that resuming must reproduce."""
    checkpoint = torch.load(path, weights_only=True)
    return {**{part: checkpoint[part] for part in PARTS}, **{
        name: scalar['log_history'] for name, scalar
        in checkpoint['message_hub']['log_scalars'].items()
        if 'time' not in name}}


def curves(work_dir):
    """Return losses and accuracies of each epoch from ``run.json``."""
    record = json.loads((work_dir / 'run.json').read_text())
    return [(epoch['epoch'], epoch['train'], epoch['val'])
            for epoch in record['epochs']]


def compare(ours, theirs, atol=0):
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            compare(value, theirs[name], atol)
    elif isinstance(ours, (list, tuple)):
        compare(dict(enumerate(ours)), dict(enumerate(theirs)), atol)
    elif isinstance(ours, torch.Tensor):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)
    else:
        assert ours == theirs


def assert_equal(work_dir, other, atol=0):
    compare(content(work_dir / 'epoch_3.pth'), content(other / 'epoch_3.pth'),
            atol)
    assert curves(work_dir) == curves(other)


@pytest.fixture(scope='module')
def whole(warm, tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole')
    train(warm, folder, *OPTIONS)
    return folder


def copy_of(whole, tmp_path, epochs):
    """Copy a work directory as it was after some epochs."""
    work_dir = tmp_path / 'run'
    work_dir.mkdir()
    for epoch in range(1, epochs + 1):
        shutil.copy(whole / f'epoch_{epoch}.pth', work_dir)
        os.utime(work_dir / f'epoch_{epoch}.pth', (epoch, epoch))
    (work_dir / 'last_checkpoint').write_text(
        str(work_dir / f'epoch_{epochs}.pth'))
    record = json.loads((whole / 'run.json').read_text())
    record['epochs'] = record['epochs'][:epochs]
    (work_dir / 'run.json').write_text(json.dumps(record))
    return work_dir


def resume(warm, work_dir, *options):
    return train(warm, work_dir, '--resume', *OPTIONS, *options)


@contextlib.contextmanager
def started(folder, *command):
    """Start a command in a process group of its own, and kill it at the end.

    Its output is written to the file ``log`` in the folder.
    """
    with open(folder / 'log', 'w') as file:
        process = subprocess.Popen(
            list(map(str, command)), cwd=folder, stdout=file,
            stderr=subprocess.STDOUT, env=environment(),
            start_new_session=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize('when, workers, number', [
    # in the middle of an epoch
    (r'Epoch\(train\) +\[2\]\[3/8\]', WORKERS, signal.SIGTERM),
    (r'Epoch\(train\) +\[2\]\[3/8\]', WORKERS, signal.SIGINT),
    (r'Epoch\(train\) +\[1\]\[7/8\]', (), signal.SIGTERM),
    (r'Epoch\(val\) +\[2\]\[2/8\]', (), signal.SIGINT)],
    ids=['train', 'ctrl-c', 'end', 'val'])
def test_sigterm_saves_and_exits(warm, tmp_path, whole, when, workers, number):
    """Schedulers and terminals also send signals to the worker processes."""
    stopped = stop_training(warm, tmp_path, *OPTIONS, *workers, when=when,
                            number=number, to=os.killpg)
    assert stopped.returncode == 128 + number
    assert 'Traceback' not in stopped.stderr
    said = re.search(f'{number.name} and saved ' r'(\S+) \(.*: (\d) of 3; .*: '
                     r'(\d) of 8\).* --resume', stopped.stdout)
    assert said and (tmp_path / 'last_checkpoint').read_text() == said[1]
    meta = torch.load(said[1], weights_only=True)['meta']
    assert meta['iter'] == 8 * int(said[2]) + int(said[3])
    if said[3] == '0':  # during validation, after the epoch was saved
        assert Path(said[1]) == tmp_path / f'epoch_{said[2]}.pth'
    else:
        assert Path(said[1]) == tmp_path / 'interrupted.pth'
        assert (meta['epoch'], meta['first_batch']) == (
            int(said[2]), int(said[3]))

    resumed = resume(warm, tmp_path)
    assert re.search(r'Epoch\((train|val)\) +\[\d\]\[(\d)/8\]',
                     resumed.stdout)[2] == str(1 + int(said[3]) % 8)
    assert not (tmp_path / 'interrupted.pth').exists()
    assert_equal(tmp_path, whole)


def test_a_second_ctrl_c_ends_the_run_at_once(capfd):
    before, hook = signal.getsignal(signal.SIGINT), PreemptionHook()
    try:
        hook._note(signal.SIGINT, None)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert hook.signaled and 'press Ctrl-C again' in capfd.readouterr().err


def test_a_signal_while_processes_agree_is_not_lost(monkeypatch):
    hook = PreemptionHook()
    monkeypatch.setattr('mmengine.dist.get_world_size', lambda: 2)
    monkeypatch.setattr('mmengine.dist.all_reduce',
                        lambda *_: hook._note(signal.SIGTERM, None))
    assert (hook._tell_all(), hook._tell_all()) == (0, signal.SIGTERM)
    # a validation whose epoch has not been saved is completed
    monkeypatch.undo()
    hook.checkpoint_hook = SimpleNamespace(saved_iter=3)
    hook.after_val_iter(SimpleNamespace(iter=4))


def test_sigterm_waits_for_the_gradients_to_be_applied(warm, tmp_path):
    stop_training(warm, tmp_path, *OPTIONS,
                  'optim_wrapper.accumulative_counts=4', number=signal.SIGTERM,
                  when=r'Epoch\(train\) +\[1\]\[1/8\]')
    meta = torch.load(tmp_path / 'interrupted.pth', weights_only=True)['meta']
    assert meta['iter'] % 4 == 0


@pytest.mark.slow
def test_sigterm_to_one_of_two_processes(root, tmp_path):
    def command(work_dir, *options):
        config, *rest = arguments(work_dir)
        return ['bash', root / 'tools/dist_train.sh', config, '2', *rest,
                *options, *OPTIONS]

    whole, work_dir = tmp_path / 'whole', tmp_path / 'stopped'
    whole.mkdir()
    work_dir.mkdir()
    call(*command(whole), cwd=whole)
    log = work_dir / 'log'
    with started(work_dir, *command(work_dir)) as process:
        interrupt(process.pid, log, r'Epoch\(train\) +\[2\]\[1/4\]',
                  signal.SIGTERM, kill_a_child)
        assert process.wait(timeout=100) != 0
    assert 'SIGTERM and saved' in log.read_text()
    call(*command(work_dir, '--resume'), cwd=work_dir)
    # batch norm statistics are summed in a different order
    assert_equal(work_dir, whole, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize('persistent, when', [
    (False, 'Saving checkpoint at 1 epochs'),
    (True, r'Epoch\(train\) +\[1\]\[2/8\]')])
def test_sigterm_with_spawned_workers(root, tmp_path, persistent, when):
    """Starting workers takes seconds; no process may hang."""
    log = tmp_path / 'log'
    with started(tmp_path, sys.executable, root / 'tools/train.py',
                 *arguments(tmp_path), *OPTIONS, *WORKERS,
                 f'train_dataloader.persistent_workers={persistent}',
                 'env_cfg.mp_cfg.mp_start_method=spawn',
                 'train_cfg.val_interval=9') as process:
        interrupt(process.pid, log, when, 0, os.kill)
        time.sleep(1)  # meanwhile, workers import PyTorch
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(timeout=100) == 128 + signal.SIGTERM
    assert 'SIGTERM and saved' in log.read_text()


@pytest.mark.parametrize('when, workers', [
    (r'Epoch\(train\) +\[2\]\[4/8\]', WORKERS),
    (r'Epoch\(val\) +\[1\]\[1/8\]', ())], ids=['train', 'val'])
def test_sigkill(warm, tmp_path, whole, when, workers):
    """The resumed run repeats a validation that was interrupted."""
    stop_training(warm, tmp_path, *OPTIONS, *workers, when=when)
    assert not (tmp_path / 'epoch_2.pth').exists()
    record = json.loads((tmp_path / 'run.json').read_text())
    assert ('val' in record['epochs'][0]) == (workers is WORKERS)
    assert 'resumed epoch: 1' in resume(warm, tmp_path).stdout
    assert_equal(tmp_path, whole)


def train_after(warm, work_dir, code, *options, status):
    """Train after a line of code, in the same process."""
    path = work_dir / 'after.py'
    path.write_text(f"""import glob, os, resource, runpy, signal, sys
sys.argv.pop(0)
{code}
runpy.run_path(sys.argv[0], run_name='__main__')
""")
    return warm(path, ROOT / 'tools/train.py', *arguments(work_dir), *OPTIONS,
                *options, cwd=work_dir, status=status)


KILLED = """fsync = os.fsync
os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL) if glob.glob(
    'epoch_2.pth.*.partial') else fsync(file)"""


def test_sigkill_while_a_checkpoint_is_written(warm, tmp_path):
    """An incomplete checkpoint never has the name of a complete one."""
    train_after(warm, tmp_path, KILLED, status=-signal.SIGKILL)
    assert list(tmp_path.glob('epoch_2.pth.*.partial'))
    assert not (tmp_path / 'epoch_2.pth').exists()
    assert find_latest(tmp_path) == (str(tmp_path / 'epoch_1.pth'), [])
    assert 'resumed epoch: 1' in resume(warm, tmp_path).stdout
    assert not list(tmp_path.glob('*.partial'))
    assert find_damage(tmp_path / 'epoch_2.pth') is None


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def flip_a_bit(path):
    """Flip a bit of the weights, which PyTorch does not notice."""
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 16
    path.write_bytes(content)
    torch.load(path, weights_only=True)


def zeros(path):
    """Fill a file with zeros, as a power failure may."""
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize('damage', [truncate, flip_a_bit, zeros])
def test_damaged_checkpoint_is_skipped(tmp_path, whole, damage):
    work_dir = copy_of(whole, tmp_path, 2)
    damage(work_dir / 'epoch_2.pth')
    latest = find_latest(work_dir)
    assert latest.path == str(work_dir / 'epoch_1.pth')
    assert len(latest.damaged) == 1
    assert latest.damaged[0].startswith(
        f'{work_dir / "epoch_2.pth"} is damaged (')
    (work_dir / 'last_checkpoint').write_text('')  # damaged, too
    assert find_latest(work_dir) == latest
    damage(work_dir / 'epoch_1.pth')
    assert find_latest(work_dir).path is None


def test_an_unreadable_checkpoint_is_not_damaged(tmp_path, monkeypatch):
    """Resuming from an older one would replace it."""
    save_to_local(dict(a=1), str(tmp_path / 'epoch_1.pth'))
    monkeypatch.setattr('zipfile.ZipFile', Mock(side_effect=PermissionError))
    with pytest.raises(PermissionError):
        find_latest(tmp_path)


def test_only_damaged_checkpoints(warm, tmp_path, whole):
    """Training must not restart, because it would overwrite the files."""
    work_dir = copy_of(whole, tmp_path, 1)
    flip_a_bit(path := work_dir / 'epoch_1.pth')
    for option in ((), (path, )):  # resume from the latest, or from a path
        done = train(warm, work_dir, '--resume', *option, *OPTIONS, status=1)
        assert 'the checksum of ' in done.stderr
        assert str(path) in done.stderr


# limits files to 100 kB, enough for logs but not for a checkpoint
FULL_DISK = 'resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))'


def test_disk_full(warm, tmp_path, whole):
    work_dir = copy_of(whole, tmp_path, 1)
    full = train_after(warm, work_dir, FULL_DISK, '--resume', status=1)
    assert re.search(r'Checkpoint \S+epoch_2.pth was not saved: File too '
                     'large.*--resume', full.stderr)
    assert sorted(path.name for path in work_dir.glob('*.pth*')) == [
        'epoch_1.pth']
    resume(warm, work_dir)
    assert_equal(work_dir, whole)


def test_a_checkpoint_is_deleted_after_its_successor_is_saved(
        warm, tmp_path, whole):
    """The last and the best checkpoint survive a full disk."""
    work_dir = copy_of(whole, tmp_path, 1)
    keep = ['default_hooks.checkpoint.max_keep_ckpts=1',
            'default_hooks.checkpoint.save_best=acc/top1',
            'default_hooks.checkpoint.rule=less']
    resume(warm, work_dir, *keep, 'train_cfg.max_epochs=2')
    assert (work_dir / 'epoch_2.pth').is_file()
    assert not (work_dir / 'epoch_1.pth').exists()
    best, = work_dir.glob('best_acc_top1_epoch_*.pth')
    train_after(warm, work_dir, FULL_DISK, *keep, '--resume', status=1)
    assert find_latest(work_dir) == (str(work_dir / 'epoch_2.pth'), [])
    assert find_damage(best) is None


def test_averaged_weights(warm, tmp_path):
    """EMAHook swaps weights for validation and for saving."""
    (tmp_path / 'ema.py').write_text(
        f"_base_ = '{ROOT / CONFIG}'\ncustom_hooks = ["
        "dict(type='MemoryBankHook'), dict(type='EMAHook')]\n")
    options = ['ema.py', '--seed', '1', '--work-dir', '.', *OPTIONS,
               'train_cfg.max_epochs=2',
               'default_hooks.checkpoint.save_best=auto']
    pid = warm.start('tools/train.py', *options, cwd=tmp_path)
    interrupt(pid, tmp_path / 'stdout', r'Epoch\(val\) +\[1\]\[2/8\]',
              signal.SIGTERM, os.kill)
    assert warm.wait().returncode == 128 + signal.SIGTERM
    warm('tools/train.py', *options, '--resume', cwd=tmp_path)
    resumed = torch.load(tmp_path / 'epoch_2.pth', weights_only=True)
    warm('tools/train.py', *options, cwd=tmp_path)
    whole = torch.load(tmp_path / 'epoch_2.pth', weights_only=True)
    for part in ('state_dict', 'ema_state_dict'):
        compare(resumed[part], whole[part])
    done = warm('tools/train.py', ROOT / CONFIG, *options[1:], '--resume',
                cwd=tmp_path, status=1)
    assert 'trained with EMAHook in custom_hooks, but this' in done.stderr
    best = torch.load(next(tmp_path.glob('best_*')), weights_only=True)
    assert not [name for part in ('state_dict', 'ema_state_dict')
                for name in best[part] if '_bank.' in name]


def test_the_newest_is_found_without_last_checkpoint(tmp_path):
    for number, name in enumerate(('epoch_9.pth', 'interrupted.pth',
                                   'epoch_10.pth', 'best_acc_epoch_9.pth',
                                   'epoch_10-0a1b2c3d.pth')):
        save_to_local(dict(a=1), str(tmp_path / name))
        os.utime(tmp_path / name, (time.time() + number, ) * 2)
    assert find_latest(tmp_path).path == str(tmp_path / 'epoch_10.pth')
    # the recorded path is outdated, because the folder was moved
    (tmp_path / 'last_checkpoint').write_text('/gone/run/epoch_9.pth')
    assert find_latest(tmp_path) == (str(tmp_path / 'epoch_9.pth'), [])
    # a hook that saves to out_dir since the last start has other names
    out = tmp_path / 'out'
    out.mkdir()
    for number in 19, 20:
        save_to_local(dict(a=1), str(out / f'step-{number}.pth'))
    (tmp_path / 'last_checkpoint').write_text(str(out / 'step-20.pth'))
    assert find_latest(tmp_path) == (str(out / 'step-20.pth'), [])
    (out / 'step-20.pth').write_bytes(b'')
    assert find_latest(tmp_path).path == str(out / 'step-19.pth')


@pytest.fixture
def config(tmp_path, tiny_annotations):
    """Return a config with three steps per epoch."""
    cfg = tiny_config(tmp_path / 'run', tiny_annotations(num=12), 4)
    cfg.train_dataloader.drop_last = False
    cfg.train_cfg.max_epochs = 2
    return cfg


def compare_runs(cfg, tmp_path, whole, **changes):
    """Train in a different work directory, and compare the weights."""
    runner, _ = train_tiny(cfg, work_dir=str(tmp_path / 'other'), **changes)
    assert runner.iter == 3 * cfg.train_cfg.max_epochs
    compare(runner.model.state_dict(), whole.model.state_dict())


@pytest.mark.parametrize('file, checkpoint, counts', [
    ('epoch_1.pth', dict(save_best='acc/top1'), 1),
    ('iter_3.pth', dict(save_best='acc/top1', by_epoch=False, interval=2), 1),
    ('iter_2.pth', dict(by_epoch=False, interval=2), 4),
    ('iter_4.pth', dict(by_epoch=False, interval=2), 3),
    ('epoch_1.pth', {}, 2)])
def test_every_checkpoint_continues_the_run(config, tmp_path, file, checkpoint,
                                            counts):
    """Cover checkpoints after a validation and between accumulated steps."""
    config.default_hooks.checkpoint.update(checkpoint)
    config.optim_wrapper.accumulative_counts = counts
    if 'save_best' in checkpoint:
        config.param_scheduler = [dict(type='ReduceOnPlateauLR', patience=0,
                                       monitor='acc/top1', rule='greater')]
    whole, _ = train_tiny(config)
    compare_runs(config, tmp_path, whole, resume=True,
                 load_from=f'{config.work_dir}/{file}')


def test_gradients_of_a_different_batch_size_are_not_kept(config):
    config.optim_wrapper.accumulative_counts = 2
    config.param_scheduler = None  # its length would depend on the batch size
    run(config).train()
    runner, hook = run(config, resume=True, load_from=f'{config.work_dir}/'
                       'epoch_1.pth', train_dataloader=dict(
                           config.train_dataloader, batch_size=6)), Hook()
    hook.before_train = lambda runner: gradients.extend(
        one.grad for one in runner.model.parameters())
    gradients = []
    runner.register_hook(hook)
    runner.train()
    assert set(gradients) == {None}


@pytest.mark.parametrize('resume, amp, scale, kept', [
    (1, 0, 0, 1), (1, 1, 8, 1), (1, 0, 8, 0), (1, 1, 0, 0), (0, 0, 0, 0)])
def test_gradients_of_another_loss_scale_or_run(resume, amp, scale, kept):
    runner = Mock(model=torch.nn.Linear(1, 1), _resume=resume)
    runner.optim_wrapper.loss_scaler.is_enabled.return_value = amp
    SafeCheckpointHook().after_load_checkpoint(runner, dict(gradients=dict(
        bias=torch.ones(1)), optimizer=dict(loss_scaler=scale)))
    assert (runner.model.bias.grad is not None) == kept


def test_saved_gradients_are_means_of_the_processes(monkeypatch):
    monkeypatch.setattr('mmengine.dist.all_reduce', lambda one, op='sum': (
        one.mul_(2 if op == 'sum' else 1)))  # two processes that agree
    model = torch.nn.Linear(1, 1)
    model.bias.grad = torch.ones(1)
    assert _mean_gradients(SimpleNamespace(
        model=model, optim_wrapper=SimpleNamespace(
            should_update=lambda: False)))['bias'] == 1


def test_a_run_without_a_seed_keeps_its_random_one(config, tmp_path):
    config.randomness = dict(seed=None)
    whole, _ = train_tiny(config)
    compare_runs(config, tmp_path, whole, resume=True,
                 load_from=f'{config.work_dir}/epoch_1.pth')


def test_resuming_within_an_epoch_requires_the_loop(config):
    config.default_hooks.checkpoint.update(by_epoch=False, interval=2)
    run(config).train()
    with pytest.raises(InputError, match='max_epochs 2 or more, .* uses 1'):
        run(config, resume=True, train_cfg=dict(
            config.train_cfg, max_epochs=1)).train()
    again = dict(resume=True, load_from=f'{config.work_dir}/iter_2.pth')
    with pytest.raises(InputError, match='3 batches, 5 clips per step'):
        run(config, **again, train_dataloader=dict(
            config.train_dataloader, batch_size=5)).train()
    config.train_cfg.type = 'EpochBasedTrainLoop'
    with pytest.raises(InputError, match='expected ReproducibleTrainLoop'):
        run(config, **again).train()


class Batches(BatchSampler):
    """A user's batch sampler."""

    def __init__(self, sampler, batch_size, drop_last):
        self.sampler, self.size = sampler, batch_size

    def __iter__(self):
        return iter(BatchSampler(self.sampler, self.size, True))

    def __len__(self):
        return len(self.sampler) // self.size


def test_own_batches_resume_only_between_epochs(config, tmp_path):
    config.train_dataloader.batch_sampler = dict(type=Batches, drop_last=True)
    run(config).train()
    path = f'{config.work_dir}/epoch_1.pth'
    again = dict(resume=True, load_from=path, work_dir=str(tmp_path / 'other'))
    run(config, **again).train()
    checkpoint = torch.load(path, weights_only=True)
    checkpoint['meta']['first_batch'] = 1
    checkpoint['meta']['iter'] += 1
    save_to_local(checkpoint, path)
    with pytest.raises(InputError, match='which the batch_sampler of'):
        run(config, **again).train()


def test_validation_does_not_disturb(config, tmp_path):
    whole, _ = train_tiny(config)
    config.train_cfg.val_interval = 9
    compare_runs(config, tmp_path, whole)


def test_epochs_that_are_validated(config):
    config.train_cfg.update(max_epochs=5, val_begin=2, val_interval=1,
                            dynamic_intervals=[(4, 3)])  # from epoch 4
    run(config).train()
    record = read_record(Path(config.work_dir, 'run.json'))
    assert [one['epoch'] for one in record['epochs'] if 'val' in one] == [
        2, 3, 5]  # the last one always is


@pytest.mark.parametrize('change, message', [
    ({'optim_wrapper.optimizer.lr': 0.05},
     r'optimizer.0.lr 0.1, but this run uses 0.05'),
    ({'optim_wrapper.optimizer': dict(
        _delete_=True, type='Adam', lr=0.1, weight_decay=0.0004)},
     'optimizer SGD, but this run uses Adam'),
    ({'param_scheduler.1.milestones': [1, 2]},
     r'param_scheduler.1.milestones .*, but this run uses .*2: 1'),
    ({'param_scheduler.0.end': 4}, 'param_scheduler.0.end 15, .* uses 12'),
    ({'train_dataloader.batch_size': 6}, 'steps per epoch 3, .* uses 2'),
    ({'randomness': dict(seed=2)}, 'seed 1, but this run uses 2'),
    ({'train_dataloader.dataset.dataset.split': 'half'},
     'data whose names, labels, order or coordinates differ, but')])
def test_settings_that_the_checkpoint_would_replace(config, tiny_annotations,
                                                    change, message):
    config = plain(config)
    config.train_cfg.max_epochs = 1
    run(config).train()
    if 'half' in str(change):
        def mirror(content):
            content['annotations'][5]['keypoint'][..., 0] *= -1

        tiny_annotations(num=12, split='half', change=mirror)
    config.merge_from_dict(change)
    with pytest.raises(InputError, match=message):
        run(config, resume=True).train()


def test_settings_that_may_change(config, monkeypatch):
    """The warm-up is over, so the number of steps per epoch may change."""
    config.param_scheduler[0].end = 1
    config.train_cfg.max_epochs = 1
    run(config).train()
    config.train_cfg.max_epochs = 3
    config.train_dataloader.batch_size = 6
    config.optim_wrapper.type = 'AmpOptimWrapper'
    path = f'{config.work_dir}/epoch_1.pth'
    checkpoint = torch.load(path, weights_only=True)
    checkpoint['optimizer']['loss_scaler'] = {}  # of --amp on a CPU
    save_to_local(checkpoint, path)
    monkeypatch.setattr(torch.amp.GradScaler, 'load_state_dict',
                        lambda *_: pytest.fail('{} was loaded'))
    runner, _ = train_tiny(config, resume=True)
    assert runner.iter == 6
    part, = read_record(Path(config.work_dir, 'run.json'))['resumed']
    assert part['config']['train_dataloader']['batch_size'] == 4


def test_a_longer_run_equals_one_that_was_long_from_the_start(config):
    """By default, schedules end with the run, one step too early."""
    config.param_scheduler = [dict(type='StepLR', step_size=1, gamma=0.5)]
    config.train_cfg.max_epochs = 4
    whole, _ = train_tiny(config)
    config.work_dir += '4'
    for config.train_cfg.max_epochs in (2, 4):
        runner, _ = train_tiny(config, resume=True)
    compare(runner.model.state_dict(), whole.model.state_dict())


@DATA_SAMPLERS.register_module(force=True)
class OwnSampler(RandomSampler):  # draws from PyTorch's generator
    def __init__(self, dataset, seed=None):
        super().__init__(dataset, generator=torch.default_generator)


def test_own_samplers_and_no_sampler_seed_hook(config, tmp_path):
    config.train_dataloader.sampler = dict(type='OwnSampler')
    config.train_dataloader.update(num_workers=1, persistent_workers=True)
    config.default_hooks.sampler_seed = None
    whole, _ = train_tiny(config)
    assert whole.train_dataloader.batch_sampler.sampler.epoch == 1
    compare_runs(config, tmp_path, whole, resume=True,
                 load_from=f'{config.work_dir}/epoch_1.pth')


def test_a_schedule_may_change_betas(config):
    config.optim_wrapper = dict(type='OptimWrapper', optimizer=dict(
        type='AdamW', lr=1e-3))
    config.param_scheduler = [
        dict(type='CosineAnnealingMomentum', T_max=9, by_epoch=False),
        dict(type='StepLR', step_size=1)]
    run(config).train()
    path = f'{config.work_dir}/epoch_2.pth'
    checkpoint = torch.load(path, weights_only=True)
    for group in checkpoint['optimizer']['param_groups']:
        group.pop('decoupled_weight_decay', None)  # as in old versions
    save_to_local(checkpoint, path)
    config.train_cfg.max_epochs = 3
    runner, _ = train_tiny(config, resume=True)
    assert runner.epoch == 3


def test_resuming_by_iterations(config, tmp_path, monkeypatch):
    monkeypatch.setattr('mmengine.dist.all_reduce_params', reduce := Mock())
    config.train_cfg = dict(type='IterBasedTrainLoop', max_iters=4,
                            val_interval=2)
    config.default_hooks.checkpoint.update(
        by_epoch=False, interval=1, save_best='acc/top1')
    config.train_dataloader.sampler = dict(type='InfiniteSampler')
    config.param_scheduler = dict(type='OneCycleLR', eta_max=0.1,
                                  total_steps=4, by_epoch=False)
    whole, _ = train_tiny(config)
    runner, _ = train_tiny(config, work_dir=str(tmp_path / 'other'),
                           resume=True,
                           load_from=f'{config.work_dir}/iter_2.pth')
    assert (runner.iter, runner.optim_wrapper.get_lr()) == (
        4, whole.optim_wrapper.get_lr())
    assert reduce.called  # batch norm, before each checkpoint
    config.train_cfg.max_iters, config.param_scheduler = 3, None
    with pytest.raises(InputError, match='max_iters 4 or more, .* uses 3'):
        run(config, resume=True).train()


def test_a_copied_folder_is_independent(config, tmp_path, capsys):
    config.default_hooks.checkpoint.save_best = 'acc/top1'
    run(config).train()
    original = Path(config.work_dir)
    copied = Path(shutil.copytree(original, tmp_path / 'copy'))
    (original / 'epoch_2.pth').rename(original / 'epoch_1.pth')
    assert find_latest(copied).path == str(copied / 'epoch_2.pth')
    flip_a_bit(copied / 'epoch_2.pth')
    assert find_latest(copied).path == str(copied / 'epoch_1.pth')
    runner, _ = train_tiny(config, resume=True, work_dir=str(copied))
    assert re.search(r'WARNING - \S+epoch_2.pth is damaged \(the checksum of '
                     r'\S+ is wrong\); resuming from \S+epoch_1.pth',
                     capsys.readouterr().out)
    hook, = (hook for hook in runner.hooks
             if isinstance(hook, SafeCheckpointHook))
    assert Path(hook.best_ckpt_path).parent == copied
    # with out_dir, a checkpoint hook saves to a different folder
    for path in copied.glob('*.pth'):
        path.unlink()
    (copied / 'last_checkpoint').write_text(str(original / 'epoch_1.pth'))
    assert find_latest(copied).path == str(original / 'epoch_1.pth')


def test_resuming_with_an_out_dir(config, tmp_path, capsys, tiny_annotations):
    """Checkpoints are searched once, and other validation data noticed."""
    path = tmp_path / 'config.py'
    config.default_hooks.checkpoint.out_dir = str(tmp_path / 'out')
    config.randomness = dict(seed=5)
    config.dump(path)
    apis.train(path, config.work_dir, seed=1)
    flip_a_bit(tmp_path / 'out' / Path(config.work_dir).name / 'epoch_2.pth')
    last = Path(config.work_dir, 'last_checkpoint')
    last.write_text('/unmounted/epoch_9.pth')
    os.rename(tmp_path / 'out', tmp_path / 'away')
    with pytest.raises(InputError, match='last_checkpoint names /unmounted/e'):
        apis.train(path, config.work_dir, seed=1, resume='auto')
    shutil.rmtree(tmp_path / 'out')  # with the lock of this attempt
    os.rename(tmp_path / 'away', tmp_path / 'out')
    last.unlink()
    other = tiny_annotations(name='val.pkl')
    capsys.readouterr()
    apis.train(path, config.work_dir, seed=1, resume='auto', cfg_options={
        'val_dataloader.dataset.ann_file': other})
    shown = capsys.readouterr().out
    # another run with the same folder name would overwrite these checkpoints
    with hold_folder(tmp_path / 'out' / Path(config.work_dir).name), (
            pytest.raises(InputError, match='another run is writing')):
        apis.train(path, tmp_path / 'b' / Path(config.work_dir).name)
    warn_of_earlier_run(run(config, work_dir=str(
        tmp_path / 'b' / Path(config.work_dir).name)))
    assert 'checkpoints of an earlier run' in capsys.readouterr().out
    assert shown.count('epoch_2.pth is damaged') == 1
    assert shown.count('was validated with other data') == 1
    record = read_record(Path(config.work_dir, 'run.json'))
    assert [one['epoch'] for one in record['resumed']] == [1]
    assert record['seed'] == 1  # the argument overrides the config


def test_an_error_restores_the_signal_handlers(config):
    config.optim_wrapper.optimizer.lr = 1e30
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(FloatingPointError):
        run(config).train()
    assert signal.getsignal(signal.SIGTERM) is before


def test_two_runs_in_one_folder(warm, tmp_path):
    (tmp_path / 'stdcl-stgcn_synthetic.py').write_text('config')
    with hold_folder(tmp_path) as process:
        second = train(warm, tmp_path, *OPTIONS, status=1)
    assert re.fullmatch(
        'error: .*another run is writing to this folder .process '
        fr'{process.pid} on .*\n', second.stderr)
    assert (tmp_path / 'stdcl-stgcn_synthetic.py').read_text() == 'config'
    with lock_folder(tmp_path):  # the lock ended with the process
        pass


def test_checkpoints_of_an_earlier_run(config, capsys):
    folder = Path(config.work_dir)
    folder.mkdir()
    (folder / 'epoch_9.pth').touch()
    for options, warned in (
            (dict(load_from='none.pth'), True),
            (dict(resume=True, load_from='other/none.pth'), True),
            (dict(resume=True, load_from=f'{folder}/none.pth'), False),
            (dict(resume=True), False)):
        warn_of_earlier_run(run(config, **options))
        assert ('same names: epoch_9.pth.' in capsys.readouterr().out
                ) == warned


def test_damaged_record(config):
    run(config).train()
    record = Path(config.work_dir, 'run.json')
    config.train_cfg.max_epochs = 3
    for text in '', '{"epochs": [', '[]', '{"epochs": 1}', '[' * 10**5:
        record.write_text(text)
        with pytest.raises(InputError, match='run.json is damaged or not .*J'):
            run(config, resume=True).train()
