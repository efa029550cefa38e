"""Every config loads and builds; the STD-CL fragment fits any of them."""
from pathlib import Path

import pytest
import torch
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner

from projects.stdcl.datasets.training_sequences import TrainingSequences

CONFIGS = Path(__file__).parents[1] / 'configs'
# folder: encoder, frames and epochs on NW-UCLA
ENCODERS = {'stgcn': ('STGCN', 'u52-65e'), '2s-agcn': ('AAGCN', 'u52-65e'),
            'ctrgcn': ('CTRGCN', 'u52-65e'), 'hcn': ('HCN', 'u64-150e'),
            'hyperformer': ('Hyperformer', 'u52-150e')}
FILES = sorted(path for path in CONFIGS.rglob('*.py')
               if '_base_' not in path.parts)
STDCL = [path for path in FILES if path.parent.name == 'stdcl']


def plain_of(path: Path) -> Path:
    """The config that a STD-CL config inherits."""
    name = path.name[len('stdcl-'):]
    return CONFIGS / name.split('_')[0] / name


def build_model(cfg):
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_builds(path):
    cfg = Config.fromfile(path)
    model = build_model(cfg)
    for loader in (cfg.train_dataloader, cfg.val_dataloader,
                   cfg.test_dataloader):
        dataset = loader.dataset.get('dataset', loader.dataset)
        DATASETS.build({**dataset, 'lazy_init': True})
    # what the file's name says
    stream = 'joint'
    if 'synthetic' not in path.stem:
        stream = path.stem.split('_')[1].split('-', 1)[1].rsplit('-', 2)[0]
    assert model.data_preprocessor.stream == stream
    assert ('stdcl' in path.stem) == hasattr(model.cls_head, 'decoupler')
    folder = plain_of(path) if path in STDCL else path
    assert type(model.backbone).__name__ == ENCODERS[folder.parent.name][0]
    clip_lens = {step['clip_len'] for loader in (
        cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader)
        for step in loader.dataset.get('dataset', loader.dataset).pipeline
        if 'clip_len' in step}
    assert clip_lens == {32 if 'synthetic' in path.stem else
                         64 if 'hcn' in path.stem else 52}
    # the best epoch on the test set is not a result
    assert cfg.default_hooks.checkpoint.save_best is None


def test_the_set_is_complete():
    streams = ('joint', 'bone', 'joint-motion', 'bone-motion')
    expected = set()
    for encoder, (_, schedule) in ENCODERS.items():
        names = [f'{encoder}_1xb16-{stream}-{schedule}_nw-ucla-xview-'
                 f'keypoint-3d' for stream in streams]
        names.append(f'{encoder}_synthetic')
        expected |= {f'{encoder}/{name}.py' for name in names}
        expected |= {f'stdcl/stdcl-{name}.py' for name in names}
    assert {str(path.relative_to(CONFIGS)) for path in FILES} == expected


@pytest.mark.parametrize('path', STDCL, ids=lambda path: path.stem)
def test_stdcl_differs_from_plain_by_the_fragment_only(path):
    lines = [line for line in path.read_text().splitlines() if line]
    assert lines[-1] == 'model = dict(cls_head=_base_.stdcl_head)'
    assert ''.join(lines[:-1]).count('=') == 1  # _base_
    ours, plain = Config.fromfile(path), Config.fromfile(plain_of(path))
    name = 'stdcl_hcn.py' if '-hcn_' in path.name else 'stdcl.py'
    fragment = Config.fromfile(CONFIGS / '_base_' / name)
    ours.model.cls_head = plain.model.cls_head
    for key in fragment:
        ours.pop(key)
    assert ours.to_dict() == plain.to_dict()


def stdcl_on(base: str, tmp_path, extra='') -> Config:
    """A user's config: STD-CL on a config of MMAction2's."""
    path = tmp_path / 'stdcl-user.py'
    path.write_text(
        f"_base_ = ['{base}', '{CONFIGS / '_base_' / 'stdcl.py'}']\n"
        "custom_imports = dict(imports=['projects.stdcl'])\n"
        f'model = dict(cls_head=_base_.stdcl_head{extra})\n')
    return Config.fromfile(path)


@pytest.mark.parametrize('decoupler', ['AttentiveDecoupler',
                                       'ProjectionDecoupler'])
@pytest.mark.parametrize('base, joints', [
    ('stgcn/stgcn_8xb16-joint-u100-80e_ntu60-xsub-keypoint-3d.py', 25),
    ('stgcn/stgcn_8xb16-joint-u100-80e_ntu60-xsub-keypoint-2d.py', 17)])
def test_fragment_on_configs_of_mmaction2(base, joints, decoupler, tmp_path,
                                          tiny_annotations):
    two_d = '2d' in base
    channels = 2 if two_d else 3  # two coordinates, and a score beside them
    cfg = stdcl_on(f'mmaction::skeleton/{base}', tmp_path)
    if decoupler == 'ProjectionDecoupler':
        cfg.merge_from_dict(dict(model=dict(
            type='STDCLRecognizer', clip_shape=(2, 100, joints, 3),
            cls_head=dict(decoupler=dict(type=decoupler)))))
    cfg.model.backbone.base_channels = 8  # narrow, for speed
    cfg.model.cls_head.in_channels = 32
    model = build_model(cfg)

    part = cfg.train_dataloader.dataset.dataset
    part.ann_file = tiny_annotations(num=4, joints=joints, channels=channels,
                                     persons=2, classes=2, score=two_d)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    sequences = TrainingSequences(dataset)
    sequences.deliver_indices()
    for bank in (model.cls_head.spatial_bank, model.cls_head.temporal_bank):
        bank.resize(len(sequences))

    # under the Runner both hooks see to it, from the fragment alone
    assert [hook.type for hook in cfg.custom_hooks] == [
        'MemoryBankHook', 'SkeletonCheckHook']

    data = pseudo_collate([dataset[i] for i in range(4)])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses = model(**model.data_preprocessor(data, training=True), mode='loss')
    assert losses['anchor_share'] == 1
    assert losses['loss_spatial'] > 0 and losses['loss_temporal'] > 0
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    optimizer.step()
    assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize('joints', [25, 17])
def test_runner_on_a_config_of_mmaction2(joints, tmp_path, tiny_annotations):
    cfg = stdcl_on('mmaction::skeleton/stgcn/stgcn_8xb16-joint-u100-80e_'
                   'ntu60-xsub-keypoint-3d.py', tmp_path)
    cfg.work_dir = str(tmp_path / 'work')
    cfg.model.backbone.base_channels = 4
    cfg.model.cls_head.merge(dict(in_channels=16,
                                  decoupler=dict(reduction=2)))
    cfg.train_cfg.max_epochs = 1
    path = tiny_annotations(num=8, joints=joints, persons=2)
    for name in ('train', 'val', 'test'):
        loader = cfg[f'{name}_dataloader']
        loader.update(num_workers=0, persistent_workers=False, batch_size=4)
        dataset = loader.dataset.get('dataset', loader.dataset)
        dataset.ann_file = path
        # it needs shoulders where 17 joints have none
        dataset.pipeline[0] = dict(type='PreNormalize3D', align_spine=False,
                                   align_shoulder=False)
    cfg.train_dataloader.dataset.times = 1
    runner = Runner.from_cfg(cfg)
    if joints == 25:
        runner.train()
        bank = runner.model.cls_head.temporal_bank
        assert sorted(bank.labels.tolist()) == list(range(8))
    else:
        cfg.train_dataloader.dataset.dataset.pipeline.pop(1)  # GenSkeFeat
        with pytest.raises(ValueError, match='17 joints.*built for 25'):
            Runner.from_cfg(Config({**cfg, 'experiment_name': 'misfit',
                                    'val_cfg': None, 'val_dataloader': None,
                                    'val_evaluator': None})).train()


NARROW = {'stgcn': (8, 32), '2s-agcn': (8, 32), 'ctrgcn': (8, 32),
          'hcn': (8, 32), 'hyperformer': (24, 24)}


@pytest.mark.parametrize('decoupler', ['AttentiveDecoupler',
                                       'ProjectionDecoupler'])
@pytest.mark.parametrize('encoder', ENCODERS)
def test_trains_on_nw_ucla(encoder, decoupler, tmp_path, tiny_annotations):
    """Data in the real format; the authors' own decoupler fails on them."""
    _, schedule = ENCODERS[encoder]
    cfg = Config.fromfile(
        CONFIGS / 'stdcl' / f'stdcl-{encoder}_1xb16-joint-{schedule}_'
        'nw-ucla-xview-keypoint-3d.py')
    cfg.work_dir = str(tmp_path / 'work')
    base_channels, out_channels = NARROW[encoder]
    cfg.model.backbone.base_channels = base_channels
    if encoder == 'hyperformer':
        cfg.model.backbone.num_heads = 1
    cfg.model.cls_head.in_channels = out_channels
    cfg.model.cls_head.decoupler.type = decoupler
    if decoupler == 'ProjectionDecoupler':
        cfg.model.type = 'STDCLRecognizer'
        cfg.model.clip_shape = (1, cfg.clip_len, 20, 3)
    path = tiny_annotations(num=16, classes=4)
    for name in ('train', 'val', 'test'):
        loader = cfg[f'{name}_dataloader']
        loader.update(num_workers=0, persistent_workers=False, batch_size=8)
        dataset = loader.dataset.get('dataset', loader.dataset)
        dataset.ann_file = path
    cfg.train_dataloader.dataset.times = 2
    cfg.train_cfg.max_epochs = 1
    runner = Runner.from_cfg(cfg)
    runner.train()
    head = runner.model.cls_head
    for bank in head.spatial_bank, head.temporal_bank:
        assert torch.bincount(bank.labels, minlength=4).tolist() == [4] * 4
    assert all(p.isfinite().all() for p in runner.model.parameters())
    assert runner.message_hub.get_scalar('train/anchor_share').current() == 1
