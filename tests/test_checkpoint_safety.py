"""Checkpoints load with current PyTorch and do not run code.

Some tests also show that an attack succeeds without the repairs.
"""
import os
import pickle
import sys
import zipfile
from collections import OrderedDict, namedtuple
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.infer import BaseInferencer
from mmengine.model import BaseModel
from mmengine.runner import CheckpointLoader, Runner, save_checkpoint
from mmengine.runner import checkpoint as checkpoint_module

from projects.stdcl.compat import checkpoint as repair
from projects.stdcl.compat.checkpoint import to_plain
from projects.stdcl.utils.input_error import InputError
from projects.stdcl.utils.safe_files import VARIABLE
from tests.attacks import Call

MKDIR = f'{os.mkdir.__module__}.{os.mkdir.__name__}'  # posix.mkdir on Linux
EVERYTHING = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
pytestmark = pytest.mark.usefixtures('nothing_trusted')


@pytest.fixture
def attack_file(tmp_path, loot):
    path = tmp_path / 'attack.pth'
    torch.save(dict(state_dict={}, extra=Call(os.mkdir, str(loot))), path)
    return str(path)


def load(path):
    return CheckpointLoader.load_checkpoint(str(path), 'cpu')


def reload_plain(value, path):
    """Save a value as plain objects, and load it with PyTorch alone."""
    torch.save(to_plain(value), path)
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize('value, expected', [
    (np.float64(1.5), 1.5),
    (np.str_('walk'), 'walk'),
    (np.array('walk'), 'walk'),  # zero-dimensional
    (np.array(['sit', 'stand']), ['sit', 'stand']),
    (np.array([[1, 2]], '>f4'), [[1.0, 2.0]]),
    (np.array([None, 'a', np.int64(2)], dtype=object), [None, 'a', 2]),
    (Path('work_dirs/a'), 'work_dirs/a'),
    (ConfigDict(a=dict(b=[1, (2, np.int64(3))])), dict(a=dict(b=[1, (2, 3)]))),
    ({np.int64(4): 'a', np.str_('b'): 1}, {4: 'a', 'b': 1}),
    (frozenset([np.int64(1)]), {1}),
    (namedtuple('Pair', 'a b')(1, 2), (1, 2)),
    ([None, True, 1, 2.5, 1j, 'a', b'\xff'], [None, True, 1, 2.5, 1j, 'a',
                                              b'\xff']),
    ([torch.Size([2]), torch.float16, torch.device('cpu')],
     [torch.Size([2]), torch.float16, torch.device('cpu')]),
], ids=lambda value: type(value).__name__)
def test_metadata_are_saved_as_plain_values(value, expected, tmp_path):
    loaded = reload_plain(value, tmp_path / 'a.pth')
    assert loaded == expected
    assert type(loaded) is type(expected)


def test_state_dict_keeps_its_metadata(tmp_path):
    # load_state_dict reads the versions of modules from _metadata
    state_dict = torch.nn.BatchNorm1d(2).state_dict()
    loaded = reload_plain(state_dict, tmp_path / 'a.pth')
    assert type(loaded) is OrderedDict
    assert loaded._metadata == state_dict._metadata != {}


def test_other_objects_are_kept_with_a_warning(monkeypatch):
    messages = []
    monkeypatch.setattr(
        repair, 'print_log', lambda text, **kwargs: messages.append(text))
    checkpoint = dict(meta=dict(odd=slice(1)))
    assert to_plain(checkpoint) == checkpoint
    message, = messages
    assert 'checkpoint.meta.odd is a slice' in message


class ToyModel(BaseModel):

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, inputs, mode='tensor'):
        return dict(loss=self.layer(torch.stack(inputs)).square().mean())


class ToyDataset(list):
    # many data sets have NumPy values in their metainfo
    metainfo = dict(classes=np.array(['a', 'b']), scale=np.float32(2.))


def toy_runner(work_dir, max_epochs=1, **kwargs):
    return Runner(
        model=ToyModel(), work_dir=str(work_dir),
        experiment_name=f'{work_dir.name}_{os.urandom(4).hex()}',
        train_dataloader=dict(
            batch_size=2, dataset=ToyDataset(
                dict(inputs=torch.full((2, ), float(index)))
                for index in range(4)),
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate')),
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        param_scheduler=dict(type='MultiStepLR', milestones=[1]),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        log_level='ERROR', **kwargs)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Return a Runner after two epochs, each of which saved a checkpoint."""
    runner = toy_runner(tmp_path_factory.mktemp('trained'), max_epochs=2)
    runner.train()
    return runner


def test_every_way_to_save_is_plain(tmp_path):
    # the Runner, hooks and users import the function from three modules
    from mmengine.runner import runner as runner_module
    for module in (checkpoint_module, runner_module,
                   sys.modules['mmengine.runner']):
        module.save_checkpoint(dict(a=np.float64(1)), str(tmp_path / 'a.pth'))
        assert torch.load(tmp_path / 'a.pth', weights_only=True) == dict(a=1.)


@pytest.fixture
def upstream_file(tmp_path, trained):
    """Write a checkpoint with the original function of MMEngine."""
    path = str(tmp_path / 'old.pth')
    save_checkpoint.__wrapped__(
        dict(meta=dict(epoch=1, iter=2), state_dict=ToyModel().state_dict(),
             message_hub=trained.message_hub.state_dict()), path)
    return path


def test_upstream_checkpoint_raises_and_names_the_opt_in(upstream_file):
    with pytest.raises(pickle.UnpicklingError) as caught:
        load(upstream_file)
    message = str(caught.value)
    for part in (upstream_file, 'mmengine.logging.history_buffer.Histo',
                 f'{VARIABLE}={upstream_file}'):
        assert part in message
    assert '\n' not in message


def test_upstream_checkpoint_resumes_when_trusted(upstream_file, tmp_path,
                                                  monkeypatch):
    monkeypatch.setenv(VARIABLE, upstream_file)
    runner = toy_runner(tmp_path / 'resumed', max_epochs=2)
    runner.resume(upstream_file)
    assert (runner.epoch, runner.iter) == (1, 2)
    assert len(runner.message_hub.get_scalar('train/loss').data[0]) == 4


def test_malicious_checkpoint_does_not_run(attack_file, loot, tmp_path):
    with pytest.raises(pickle.UnpicklingError) as caught:
        load(attack_file)
    for part in (attack_file, MKDIR, f'{VARIABLE}={attack_file}'):
        assert part in str(caught.value)
    with pytest.raises(pickle.UnpicklingError, match=MKDIR):
        toy_runner(tmp_path / 'work').resume(attack_file)
    assert not loot.exists()
    torch.load(attack_file, weights_only=False)  # here, the attack succeeds
    assert loot.exists()


def test_malicious_checkpoint_of_the_old_format_does_not_run(tmp_path, loot):
    path = tmp_path / 'a.pth'
    torch.save(dict(extra=Call(os.mkdir, str(loot))), path,
               _use_new_zipfile_serialization=False)
    with pytest.raises(pickle.UnpicklingError, match=f'contains {MKDIR},'):
        load(path)
    path.write_bytes(pickle.dumps(Call(os.mkdir, str(loot))))
    with pytest.raises(InputError, match=f'{path} could not be read'):
        load(path)
    assert not loot.exists()


def test_pytorch_environment_variable_is_ignored(
        attack_file, loot, monkeypatch):
    monkeypatch.setenv(EVERYTHING, '1')
    with pytest.raises(pickle.UnpicklingError):
        load(attack_file)
    assert not loot.exists()
    with pytest.warns(UserWarning, match=EVERYTHING):  # without the repair
        checkpoint_module.load_from_local(attack_file, 'cpu')
    assert loot.exists()


@pytest.mark.parametrize('new', [True, False])
def test_damaged_checkpoint_is_named(tmp_path, new):
    path = tmp_path / 'a.pth'
    torch.save(dict(a=torch.ones(500)), path,
               _use_new_zipfile_serialization=new)
    whole = path.read_bytes()
    for content in (b'', whole[:20], whole[:500], whole[:-50],
                    whole[:15] + b'\xff' * 400 + whole[415:],
                    b'<html>404: no such model</html>'):
        path.write_bytes(content)
        with pytest.raises(InputError, match='damaged') as caught:
            load(path)
        assert str(path) in str(caught.value)
        assert '\n' not in str(caught.value)


@pytest.mark.parametrize('content, message', [
    ([torch.ones(2)], ' contains a list'),
    (dict(state_dict=3), ': state_dict is of type int, expected a dict'),
    (dict(state_dict=None), ': state_dict is of type NoneType, expected a d'),
    (dict(meta='x'), ': meta is of type str, expected a dict'),
    (dict(meta=[]), ': meta is of type list, expected a dict')])
def test_file_without_a_dict_is_named(tmp_path, content, message):
    path = tmp_path / 'a.pth'
    torch.save(content, path)
    with pytest.raises(InputError, match=f'{path}{message}'):
        load(path)


def test_entries_of_other_tools_are_read(tmp_path):
    state_dict = {'a.weight': torch.ones(2), 'a.bias': None, 'step': 3}
    torch.save(dict(state_dict=state_dict, meta=None), tmp_path / 'a.pth')
    assert load(tmp_path / 'a.pth')['state_dict']['step'] == 3


@pytest.fixture
def config_file(tmp_path, loot, trained):
    """Write a checkpoint with a malicious config, stored as MMCV 1.x does."""
    attack = f'x = __import__("os").mkdir({str(loot)!r})\n'
    checkpoint = torch.load(Path(trained.work_dir, 'epoch_2.pth'),
                            weights_only=True)
    checkpoint['meta'].update(config=attack, cfg=attack)
    checkpoint['message_hub']['runtime_info']['cfg'] = attack
    path = tmp_path / 'config.pth'
    torch.save(checkpoint, path)
    return str(path)


def test_config_in_a_checkpoint_is_not_run_on_resume(
        config_file, loot, tmp_path, monkeypatch):
    runner = toy_runner(tmp_path / 'work', max_epochs=3)
    runner.resume(config_file)
    assert (runner.epoch, runner.iter) == (2, 4)
    assert not loot.exists()
    monkeypatch.setattr(  # without the repair, the attack succeeds
        CheckpointLoader, 'load_checkpoint',
        classmethod(CheckpointLoader.load_checkpoint.__func__.__wrapped__))
    toy_runner(tmp_path / 'work').resume(config_file)
    assert loot.exists()


@pytest.mark.parametrize('place', ['meta', 'message_hub'])
def test_config_in_a_checkpoint_is_not_run_on_inference(
        place, config_file, loot):
    from mmaction.apis.inferencers import ActionRecogInferencer
    checkpoint = torch.load(config_file, weights_only=True)
    if place == 'meta':  # MMEngine reads message_hub first
        del checkpoint['message_hub']
    torch.save(checkpoint, config_file)
    with pytest.raises(ValueError, match='model is None') as caught:
        ActionRecogInferencer(None, config_file, device='cpu')
    assert config_file in str(caught.value)
    assert not loot.exists()
    # the stored config runs; it defines no model, so cfg.model raises
    with suppress(AttributeError):
        BaseInferencer._init_model.__wrapped__(
            object(), ConfigDict(), config_file)
    assert loot.exists()


@pytest.mark.parametrize('switch', ['0', '1'])
def test_code_in_a_downloaded_file_does_not_run(
        switch, attack_file, loot, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv(EVERYTHING, switch)
    download = checkpoint_module.load_from_http  # also accepts file URLs
    with pytest.raises(pickle.UnpicklingError) as caught:
        download(Path(attack_file).as_uri())
    for part in (Path(attack_file).as_uri(), MKDIR, VARIABLE):
        assert part in str(caught.value)
    # PyTorch unpacks an archive, and loads the checkpoint inside
    with zipfile.ZipFile(tmp_path / 'attack.zip', 'w') as archive:
        archive.write(attack_file, 'inner.pth')
    with pytest.raises(pickle.UnpicklingError):
        download((tmp_path / 'attack.zip').as_uri())
    assert not loot.exists()
    checkpoint_module.load_url.__wrapped__(Path(attack_file).as_uri())
    assert loot.exists()
    torch.save(dict(weight=torch.ones(2)), tmp_path / 'fine.pth')
    fine = download((tmp_path / 'fine.pth').as_uri())
    assert fine['weight'].tolist() == [1, 1]
