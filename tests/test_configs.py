"""Every config loads and builds; the STD-CL fragment fits any of them."""
import copy
import functools
import itertools
import re
import types
from pathlib import Path

import pytest
import torch
import yaml
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from mmengine.utils import get_installed_path

from projects.stdcl.datasets.training_sequences import TrainingSequences
from projects.stdcl.utils import config_check
from projects.stdcl.utils.skeleton_layout import LAYOUTS

CONFIGS = Path(__file__).parents[1] / 'configs'
STREAMS = ('joint', 'bone', 'joint-motion', 'bone-motion')
# benchmark: data set, layout, classes, persons
BENCHMARKS = {
    'ntu60-xsub': ('ntu', 'nturgb+d', 60, 2),
    'ntu60-xview': ('ntu', 'nturgb+d', 60, 2),
    'ntu120-xsub': ('ntu', 'nturgb+d', 120, 2),
    'ntu120-xset': ('ntu', 'nturgb+d', 120, 2),
    'nw-ucla-xview': ('nw-ucla', 'nw-ucla', 10, 1)}
# encoder: its class; for each data set GPUs x batch, and frames-passes
ENCODERS = {
    'stgcn': ('STGCN', {'ntu': ('8xb16', 'u100-80e'),
                        'nw-ucla': ('1xb16', 'u52-65e')}),
    '2s-agcn': ('AAGCN', {'ntu': ('8xb16', 'u100-80e'),
                          'nw-ucla': ('1xb16', 'u52-65e')}),
    'ctrgcn': ('CTRGCN', {'ntu': ('1xb64', 'u64-65e'),
                          'nw-ucla': ('1xb16', 'u52-65e')}),
    'hyperformer': ('Hyperformer', {'ntu': ('1xb64', 'u64-140e'),
                                    'nw-ucla': ('1xb16', 'u52-150e')}),
    'hcn': ('HCN', {'ntu': ('1xb64', 'u64-400e'),
                    'nw-ucla': ('1xb16', 'u64-150e')})}


def name_of(encoder: str, benchmark: str, stream: str) -> str:
    """Name of a plain config, without .py."""
    batch, schedule = ENCODERS[encoder][1][BENCHMARKS[benchmark][0]]
    return f'{encoder}_{batch}-{stream}-{schedule}_{benchmark}-keypoint-3d'


# name: encoder, benchmark, stream
PLAIN = {name_of(*case): case for case in itertools.product(
    ENCODERS, BENCHMARKS, STREAMS)}
MATRIX = [CONFIGS / case[0] / f'{name}.py' for name, case in PLAIN.items()]
MATRIX += [CONFIGS / 'stdcl' / f'stdcl-{path.name}' for path in MATRIX]
SYNTHETIC = [CONFIGS / encoder / f'{encoder}_synthetic.py'
             for encoder in ENCODERS]
SYNTHETIC += [CONFIGS / 'stdcl' / f'stdcl-{path.name}' for path in SYNTHETIC]
STDCL = [path for path in MATRIX + SYNTHETIC if path.parent.name == 'stdcl']
# data set of the benchmark: split in the annotation file
SPLITS = {benchmark: benchmark.split('-')[-1] for benchmark in BENCHMARKS}


@functools.lru_cache(maxsize=None)
def load(path: Path) -> Config:
    """A config that no test may change."""
    return Config.fromfile(path)


def plain_of(path: Path) -> Path:
    """The config that a STD-CL config inherits."""
    name = path.name[len('stdcl-'):]
    return CONFIGS / name.split('_')[0] / name


def build_model(cfg):
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


def datasets_of(cfg) -> dict:
    """The innermost data set of each loader."""
    loaders = {name: cfg[f'{name}_dataloader'].dataset
               for name in ('train', 'val', 'test')}
    return {name: dataset.get('dataset', dataset)
            for name, dataset in loaders.items()}


def test_the_matrix_is_complete():
    assert len(MATRIX) == 200
    there = {path for path in CONFIGS.rglob('*.py')
             if '_base_' not in path.parts}
    assert there == set(MATRIX + SYNTHETIC)


@pytest.mark.parametrize('path', [*SYNTHETIC, *MATRIX],
                         ids=lambda path: path.stem)
def test_the_check_raises_no_false_alarm(path):
    config_check.check(load(path), (
        'model', 'train_dataloader', 'train_cfg', 'optim_wrapper',
        'test_dataloader', 'test_cfg', 'test_evaluator'))


@pytest.mark.parametrize('path', SYNTHETIC, ids=lambda path: path.stem)
def test_synthetic_builds(path):
    cfg = Config.fromfile(path)
    assert hasattr(build_model(cfg).cls_head, 'decoupler') == (path in STDCL)
    for dataset in datasets_of(cfg).values():
        DATASETS.build({**dataset, 'lazy_init': True})


@pytest.mark.parametrize('path', MATRIX, ids=lambda path: path.stem)
def test_matrix_builds(path):
    """Every config is what its name says."""
    encoder, benchmark, stream = PLAIN[path.stem.removeprefix('stdcl-')]
    encoder_type, settings = ENCODERS[encoder]
    data, layout, num_classes, persons = BENCHMARKS[benchmark]
    gpus_and_batch, schedule = settings[data]
    frames, epochs = map(int, re.findall(r'\d+', schedule))
    gpus, batch = map(int, gpus_and_batch.split('xb'))

    cfg = load(path)
    model = MODELS.build(copy.deepcopy(cfg.model))
    assert type(model.backbone).__name__ == encoder_type
    assert hasattr(model.cls_head, 'decoupler') == (path in STDCL)
    assert model.cls_head.num_classes == num_classes
    assert model.data_preprocessor.stream == stream
    assert model.data_preprocessor.layout.name == layout
    assert num_joints(model.backbone) == LAYOUTS[layout].num_joints
    assert getattr(model.backbone, 'num_person', persons) == persons

    for name, dataset in datasets_of(cfg).items():
        built = DATASETS.build({**dataset, 'lazy_init': True})
        assert type(built).__name__ == 'SkeletonDataset'
        part = 'train' if name == 'train' else 'val'
        assert built.split == f'{SPLITS[benchmark]}_{part}'
        assert Path(built.ann_file).stem == (
            'nw_ucla' if data == 'nw-ucla' else benchmark.split('-')[0])
        steps = {type(step).__name__: step
                 for step in built.pipeline.transforms}
        assert {step.clip_len for step in steps.values()
                if hasattr(step, 'clip_len')} == {frames}
        assert steps['FormatGCNInput'].num_person == persons
        randomly = {'RandomView', 'RandomRotation'} & set(steps)
        assert not randomly or name == 'train'

    # 80 passes are 16 epochs of MMAction2's five
    times = cfg.train_dataloader.dataset.get('times', 1)
    assert cfg.train_cfg.max_epochs == (
        epochs // times if 'u100' in schedule else epochs)
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.auto_scale_lr.base_batch_size == gpus * batch
    # the best epoch on the test set is not a result
    assert cfg.default_hooks.checkpoint.save_best is None


def num_joints(backbone) -> int:
    layout = getattr(backbone, 'layout', None)
    return layout.num_joints if layout else backbone.graph.num_node


@pytest.mark.parametrize('name, values', {
    'ctrgcn_1xb64-joint-u64-65e_ntu60-xsub': (0.1, 0.0004, [35, 55]),
    'ctrgcn_1xb16-joint-u52-65e_nw-ucla-xview': (0.1, 0.0001, [50]),
    'stgcn_1xb16-joint-u52-65e_nw-ucla-xview': (0.1, 0.0001, [50]),
    '2s-agcn_1xb16-joint-u52-65e_nw-ucla-xview': (0.1, 0.0001, [50]),
    'hyperformer_1xb64-joint-u64-140e_ntu60-xsub': (0.025, 0.0004, [110, 120]),
    'hyperformer_1xb64-bone-u64-140e_ntu60-xview': (0.01, 0.0004, [110, 120]),
    'hyperformer_1xb64-joint-u64-140e_ntu120-xset': (
        0.025, 0.0004, [110, 120]),
    'hyperformer_1xb16-joint-u52-150e_nw-ucla-xview': (0.025, 0, [110, 120]),
}.items())
def test_schedules_are_the_published_ones(name, values):
    path = CONFIGS / name.split('_')[0] / f'{name}-keypoint-3d.py'
    cfg = Config.fromfile(path)
    optimizer = cfg.optim_wrapper.optimizer
    warm_up, steps = cfg.param_scheduler
    assert (optimizer.lr, optimizer.weight_decay, steps.milestones) == values
    assert optimizer.nesterov and optimizer.momentum == 0.9
    assert warm_up.end == 5 and steps.gamma == 0.1


@pytest.mark.parametrize('name, values', {
    'hcn_1xb64-joint-u64-400e_ntu120-xset': (400, 32),
    'hcn_1xb16-joint-u64-150e_nw-ucla-xview': (150, 8)}.items())
def test_schedule_of_hcn(name, values):
    cfg = Config.fromfile(CONFIGS / 'hcn' / f'{name}-keypoint-3d.py')
    optimizer, (schedule, ) = cfg.optim_wrapper.optimizer, cfg.param_scheduler
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == (
        'Adam', 0.001, 0.0001)
    assert (schedule.type, schedule.gamma) == ('ExponentialLR', 0.99)
    # gradients are clipped at half the batch size
    assert (cfg.train_cfg.max_epochs,
            cfg.optim_wrapper.clip_grad.max_norm) == values


@pytest.mark.parametrize('encoder', ['stgcn', '2s-agcn'])
def test_mmaction2s_recipe_is_mmaction2s(encoder):
    """What these configs share with MMAction2's own of the same name."""
    name = f'{encoder}_8xb16-joint-u100-80e_ntu60-xsub-keypoint-3d.py'
    ours = Config.fromfile(CONFIGS / encoder / name)
    theirs = Config.fromfile(get_installed_path('mmaction')
                             + f'/.mim/configs/skeleton/{encoder}/{name}')
    # but for the loop that resumes exactly
    theirs.train_cfg.type = 'ReproducibleTrainLoop'
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg'):
        assert ours[key] == theirs[key], key
    assert ours.auto_scale_lr.base_batch_size == (
        theirs.auto_scale_lr.base_batch_size)
    for part, dataset in datasets_of(ours).items():
        stock = [dict(step) for step in datasets_of(theirs)[part].pipeline
                 if step.type != 'GenSkeFeat']
        steps = [dict(step) for step in dataset.prepare + dataset.pipeline]
        for step in stock:
            step.pop('num_clips', None) if part == 'val' else None
        for step in steps:
            step['type'] = step['type'].removeprefix('Fast')
        assert steps == stock, part
    for key in ('type', 'gcn_attention', 'graph_cfg'):
        assert ours.model.backbone.get(key) == theirs.model.backbone.get(key)


@pytest.mark.parametrize('path', STDCL, ids=lambda path: path.stem)
def test_stdcl_differs_from_plain_by_the_fragment_only(path):
    lines = [line for line in path.read_text().splitlines() if line]
    assert lines[-1] == 'model = dict(cls_head=_base_.stdcl_head)'
    assert ''.join(lines[:-1]).count('=') == 1  # _base_
    ours, plain = copy.deepcopy(load(path)), load(plain_of(path))
    name = 'stdcl_hcn.py' if '-hcn_' in path.name else 'stdcl.py'
    fragment = load(CONFIGS / '_base_' / name)
    ours.model.cls_head = plain.model.cls_head
    for key in fragment:
        ours.pop(key)
    assert ours.to_dict() == plain.to_dict()


def test_index_is_up_to_date(root, monkeypatch):
    """configs/README.md and configs/metafile.yml."""
    monkeypatch.syspath_prepend(root / 'tools/analysis')
    import config_index
    monkeypatch.setattr(config_index, 'Config',
                        types.SimpleNamespace(fromfile=load))
    configs = config_index.find_configs()
    assert {config['path'] for config in configs} == set(MATRIX)
    for name, make in (('README.md', config_index.make_readme),
                       ('metafile.yml', config_index.make_metafile)):
        assert (CONFIGS / name).read_text() == make(configs), (
            f'{name} is stale: python tools/analysis/config_index.py')


def test_index_links_every_config():
    text = (CONFIGS / 'README.md').read_text()
    links = re.findall(r'\[(\w+)\]\(([^)]*\.py)\)', text)
    assert {CONFIGS / link for _, link in links} == set(MATRIX)
    assert len(links) == len(MATRIX)
    letters = dict(zip(STREAMS, ('J', 'B', 'JM', 'BM')))
    for letter, link in links:
        name = Path(link).stem.removeprefix('stdcl-')
        assert letter == letters[PLAIN[name][2]]
    metafile = yaml.safe_load((CONFIGS / 'metafile.yml').read_text())
    models = {model['Name']: model for model in metafile['Models']}
    assert set(models) == {path.stem for path in MATRIX}
    for model in models.values():
        assert (CONFIGS.parent / model['Config']).stem == model['Name']
    known = {collection['Name'] for collection in metafile['Collections']}
    assert {model['In Collection'] for model in models.values()} == known
    # the authors' count of 2,647,868 is with 60 classes
    hcn = models['hcn_1xb64-joint-u64-400e_ntu60-xsub-keypoint-3d']
    assert hcn['Metadata']['Parameters'] == '2.65M'


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
            Runner.from_cfg(Config({**cfg, 'experiment_name': 'mismatch',
                                    'val_cfg': None, 'val_dataloader': None,
                                    'val_evaluator': None})).train()


NARROW = {'stgcn': (8, 32), '2s-agcn': (8, 32), 'ctrgcn': (8, 32),
          'hcn': (8, 32), 'hyperformer': (24, 24)}


def on_tiny_data(cfg, make_annotations, work_dir):
    """Put a config on 16 made sequences in the real format."""
    joints, persons = (20, 1) if 'nw-ucla' in cfg.filename else (25, 2)
    path = make_annotations(num=16, classes=4, joints=joints, persons=persons)
    for name in ('train', 'val', 'test'):
        cfg[f'{name}_dataloader'].update(
            num_workers=0, persistent_workers=False, batch_size=8)
    for name, dataset in datasets_of(cfg).items():
        dataset.ann_file = path
        dataset.indices = 16 if name == 'train' else 4
    if 'times' in cfg.train_dataloader.dataset:
        cfg.train_dataloader.dataset.times = 2
    cfg.train_cfg.max_epochs = 1
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = Path(cfg.filename).stem
    return cfg


def train_and_test(cfg):
    """One epoch and one test; returns the model and the training's hub."""
    runner = Runner.from_cfg(cfg)
    runner.train()
    metrics = runner.test()
    assert 0 <= metrics['acc/top1'] <= 1
    assert all(p.isfinite().all() for p in runner.model.parameters())
    return runner.model, runner.message_hub


def narrow_config(encoder, benchmark, decoupler) -> Config:
    """A config of a few channels, plain if there is no decoupler."""
    name = name_of(encoder, benchmark, 'joint')
    cfg = Config.fromfile(
        CONFIGS / 'stdcl' / f'stdcl-{name}.py' if decoupler else
        CONFIGS / encoder / f'{name}.py')
    _, layout, _, persons = BENCHMARKS[benchmark]
    base_channels, out_channels = NARROW[encoder]
    cfg.model.backbone.base_channels = base_channels
    if encoder == 'hyperformer':
        cfg.model.backbone.num_heads = 1
    cfg.model.cls_head.in_channels = out_channels
    if decoupler:
        cfg.model.cls_head.decoupler.type = decoupler
    if decoupler == 'ProjectionDecoupler':
        cfg.model.type = 'STDCLRecognizer'
        cfg.model.clip_shape = (persons, cfg.clip_len,
                                LAYOUTS[layout].num_joints, 3)
    return cfg


@pytest.mark.parametrize('encoder', ENCODERS)
def test_same_seed_same_start(encoder):
    """Encoder and classifier begin as they do without STD-CL."""
    states = []
    for decoupler in (None, 'AttentiveDecoupler', 'ProjectionDecoupler'):
        torch.manual_seed(0)
        model = MODELS.build(
            narrow_config(encoder, 'nw-ucla-xview', decoupler).model)
        model.init_weights()
        states.append(model.state_dict())
    plain = states[0]
    for state in states[1:]:
        assert len(state) > len(plain)
        for name, value in plain.items():
            assert torch.equal(state[name], value), name


@pytest.mark.parametrize('decoupler', [None, 'AttentiveDecoupler',
                                       'ProjectionDecoupler'])
@pytest.mark.parametrize('benchmark', ['nw-ucla-xview', 'ntu60-xsub'])
@pytest.mark.parametrize('encoder', ENCODERS)
def test_trains(encoder, benchmark, decoupler, tmp_path, tiny_annotations):
    """Data in the real format; the authors' own decoupler fails on NW-UCLA."""
    cfg = narrow_config(encoder, benchmark, decoupler)
    model, hub = train_and_test(on_tiny_data(cfg, tiny_annotations, tmp_path))
    if decoupler:
        for bank in model.cls_head.spatial_bank, model.cls_head.temporal_bank:
            assert torch.bincount(bank.labels,
                                  minlength=4).tolist() == [4] * 4
        share = hub.get_scalar('train/anchor_share')
        # in the first step of an NTU epoch a class may be alone
        assert share.current() == 1


def test_the_whole_matrix_was_run(root):
    """The record of the test below."""
    lines = (root / 'runs/matrix_200-configs_cpu.log').read_text().splitlines()
    passed = {line.split()[1] for line in lines if line.startswith('PASSED ')}
    assert passed == {path.stem for path in MATRIX}


@pytest.mark.slow
@pytest.mark.parametrize('path', MATRIX, ids=lambda path: path.stem)
def test_the_whole_matrix_trains(path, tmp_path, tiny_annotations):
    """One training and one test step of every config at its full width."""
    cfg = on_tiny_data(Config.fromfile(path), tiny_annotations, tmp_path)
    for name in ('train', 'val', 'test'):
        cfg[f'{name}_dataloader'].batch_size = 2
        cfg[f'{name}_dataloader'].dataset = dict(
            type='RepeatDataset', times=1, dataset=dict(
                datasets_of(cfg)[name], indices=2))
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    model, _ = train_and_test(cfg)
    if path in STDCL:
        assert len(model.cls_head.spatial_bank.labels) == 2
