"""Error messages of training and testing for invalid input.

Each row of a table contains a change that makes the input invalid, and parts
of the expected message. The message must be one line, without a traceback.
"""
import errno
import logging
import os
import re
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn as nn
from mmaction.registry import MODELS, RUNNERS, TRANSFORMS
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from projects.stdcl import apis
from projects.stdcl.catalogue import find_config
from projects.stdcl.utils.atomic_write import atomic_write
from projects.stdcl.utils.input_error import InputError, end_cleanly
from tests.warm_commands import ROOT

CONFIG = f'''
_base_ = '{ROOT}/configs/stdcl/stdcl-ctrgcn_1xb16-joint-u52-65e_nw-ucla-xview-\
keypoint-3d.py'
model = dict(backbone=dict(base_channels=4, num_stages=1),
             cls_head=dict(in_channels=4, decoupler=dict(reduction=2)))
data = dict(ann_file='tiny.pkl')
few = dict(batch_size=8, num_workers=0, persistent_workers=False)
train_dataloader = dict(few, dataset=dict(times=1, dataset=data))
val_dataloader = dict(few, dataset=data)
test_dataloader = dict(few, dataset=data)
train_cfg = dict(max_epochs=1)
optim_wrapper = dict(optimizer=dict(lr=0.1))
auto_scale_lr = dict(base_batch_size=16)
param_scheduler = []
'''
SEQUENCE = 'tiny.pkl_003'


def table(rows):
    """Parametrize a test with the change and the message of each row."""
    if isinstance(rows, list):
        rows = {change: (change, *texts) for change, *texts in rows}
    return pytest.mark.parametrize(
        'change, texts', [(change, texts) for change, *texts in rows.values()],
        ids=rows)


@pytest.fixture
def folder(tmp_path, tiny_annotations, monkeypatch):
    """Change to a working directory with a config and its data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('MMENGINE_HOME', str(tmp_path))
    tiny_annotations()  # writes tiny.pkl
    (tmp_path / 'tiny.py').write_text(CONFIG)
    return tmp_path


def assert_fails(action, *texts: str) -> None:
    """Require that an action fails with a one-line error message."""
    with pytest.raises(SystemExit) as caught, end_cleanly('tiny.py'):
        action()
    message = str(caught.value)
    assert message.startswith('error: ') and '\n' not in message, message
    for text in ('tiny.py', *texts):
        assert text in message, (text, message)


# --- annotation files ------------------------------------------------------

def item(**entries):
    """Change entries of the fourth annotation; None deletes an entry."""

    def change(content):
        annotation = content['annotations'][3]
        for name, value in entries.items():
            if value is None:
                del annotation[name]
            else:
                annotation[name] = value(annotation[name]) if (
                    callable(value)) else value
    return change


ANNOTATIONS = {
    'label beyond the classes': (
        item(label=10), f'tiny.pkl: sequence {SEQUENCE}: label is 10',
        'expected 0 to 9'),
    'keypoint missing': (
        item(keypoint=None), 'keypoint', 'is missing', 'a NumPy array'),
    'keypoint out of range': (
        item(keypoint=lambda x: x * np.float32(1e16)), 'keypoint is',
        'expected finite numbers between -1e+15 and 1e+15'),
    'keypoint of other joints': (
        item(keypoint=lambda x: x[:, :, :17]), 'has 17 joints and 3 channels',
        'expected 20 joints and 3 channels', 'as in 23 of 24 sequences'),
    'total_frames that disagrees': (
        item(total_frames=24), 'total_frames', 'is 24',
        'expected 23, as in keypoint (persons'),
    'sequence twice': (
        lambda content: content['annotations'].append(
            dict(content['annotations'][3])), 'annotations',
        f'{SEQUENCE}" occurs 2 times', 'expected once'),
    'class name twice': (
        lambda content: content.update(classes=[*'abcdefghia']),
        'tiny.pkl: classes: the name "a" occurs 2 times'),
    'fewer class names': (lambda content: content.update(classes=[*'abc']),
                          'tiny.pkl: num_classes is 3, expected 10'),
    'confidence in one sequence': (
        item(keypoint_score=np.ones((1, 23, 20))),
        'channels with keypoint_score', 'channels without keypoint_score, as '
        'in 23 of 24'),
    'confidence never positive': (
        lambda content: [one.update(keypoint_score=np.zeros(
            one['keypoint'].shape[:3])) for one in content['annotations']],
        'tiny.pkl: no joint was detected', 'some above 0'),
    'third channel of zeros': (
        lambda content: [one['keypoint'][..., 2].fill(0) for one in content[
            'annotations']] and content.update(layout='coco'),
        'tiny.pkl: no joint was detected'),
    'confidence in percent': (
        lambda content: [one.update(keypoint_score=np.full(
            one['keypoint'].shape[:3], 87)) for one in content['annotations']],
        'tiny.pkl: sequence', 'is 87, expected 0 to 1'),
    'confidence in place of z': (
        lambda content: [one.update(
            keypoint=one['keypoint'][..., :2],
            keypoint_score=np.ones(one['keypoint'].shape[:3], 'f'))
            for one in content['annotations']],
        'tiny.pkl: keypoint has 2 channels beside keypoint_score, expected 3'),
    'fewer sequences than a batch': (
        lambda content: content['split'].update(
            xview_train=content['split']['xview_train'][:7]),
        'batch_size', '7 in all', 'expected at least one'),
}


@table(ANNOTATIONS)
def test_annotations(change, texts, folder, tiny_annotations):
    tiny_annotations(change=change)
    assert_fails(lambda: apis.train('tiny.py'), *texts)
    assert not list(folder.glob('work_dirs/tiny/*.pth'))


# --- configs and options ---------------------------------------------------

STEP = 'train_dataloader.dataset.dataset.pipeline'
TEST_SET = 'test_dataloader.dataset.ann_file'


@table([
    ('model.data_preprocessor.layout=ntu', 'layout', '"ntu"', 'expected one '
     'of nturgb+d, nw-ucla'),
    ('train_dataloader.batch_size=0', 'train_dataloader.batch_size is 0',
     'at least 1'),
    ('randomness.seed=4294967296', 'is 4294967296', 'below'),
    ('optim_wrapper.optimizer.lr=abc', "optim_wrapper.optimizer.lr is 'abc', "
     'expected a number'),
    ('model.cls_head.loss_contrast.temperature=nan', 'is nan'),
    ('randomness=5', 'randomness is 5', 'a dict'),
    ('test_dataloader.drop_last=True', 'drop_last is True, expected False'),
    ('train_cfg.val_begin=8', 'val_begin is 8, expected at most 1'),
    ('train_dataloader.drop_last=no', "drop_last is 'no', expected True or "
     'False'),
    ('data_preprocessor.stream=bone', 'data_preprocessor.stream has no '
     'effect, expected model.data_preprocessor.stream'),
    ('val_evaluator.0.metric_list=[a]', 'AccMetric does not accept '
     'a value: metric_list must be str or tuple of str'),
    ('test_dataloader=[3]', 'test_dataloader is [3], expected a dict'),
    ('val_dataloader.dataset.metainfo.classes=no.txt', "classes is 'no.txt', "
     'expected a list, or a file'),
    ('val_dataloader.dataset.start_index=1', 'tiny.pkl: start_index is 1, '
     'expected 0'),
    ('val_dataloader.dataset.modality=RGB', 'val_dataloader.dataset does not '
     "accept modality", "multiple values for keyword argument 'modality'"),
    ('optim_wrapper.optimizer.lr=0', 'lr is 0, expected a number above 0'),
    ('optim_wrapper.optimizer.momentum=-1', 'SGD does not accept a value',
     'Invalid momentum value: -1'),
    ('model.backbone=5', 'model.backbone is 5, expected a dict'),
    ('model.cls_head.average_clips=None', 'None, expected "prob"'),
    (f'{STEP}.2.num_clips=2', 'sequence with 2 clips (expected num_clips=1) '
     'fails: '),
    ('val_dataloader.dataset.ann_file=5', 'ann_file is 5, expected a path'),
    ('model.data_preprocessor.layout=5', 'Skeleton layout 5 is invalid'),
    ('load_from=5', 'Checkpoint 5 does not exist'),
    ('train_dataloader.sampler.type=mmengine.InfiniteSampler', 'never end, '),
    ('val_dataloader.num_batch_per_epoch=1', 'per_epoch is 1, expected None'),
    ('custom_imports.imports=[no_such]', 'Failed to import no_such'),
    ('launcher=pytorch', 'option launcher sets'),
    ('val_dataloader.dataset.pipeline=[]', 'val_dataloader: tiny.pkl: the '
     'pipeline returns no inputs'),
    ('clip_len=8', 'the config option clip_len sets a variable', 'expected a '
     'field of the Runner, such as test_dataloader.dataset.'),
    ('default_hooks.checkpont.interval=2', 'default_hooks.checkpont has no '
     'type', 'closest match is checkpoint'),
    (f'{STEP}.9.clip_len=3', f'the config option {STEP}.9', 'expected an '
     'entry that exists'),
])
def test_options(change, texts, folder):
    assert_fails(lambda: apis.train('tiny.py', cfg_options=[change]), *texts)


ITERATIONS = dict(_delete_=True, by_epoch=False, max_iters=9)


@pytest.mark.parametrize('options, arguments, message', [
    ({'custom_hooks.0': dict(type='EMAHook', begin_epoch=9)}, {},
     'EMAHook does not accept a value: self.begin_epoch should be'),
    ({f'{STEP}.1': dict(type='PadTo', length=1)}, {},
     'PadTo does not accept a value: assert total_frames'),
    ({}, dict(split='none'), 'no split "none_train"'),
    (dict(optim_wrapper=None), dict(amp=True), 'optim_wrapper is missing'),
    (dict(auto_scale_lr=None), dict(auto_scale_lr=True),
     'auto_scale_lr is missing from the config'),
    ({'train_cfg': ITERATIONS, 'default_hooks.checkpoint.by_epoch': False,
      'param_scheduler': [dict(type='ReduceOnPlateauLR'), dict(
          type='LinearLR', convert_to_iter_based=True), dict(
              type='MultiStepLR')]}, {}, 'param_scheduler.2.by_epoch is'),
    (dict(train_cfg=ITERATIONS), {}, 'hooks.checkpoint.by_epoch is True'),
    ({'auto_scale_lr.base_batch_size': 0}, dict(auto_scale_lr=True),
     'base_batch_size is 0, expected an integer of at least 1')])
def test_options_with_arguments(options, arguments, message, folder):
    assert_fails(lambda: apis.train('tiny.py', cfg_options=options,
                                    **arguments), message)


def test_learning_rate_is_scaled(folder):
    rates = [apis.train('tiny.py', auto_scale_lr=scaled).optim_wrapper.get_lr(
        )['lr'] for scaled in (False, True)]
    assert rates[1] == [rates[0][0] * 8 / 16]  # batch size and that of the lr


@pytest.mark.parametrize('launcher', ['pytorch', 'slurm', 'mpi'])
def test_launchers(launcher, folder, monkeypatch):
    for name in 'RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_LOCAL_RANK':
        monkeypatch.delenv(name, raising=False)
    torch.save({}, 'none.pth')
    for action, arguments in (apis.train, ()), (apis.test, ['none.pth']):
        with pytest.raises(InputError, match=f'--launcher is {launcher}, but '
                           'the environment variable'):
            action('tiny.py', *arguments, launcher=launcher)


PIPELINE = '''
val_dataloader['dataset'] = dict(data, pipeline=[
    dict(type='MinMaxNormalize'), dict(type='FormatGCNInput', num_person=1),
    dict(type='PackActionInputs')])
'''


@table({
    'missing': (Path.unlink, 'config', 'FileNotFoundError',
                'expected a Python, YAML or JSON file'),
    'not Python': ('model = dict(', 'config', 'SyntaxError', 'a Python'),
    'import that fails': (
        "custom_imports = dict(imports=['no_such_module'])",
        "No module named 'no_such_module'", 'custom_imports exist'),
    'field nearly right': (
        'default_hook = dict(logger=dict(interval=1))', 'default_hook ',
        'not a field of the Runner', 'closest match is default_hooks'),
    'two metrics of one name': (
        "val_evaluator = [dict(type='AccMetric')] * 2", 'Evaluator does not '
        'accept a value: There are multiple evaluation results'),
    'clips without persons': (
        PIPELINE.replace('FormatGCNInput', 'PoseDecode')
        .replace(', num_person=1', ''), 'a clip has the shape (', ', 20, 3), '
        'expected (persons, frames, joints, channels): use FormatGCNInput'),
    'clips of several lengths': (
        PIPELINE, 'val_dataloader, batch 1: the clips have the shapes (1, 1,'
        ' 20, 20, 3) and (1, 1, 27, 20, 3)', 'expected the same'),
    'sampler missing': (
        "test_dataloader = dict(_delete_=True, dataset={}, num_workers=0)",
        'test_dataloader.sampler is missing, expected a dict'),
    'layout without edges': (
        "model['data_preprocessor'] = dict(layout=dict(\n"
        "    _delete_=True, joint_names=['a'] * 20, center=0))", 'layout',
        "missing 1 required positional argument: 'edges'",
        'joint_names, edges and center are required'),
    'annotation file truncated': (
        lambda path: os.truncate('tiny.pkl', 999), 'has 999 bytes'),
    'argument missing': (
        'custom_hooks = [dict(type="ScoreFileHook")]', 'custom_hooks.0',
        "requires a value for 'path'"),
})
def test_config_files(change, texts, folder):
    path = folder / 'tiny.py'
    if callable(change):
        change(path)
    else:
        path.write_text(CONFIG + change)
    assert_fails(lambda: apis.train('tiny.py'), *texts)


@table({
    'checkpoint missing': (
        # named before the data are read
        dict(checkpoint='gone.pth', cfg_options=[f'{TEST_SET}=none.pkl']),
        'Checkpoint gone.pth does not exist'),
    'checkpoint from the internet': (
        dict(checkpoint='open-mmlab://none'), 'Checkpoint open-mmlab://none '
        'could not be read (KeyError'),
    'field of the Runner missing': (
        dict(cfg_options=['test_evaluator=None']), 'test_evaluator',
        'is missing', 'expected a dict'),
    'annotation file missing': (
        dict(cfg_options=[f'{TEST_SET}=none.pkl']),
        'ann_file', 'none.pkl', 'expected a pickle'),
    'split': (dict(split='none'), 'no split "none_val"'),
    'format of the scores': (
        dict(dump='new/scores.txt'), '--dump is new/scores.txt', '.npz'),
    'scores': (dict(dump='./tiny.pkl'), '--dump is ./tiny.pkl, which is a'),
    'scores in a file': (dict(dump='tiny.py/a.npz'), 'File exists'),
})
def test_testing(change, texts, folder):
    torch.save({}, 'none.pth')
    assert_fails(lambda: apis.test('tiny.py', **{
        'checkpoint': 'none.pth', **change}), *texts)
    assert not Path('new').exists()


# --- work directories -------------------------------------------------------


@RUNNERS.register_module()
class OwnRunner(Runner):
    """Runner of a different project."""


def test_a_refused_run_changes_no_file(folder):
    """The saved config remains the one that the model was trained with."""
    work_dir, same = folder / 'run', {
        'runner_type': 'OwnRunner', 'randomness.seed': 1}

    def files():
        return {path: path.read_bytes() for path in work_dir.iterdir()
                if path.is_file() and path.name != 'lock'}

    done = apis.train('tiny.py', work_dir, cfg_options=same)
    assert done.logger.handlers[0].filter(logging.makeLogRecord(dict(
        module='runner', funcName='__init__', levelno=logging.WARNING)))
    assert 'OwnRunner' in files()[work_dir / 'tiny.py'].decode()
    for change, text in [
            ({'optim_wrapper.optimizer.lr': 0.3}, 'lr 0.1, .* 0.3'),
            ({'randomness.seed': 2}, 'seed 1, .* 2'),
            ({'model.data_preprocessor.stream': 'bone'}, "'joint'"),
            ({'val_dataloader.dataset.split': ['none']}, 'no split ".\'none'),
            ({'val_dataloader.dataset.pipeline.3.num_person': 2}, 'CTRGCN'),
            ({'experiment_name': 'damaged'}, 'run.json')]:
        if 'json' in text:
            (work_dir / 'run.json').write_text('')
        before, options = files(), {'experiment_name': text, **same, **change}
        with pytest.raises(InputError, match=text):
            apis.train('tiny.py', work_dir, resume='auto', cfg_options=options)
        with pytest.raises((InputError, OSError)):
            apis.test('tiny.py', 'none.pth', work_dir, cfg_options=options)
        assert files() == before


# --- errors with a traceback, and valid input -------------------------------

@HOOKS.register_module()
class Buggy(Hook):

    def __init__(self, scalars=None):
        self.scalars = scalars

    def before_train(self, runner):
        if self.scalars:
            runner.message_hub.update_scalars(self.scalars)  # expects a dict
        raise ValueError('a bug')


@MODELS.register_module()
class BuggyEncoder(nn.Module):

    def __init__(self, layout, **kwargs):
        super().__init__()
        self.stem = nn.Linear(3, self.width if layout else 2.5)


@pytest.mark.parametrize('options, bug', [
    ({'custom_hooks.0.type': 'Buggy'}, ValueError),
    ({'custom_hooks.0': dict(type='Buggy', scalars=[1])}, AssertionError),
    ({'model.backbone.type': 'BuggyEncoder'}, AttributeError),
    ({'model.backbone.type': 'BuggyEncoder', 'model.backbone.layout': ''},
     TypeError)])
def test_a_bug_keeps_its_traceback(options, bug, folder):
    with pytest.raises(bug) as caught, end_cleanly():
        apis.train('tiny.py', cfg_options=options)
    assert caught.type is bug  # and not an InputError


def test_a_lost_process_is_no_bug():
    with pytest.raises(SystemExit, match='to another process'), end_cleanly():
        raise RuntimeError('[pair.cc:553] Connection closed by peer [::1]:9')


def write_to_a_full_disk(path):
    with atomic_write(path):
        raise OSError(errno.ENOSPC, 'No space')


@pytest.mark.parametrize('name, action, problem', [
    ('none', Path.read_text, ': No such file or directory'),
    ('.', Path.read_text, ': Is a directory'),
    ('tiny.py', lambda path: path.mkdir(exist_ok=True),
     ': File exists, expected a folder'),
    ('tiny.py/a', Path.mkdir, ': Not a directory'),
    ('new', write_to_a_full_disk, ': No space')])
def test_errors_of_the_system(name, action, problem, folder):
    path = folder / name
    args = Namespace(seed=1, config='a.py', out_dir=[str(folder / 'b'), path])
    with pytest.raises(SystemExit, match='^error: a.py: out-dir: '
                       f'{path}{problem}$'), end_cleanly('a.py', args):
        action(path)


def test_a_reader_of_the_output_has_ended():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, '-c', f'from {end_cleanly.__module__} import *\n'
         'with end_cleanly(): print(1)'], cwd=ROOT, stdout=write,
        stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b'')


@TRANSFORMS.register_module()
class Fail:

    def __call__(self, results):
        if results['sample_idx'] == 3:
            raise InputError('sequence 3: wrong.')
        return results


def test_error_in_a_worker(folder, warm):
    """The output contains neither the worker's traceback nor the config."""
    done = warm('tools/train.py', 'tiny.py', '--cfg-options',
                'train_dataloader.num_workers=1', f'{STEP}.0.type=Fail',
                cwd=folder, status=1)
    assert re.search(r'error: .*sequence 3: wrong.\n\Z', done.stderr), done
    log, = folder.glob('work_dirs/tiny/*/*.log')
    for text in 'Config:', 'System environment:', 'Hooks will be executed':
        assert text in log.read_text() and text not in done.stdout


@pytest.mark.parametrize('benchmark, stream', [
    ('ntu60-xsub', 'bone'), ('nw-ucla-xview', 'joint-motion')])
def test_degenerate_sequences(benchmark, stream, warm, tmp_path,
                              tiny_annotations):
    """All-zero sequences, single frames and one-sequence classes are valid."""
    def spoil(content):
        annotations = content['annotations']
        for number in (1, 5, 6, 11):
            annotations[number]['keypoint'][:] = 0
        for number in (5, 7, 8):
            annotations[number].update(
                total_frames=1,
                keypoint=annotations[number]['keypoint'][:, :1])
        annotations[7]['keypoint'][:] = 1  # all joints coincide
        annotations[9]['keypoint'][0] = 0  # the first person is absent
        annotations[0]['label'] = 4  # the only sequence of its class

    persons, joints = (1, 20) if benchmark == 'nw-ucla-xview' else (2, 25)
    tiny_annotations(persons=persons, joints=joints, classes=3, change=spoil)
    done = warm(
        'tools/train.py', find_config('stgcn', benchmark, stdcl=True),
        '--work-dir', '.', '--stream', stream, '--cfg-options',
        'train_cfg.max_epochs=1', 'train_dataloader.dataset.times=1',
        'model.backbone.base_channels=4', 'model.cls_head.in_channels=16',
        'model.cls_head.decoupler.reduction=2',
        'default_hooks.checkpoint.interval=1',
        'default_hooks.logger.interval=1', *(
            f'{part}.ann_file=tiny.pkl' for part in (
                'train_dataloader.dataset.dataset',
                'val_dataloader.dataset')), *(
            f'{part}_dataloader.{option}' for part in ('train', 'val')
            for option in ('num_workers=0', 'persistent_workers=False',
                           'batch_size=8')), cwd=tmp_path)
    state = torch.load(tmp_path / 'epoch_1.pth')['state_dict']
    assert sum(tensor.numel() for tensor in state.values()) > 1000
    for name, tensor in state.items():
        assert tensor.isfinite().all(), name
    assert 'loss: nan' not in done.stdout and 'loss: ' in done.stdout
