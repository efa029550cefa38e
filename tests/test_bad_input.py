"""Bad input, through the commands: each error says what, where and what else.

Each line of the tables is a place where a command stops. The message must
name the file, the field, the value seen and the value expected, in a line
without a traceback, and the exit status must not be 0.
"""
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from tests.warm_commands import ROOT

NAME = '{encoder}_1xb16-joint-u52-65e_nw-ucla-xview-keypoint-3d.py'
CONFIG = f'''
_base_ = '{ROOT}/configs/stdcl/stdcl-{NAME.format(encoder='ctrgcn')}'
model = dict(backbone=dict(base_channels=4, num_stages=1),
             cls_head=dict(in_channels=4, decoupler=dict(reduction=2)))
data = dict(ann_file='tiny.pkl')
few = dict(batch_size=8, num_workers=0, persistent_workers=False)
train_dataloader = dict(few, dataset=dict(times=1, dataset=data))
val_dataloader = dict(few, dataset=data)
test_dataloader = dict(few, dataset=data)
train_cfg = dict(max_epochs=1)
param_scheduler = []
# the base is done with them; MMEngine writes the config down, and is slow
train_pipeline = val_pipeline = val_prepare = stdcl_head = None
'''
SEQUENCE = 'tiny.pkl_003'


class Site(NamedTuple):
    """A place where a command stops."""
    change: object  # what makes the input bad
    file: str
    field: str
    seen: str
    expected: str


@pytest.fixture
def folder(tmp_path, tiny_annotations):
    """A working directory with a config and the data that it names."""
    tiny_annotations()  # tiny.pkl
    (tmp_path / 'tiny.py').write_text(CONFIG)
    return tmp_path


@pytest.fixture(scope='module')
def checkpoint(warm, tmp_path_factory):
    """Of ``tiny.py``, after an epoch."""
    path = tmp_path_factory.mktemp('trained')
    (path / 'tiny.py').write_text(CONFIG)
    rng = np.random.default_rng(0)
    save(path / 'tiny.pkl', [dict(
        frame_dir=str(i), label=i % 10, total_frames=9,
        keypoint=rng.normal(size=(1, 9, 20, 3)).astype('f4'))
        for i in range(16)])
    done = warm('tools/train.py', 'tiny.py', '--work-dir', '.', cwd=path)
    assert done.returncode == 0, done.stderr
    return path / 'epoch_1.pth'


def save(path: Path, annotations: list) -> None:
    names = [item['frame_dir'] for item in annotations]
    path.write_bytes(pickle.dumps(dict(annotations=annotations, split=dict(
        (f'{split}_{part}', names) for split in ('xsub', 'xview')
        for part in ('train', 'val')))))


def assert_says(done, site: Site, status: int = 1) -> None:
    assert done.returncode == status, done.stdout[-2000:] + done.stderr
    assert 'Traceback' not in done.stdout + done.stderr, done.stderr
    *_, message = done.stderr.partition('error: ')
    for text in site[1:]:
        assert text in message, (text, done.stderr)


def item(**entries):
    """A change of the fourth annotation; None takes an entry out."""

    def change(content):
        annotation = content['annotations'][3]
        for name, value in entries.items():
            if value is None:
                del annotation[name]
            else:
                annotation[name] = value(annotation[name]) if (
                    callable(value)) else value
    return change


def put(place, value):
    """A change of one number of a keypoint."""

    def change(content):
        content['annotations'][3]['keypoint'][place] = value
    return change


def split(names):
    """A change of the training split's names."""

    def change(content):
        content['split']['xview_train'] = names(
            content['split']['xview_train'])
    return change


def entry(**entries):
    """A change of the file's own entries."""
    return lambda content: content.update(entries)


def twice(content):
    content['annotations'].append(dict(content['annotations'][3]))


def forget(content):
    content['annotations'].pop(3)


def row(change, field, seen, expected):
    return Site(change, 'tiny.pkl', field, seen, expected)


ANNOTATIONS = {
    'label beyond the classes': row(
        item(label=10), 'label', f'{SEQUENCE}: label is 10',
        'expected 0 to 9'),
    'label negative': row(
        item(label=-1), 'label', f'{SEQUENCE}: label is -1',
        'an integer of at least 0'),
    'label with a fraction': row(
        item(label=1.5), 'label', 'is 1.5 (float)', 'expected the class, an'),
    'label of a whole float': row(
        item(label=np.float64(3)), 'label', '(float64)', 'an integer'),
    'label a name': row(
        item(label='jump'), 'label', "is 'jump' (str)", 'an integer'),
    'label true': row(
        item(label=True), 'label', 'is True (bool)', 'an integer'),
    'label missing': row(
        item(label=None), 'label', f'{SEQUENCE}: label is missing',
        'an integer'),
    'keypoint missing': row(
        item(keypoint=None), 'keypoint', 'is missing', 'a numpy array'),
    'keypoint without persons': row(
        item(keypoint=lambda x: x[0]), 'keypoint', 'of shape (23, 20, 3)',
        'expected (M, T, V, C)'),
    'keypoint of no frames': row(
        item(keypoint=lambda x: x[:, :0]), 'keypoint',
        'of shape (1, 0, 20, 3)', 'each at least 1'),
    'keypoint of other joints': row(
        item(keypoint=lambda x: x[:, :, :17]), 'keypoint',
        'of 17 joints and 3', 'expected 20 joints and 3 channels, as 23 of'),
    'keypoint of other channels': row(
        item(keypoint=lambda x: x[..., :2]), 'keypoint',
        'joints and 2 channels', 'and 3 channels, as 23 of 24 sequences'),
    'keypoint of text': row(
        item(keypoint=lambda x: x.astype('U9')), 'keypoint', 'of type <U9',
        'a numpy array of numbers'),
    'keypoint of lists': row(
        item(keypoint=lambda x: x.tolist()), 'keypoint', 'of type list',
        'a numpy array of numbers'),
    'keypoint with NaN': row(
        put((0, 2, 5, 1), np.nan), 'keypoint',
        'is nan at person 0, frame 2, joint 5, channel 1 (counted from 0) '
        'and unusable in 1 of its 1380 numbers', 'expected finite numbers'),
    'keypoint with infinity': row(
        put((0, slice(4, 6)), -np.inf), 'keypoint',
        'is -inf at person 0, frame 4, joint 0, channel 0 (counted from 0) '
        'and unusable in 120 of', 'expected finite numbers'),
    'keypoint that overflows': row(
        put((0, 1, 1, 1), 3e38), 'keypoint', 'is 3e+38 at person 0, frame 1',
        'below 1e+15'),
    'total_frames that disagrees': row(
        item(total_frames=24), 'total_frames', 'is 24',
        'expected 23, the frames T of keypoint'),
    'total_frames 0': row(
        item(total_frames=0), 'total_frames', 'is 0 (int)',
        'an integer of at least 1'),
    'total_frames missing': row(
        item(total_frames=None), 'total_frames', 'is missing', 'an integer'),
    'frame_dir missing': row(
        item(frame_dir=None), 'frame_dir', 'annotations[3] is None',
        'expected a string'),
    'an annotation that is none': row(
        lambda content: content['annotations'].__setitem__(3, [1]),
        'annotations[3]', 'of type list', 'expected a dict'),
    'a sequence twice': row(
        twice, 'annotations', f'{SEQUENCE} is there 2 times',
        'expected once'),
    'a name of the split without annotation': row(
        forget, 'split "xview_train"', f'1 have no annotation ({SEQUENCE})',
        'an annotation for each'),
    'a name of the split twice': row(
        split(lambda names: [*names, names[3]]), 'split "xview_train"',
        f'{SEQUENCE} is there 2 times', 'expected once'),
    'a name of the split no text': row(
        split(lambda names: [*names, 7]), 'split "xview_train"', 'has 7',
        'expected strings'),
    'an empty split': row(
        split(lambda names: []), 'split "xview_train"', 'has 0 names',
        'expected at least one name'),
    'a split no list': row(
        split(lambda names: 'all'), 'split "xview_train"', 'of type str',
        'expected a list of names'),
    'a split missing': row(
        entry(split=dict(xset_train=['a'])), 'split "xview_train"',
        'there is no split', 'expected one of xset_train'),
    'no annotations': row(
        entry(annotations=[]), 'annotations', '0 sequences',
        'expected at least one'),
    'annotations no list': row(
        entry(annotations=None), 'annotations', 'of type NoneType',
        'expected a dict with "annotations"'),
    'classes no list': row(
        entry(classes='ab'), 'classes', 'of type str', 'a list of names'),
    'sequences of another layout': row(
        lambda content: [annotation.update(
            keypoint=np.zeros((1, annotation['total_frames'], 25, 3)))
            for annotation in content['annotations']],
        'data_preprocessor.layout', 'have 25 joints', 'built for 20'),
    'fewer sequences than a batch': row(
        split(lambda names: names[:7]), 'batch_size', '7 in all',
        'expected at least one')._replace(file='tiny.py'),
}


@pytest.mark.parametrize('site', ANNOTATIONS.values(), ids=ANNOTATIONS)
def test_annotations(site, warm, folder):
    path = folder / 'tiny.pkl'
    content = pickle.loads(path.read_bytes())
    site.change(content)
    path.write_bytes(pickle.dumps(content))
    assert_says(warm('tools/train.py', 'tiny.py', cwd=folder), site)
    assert not list(folder.glob('work_dirs/tiny/*.pth'))


def keep(**arrays):
    """A change of the file's format."""
    return lambda path: np.savez(path.open('wb'), **arrays)


FILES = {
    'missing': row(Path.unlink, 'ann_file', 'does not exist',
                   'expected a pickle'),
    'empty': row(lambda path: path.write_bytes(b''), 'ann_file',
                 'has 0 bytes', 'expected a pickle'),
    'truncated': row(lambda path: path.write_bytes(path.read_bytes()[:999]),
                     'ann_file', 'has 999 bytes', 'expected a pickle'),
    'of JSON': row(lambda path: path.write_text('{"annotations": []}'),
                   'ann_file', 'has 19 bytes', 'expected a pickle'),
    'of npz': row(keep(x=np.zeros(3)), 'ann_file', 'bytes',
                  'expected a pickle'),
    'a list': row(lambda path: path.write_bytes(pickle.dumps([1, 2])),
                  '"annotations"', 'holds a list', 'expected a dict'),
    'with code': row(
        lambda path: path.write_bytes(pickle.dumps(dict(
            annotations=[Path('x')]))), 'ann_file', 'Path',
        'STDCL_TRUSTED_FILES=tiny.pkl'),
    'a folder': row(lambda path: (path.unlink(), path.mkdir()), 'ann_file',
                    'a folder', 'expected a pickle'),
}


@pytest.mark.parametrize('site', FILES.values(), ids=FILES)
def test_annotation_files(site, warm, folder):
    site.change(folder / 'tiny.pkl')
    assert_says(warm('tools/train.py', 'tiny.py', cwd=folder), site)


def option(change, field, seen, expected):
    return Site(change, 'tiny.py', field, seen, expected)


STEP = 'train_dataloader.dataset.dataset.pipeline'
OPTIONS = {
    'layout': option(
        'model.data_preprocessor.layout=ntu', 'layout', '"ntu"',
        'Known are nturgb+d, nw-ucla'),
    'stream': option(
        'model.data_preprocessor.stream=bones', 'stream', '"bones"',
        'expected one of joint, bone, joint-motion, bone-motion'),
    'option without a value': option(
        'train_cfg.max_epochs', '--cfg-options', "'train_cfg.max_epochs'",
        'expected KEY=VALUE'),
    'half a list': option(
        'x=[1,2', '--cfg-options', "'x=[1,2'", 'Imbalanced brackets'),
    'encoder': option(
        'model.backbone.type=CTRGNC', 'model.backbone.type', "'CTRGNC'",
        'nearest is CTRGCN'),
    'encoder like no other': option(
        'model.backbone.type=Transformer9', 'model.backbone.type',
        "'Transformer9'", 'expected the name of a model'),
    'transform': option(
        f'{STEP}.2.type=RandomSampleFrame', f'{STEP}.2.type',
        "'RandomSampleFrame'", 'nearest is RandomSampleFrames'),
    'clip length 0': option(
        f'{STEP}.2.clip_len=0', f'{STEP}.2.clip_len', 'is 0',
        'at least 1'),
    'clip length a fraction': option(
        f'{STEP}.2.clip_len=5.5', f'{STEP}.2.clip_len', 'is 5.5',
        'a whole number'),
    'persons 0': option(
        'model.backbone.num_person=0', 'model.backbone.num_person', 'is 0',
        'at least 1'),
    'width of no branches': option(
        'model.backbone.base_channels=6', 'base_channels',
        'is 6 channels', 'a multiple of 4'),
    'batch size 0': option(
        'train_dataloader.batch_size=0', 'train_dataloader.batch_size',
        'is 0', 'at least 1'),
    'workers below 0': option(
        'val_dataloader.num_workers=-1', 'val_dataloader.num_workers',
        'is -1', 'at least 0'),
    'epochs 0': option(
        'train_cfg.max_epochs=0', 'train_cfg.max_epochs', 'is 0',
        'at least 1'),
    'repeats 0': option(
        'train_dataloader.dataset.times=0', 'train_dataloader.dataset.times',
        'is 0', 'at least 1'),
    'field of the Runner': option(
        'train_cfgs.max_epochs=3', '--cfg-options', 'train_cfgs.max_epochs',
        'nearest is train_cfg'),
    'variable of the config': option(
        'clip_len=8', '--cfg-options', 'clip_len',
        'expected a field of the Runner, such as test_dataloader.dataset.'),
    'field of a loop': option(
        'train_cfg.max_epoch=3', 'train_cfg has', 'max_epoch,',
        'nearest is max_epochs'),
    'type misspelled': option(
        'model.cls_head.memory_bank.typ=MemoryBank',
        'model.cls_head.memory_bank has', 'typ,', 'nearest is type'),
    'field of a loader': option(
        'train_dataloader.batchsize=3', 'train_dataloader has', 'batchsize',
        'nearest is batch_size'),
    'field of a data set': option(
        'train_dataloader.dataset.dataset.annfile=x',
        'train_dataloader.dataset.dataset has', 'annfile',
        'nearest is ann_file'),
    'field of a wrapper': option(
        'train_dataloader.dataset.time=3', 'train_dataloader.dataset has',
        'time,', 'nearest is times'),
    'field of a head': option(
        'model.cls_head.spatial_wieght=1', 'model.cls_head has',
        'spatial_wieght', 'nearest is spatial_weight'),
    'field of an encoder': option(
        'model.backbone.base_chanels=8', 'model.backbone has',
        'base_chanels', 'nearest is base_channels'),
    'field of an optimizer': option(
        'optim_wrapper.optimizer.weigth_decay=0', 'optim_wrapper.optimizer',
        'weigth_decay', 'nearest is weight_decay'),
    'field of a hook that takes anything': option(
        'default_hooks.checkpoint.intervall=2', 'default_hooks.checkpoint',
        'intervall', 'nearest is interval'),
    'name of a hook': option(
        'default_hooks.checkpont.interval=2', 'default_hooks.checkpont',
        'has no type', 'nearest is checkpoint'),
    'field of the seed': option(
        'randomness.deterministc=True', 'randomness has', 'deterministc',
        'nearest is deterministic'),
    'what a function does not take': option(
        'optim_wrapper.clip_grad.max_nrm=1', 'optim_wrapper.clip_grad',
        'max_nrm', 'expected only what it takes'),
    'place beyond a list': option(
        f'{STEP}.9.clip_len=3', '--cfg-options', f'{STEP}.9',
        'expected names that lead into the config'),
    'channels of the head': option(
        'model.cls_head.in_channels=8', 'model.cls_head.in_channels',
        'returns 4 channels', 'built for 8'),
    'channels of the encoder': option(
        'model.backbone.in_channels=2', 'model.backbone.in_channels',
        'have 3 channels', 'built for 2'),
}


@pytest.mark.parametrize('site', OPTIONS.values(), ids=OPTIONS)
def test_options(site, warm, folder):
    done = warm('tools/train.py', 'tiny.py', '--cfg-options', site.change,
                cwd=folder)
    assert_says(done, site)


CONFIGS = {
    'missing': option(None, 'config', 'FileNotFoundError',
                      'expected a Python, YAML or JSON file'),
    'no Python': option(
        CONFIG + 'model = dict(', 'config', 'SyntaxError', 'expected a Py'),
    'a base missing': option(
        "_base_ = 'none.py'\n", 'config', "none.py')",
        'whose bases and custom_imports exist'),
    'a name that is not there': option(
        CONFIG + 'train_cfg = dict(max_epochs=epochs)', 'line 14',
        "'epochs' is not defined", 'expected a Python'),
    'an import that is not there': option(
        CONFIG + "custom_imports = dict(imports=['no_such_module'])",
        'custom_imports', "No module named 'no_such_module'",
        'custom_imports exist'),
    'a field nearly right': option(
        CONFIG + 'default_hook = dict(logger=dict(interval=1))',
        'default_hook ', 'no field of the Runner',
        'nearest is default_hooks'),
    'a field missing': option(
        CONFIG + 'optim_wrapper = None', 'optim_wrapper', 'is missing',
        'expected a dict'),
    'a layout without edges': option(
        CONFIG + "model['data_preprocessor'] = dict(layout=dict(\n"
        "    _delete_=True, joint_names=['a'] * 20, center=0))", 'layout',
        "missing 1 required positional argument: 'edges'",
        'Expected are joint_names, edges and center'),
    'a layout that is no tree': option(
        CONFIG + "model['data_preprocessor'] = dict(layout=dict(\n"
        "    _delete_=True, joint_names=['a'] * 20, center=0,\n"
        '    edges=[(1, 0)] * 19))', 'edges', 'reach 2 joints',
        'expected a tree of 19 pairs'),
    'an argument missing': option(
        CONFIG + 'custom_hooks = [dict(type="ScoreFileHook")]',
        'custom_hooks.0', "lacks 'path'", 'expected a value'),
}


@pytest.mark.parametrize('site', CONFIGS.values(), ids=CONFIGS)
def test_config_files(site, warm, folder):
    path = folder / 'tiny.py'
    if site.change is None:
        path.unlink()
    else:
        path.write_text(site.change)
    assert_says(warm('tools/train.py', 'tiny.py', cwd=folder), site)


def other_shape(state):
    state['cls_head.fc.weight'] = torch.zeros(7, 4)


def no_encoder(state):
    for name in [name for name in state if name.startswith('backbone.')]:
        del state[name]


CHECKPOINTS = {
    'of other classes': Site(
        other_shape, 'epoch_1.pth', 'cls_head.fc', 'weight (7, 4)',
        '(10, 4) in the model'),
    'without an encoder': Site(
        no_encoder, 'epoch_1.pth', 'backbone.data_bn', 'missing in the',
        'weight (60,)'),
    'of something else': Site(
        lambda state: (state.clear(), state.update(x=torch.zeros(1))),
        'epoch_1.pth', 'It has x', 'nothing in it fits', 'expected backbone'),
}


@pytest.mark.parametrize('resume', [False, True], ids=['test', 'resume'])
@pytest.mark.parametrize('site', CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_checkpoints(site, resume, warm, folder, checkpoint):
    content = torch.load(checkpoint)
    site.change(content['state_dict'])
    torch.save(content, folder / 'epoch_1.pth')
    command = (['tools/train.py', 'tiny.py', '--resume'] if resume else
               ['tools/test.py', 'tiny.py'])
    assert_says(warm(*command, 'epoch_1.pth', cwd=folder), site)


def test_a_checkpoint_of_another_config(warm, folder, checkpoint):
    """All layers that do not fit are named."""
    done = warm('tools/test.py', 'tiny.py', checkpoint, '--cfg-options',
                'model.backbone.base_channels=8',
                'model.cls_head.in_channels=8', cwd=folder)
    assert_says(done, Site(None, 'epoch_1.pth', 'cls_head.fc',
                           'weight (10, 4) in the checkpoint',
                           '(10, 8) in the model'))
    assert 'backbone.blocks.0.spatial.bn' in done.stderr


TESTS = {
    'checkpoint missing': (
        ['tiny.py', 'none.pth'],
        Site(None, 'tiny.py', 'Checkpoint', 'none.pth', 'does not exist')),
    'field of the Runner missing': (
        ['tiny.py', 'none.pth', '--cfg-options', 'test_evaluator=None'],
        Site(None, 'tiny.py', 'test_evaluator', 'is missing',
             'expected a dict')),
    'annotation file missing': (
        ['tiny.py', 'none.pth', '--cfg-options',
         'test_dataloader.dataset.ann_file=none.pkl'],
        Site(None, 'tiny.py', 'ann_file', 'none.pkl', 'expected a pickle')),
}


@pytest.mark.parametrize('command, site', TESTS.values(), ids=TESTS)
def test_testing(command, site, warm, folder):
    assert_says(warm('tools/test.py', *command, cwd=folder), site)


def test_labels_of_the_test_set(warm, folder, checkpoint):
    content = pickle.loads((folder / 'tiny.pkl').read_bytes())
    item(label=99)(content)
    (folder / 'tiny.pkl').write_bytes(pickle.dumps(content))
    done = warm('tools/test.py', 'tiny.py', checkpoint, cwd=folder)
    assert_says(done, Site(None, 'test_dataloader: tiny.pkl', 'label',
                           f'{SEQUENCE}: label is 99', 'expected 0 to 9'))


def test_joints_of_the_validation_set(warm, folder, tiny_annotations):
    tiny_annotations(joints=25, name='other.pkl')
    done = warm('tools/train.py', 'tiny.py', '--cfg-options',
                'val_dataloader.dataset.ann_file=other.pkl', cwd=folder)
    assert_says(done, Site(None, 'val_dataloader: other.pkl', 'layout',
                           'have 25 joints', 'built for 20'))


def scores(path, names='abc', classes=2, **changes):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(len(names), classes)).astype('f4')
    np.savez(path, **{**dict(
        names=np.array(list(names)), labels=np.arange(len(names)) % classes,
        logits=values, probabilities=values, classes=np.array([], 'U1'),
        config=np.array(''), checkpoint=np.array('')), **changes})


SCORES = {
    'missing': Site(Path.unlink, 'b.npz', 'could not be read', 'not there',
                    '*.npz of plain arrays'),
    'truncated': Site(
        lambda path: path.write_bytes(path.read_bytes()[:99]), 'b.npz',
        'could not be read', 'zip', '*.npz of plain arrays'),
    'of other sequences': Site(
        lambda path: scores(path, names='abd'), 'b.npz', 'sequences',
        'only in b.npz: d', 'only in a.npz: c'),
    'of other classes': Site(
        lambda path: scores(path, classes=3), 'b.npz', 'classes',
        'scores of 3', 'a.npz of 2'),
    'with a label too high': Site(
        lambda path: scores(path, labels=np.array([0, 5, 0])), 'b.npz',
        'the label of b', 'is 5', 'expected 0 to 1'),
    'with a sequence twice': Site(
        lambda path: scores(path, names='abb'), 'b.npz', 'b occurs',
        '2 times', 'expected each sequence once'),
}


@pytest.mark.parametrize('site', SCORES.values(), ids=SCORES)
def test_score_files(site, warm, tmp_path):
    for name in ('a.npz', 'b.npz'):
        scores(tmp_path / name)
    site.change(tmp_path / 'b.npz')
    done = warm('tools/ensemble.py', 'a.npz', 'b.npz', cwd=tmp_path)
    assert_says(done, site)


def ucla(**content):
    """A source for its converter: a file of a folder."""

    def make(folder):
        (folder / 'src').mkdir()
        (folder / 'src' / 'a01_s01_e00_v01.json').write_text(
            json.dumps(content))
    return make


SOURCES = {
    'NW-UCLA: missing': ('nw_ucla.py', Site(
        lambda folder: None, 'src', 'does not exist', 'expected',
        'all_sqe.zip')),
    'NW-UCLA: too few joints': ('nw_ucla.py', Site(
        ucla(label=1, skeletons=[[[0] * 3] * 19]), 'a01_s01_e00_v01.json',
        '"skeletons"', 'shape (1, 19, 3)', 'expected (frames, 20, 3)')),
    'NW-UCLA: another label': ('nw_ucla.py', Site(
        ucla(label=2, skeletons=[[[0] * 3] * 20]), 'a01_s01_e00_v01.json',
        '"label"', 'is 2', 'expected 1 for action 1')),
    'NTU: missing': ('ntu_rgbd.py', Site(
        lambda folder: None, 'src', 'does not exist', 'expected', 'zip')),
    'own data: missing': ('custom.py', Site(
        lambda folder: None, 'src', 'does not exist', 'expected',
        'a folder')),
}


@pytest.mark.parametrize('tool, site', SOURCES.values(), ids=SOURCES)
def test_sources(tool, site, warm, tmp_path):
    site.change(tmp_path)
    command = ['src', 'out.pkl']
    if tool == 'custom.py':
        command[1:1] = ['labels.csv', '--layout', 'coco']
    done = warm(f'tools/data/{tool}', *command, cwd=tmp_path)
    assert_says(done, site)
    assert not (tmp_path / 'out.pkl').exists()


def test_there_are_enough_sites():
    tables = (ANNOTATIONS, FILES, OPTIONS, CONFIGS, CHECKPOINTS, TESTS,
              SCORES, SOURCES)
    assert sum(map(len, tables)) >= 90


@pytest.mark.parametrize('site', [ANNOTATIONS['keypoint with NaN'],
                                  OPTIONS['encoder']], ids=['data', 'config'])
def test_the_server_changes_nothing(site, warm, folder):
    """The same in a process of its own."""
    command = ['tools/train.py', 'tiny.py']
    if callable(site.change):
        content = pickle.loads((folder / 'tiny.pkl').read_bytes())
        site.change(content)
        (folder / 'tiny.pkl').write_bytes(pickle.dumps(content))
    else:
        command += ['--cfg-options', site.change]
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', ROOT / command[0], *command[1:]],
        cwd=folder, capture_output=True, text=True, timeout=300)
    assert_says(done, site)
    assert warm(*command, cwd=folder).stderr == done.stderr


def test_a_bug_keeps_its_traceback(warm, folder):
    """Only what is wrong with the input ends in one line."""
    (folder / 'own.py').write_text(
        'from mmengine.hooks import Hook\n'
        'from mmengine.registry import HOOKS\n'
        '@HOOKS.register_module()\n'
        'class Buggy(Hook):\n'
        '    def before_train(self, runner):\n'
        '        raise ValueError("a bug")\n')
    (folder / 'tiny.py').write_text(
        'import sys\nsys.path.insert(0, ".")\n' + CONFIG
        + "custom_imports = dict(imports=['projects.stdcl', 'own'])\n"
        "custom_hooks = [dict(type='Buggy'), dict(type='MemoryBankHook')]\n")
    done = warm('tools/train.py', 'tiny.py', cwd=folder)
    assert done.returncode == 1 and 'Traceback' in done.stderr
    assert done.stderr.endswith('ValueError: a bug\n')


def test_an_error_in_a_worker(warm, folder):
    """A loader's process sends a traceback along, which is not shown."""
    content = pickle.loads((folder / 'tiny.pkl').read_bytes())
    for number, annotation in enumerate(content['annotations']):
        part = dict(keypoint=annotation.pop('keypoint'))
        if number == 3:
            part['keypoint'][:] = np.nan
        (folder / f'{annotation["frame_dir"]}.pkl').write_bytes(
            pickle.dumps(part))
    (folder / 'tiny.pkl').write_bytes(pickle.dumps(content))
    done = warm('tools/train.py', 'tiny.py', '--cfg-options',
                'train_dataloader.num_workers=1', *(
                    f'{part}.data_prefix.skeleton=.' for part in (
                        'train_dataloader.dataset.dataset',
                        'val_dataloader.dataset')),
                'val_dataloader.dataset.prepare=[]', cwd=folder)
    assert_says(done, Site(None, f'{SEQUENCE}.pkl', 'keypoint', 'is nan',
                           'expected finite numbers'))
    assert done.stderr.count('\n') == 1


RECIPES = {
    'published': 'stdcl-ctrgcn_1xb64-joint-u64-65e_ntu60-xsub',
    'MMAction2': 'stdcl-stgcn_8xb16-bone-u100-80e_ntu60-xsub',
    'NW-UCLA': 'stdcl-ctrgcn_1xb16-joint-motion-u52-65e_nw-ucla-xview',
}


@pytest.mark.parametrize('recipe', RECIPES)
def test_odd_sequences_leave_finite_weights(recipe, warm, tmp_path,
                                            tiny_annotations):
    """All zero, of one frame, both; and a class with one sequence only."""
    persons, joints = (1, 20) if recipe == 'NW-UCLA' else (2, 25)
    path = Path(tiny_annotations(persons=persons, joints=joints, classes=3))
    annotations = pickle.loads(path.read_bytes())['annotations']
    for number in (1, 5, 6, 11):
        annotations[number]['keypoint'][:] = 0
    for number in (5, 7, 8):
        annotations[number].update(
            total_frames=1, keypoint=annotations[number]['keypoint'][:, :1])
    annotations[7]['keypoint'][:] = 1  # all joints in one place
    annotations[9]['keypoint'][0] = 0  # only the second person
    annotations[0]['label'] = 4  # the only one of its class
    save(path, annotations)
    data, once = 'train_dataloader.dataset', []
    if recipe != 'published':  # it is repeated
        data, once = f'{data}.dataset', [f'{data}.times=1']
    done = warm(
        'tools/train.py',
        f'{ROOT}/configs/stdcl/{RECIPES[recipe]}-keypoint-3d.py',
        '--work-dir', '.', '--cfg-options', 'train_cfg.max_epochs=2',
        'model.backbone.base_channels=4', 'model.cls_head.in_channels=16',
        'model.cls_head.decoupler.reduction=2',
        'default_hooks.checkpoint.interval=1',
        'default_hooks.logger.interval=1', *once, *(
            f'{part}.ann_file=tiny.pkl' for part in (
                data, 'val_dataloader.dataset')), *(
            f'{part}_dataloader.{option}' for part in ('train', 'val')
            for option in ('num_workers=0', 'persistent_workers=False',
                           'batch_size=8')), cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    state = torch.load(tmp_path / 'epoch_2.pth')['state_dict']
    assert sum(tensor.numel() for tensor in state.values()) > 1000
    for name, tensor in state.items():
        assert tensor.isfinite().all(), name
    assert 'loss: nan' not in done.stdout and 'loss: ' in done.stdout
