"""Each encoder and benchmark has configs that fit the data."""
import copy
import functools
import itertools
import re
from pathlib import Path

import pytest
import torch
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner

from projects.stdcl.catalogue import BENCHMARKS, CONFIGS, ENCODERS, find_config
from projects.stdcl.datasets.dataset_access import add_indices
from projects.stdcl.utils import config_check
from projects.stdcl.utils.skeleton_layout import LAYOUTS

REQUIRED = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper',
            'test_dataloader', 'test_cfg', 'test_evaluator')
every_encoder = pytest.mark.parametrize('encoder', ENCODERS)
DECOUPLERS = None, 'AttentiveDecoupler', 'ProjectionDecoupler'
# annotation file, prefix of the splits, layout, classes, persons in a clip
FACTS = {
    'ntu60-xsub': ('data/ntu/ntu60.pkl', 'xsub', 'nturgb+d', 60, 2),
    'ntu60-xview': ('data/ntu/ntu60.pkl', 'xview', 'nturgb+d', 60, 2),
    'ntu120-xsub': ('data/ntu/ntu120.pkl', 'xsub', 'nturgb+d', 120, 2),
    'ntu120-xset': ('data/ntu/ntu120.pkl', 'xset', 'nturgb+d', 120, 2),
    'nw-ucla-xview': ('data/nw_ucla/nw_ucla.pkl', 'xview', 'nw-ucla', 10, 1),
    'jhmdb': ('data/jhmdb/jhmdb.pkl', 'split1', 'jhmdb', 14, 1)}
ONE_PER_LAYOUT = {facts[2]: name for name, facts in FACTS.items()}.values()


@functools.lru_cache(maxsize=None)
def load(path: Path) -> Config:
    """Load and cache a config, which tests must not modify."""
    return Config.fromfile(path)


def leaf_datasets(cfg: Config) -> dict:
    """Return the innermost data set of each loader."""
    loaders = {name: cfg[f'{name}_dataloader'].dataset
               for name in ('train', 'val', 'test')}
    return {name: dataset.get('dataset', dataset)
            for name, dataset in loaders.items()}


def num_joints(backbone) -> int:
    layout = getattr(backbone, 'layout', None)
    return layout.num_joints if layout else backbone.graph.num_node


def test_every_combination_has_configs():
    matrix = {find_config(*pairing) for pairing in itertools.product(
        ENCODERS, [*BENCHMARKS, 'synthetic'], [False, True])}
    assert matrix == {path for path in CONFIGS.rglob('*.py')
                      if '_base_' not in path.parts
                      and 'recommended' not in path.name}


@pytest.mark.parametrize(
    'path', sorted(CONFIGS.rglob('stdcl-recommended-*')), ids=lambda p: p.stem)
def test_recommended_variant_changes_only_its_fragment(path):
    recommended = load(path)
    expected = copy.deepcopy(load(
        path.with_name(path.name.replace('recommended-', ''))))
    fragment = '_hcn' if 'hcn' in path.name else ''
    changes = load(CONFIGS / f'_base_/stdcl_recommended{fragment}.py'
                   ).stdcl_recommended
    expected.merge_from_dict(dict(model=changes))
    rest = recommended.to_dict()
    del rest['stdcl_recommended']
    assert rest == expected.to_dict()
    MODELS.build(recommended.model)


@pytest.mark.parametrize('benchmark', FACTS)
@every_encoder
def test_configs_fit_their_benchmark(encoder, benchmark):
    path = find_config(encoder, benchmark, stdcl=True)
    ann_file, split, layout, num_classes, num_person = FACTS[benchmark]
    assert path.name == (
        f'stdcl-{find_config(encoder, benchmark, stdcl=False).name}')
    cfg = load(path)
    config_check.check(cfg, REQUIRED)
    backbone, preprocessor = (MODELS.build(copy.deepcopy(cfg.model[part]))
                              for part in ('backbone', 'data_preprocessor'))
    assert cfg.model.cls_head.num_classes == num_classes
    assert preprocessor.stream == 'joint'
    assert preprocessor.layout.name == layout
    assert cfg.clip_shape[0] == num_person
    assert num_joints(backbone) == LAYOUTS[layout].num_joints
    assert getattr(backbone, 'num_person', num_person) == num_person

    for name, dataset in leaf_datasets(cfg).items():
        built = DATASETS.build({**dataset, 'lazy_init': True})
        part = 'train' if name == 'train' else 'val'
        assert built.split == f'{split}_{part}'
        assert built.ann_file == ann_file
        steps = {step.type: step for step in dataset.pipeline}
        assert {step.clip_len for step in steps.values()
                if 'clip_len' in step} == {cfg.clip_len}
        assert steps['FormatGCNInput'].num_person == num_person
        randomly = {'RandomView', 'RandomRotation'} & set(steps)
        assert not randomly or name == 'train'
        shuffled = cfg[f'{name}_dataloader'].sampler.shuffle
        assert shuffled == (name == 'train')


@pytest.mark.parametrize('benchmark', [*BENCHMARKS, 'synthetic'])
@every_encoder
def test_stdcl_is_the_plain_config_plus_the_fragment(encoder, benchmark):
    ours = load(find_config(encoder, benchmark, True)).to_dict()
    plain = load(find_config(encoder, benchmark, False)).to_dict()
    name = 'stdcl_hcn.py' if encoder == 'hcn' else 'stdcl.py'
    fragment = load(CONFIGS / '_base_' / name).to_dict()
    head = {**plain['model']['cls_head'],
            **fragment['stdcl_model']['cls_head']}
    assert ours['model'] == {
        **plain['model'], **fragment['stdcl_model'],
        'clip_shape': plain['clip_shape'], 'cls_head': head}
    ours['model'] = plain['model']
    assert ours == {**plain, **fragment}


@every_encoder
def test_same_seed_same_initial_weights(encoder):
    states = []
    for decoupler in (None, 'AttentiveDecoupler', 'ProjectionDecoupler'):
        cfg = stdcl_or_plain(encoder, 'synthetic', decoupler)
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        model.init_weights()
        states.append(model.state_dict())
    plain = states[0]
    for state in states[1:]:
        assert len(state) > len(plain)
        for name, value in plain.items():
            assert torch.equal(state[name], value), name


def narrow(cfg: Config, encoder: str) -> None:
    """Reduce an encoder to few channels, for speed."""
    cfg.model.backbone.base_channels = 24 if encoder == 'hyperformer' else 8
    if encoder == 'hyperformer':
        cfg.model.backbone.num_heads = 1
    preprocessor = MODELS.build(cfg.model.data_preprocessor)
    with torch.no_grad():
        feats = MODELS.build(cfg.model.backbone).eval()(
            preprocessor.make_stream(torch.zeros(
                1, *cfg.model.get('clip_shape', cfg.clip_shape))))
    cfg.model.cls_head.in_channels = feats.shape[2]


def stdcl_or_plain(encoder, benchmark, decoupler) -> Config:
    """Load a config with STD-CL, or a plain one if ``decoupler`` is None."""
    cfg = Config.fromfile(find_config(encoder, benchmark, bool(decoupler)))
    if decoupler:
        cfg.model.cls_head.decoupler.type = decoupler
    return cfg


# each encoder is combined with each layout and, separately, each decoupler
@pytest.mark.parametrize('encoder, benchmark, decoupler', [
    (encoder, benchmark, DECOUPLERS[(row + column) % 3])
    for row, encoder in enumerate(ENCODERS)
    for column, benchmark in enumerate(ONE_PER_LAYOUT)])
def test_trains(encoder, benchmark, decoupler, tmp_path, tiny_annotations):
    cfg = stdcl_or_plain(encoder, benchmark, decoupler)
    narrow(cfg, encoder)
    persons, _, joints, channels = cfg.clip_shape
    path = tiny_annotations(num=4, classes=2, persons=persons, joints=joints,
                            channels=channels)
    for name, dataset in leaf_datasets(cfg).items():
        cfg[f'{name}_dataloader'].update(
            num_workers=0, persistent_workers=False, batch_size=4)
        dataset.ann_file = path
    if 'times' in cfg.train_dataloader.dataset:
        cfg.train_dataloader.dataset.times = 1
    cfg.train_cfg.max_epochs = 1
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.work_dir = str(tmp_path)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert 0 <= runner.test()['acc/top1'] <= 1
    model = runner.model
    assert all(p.isfinite().all() for p in model.parameters())
    assert len(runner.optim_wrapper.optimizer.state) == len(
        [*model.parameters()])
    if decoupler:
        for bank in model.cls_head.spatial_bank, model.cls_head.temporal_bank:
            assert bank.labels.tolist() == [0, 1, 0, 1]
        share = runner.message_hub.get_scalar('train/anchor_share')
        assert share.current() == 1


STGCN = 'stgcn_8xb16-joint-u100-80e_ntu60-xsub-keypoint-{}d'
LINE = 'model = dict(_base_.stdcl_model, clip_shape=(2, 100, {}, 3))'


@pytest.mark.parametrize('line', ['model = dict(_base_.stdcl_model)',
                                  'model = dict(cls_head=_base_.stdcl_head)'])
@pytest.mark.parametrize('dims, joints', [(3, 25), (2, 17)])
def test_the_error_names_the_line(dims, joints, line, tmp_path):
    """Without clip_shape, the error shows the line to add to the config."""
    with pytest.raises(ValueError) as error:
        MODELS.build(
            stdcl_on(STGCN.format(dims), tmp_path, line).model).init_weights()
    assert '\n' not in str(error.value)
    named = re.search(r'model = dict\(.*?\)\)', str(error.value))[0]
    if 'stdcl_model' in line:  # otherwise, the joints are unknown
        assert named == LINE.format(joints)
        model = MODELS.build(
            stdcl_on(STGCN.format(dims), tmp_path, named).model)
        model.init_weights()
        for branch, size in (('temporal', 25), ('spatial', joints)):
            part = getattr(model.cls_head.decoupler, branch)
            assert part.project.in_features == part.reduce.out_channels * size


@pytest.mark.parametrize('wrong, fitting', [
    ('(2, 100, 17, 3)', '(2, 100, 25, 3)'),
    ('(2, 100, 25, 2)', '(2, 100, 25, 3)'),
    ('(100, 25, 3)', '(persons, frames, joints, channels)'),
    ('100', '(persons, frames, joints, channels)'),
    ('(2, 0, 25, 3)', 'frames is 0, expected a positive integer')])
def test_wrong_clip_shape(wrong, fitting, tmp_path):
    cfg = stdcl_on(STGCN.format(3), tmp_path, 'model = dict('
                   f'_base_.stdcl_model, clip_shape={wrong})')
    with pytest.raises(ValueError) as error:
        MODELS.build(cfg.model)
    assert '\n' not in str(error.value)
    assert fitting in str(error.value)
    assert wrong in str(error.value) or ', 0,' in wrong


PAGE = (CONFIGS.parent / 'docs/guides/own_encoder.md').read_text()


def test_options_in_the_guide_inherit_the_others(tmp_path):
    block, = re.findall(
        r"```python\n_base_ = 'my_encoder_stdcl.py'\n(model = .*?)```", PAGE,
        re.DOTALL)
    base = find_config('stgcn', 'synthetic', stdcl=True)
    path = tmp_path / 'option.py'
    path.write_text(f'_base_ = {str(base)!r}\n{block}')
    head = MODELS.build(Config.fromfile(path).model).cls_head
    assert type(head.decoupler).__name__ == 'AttentiveDecoupler'
    assert (head.loss_contrast.temperature, head.temporal_weight) == (0.1, 1)
    assert head.loss_contrast.num_negatives == Config.fromfile(
        base).model.cls_head.loss_contrast.num_negatives


@pytest.mark.parametrize('block', re.findall(
    r'```python\n(model = .*?_base_\.stdcl_head.*?)```', PAGE, re.DOTALL))
def test_options_beside_the_fragment(block, tmp_path):
    """The blocks in the guide extend the head that the fragment defines."""
    path = tmp_path / 'user.py'
    path.write_text(f"""_base_ = [
        {str(find_config('stgcn', 'nw-ucla-xview', stdcl=False))!r},
        {str(CONFIGS / '_base_/stdcl.py')!r}]
{block}""")
    cfg = Config.fromfile(path)
    model = MODELS.build(cfg.model)
    model.init_weights()
    assert f"type='{type(model.cls_head.decoupler).__name__}'" in block
    assert cfg.model.cls_head.spatial_weight == cfg.stdcl_head.spatial_weight


def stdcl_on(base: str, tmp_path, line: str) -> Config:
    """Build a user's config with STD-CL and a narrow encoder of MMAction2."""
    path = tmp_path / 'stdcl-user.py'
    path.write_text(
        f"_base_ = ['mmaction::skeleton/stgcn/{base}.py', "
        f"'{CONFIGS / '_base_' / 'stdcl.py'}']\n"
        "custom_imports = dict(imports=['projects.stdcl'])\n"
        f'{line}\n')
    cfg = Config.fromfile(path)
    cfg.model.backbone.base_channels = 8
    cfg.model.cls_head.in_channels = 32
    return cfg


@pytest.mark.parametrize('dims, decoupler', [(3, 'AttentiveDecoupler'),
                                             (2, 'ProjectionDecoupler')])
def test_fragment_on_configs_of_mmaction2(dims, decoupler, tmp_path,
                                          tiny_annotations):
    joints = 25 if dims == 3 else 17
    cfg = stdcl_on(STGCN.format(dims), tmp_path, LINE.format(joints))
    assert [hook.type for hook in cfg.custom_hooks] == [
        'MemoryBankHook', 'SkeletonCheckHook']
    cfg.model.cls_head.decoupler.type = decoupler
    model = MODELS.build(cfg.model)
    model.init_weights()

    part = cfg.train_dataloader.dataset.dataset
    # two-dimensional joints also have a score
    part.ann_file = tiny_annotations(num=4, joints=joints, channels=dims,
                                     persons=2, classes=2, score=dims == 2)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    model.cls_head.resize_banks(add_indices(dataset))

    data = pseudo_collate([dataset[i] for i in range(4)])
    losses = model(**model.data_preprocessor(data, training=True), mode='loss')
    assert losses['anchor_share'] == 1
    assert losses['loss_spatial'] > 0 and losses['loss_temporal'] > 0
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters()
               if p.grad is not None)
