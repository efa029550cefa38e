"""Run complete commands as a user types them, some in several processes."""
import json
import re
import sys
from pathlib import Path

import mmaction
import pytest
import torch
from mmengine.config import Config

from tests.commands import CONFIG, TINY, accuracy, call, train

BANKS = ('cls_head.spatial_bank.', 'cls_head.temporal_bank.')


def load(path):
    return torch.load(path, weights_only=True)


@pytest.fixture(scope='module')
def trained(root, warm, tmp_path_factory):
    """Train one epoch in a working directory outside the repository."""
    folder = tmp_path_factory.mktemp('elsewhere')
    done = warm('tools/train.py', root / CONFIG, '--seed', 0, '--resume',
                '--deterministic', '--diff-rank-seed', '--cfg-options', *TINY,
                cwd=folder)
    return folder / 'work_dirs' / 'stdcl-stgcn_synthetic', done


def test_train_writes_below_the_working_directory(trained):
    work_dir, done = trained
    assert (work_dir / 'epoch_1.pth').is_file()
    assert 'no checkpoint to resume from, starting from scratch' in done.stdout
    assert re.search(r'loss_cls: .* loss_spatial: .* loss_temporal: .* '
                     r'anchor_share: ', done.stdout)
    record = json.loads((work_dir / 'run.json').read_text())
    assert record['config']['randomness'] == dict(
        seed=0, diff_rank_seed=True, deterministic=True)
    assert record['epochs'][0]['val']['acc/top1'] == pytest.approx(
        accuracy(done), abs=1e-4)


def test_test_and_fuse(root, warm, trained):
    work_dir, done = trained
    scores, config = work_dir / 'scores.npz', work_dir / Path(CONFIG).name
    saved = config.read_text()
    tested = warm('tools/test.py', root / CONFIG, work_dir / 'epoch_1.pth',
                  '--work-dir', work_dir, '--dump', scores, '--cfg-options',
                  *TINY, cwd=work_dir)
    assert config.read_text() == saved  # the config of the training run
    assert accuracy(tested) == accuracy(done)
    # the table has a row for each class, with its 2 sequences
    assert tested.stdout.count('\n        2  ') == 16
    for end in ('classes.csv', 'confusion.csv', 'confusion.png'):
        assert (work_dir / f'scores_{end}').is_file()
    fused = warm('tools/ensemble.py', scores, '--weights', 2,
                 '--out', 'result.json', cwd=work_dir)
    assert '32 sequences, 16 classes; sum of logits' in fused.stdout
    top1 = 100 * accuracy(tested)
    assert ('scores.npz (joint, weight 2, matched by name): top-1 '
            f'{top1:.2f}') in fused.stdout
    assert f'fused: top-1 {top1:.2f}' in fused.stdout
    files = json.loads((work_dir / 'result.json').read_text())['files']
    assert [file['checkpoint'] for file in files] == ['epoch_1.pth']


def test_command_composed_by_mim(root, tmp_path):
    script = Path(mmaction.__file__).parent / '.mim' / 'tools' / 'train.py'
    done = call(sys.executable, script, root / CONFIG, '--launcher', 'none',
                '--work-dir', tmp_path, '--cfg-options', *TINY, cwd=tmp_path)
    meta = load(tmp_path / 'epoch_1.pth')['meta']
    assert meta['trained_on']['num_classes'] == [16] and accuracy(done) >= 0


def test_amp_and_accumulation(warm, tmp_path):
    """Train in bfloat16 on a CPU, with an update every second step."""
    done = train(warm, tmp_path, '--amp', '--stream', 'bone', '--cfg-options',
                 *TINY, 'default_hooks.logger.interval=1',
                 'optim_wrapper.accumulative_counts=2',
                 'optim_wrapper.clip_grad.max_norm=99')
    assert 'AmpOptimWrapper' in next(tmp_path.glob('*/*.log')).read_text()
    for name in ('loss', 'loss_spatial', 'loss_temporal'):
        values = re.findall(rf' {name}: (\S+)', done.stdout)
        assert len(values) == 4  # one value per batch
        assert all(0 < float(value) < 100 for value in values)
    last = load(tmp_path / 'epoch_1.pth')
    assert last['meta']['trained_on']['stream'] == ['bone']
    # with accumulation, the four steps of the epoch make two updates
    norms = last['message_hub']['log_scalars']['train/grad_norm']
    assert len(norms['log_history']) == 2
    for bank in BANKS:
        features = last['state_dict'][f'{bank}features']
        assert features.dtype == torch.float32
        assert torch.allclose(features.norm(dim=1), torch.ones(64), atol=1e-5)


def test_two_processes_and_resuming_with_one(root, warm, tmp_path):
    """dist_train.sh works on a CPU and in a different directory.

    With 61 sequences, the last batches of the processes differ in size.
    """
    options = ['--work-dir', tmp_path, '--cfg-options', *TINY,
               'train_dataloader.dataset.num_sequences=61',
               'train_dataloader.sampler.round_up=False',
               'train_dataloader.drop_last=False',
               'model.cls_head.memory_bank.type=ClassBalancedMemoryBank',
               'model.cls_head.memory_bank.slots_per_class=3',
               'model.cls_head.decoupler.reduction=8',
               # schedules in steps depend on the number of processes
               'param_scheduler.0.convert_to_iter_based=False',
               'param_scheduler.1.convert_to_iter_based=False']
    call('bash', root / 'tools/dist_train.sh', root / CONFIG, 2, *options,
         cwd=tmp_path)
    assert 'Distributed training: True' in next(
        tmp_path.glob('*/*.log')).read_text()
    first = load(tmp_path / 'epoch_1.pth')['state_dict']
    # STDCLRecognizer has found 4 channels and a quarter of the frames
    assert first['cls_head.decoupler.temporal.project.weight'].shape[1] == (
        4 * (Config.fromfile(root / CONFIG).clip_len // 4))
    indices = first[f'{BANKS[0]}indices'].view(16, 3)
    assert (indices >= 0).all()  # no slot is empty
    assert (indices % 16 == torch.arange(16)[:, None]).all()
    assert len(indices.unique()) == 48

    done = warm('tools/train.py', root / CONFIG, '--resume', '--no-validate',
                *options, 'train_cfg.max_epochs=2', cwd=tmp_path)
    assert 'Epoch(val)' not in done.stdout
    assert 'resumed epoch: 1' in done.stdout
    assert '48 and 48 slots for 61 training sequences' in done.stdout
    second = load(tmp_path / 'epoch_2.pth')['state_dict']
    times = second[f'{BANKS[0]}written'] - first[f'{BANKS[0]}written']
    assert (times > 0).all()  # the step counter continues
