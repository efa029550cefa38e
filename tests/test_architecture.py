"""Adding an encoder and a data set works as docs/architecture.md says."""
import re
import shutil
import sys

import pytest

from projects.stdcl.catalogue import find_config
from tests.commands import ROOT, call

ENCODER = '''
"""My encoder: one convolution."""
import torch
import torch.nn as nn
from mmaction.registry import MODELS
from mmengine.model import BaseModule

from ...utils.skeleton_layout import SkeletonLayout


@MODELS.register_module()
class MyEncoder(BaseModule):

    def __init__(self, layout, in_channels=3, base_channels=8, init_cfg=None):
        super().__init__(init_cfg)
        self.layout = SkeletonLayout.get(layout)
        self.in_channels = in_channels
        self.convolution = nn.Conv2d(in_channels, base_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        persons = x.shape[:2]  # (N, M, T, V, C)
        x = self.convolution(x.flatten(0, 1).permute(0, 3, 1, 2))
        return x.unflatten(0, persons)  # (N, M, C', T, V)
'''
MODEL = '''
model = dict(
    type='RecognizerGCN',
    data_preprocessor=dict(type='SkeletonDataPreprocessor', layout='nw-ucla'),
    backbone=dict(type='MyEncoder', layout='nw-ucla'),
    cls_head=dict(type='GCNHead', in_channels=8, num_classes=16))
'''
STDCL = '''
_base_ = ['../stgcn_v2/{name}', '../_base_/stdcl.py']
model = dict(_base_.stdcl_model, clip_shape=_base_.clip_shape)
'''
CONVERTER = '''
"""My data: random sequences."""
import numpy as np

from .annotation_file import write_annotations


def convert(destination):
    rng = np.random.default_rng(0)
    annotations = [
        dict(frame_dir=str(number), label=number % 2, total_frames=9,
             keypoint=rng.normal(size=(1, 9, 20, 3)).astype(np.float32))
        for number in range(8)]
    names = [item['frame_dir'] for item in annotations]
    write_annotations(destination, annotations,
                      split=dict(my_train=names, my_val=names))
'''
DATA = '''
_base_ = 'nw-ucla-xview.py'
data = dict(ann_file='data/my.pkl', split='my_val')
few = dict(batch_size=4, num_workers=0, persistent_workers=False)
train_dataloader = dict(few, dataset=dict(
    times=1, dataset=dict(data, split='my_train')))
val_dataloader = test_dataloader = dict(few, dataset=data)
'''
COMMANDS = '''
from pathlib import Path

from projects.stdcl.apis import test, train
from projects.stdcl.catalogue import find_config
from projects.stdcl.datasets.converters.my_data import convert

convert(Path('data/my.pkl'))
find_config('stgcn', 'nw-ucla-xview', stdcl=True)  # one of similar names
for benchmark, few in {
        'synthetic': {f'{part}_dataloader.dataset.num_sequences': 16
                      for part in ('train', 'val', 'test')},
        'my-data': {}}.items():
    runner = train(find_config('stgcn_v2', benchmark, stdcl=True),
                   cfg_options={'train_cfg.max_epochs': 1,
                                'train_dataloader.batch_size': 4, **few})
    assert type(runner.model.backbone).__name__ == 'MyEncoder'
    assert runner.iter >= 1
    test(runner.cfg.filename, f'{runner.work_dir}/epoch_1.pth',
         cfg_options=few)
'''


def add_line(path, after: str, line: str) -> None:
    text = path.read_text()
    assert f'{after}\n' in text
    path.write_text(text.replace(f'{after}\n', f'{after}\n{line}\n', 1))


def add_encoder(root) -> None:
    """Make the four edits that the section "A new encoder" describes."""
    package, configs = root / 'projects' / 'stdcl', root / 'configs'
    backbones = package / 'models' / 'backbones'
    (backbones / 'my_encoder.py').write_text(ENCODER)
    add_line(backbones / '__init__.py', 'from .hyperformer import Hyperformer',
             'from .my_encoder import MyEncoder  # noqa: F401')
    add_line(package / 'catalogue.py', 'ENCODERS = {',
             "    'stgcn_v2': Encoder('Mine'),")
    (configs / 'stgcn_v2').mkdir()
    # derive the configs with and without STD-CL from those of ST-GCN
    for benchmark in ('synthetic', 'nw-ucla-xview'):
        path = find_config('stgcn', benchmark, stdcl=False)
        name = path.name.replace('stgcn', 'stgcn_v2')
        base = path.read_text().split('model = ')[0].replace(
            "'../_base_/models/stgcn.py',", '')
        (configs / 'stgcn_v2' / name).write_text(base + MODEL)
        (configs / 'stdcl' / f'stdcl-{name}').write_text(
            STDCL.format(name=name))


def add_data_set(root) -> None:
    """Make the four edits that the section "A new data set" describes."""
    package, configs = root / 'projects' / 'stdcl', root / 'configs'
    (package / 'datasets' / 'converters' / 'my_data.py').write_text(CONVERTER)
    (configs / '_base_' / 'datasets' / 'my-data.py').write_text(DATA)
    add_line(package / 'catalogue.py', 'BENCHMARKS = {',
             "    'my-data': 'Mine',")
    for path in list(configs.glob('*/*_nw-ucla-xview-keypoint-3d.py')):
        text = path.read_text().replace('nw-ucla-xview-keypoint',
                                        'my-data-keypoint')
        text = re.sub(r'datasets/nw-ucla-xview\w*\.py',
                      'datasets/my-data.py', text)
        if path.parent.name != 'stdcl':
            text += "model['cls_head']['num_classes'] = 2\n"
        name = path.name.replace('nw-ucla-xview', 'my-data')
        (path.parent / name).write_text(text)


@pytest.mark.parametrize('package', ['models', 'datasets', 'engine'])
def test_what_a_subpackage_must_not_import(package):
    upper = (r'(?:from|import) (?:\.+|projects\.stdcl\.|\.+ import )'
             r'(apis|evaluation|deployment|visualization|studies)\b')
    found = {(path.name, name)
             for path in (ROOT / 'projects/stdcl' / package).rglob('*.py')
             for name in re.findall(upper, path.read_text())}
    assert found <= {('score_file_hook.py', 'evaluation')}


def test_a_new_encoder_on_a_new_data_set(tmp_path, monkeypatch):
    for name in ('configs', 'projects'):
        shutil.copytree(ROOT / name, tmp_path / name,
                        ignore=shutil.ignore_patterns('__pycache__'))
    add_encoder(tmp_path)
    add_data_set(tmp_path)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    call(sys.executable, '-c', COMMANDS, cwd=tmp_path)
    for benchmark in ('synthetic', 'my-data'):
        assert list(tmp_path.glob(
            f'work_dirs/stdcl-stgcn_v2_*{benchmark}*/epoch_1.pth'))
        # each test has a folder, so tests on different data keep their files
        assert list(tmp_path.glob(
            f'work_dirs/*{benchmark}*/20*/epoch_1_classes.csv'))
