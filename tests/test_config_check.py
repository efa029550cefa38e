"""The config check accepts valid configs and explains build errors.

test_bad_input.py tests more errors. test_configs.py tests the configs of this
repository.
"""
from pathlib import Path

import pytest
from mmaction.registry import DATASETS, TRANSFORMS
from mmengine.config import Config
from mmengine.utils import get_installed_path

from projects.stdcl.apis.train import load_run_config
from projects.stdcl.utils.config_check import check, load_config, parse_options

REQUIRED = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')


def test_skeleton_configs_of_mmaction2():
    folder = Path(get_installed_path('mmaction'), '.mim/configs/skeleton')
    paths = sorted(folder.rglob('*.py'))
    assert len(paths) > 30
    for path in paths:
        check(load_config(str(path)), REQUIRED)


@pytest.fixture
def cfg(root):
    return Config.fromfile(root / 'configs/stdcl/stdcl-stgcn_synthetic.py')


@DATASETS.register_module()
def several_files(ann_file):
    """Build a data set of a user from a list of files."""


@pytest.mark.parametrize('text, value', [
    ('data/a b.pkl', 'data/a b.pkl'), ('"[5, a]"', [5, 'a']), ("'[5]'", [5]),
    ('(1,)', (1, )), ('1, 2', [1, 2]), (' 1e-3', 1e-3), ('false', False)])
@pytest.mark.filterwarnings('error')
def test_options_are_parsed(text, value):
    assert parse_options([f'a={text}']) == dict(a=value)


@pytest.mark.parametrize('options', [
    {'train_dataloader.dataset': dict(
        type='several_files', ann_file=['a', 'b'])},
    dict(clip_len=3, batch_size=4, dataset_root='x', tta_model=dict(),
         base_train_dataloader=dict(), val_dataloader_2=dict()),
    # a backbone from a different package
    {'model.backbone.type': 'torchvision.resnet18'},
    # a class instead of its name
    {'train_dataloader.dataset.pipeline.0.type': TRANSFORMS.get('PoseDecode')},
    # entries that builders remove before they call the class
    {'optim_wrapper.constructor': 'X', 'optim_wrapper.paramwise_cfg': dict(
        custom_keys=dict(backbone=dict(lr_mult=0.1)))},
    {'custom_hooks.0.priority': 'LOW', 'train_dataloader.collate_fn': dict(
        type='pseudo_collate')},
    # arguments that a constructor forwards to a different class
    {'model.backbone.gcn_adaptive': 'init',
     'model.backbone.tcn_norm': 'BN', 'model.cls_head.topk': (1, 3)},
    {'default_hooks.timer': None},
    {'param_scheduler.0.type': 'OneCycleLR', 'param_scheduler.0.eta_max': [1]},
    {'visualizer.vis_backends': [dict(
        type='WandbVisBackend', init_kwargs=dict(config=dict(backbone='x')))]},
    {'train_dataloader.num_batch_per_epoch': 3,
     'train_dataloader.batch_size': None},
], ids=lambda options: next(iter(options)))
def test_valid_options_pass(options, cfg):
    cfg.merge_from_dict(options)
    check(cfg, REQUIRED)


def test_arguments_of_a_run(root, monkeypatch):
    """A config of the new style names a class with its module."""
    path = root / 'configs/stdcl/stdcl-stgcn_synthetic.py'
    module = {'model.data_preprocessor.type':
              'projects.stdcl.models.SkeletonDataPreprocessor'}
    monkeypatch.setenv('HOME', '/home/me')
    cfg = load_run_config(path, '~/run', 'bone', None, module, 'none')
    assert cfg.model.data_preprocessor.stream == 'bone'
    assert cfg.work_dir == '/home/me/run'
    for text in '007', 'a,b':
        options = parse_options([f'work_dir={text}'])
        assert load_run_config(path, None, 'bone', None, options, 'none'
                               ).work_dir == f'{text}_bone'


def test_options_do_not_replace_or_change_each_other(root):
    path = str(root / 'configs/stdcl/stdcl-stgcn_synthetic.py')
    options = {
        'model.backbone.base_channels': 4,
        'model': dict(cls_head=dict(topk=1)),
        'custom_imports.imports': ['projects.stdcl', 'calendar'],
        'optim_wrapper': dict(_delete_=True, optimizer=dict(type='Adam')),
        'optim_wrapper.type': 'OptimWrapper',
        'param_scheduler': [dict(type='StepLR', step_size=3)],
        'param_scheduler.0.step_size': 4,
        'train_cfg.type': 'EpochBasedTrainLoop', 'train_cfg.max_epochs': 2,
        'train_cfg._delete_': True}
    for _ in range(2):  # such as two runs of a study
        cfg = load_config(path, options)
        assert cfg.model.backbone.base_channels == 4
        assert cfg.optim_wrapper == dict(
            type='OptimWrapper', optimizer=dict(type='Adam'))
        assert cfg.param_scheduler == [dict(type='StepLR', step_size=4)]
        assert len(cfg.train_cfg) == 2
