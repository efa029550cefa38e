"""Checkpoints and score files: they load, and they cannot run code.

Row 4 of the table of what breaks on current PyTorch. Every attack below is
first shown to work on the unrepaired stack, or by a reader without care, so
that a passing test means that the repair stopped it.
"""
import enum
import functools
import http.server
import io
import os
import pickle
import subprocess
import sys
import threading
import zipfile
from collections import OrderedDict, namedtuple
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.evaluator.metric import DumpResults
from mmengine.infer import BaseInferencer
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.model import BaseModel
from mmengine.runner import (
    CheckpointLoader,
    Runner,
    load_checkpoint,
    save_checkpoint,
)
from mmengine.runner import checkpoint as checkpoint_module

from projects.stdcl.compat import checkpoint as repair
from projects.stdcl.compat.checkpoint import to_plain
from projects.stdcl.utils import safe_pickle
from projects.stdcl.utils.input_error import InputError
from projects.stdcl.utils.trusted_files import VARIABLE, is_trusted

MKDIR = f'{os.mkdir.__module__}.{os.mkdir.__name__}'  # posix.mkdir on Linux
EVERYTHING = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'


class Attack:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder, )


class Harmless:
    """Neither a tensor nor a container, but does nothing."""

    def __eq__(self, other):
        return isinstance(other, Harmless)


class Kind(enum.IntEnum):
    """Its members are ints, but not loaded as such."""
    ONE = 1


@pytest.fixture(autouse=True)
def nothing_trusted(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv(EVERYTHING, raising=False)


@pytest.fixture
def loot(tmp_path):
    """The folder that exists if an attack went through."""
    return tmp_path / 'loot'


@pytest.fixture
def attack_file(tmp_path, loot):
    path = tmp_path / 'attack.pth'
    torch.save(dict(state_dict={}, extra=Attack(loot)), path)
    return str(path)


def load(path):
    return CheckpointLoader.load_checkpoint(str(path), 'cpu')


def reload_plain(value, path):
    """Save and load as PyTorch does it without our package."""
    torch.save(to_plain(value), path)
    return torch.load(path, weights_only=True)


# --- what is saved ---------------------------------------------------------


@pytest.mark.parametrize('value, expected', [
    (np.float64(1.5), 1.5),
    (np.float32(0.5), 0.5),
    (np.int64(3), 3),
    (np.bool_(True), True),
    (np.str_('walk'), 'walk'),
    (np.array('walk'), 'walk'),  # without a dimension, so no sequence
    (np.array(['sit', 'stand']), ['sit', 'stand']),
    (np.array([None, 'a', np.int64(2)], dtype=object), [None, 'a', 2]),
    (np.array([['a'], ['b']]), [['a'], ['b']]),
    (Path('work_dirs/a'), 'work_dirs/a'),
    (ConfigDict(a=dict(b=[1, (2, np.int64(3))])), dict(a=dict(b=[1, (2, 3)]))),
    ({np.int64(4): 'a', np.str_('b'): 1}, {4: 'a', 'b': 1}),
    ({np.int64(1), 2}, {1, 2}),
    (frozenset(['a']), {'a'}),
    (namedtuple('Pair', 'a b')(1, 2), (1, 2)),
    ([None, True, 1, 2.5, 1j, 'a', b'\xff'], [None, True, 1, 2.5, 1j, 'a',
                                              b'\xff']),
    ([torch.Size([2]), torch.float16, torch.device('cpu')],
     [torch.Size([2]), torch.float16, torch.device('cpu')]),
], ids=lambda value: type(value).__name__)
def test_saved_as_plain_values(value, expected, tmp_path):
    loaded = reload_plain(value, tmp_path / 'a.pth')
    assert loaded == expected
    assert type(loaded) is type(expected)


@pytest.mark.parametrize('array', [
    np.arange(6.).reshape(2, 3),
    np.arange(3, dtype='float16'),
    np.array([True, False]),
    np.array(2.5),
    np.arange(4)[::-1],  # PyTorch takes no negative strides
    np.arange(3, dtype='>f4'),  # nor another byte order
    np.array([1j]),
], ids=lambda array: f'{array.dtype}{array.shape}')
def test_numeric_arrays_are_saved_as_tensors(array, tmp_path):
    loaded = reload_plain(array, tmp_path / 'a.pth')
    assert isinstance(loaded, torch.Tensor)
    assert loaded.dtype == torch.from_numpy(
        array.astype(array.dtype.newbyteorder('='))).dtype
    np.testing.assert_array_equal(loaded.numpy(), array)


def test_state_dict_keeps_its_metadata(tmp_path):
    # load_state_dict reads the versions of modules from _metadata
    state_dict = torch.nn.BatchNorm1d(2).state_dict()
    loaded = reload_plain(state_dict, tmp_path / 'a.pth')
    assert type(loaded) is OrderedDict
    assert loaded._metadata == state_dict._metadata != {}


def test_saving_leaves_the_checkpoint_as_it_was():
    inner = [np.int64(1)]
    checkpoint = OrderedDict(meta=dict(a=inner))
    to_plain(checkpoint)
    assert checkpoint['meta']['a'] is inner
    assert type(inner[0]) is np.int64


@pytest.mark.parametrize('value', [Harmless(), Kind.ONE, slice(1)])
def test_object_without_plain_form_is_kept_with_a_warning(
        value, tmp_path, monkeypatch):
    messages = []
    monkeypatch.setattr(
        repair, 'print_log', lambda text, **kwargs: messages.append(text))
    assert to_plain(dict(meta=dict(odd=value))) == dict(meta=dict(odd=value))
    assert len(messages) == 1
    assert 'checkpoint.meta.odd' in messages[0]
    assert type(value).__name__ in messages[0]


# --- the log history -------------------------------------------------------


def filled_hub(name):
    hub = MessageHub(name)
    for step in range(3):
        hub.update_scalar('loss', 0.5 * step, count=step + 1)
        hub.update_scalar('hits', step)
    hub.update_info('epoch', 2)
    hub.update_info('curves', [dict(loss=np.float64(0.5))])
    return hub


def test_message_hub_comes_back_equal(tmp_path):
    hub, other = filled_hub('saved'), MessageHub('loaded')
    other.load_state_dict(reload_plain(hub.state_dict(), tmp_path / 'a.pth'))
    assert list(other.log_scalars) == ['loss', 'hits']
    for name, buffer in hub.log_scalars.items():
        for expected, seen in zip(buffer.data, other.get_scalar(name).data):
            np.testing.assert_array_equal(seen, expected)
            assert seen.dtype == expected.dtype
        assert other.get_scalar(name).max_length == buffer.max_length
    assert other.get_info('epoch') == 2
    assert other.get_info('curves') == [dict(loss=0.5)]
    assert other.state_dict()['resumed_keys'] == dict(
        loss=True, hits=True, epoch=True, curves=True)


def test_loaded_log_history_goes_on(tmp_path):
    uninterrupted, hub = filled_hub('before'), MessageHub('goes on')
    hub.load_state_dict(
        reload_plain(uninterrupted.state_dict(), tmp_path / 'a.pth'))
    for one in (uninterrupted, hub):
        one.update_scalar('loss', 2.)
    assert hub.get_scalar('loss').data[0].tolist() == [0., 0.5, 1., 2.]
    assert (hub.get_scalar('loss').mean()
            == uninterrupted.get_scalar('loss').mean())


def test_log_history_of_upstream_is_still_read():
    hub = MessageHub('upstream')
    hub.load_state_dict(filled_hub('objects').state_dict())
    assert isinstance(hub.get_scalar('loss'), HistoryBuffer)
    assert hub.get_scalar('loss').current() == 1.


# --- a whole training ------------------------------------------------------


class ToyModel(BaseModel):

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, inputs, mode='tensor'):
        return dict(loss=self.layer(torch.stack(inputs)).square().mean())


class ToyDataset(torch.utils.data.Dataset):
    # numpy in the metainfo, as data sets often have it
    metainfo = dict(classes=np.array(['a', 'b']), scale=np.float32(2.))

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return dict(inputs=torch.full((2, ), float(index)))


def toy_runner(work_dir, max_epochs=1, **kwargs):
    return Runner(
        model=ToyModel(), work_dir=str(work_dir),
        experiment_name=f'{work_dir.name}_{os.urandom(4).hex()}',
        train_dataloader=dict(
            batch_size=2, dataset=ToyDataset(),
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate')),
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        param_scheduler=dict(type='MultiStepLR', milestones=[1]),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        log_level='ERROR', **kwargs)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A runner after two epochs; its work_dir has both checkpoints."""
    runner = toy_runner(tmp_path_factory.mktemp('trained'), max_epochs=2)
    runner.train()
    return runner


@pytest.fixture(scope='module')
def trained_file(trained):
    return Path(trained.work_dir, 'epoch_2.pth')


def test_training_loads_where_our_package_is_not(trained_file, tmp_path):
    program = (
        'import sys, torch\n'
        'loaded = torch.load(sys.argv[1], weights_only=True)\n'
        'assert "mmengine" not in sys.modules, "the proof is void"\n'
        'print(loaded["meta"]["epoch"], *loaded["state_dict"])\n')
    # -I: neither the working directory nor PYTHONPATH can add our package
    done = subprocess.run(
        [sys.executable, '-I', '-c', program, trained_file], cwd=tmp_path,
        capture_output=True, text=True)
    assert done.stdout.split() == ['2', 'layer.weight', 'layer.bias'], (
        done.stderr)


def test_resumed_training_goes_on(trained, trained_file, tmp_path):
    runner = toy_runner(tmp_path, max_epochs=3, resume=True,
                        load_from=str(trained_file))
    runner.load_or_resume()
    assert (runner.epoch, runner.iter) == (2, 4)
    for name, value in trained.model.state_dict().items():
        assert torch.equal(runner.model.state_dict()[name], value)
    # momentum and learning rate
    saved = trained.optim_wrapper.state_dict()
    seen = runner.optim_wrapper.state_dict()
    assert seen['param_groups'] == saved['param_groups']
    assert torch.equal(seen['state'][0]['momentum_buffer'],
                       saved['state'][0]['momentum_buffer'])
    losses = trained.message_hub.get_scalar('train/loss').data[0].tolist()
    assert len(losses) == 4
    runner.train()
    resumed = runner.message_hub.get_scalar('train/loss').data[0].tolist()
    assert resumed[:4] == losses
    assert len(resumed) == 6
    assert runner.epoch == 3


def test_testing_loads_the_weights(trained, trained_file):
    model = ToyModel()
    load_checkpoint(model, str(trained_file), strict=True)
    assert torch.equal(model.layer.weight, trained.model.layer.weight)


def test_every_way_to_save_is_plain(tmp_path):
    # Runner, hooks and users import it from these three places
    from mmengine.runner import runner as runner_module
    for module in (checkpoint_module, runner_module,
                   sys.modules['mmengine.runner']):
        module.save_checkpoint(dict(a=np.float64(1)), str(tmp_path / 'a.pth'))
        assert torch.load(tmp_path / 'a.pth', weights_only=True) == dict(a=1.)


# --- an old checkpoint, and how to opt in ----------------------------------


@pytest.fixture
def old_file(tmp_path, trained):
    """What MMEngine itself writes."""
    path = str(tmp_path / 'old.pth')
    save_checkpoint.__wrapped__(
        dict(meta=dict(epoch=1, iter=2), state_dict=ToyModel().state_dict(),
             message_hub=trained.message_hub.state_dict()), path)
    return path


def test_old_checkpoint_is_refused_with_the_way_out(old_file):
    with pytest.raises(pickle.UnpicklingError) as caught:
        load(old_file)
    message = str(caught.value)
    assert old_file in message
    assert 'mmengine.logging.history_buffer.HistoryBuffer' in message
    assert f'{VARIABLE}={old_file}' in message


def test_old_checkpoint_resumes_when_trusted(old_file, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, old_file)
    runner = toy_runner(tmp_path / 'resumed', max_epochs=2)
    runner.resume(old_file)
    assert (runner.epoch, runner.iter) == (1, 2)
    assert len(runner.message_hub.get_scalar('train/loss').data[0]) == 4


def test_trusted_file_is_loaded(tmp_path, monkeypatch):
    path = tmp_path / 'a.pth'
    torch.save(dict(extra=Harmless()), path)
    with pytest.raises(pickle.UnpicklingError, match='Harmless'):
        load(path)
    monkeypatch.setenv(VARIABLE, str(path))
    assert load(path) == dict(extra=Harmless())


@pytest.mark.parametrize('value', [
    '', '.', os.pathsep, '1', '*', '/', '{folder}', '{folder}/*',
    '{folder}/other.pth', '{file}x', 'attack.pth.pth'])
def test_naming_something_else_does_not_help(
        value, attack_file, loot, monkeypatch):
    folder = os.path.dirname(attack_file)
    monkeypatch.chdir(folder)
    monkeypatch.setenv(
        VARIABLE, value.format(folder=folder, file=attack_file))
    with pytest.raises(pickle.UnpicklingError):
        load(attack_file)
    assert not loot.exists()


def test_trust_is_in_a_file_however_it_is_written(tmp_path, monkeypatch):
    path, link = tmp_path / 'a.pth', tmp_path / 'link.pth'
    path.touch()
    link.symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, os.pathsep.join(['other.pth', './a.pth']))
    assert is_trusted('a.pth')
    assert is_trusted(str(path))
    assert is_trusted(str(link))
    assert not is_trusted('b.pth')


# --- a malicious pickle ----------------------------------------------------


def test_the_attack_is_real(attack_file, loot):
    torch.load(attack_file, weights_only=False)
    assert loot.exists()


def test_malicious_checkpoint_does_not_run(attack_file, loot):
    with pytest.raises(pickle.UnpicklingError) as caught:
        load(attack_file)
    assert not loot.exists()
    for part in (attack_file, MKDIR, f'{VARIABLE}={attack_file}'):
        assert part in str(caught.value)


def test_malicious_checkpoint_of_the_old_format_does_not_run(tmp_path, loot):
    path = tmp_path / 'a.pth'
    torch.save(dict(extra=Attack(loot)), path,
               _use_new_zipfile_serialization=False)
    with pytest.raises(pickle.UnpicklingError, match=f'holds {MKDIR},'):
        load(path)
    assert not loot.exists()


def test_bare_malicious_pickle_does_not_run(tmp_path, loot):
    path = tmp_path / 'a.pth'
    path.write_bytes(pickle.dumps(Attack(loot)))
    with pytest.raises(pickle.UnpicklingError, match=VARIABLE):
        load(path)
    assert not loot.exists()


def test_malicious_checkpoint_does_not_run_on_resume(
        attack_file, loot, tmp_path):
    runner = toy_runner(tmp_path / 'work')
    with pytest.raises(pickle.UnpicklingError, match=MKDIR):
        runner.resume(attack_file)
    assert not loot.exists()


def test_getattr_is_not_allowed(tmp_path):
    # mmengine's own checkpoints name it; allowing it allows everything
    path = tmp_path / 'a.pth'
    torch.save(dict(extra=functools.partial(getattr, 'a')), path)
    with pytest.raises(pickle.UnpicklingError, match='builtins.getattr'):
        load(path)


def test_pytorchs_switch_for_all_files_does_not_help(
        attack_file, loot, monkeypatch):
    monkeypatch.setenv(EVERYTHING, '1')
    with pytest.raises(pickle.UnpicklingError):
        load(attack_file)
    assert not loot.exists()
    with pytest.warns(UserWarning, match=EVERYTHING):  # upstream's loader
        checkpoint_module.load_from_local(attack_file, 'cpu')
    assert loot.exists()


# --- files that are not there, or not whole --------------------------------


def test_missing_file_is_named(tmp_path):
    path = str(tmp_path / 'none.pth')
    with pytest.raises(FileNotFoundError, match=path):
        load(path)


@pytest.mark.parametrize('keep', [0, 20, 500, -50])
def test_truncated_checkpoint_is_named(keep, tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(dict(a=torch.ones(500)), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match='damaged') as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_file_of_another_kind_is_named(tmp_path):
    path = tmp_path / 'a.pth'
    path.write_text('<html>404: no such model</html>')
    with pytest.raises(Exception, match=str(path)):
        load(path)


def test_what_pytorch_saves_is_read(tmp_path):
    """By itself, with its own optimizer and scheduler, old format and new."""
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    model[0].bias = torch.nn.Parameter(model[0].weight[:, 0])  # a view
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(3, 2)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 2, 2])
    saved = dict(
        state_dict=model.state_dict(), optimizer=optimizer.state_dict(),
        scheduler=scheduler.state_dict(), parameter=model[0].weight,
        transposed=torch.rand(2, 3).T, nothing=torch.zeros(0, 3),
        half=torch.ones(2, dtype=torch.bfloat16))
    others = [torch.float16, torch.device('cpu'), torch.Size([1]), {True, 2}]
    for new in (True, False):
        path = tmp_path / f'{new}.pth'
        torch.save(dict(saved, others=others), path,
                   _use_new_zipfile_serialization=new)
        loaded = load(path)
        assert loaded.pop('others') == others
        torch.testing.assert_close(loaded, saved)


HISTORY = dict(log_scalars=dict(loss=dict(x=1)), runtime_info={},
               resumed_keys={})


@pytest.mark.parametrize('changes', [
    dict(state_dict=[1]), dict(state_dict={1: torch.ones(1)}),
    dict(meta=1), dict(meta={}), dict(meta=dict(epoch='1', iter=2)),
    dict(meta=dict(epoch=1, iter=None)),
    dict(meta=dict(epoch=1, iter=2, seed='x')),
    dict(optimizer=[]), dict(optimizer={}),
    dict(optimizer=dict(state={}, param_groups=[1])),
    dict(optimizer=dict(state={}, param_groups=3)),
    dict(param_schedulers=1), dict(param_schedulers=[1]),
    dict(message_hub='x'), dict(message_hub={}), dict(message_hub=HISTORY),
    dict(message_hub=dict(HISTORY, log_scalars=3)),
], ids=str)
def test_checkpoint_of_another_form_is_named(changes, trained_file, tmp_path):
    path = tmp_path / 'odd.pth'
    torch.save({**torch.load(trained_file, weights_only=True), **changes},
               path)
    runner = toy_runner(tmp_path / 'work', max_epochs=3)
    with pytest.raises(ValueError, match='expected') as caught:
        runner.resume(str(path))
    assert str(path) in str(caught.value)


# --- the config in a checkpoint --------------------------------------------


@pytest.fixture
def config_attack(loot):
    return f'x = __import__("os").mkdir({str(loot)!r})\n'


@pytest.fixture
def config_file(tmp_path, config_attack, trained_file):
    """A checkpoint like ours, with a config as MMCV 1.x stored it."""
    checkpoint = torch.load(trained_file, weights_only=True)
    checkpoint['meta'].update(config=config_attack, cfg=config_attack)
    checkpoint['message_hub']['runtime_info']['cfg'] = config_attack
    path = tmp_path / 'config.pth'
    torch.save(checkpoint, path)
    return str(path)


def test_the_attack_by_config_is_real(
        config_file, loot, tmp_path, monkeypatch):
    monkeypatch.setattr(CheckpointLoader, 'load_checkpoint',
                        classmethod(repair._upstream_load))
    toy_runner(tmp_path / 'work').resume(config_file)
    assert loot.exists()


def test_config_in_a_checkpoint_is_not_run_on_resume(
        config_file, loot, tmp_path):
    runner = toy_runner(tmp_path / 'work', max_epochs=3)
    runner.resume(config_file)
    assert (runner.epoch, runner.iter) == (2, 4)
    assert not loot.exists()


def test_the_attack_on_inference_is_real(config_file, loot):
    with suppress(AttributeError):  # goes on to build the model
        BaseInferencer._init_model.__wrapped__(
            object(), ConfigDict(), config_file)
    assert loot.exists()


@pytest.mark.parametrize('place', ['meta', 'message_hub'])
def test_config_in_a_checkpoint_is_not_run_on_inference(
        place, config_file, loot):
    from mmaction.apis.inferencers import ActionRecogInferencer
    checkpoint = torch.load(config_file, weights_only=True)
    if place == 'meta':  # upstream looks there last
        del checkpoint['message_hub']
    torch.save(checkpoint, config_file)
    with pytest.raises(ValueError, match='config file') as caught:
        ActionRecogInferencer(None, config_file, device='cpu')
    assert config_file in str(caught.value)
    assert not loot.exists()


def test_inference_with_a_config_works(trained, trained_file):
    inferencer = SimpleNamespace(
        _load_weights_to_model=functools.partial(
            BaseInferencer._load_weights_to_model, None))
    model = BaseInferencer._init_model(
        inferencer, ConfigDict(model=dict(type=ToyModel)), str(trained_file))
    assert torch.equal(model.layer.weight, trained.model.layer.weight)


# --- files from the web ----------------------------------------------------


@pytest.fixture
def website(tmp_path, monkeypatch):
    """Serves ``tmp_path``; what is downloaded is kept below it."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('no_proxy', '127.0.0.1')

    class Quiet(http.server.SimpleHTTPRequestHandler):

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(
        ('127.0.0.1', 0), functools.partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01, ))
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_attack_from_the_web_is_real(website, attack_file, loot):
    checkpoint_module.load_url.__wrapped__(f'{website}/attack.pth')
    assert loot.exists()


@pytest.mark.parametrize('switch', ['0', '1'])
def test_file_from_the_web_does_not_run(
        switch, website, attack_file, loot, monkeypatch):
    monkeypatch.setenv(EVERYTHING, switch)
    with pytest.raises(pickle.UnpicklingError) as caught:
        load(f'{website}/attack.pth')
    assert not loot.exists()
    for part in (f'{website}/attack.pth', MKDIR, VARIABLE):
        assert part in str(caught.value)


def test_zip_from_the_web_does_not_run(website, attack_file, tmp_path, loot):
    # PyTorch unpacks these, and loads what is in them
    with zipfile.ZipFile(tmp_path / 'attack.zip', 'w') as archive:
        archive.write(attack_file, 'inner.pth')
    with pytest.raises(pickle.UnpicklingError):
        load(f'{website}/attack.zip')
    assert not loot.exists()


def test_plain_file_from_the_web_is_loaded(website, tmp_path):
    torch.save(dict(weight=torch.ones(2)), tmp_path / 'fine.pth')
    assert load(f'{website}/fine.pth')['weight'].tolist() == [1, 1]


# --- pickles with data or scores -------------------------------------------


def write_pickle(path, value, protocol=4):
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return str(path)


@pytest.mark.parametrize('protocol', range(2, 6))
def test_containers_of_data_are_read(protocol, tmp_path):
    data = dict(
        split=OrderedDict(train=['a', 'b'], test=[]),
        annotations=[dict(frame_dir='a', label=1, shape=(2, 3.5), ok=None)],
        odd=[{1, 2}, frozenset('a'), b'\xff', b'', bytearray(b'1'), 1j, True,
             2**70])
    path = write_pickle(tmp_path / 'a.pkl', data, protocol)
    assert safe_pickle.load(path) == data


@pytest.mark.parametrize('protocol', range(2, 6))
@pytest.mark.parametrize('array', [
    np.arange(12.).reshape(3, 4)[:, ::2],
    np.arange(12.).reshape(3, 4).T,
    np.arange(3)[::-1],
    np.array([True, False]),
    np.arange(3, dtype='int64'),
    np.arange(3, dtype='float16'),
    np.arange(3, dtype='>f4'),
    np.array(['walk', 'sit']),
    np.array(2.5),
    np.zeros((0, 3)),
    np.float32(1.5),
    np.int64(2),
    np.bool_(True),
    np.str_('walk'),
], ids=lambda array: f'{array.dtype}{array.shape}')
def test_arrays_are_read(array, protocol, tmp_path):
    path = write_pickle(tmp_path / 'a.pkl', [array], protocol)
    loaded, = safe_pickle.load(path)
    with open(path, 'rb') as file:
        expected, = pickle.load(file)  # may have another byte order
    assert type(loaded) is type(array)
    assert loaded.dtype == expected.dtype
    np.testing.assert_array_equal(loaded, array)


def test_arrays_of_numpy_1_are_read(tmp_path):
    # it wrote numpy.core where numpy 2 writes numpy._core
    path = tmp_path / 'a.pkl'
    old = pickle.dumps(np.arange(3), protocol=2).replace(
        b'numpy._core', b'numpy.core')
    path.write_bytes(old)
    assert b'numpy.core' in old
    assert safe_pickle.load(str(path)).tolist() == [0, 1, 2]


def test_score_files_are_read(tmp_path):
    # as tools/test.py --dump writes them: by DumpResults, in protocol 2
    path = str(tmp_path / 'scores.pkl')
    metric = DumpResults(path)
    samples = [dict(pred_score=torch.rand(5), gt_label=torch.tensor([label]),
                    sample_idx=label) for label in range(3)]
    metric.process(None, samples)
    metric.compute_metrics(metric.results)
    loaded = safe_pickle.load(path)
    assert len(loaded) == 3
    for seen, expected in zip(loaded, samples):
        assert seen['sample_idx'] == expected['sample_idx']
        assert torch.equal(seen['pred_score'], expected['pred_score'])
        assert torch.equal(seen['gt_label'], expected['gt_label'])


class Call:
    """Unpickles by calling anything."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def tensor_with_attack(loot):
    """A tensor whose storage is a file of PyTorch that holds an attack."""
    blob = io.BytesIO()
    torch.save(Attack(loot), blob)
    return Call(torch.storage._load_from_bytes, blob.getvalue())


ATTACKS = dict(
    call=Attack,
    in_array=lambda loot: np.array([Attack(loot)], dtype=object),
    in_tensor=tensor_with_attack,
    by_getattr=lambda loot: Call(getattr, Path(loot), 'mkdir'),
    by_eval=lambda loot: Call(eval, f'__import__("os").mkdir("{loot}")'),
    by_partial=lambda loot: functools.partial(os.mkdir, str(loot)))


@pytest.mark.parametrize('attack', ['call', 'in_array', 'in_tensor',
                                    'by_eval'])
def test_the_attacks_by_pickle_are_real(attack, tmp_path, loot):
    path = write_pickle(tmp_path / 'a.pkl', ATTACKS[attack](loot))
    with open(path, 'rb') as file:
        pickle.load(file)
    assert loot.exists()


@pytest.mark.parametrize('protocol', [0, 2, 4])
@pytest.mark.parametrize('attack', ATTACKS)
def test_malicious_pickle_does_not_run(attack, protocol, tmp_path, loot):
    path = write_pickle(tmp_path / 'a.pkl', ATTACKS[attack](loot), protocol)
    with pytest.raises(pickle.UnpicklingError) as caught:
        safe_pickle.load(path)
    assert not loot.exists()
    assert f'{VARIABLE}={path}' in str(caught.value)


@pytest.mark.parametrize('function, name', [
    (os.mkdir, MKDIR), (eval, 'eval'), (getattr, 'getattr'),
    (subprocess.Popen, 'subprocess.Popen'), (torch.load, 'load'),
    (np.load, 'load'), (torch.hub.load, 'torch.hub.load')])
def test_refused_pickle_says_what_it_holds(function, name, tmp_path):
    path = write_pickle(tmp_path / 'a.pkl', dict(a=[function]))
    with pytest.raises(pickle.UnpicklingError, match=name):
        safe_pickle.load(path)


def test_attack_in_a_tensor_is_named(tmp_path, loot):
    path = write_pickle(tmp_path / 'a.pkl', tensor_with_attack(loot))
    with pytest.raises(pickle.UnpicklingError, match=MKDIR):
        safe_pickle.load(path)


def test_only_the_codec_of_pickled_bytes_is_known(tmp_path):
    # _codecs.encode would import any module of the name of a codec
    import _codecs
    path = write_pickle(tmp_path / 'a.pkl', Call(_codecs.encode, 'a', 'rot13'))
    with pytest.raises(pickle.UnpicklingError, match='rot13'):
        safe_pickle.load(path)


def test_trusted_pickle_is_read(tmp_path, monkeypatch):
    path = write_pickle(tmp_path / 'a.pkl', [Harmless()])
    with pytest.raises(pickle.UnpicklingError, match='Harmless'):
        safe_pickle.load(path)
    monkeypatch.setenv(VARIABLE, path)
    assert safe_pickle.load(path) == [Harmless()]


@pytest.mark.parametrize('keep', [0, 5, -5])
def test_damaged_pickle_is_named(keep, tmp_path):
    path = write_pickle(tmp_path / 'a.pkl', dict(a=np.ones(50)))
    Path(path).write_bytes(Path(path).read_bytes()[:keep])
    with pytest.raises(pickle.UnpicklingError, match='damaged') as caught:
        safe_pickle.load(path)
    assert path in str(caught.value)
    assert VARIABLE not in str(caught.value)  # trusting it would not help
