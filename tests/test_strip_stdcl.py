"""Checkpoints without STD-CL fit the plain network and MMAction2."""
import hashlib
import importlib.util
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config

from projects.stdcl.catalogue import ENCODERS, find_config
from projects.stdcl.deployment.strip import strip, strip_file
from projects.stdcl.engine.hooks.checkpoint_fit_hook import load_to_test
from projects.stdcl.utils.input_error import InputError
from tests.commands import ROOT, accuracy

# a config of MMAction2 with a narrow encoder, on synthetic data
STGCN = 'stgcn_8xb16-joint-u100-80e_ntu60-xsub-keypoint-3d.py'
STOCK = f'''
    _base_ = 'mmaction::skeleton/stgcn/{STGCN}'
    model = dict(backbone=dict(base_channels=8),
                 cls_head=dict(num_classes=4, in_channels=32))
    loader = dict(num_workers=0, persistent_workers=False, batch_size=4)
    test_dataloader = dict(dataset=dict(ann_file='tiny.pkl'), **loader)
    '''
OURS = '''
    _base_ = ['stock.py', '{fragment}']
    custom_imports = dict(imports=['projects.stdcl'])
    model = dict(_base_.stdcl_model, clip_shape=(2, 100, 25, 3))
    '''


@pytest.mark.parametrize('encoder', ENCODERS)
def test_stripped_checkpoint_is_the_plain_network(encoder):
    plain, stdcl = (MODELS.build(Config.fromfile(
        find_config(encoder, 'synthetic', method)).model)
        for method in (False, True))
    stdcl.cls_head.resize_banks(8)
    loss = stdcl.cls_head.loss_contrast
    loss.scale = torch.nn.Parameter(torch.ones(1))  # as an own loss may have
    meta = dict(epoch=3, dataset_meta=dict(classes=['a']), trained_on=dict(
        contrast_block=[]))
    checkpoint = dict(meta=dict(meta, cfg="work_dir = '/home/me'",
                                trained_on=dict(contrast_block=[8])),
                      state_dict=stdcl.state_dict(), optimizer=dict(state=1),
                      message_hub=dict(a=1), param_schedulers=[])
    stripped = strip(checkpoint)
    assert set(stripped) == {'meta', 'state_dict'}
    assert stripped['meta'] == meta
    plain.load_state_dict(stripped['state_dict'], strict=True)
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, checkpoint['state_dict'][name])
    del stripped['meta']
    untrained = load_to_test(stdcl, stripped, 'a.pth')
    assert {name.split('.')[1] for name in untrained} == {'decoupler'}


def test_only_tensors_of_stdcl_are_removed():
    names = ['cls_head.decoupler.spatial.project.weight',
             'cls_head.temporal_bank.features',
             'module.cls_head.spatial_bank.labels', 'cls_head.fc.weight',
             'backbone.decoupler.weight', 'cls_head.decoupler_of_mine.weight']
    assert list(strip(dict(meta=None, state_dict=dict.fromkeys(names)))[
        'state_dict']) == names[3:]
    with pytest.raises(InputError, match='state_dict is missing'):
        strip(dict(meta={}))


def test_views_do_not_save_their_storage(tmp_path):
    torch.save(dict(state_dict={
        'backbone.weight': torch.arange(1_000_000.)[::250_000]}),
        tmp_path / 'whole.pth')
    path, removed = strip_file(tmp_path / 'whole.pth',
                               tmp_path / 'new' / 'net.pth')
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    assert path == tmp_path / 'new' / f'net-{digest}.pth' and removed == 0
    assert path.stat().st_size < 5_000


@pytest.fixture
def stock(tmp_path):
    """Return an environment with MMAction2, which does not need this project.

    The folder ``drn``, which is missing from the wheel, is added; see
    projects/stdcl/compat/mmaction_drn.py.
    """
    library = tmp_path / 'library'
    installed = Path(importlib.util.find_spec('mmaction').origin).parent
    shutil.copytree(installed, library / 'mmaction', copy_function=os.symlink)
    drn = library / 'mmaction/models/localizers/drn'
    if not drn.is_dir():
        drn.mkdir()
        (drn / '__init__.py').write_text('')
        (drn / 'drn.py').write_text('class DRN:\n    pass\n')
    (library / 'projects').mkdir()  # hides this project
    (library / 'projects/__init__.py').write_text('')
    return {**os.environ, 'PYTHONPATH': str(library), 'OMP_NUM_THREADS': '1'}


def test_under_mmaction2_alone(warm, stock, tmp_path, tiny_annotations):
    """MMAction2 alone gives the same scores as this project."""
    tiny_annotations(num=24, joints=25, persons=2, classes=4)
    (tmp_path / 'stock.py').write_text(textwrap.dedent(STOCK))
    (tmp_path / 'ours.py').write_text(textwrap.dedent(OURS).format(
        fragment=ROOT / 'configs/_base_/stdcl.py'))
    model = MODELS.build(Config.fromfile(tmp_path / 'ours.py').model)
    torch.nn.init.normal_(model.cls_head.fc.weight)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'whole.pth')
    ours = accuracy(warm('tools/test.py', 'ours.py', 'whole.pth', '--dump',
                         'ours.pkl', cwd=tmp_path))
    warm('tools/model_converters/strip_stdcl.py', 'whole.pth', 'net.pth',
         cwd=tmp_path)
    path, = tmp_path.glob('net-*.pth')

    tool = Path(stock['PYTHONPATH'], 'mmaction/.mim/tools/test.py')
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', tool, 'stock.py', path.name,
         '--dump', 'stock.pkl'], env=stock, cwd=tmp_path, capture_output=True,
        text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert 'unexpected key' not in done.stdout
    assert accuracy(done) == ours
    scores = [np.stack([sample['pred_score'] for sample in pickle.loads(
        (tmp_path / f'{name}.pkl').read_bytes())])
        for name in ('ours', 'stock')]
    assert np.ptp(scores[0], axis=0).max() > 1e-3  # sequences differ
    np.testing.assert_allclose(*scores, atol=1e-6)
