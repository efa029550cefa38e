"""Mixed precision, gradient accumulation and several processes."""
import re

import torch

from tests.commands import CONFIG, TINY, call, train

BANKS = ('cls_head.spatial_bank.', 'cls_head.temporal_bank.')


def load(path):
    return torch.load(path, weights_only=True)


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
               # schedules in steps depend on the number of processes
               'param_scheduler.0.convert_to_iter_based=False',
               'param_scheduler.1.convert_to_iter_based=False']
    call('bash', root / 'tools/dist_train.sh', root / CONFIG, 2, *options,
         cwd=tmp_path)
    assert 'Distributed training: True' in next(
        tmp_path.glob('*/*.log')).read_text()
    first = load(tmp_path / 'epoch_1.pth')['state_dict']
    # STDCLRecognizer has found 4 channels and 8 frames
    assert first['cls_head.decoupler.temporal.project.weight'].shape == (
        256, 4 * 8)
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
