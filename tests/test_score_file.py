"""Score files: what a test writes, what can be read, what is refused."""
import copy
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS
from mmengine.config import Config
from mmengine.evaluator.metric import DumpResults
from mmengine.runner import Runner

from projects.stdcl.datasets.training_sequences import carry_names
from projects.stdcl.evaluation.score_file import Scores, read, write
from projects.stdcl.utils.input_error import InputError
from tests.commands import CONFIG, ROOT, call

SEQUENCES = 7  # neither a multiple of the batch nor of the processes
OPTIONS = {f'test_dataloader.{key}': value for key, value in {
    'batch_size': 2, 'dataset.num_sequences': SEQUENCES}.items()}
OPTIONS.update({'model.backbone.base_channels': 4,
                'model.cls_head.in_channels': 16,
                'model.data_preprocessor.stream': 'bone'})


@pytest.fixture
def config(tmp_path):
    cfg = Config.fromfile(ROOT / CONFIG)
    cfg.merge_from_dict(OPTIONS)
    cfg.work_dir = str(tmp_path / 'work')
    cfg.custom_hooks = [dict(type='ScoreFileHook',
                             path=str(tmp_path / 'new' / 'scores.npz'))]
    return cfg


_runs = iter(range(10**6))


@torch.no_grad()
def build_runner(cfg):
    """Build a model whose scores differ from sequence to sequence."""
    cfg = copy.deepcopy(cfg)
    runner = Runner.from_cfg(Config(
        {**cfg, 'experiment_name': f'scores-{next(_runs)}'},
        filename=cfg.filename))
    model = runner.model.train()
    torch.manual_seed(1)
    torch.nn.init.normal_(model.cls_head.fc.weight, std=1)
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = None  # takes the statistics below as they are
    inputs = [sample['inputs']
              for sample in DATASETS.build(cfg.test_dataloader.dataset)]
    model.extract_feat(model.data_preprocessor.make_stream(
        torch.stack(inputs)))
    return runner


@torch.no_grad()
def scores_by_hand(runner, cfg):
    """Score one sequence and one clip at a time."""
    model = runner.model.eval()
    logits, probabilities = [], []
    for sample in DATASETS.build(cfg.test_dataloader.dataset):
        rows = []
        for clip in sample['inputs']:  # (M, T, V, C)
            stream = model.data_preprocessor.make_stream(clip[None])
            rows.append(model.cls_head(model.backbone(stream))[0].double())
        logits.append(sum(rows) / len(rows))
        probabilities.append(
            sum(row.exp() / row.exp().sum() for row in rows) / len(rows))
    return torch.stack(logits), torch.stack(probabilities)


@pytest.mark.parametrize('num_clips, average_clips',
                         [(1, 'prob'), (3, 'prob'), (3, 'score')])
def test_clips_are_averaged_both_ways(config, tmp_path, num_clips,
                                      average_clips):
    config.test_dataloader.dataset.pipeline[1].num_clips = num_clips
    config.model.cls_head.average_clips = average_clips
    config.test_evaluator = [dict(
        type='DumpResults', out_file_path=str(tmp_path / 'scores.pkl'))]
    runner = build_runner(config)
    runner.test()
    assert not runner.model.cls_head._forward_hooks
    scores = read(tmp_path / 'new' / 'scores.npz')
    logits, probabilities = scores_by_hand(runner, config)
    np.testing.assert_allclose(scores.logits, logits, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(scores.probabilities, probabilities,
                               rtol=1e-4, atol=1e-6)
    # with several clips the two are not the same up to a softmax
    distance = abs(logits.softmax(dim=1) - probabilities).max()
    assert distance > 0.01 if num_clips > 1 else distance < 1e-6
    dumped = read(tmp_path / 'scores.pkl')
    own = 'probabilities' if average_clips == 'prob' else 'logits'
    assert dumped.kinds == (own, )
    np.testing.assert_allclose(getattr(dumped, own), getattr(scores, own),
                               rtol=1e-5, atol=1e-6)
    assert dumped.labels.tolist() == scores.labels.tolist()


def test_names_labels_classes_and_source(config, tmp_path):
    runner = build_runner(config)
    runner._load_from = 'somewhere/epoch_3.pth'
    runner.load_or_resume = lambda: None
    runner.test()
    first = read(tmp_path / 'new' / 'scores.npz')
    # once more with the same data set, and another model
    runner.model.cls_head.fc.bias.data += 1
    runner.test()
    scores = read(tmp_path / 'new' / 'scores.npz')
    np.testing.assert_allclose(scores.logits, first.logits + 1, atol=1e-4)
    dataset = DATASETS.build(config.test_dataloader.dataset)
    assert scores.names.tolist() == [
        dataset.get_data_info(i)['frame_dir'] for i in range(SEQUENCES)]
    assert scores.labels.tolist() == list(range(SEQUENCES))
    assert scores.classes == list(dataset.metainfo['classes'])
    assert (scores.stream, scores.config, scores.checkpoint) == (
        'bone', 'stdcl-stgcn_synthetic.py', 'epoch_3.pth')
    assert os.listdir(tmp_path / 'new') == ['scores.npz']  # nothing partial


def test_class_names_that_do_not_fit_are_left_out(config, tmp_path):
    config.test_dataloader.dataset.metainfo = dict(classes=['a', 'b'])
    build_runner(config).test()
    assert read(tmp_path / 'new' / 'scores.npz').classes == []


def test_sequences_without_names_are_refused(config):
    runner = build_runner(config)
    transforms = runner.test_dataloader.dataset.pipeline.transforms
    transforms.insert(0, lambda results: {
        key: value for key, value in results.items() if key != 'frame_dir'})
    with pytest.raises(InputError, match='has no "frame_dir"'):
        runner.test()


def test_names_reach_through_wrappers(config):
    part = config.test_dataloader.dataset
    loader = Runner.build_dataloader(dict(
        dataset=dict(type='RepeatDataset', times=2, dataset=dict(
            type='ConcatDataset', datasets=[
                part, {**part, 'seed': 5}])),
        batch_size=1, num_workers=0, num_batch_per_epoch=20,
        sampler=dict(type='DefaultSampler')))
    carry_names(loader.dataset)
    carry_names(loader.dataset)
    packer = loader.dataset.dataset.datasets[1].pipeline.transforms[-1]
    assert packer.meta_keys.count('frame_dir') == 1
    names = [loader.dataset[i]['data_samples'].metainfo['frame_dir']
             for i in (0, SEQUENCES, 2 * SEQUENCES)]
    assert names == ['nw-ucla_0_test_00000', 'nw-ucla_5_test_00000',
                     'nw-ucla_0_test_00000']


def test_pipelines_that_pack_nothing_are_refused(config):
    dataset = DATASETS.build({**config.test_dataloader.dataset,
                              'pipeline': [dict(type='PoseDecode')]})
    with pytest.raises(InputError, match='PackActionInputs'):
        carry_names(dataset)


def test_two_processes_write_what_one_writes(tmp_path, config):
    runner = build_runner(config)
    runner.test()
    torch.save(dict(state_dict=runner.model.state_dict()),
               tmp_path / 'model.pth')
    done = call('bash', ROOT / 'tools/dist_test.sh', ROOT / CONFIG,
                'model.pth', 2, '--dump', 'two.npz', '--cfg-options',
                *[f'{key}={value}' for key, value in OPTIONS.items()],
                cwd=tmp_path)
    assert done.stdout.count(
        f'Wrote the scores of {SEQUENCES} sequences to two.npz') == 1
    one = read(tmp_path / 'new' / 'scores.npz')
    two = read(tmp_path / 'two.npz')
    assert one.names.tolist() == two.names.tolist()
    assert len(one.names) == SEQUENCES
    assert one.labels.tolist() == two.labels.tolist()
    assert one.classes == two.classes and len(one.classes) == 16
    # batches differ, and so does the order of sums
    np.testing.assert_allclose(one.logits, two.logits, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(one.probabilities, two.probabilities,
                               atol=1e-4)
    assert one.logits.std(axis=0).min() > 0.1  # sequences differ
    assert one.config == two.config and two.checkpoint == 'model.pth'


# --- the file itself -------------------------------------------------------


def some_scores(path, n=5, k=4, **changes):
    rng = np.random.default_rng(n)
    logits = rng.normal(size=(n, k)).astype(np.float32)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    fields = dict(names=np.array([f'seq_{i}é' for i in range(n)]),
                  labels=rng.integers(0, k, n), logits=logits,
                  probabilities=probabilities,
                  classes=[f'class {i}' for i in range(k)],
                  stream='bone', config='a.py', checkpoint='b.pth')
    return Scores(path, **{**fields, **changes})


def test_our_format_is_plain_arrays(tmp_path):
    scores = some_scores(tmp_path / 'new' / 'a.npz')
    write(scores)
    again = read(scores.path)
    for field in ('names', 'labels', 'logits', 'probabilities'):
        np.testing.assert_array_equal(getattr(again, field),
                                      getattr(scores, field))
    for field in ('classes', 'stream', 'config', 'checkpoint'):
        assert getattr(again, field) == getattr(scores, field)
    with np.load(scores.path, allow_pickle=False) as file:
        kinds = {name: file[name].dtype.kind for name in file.files}
    assert kinds == dict(names='U', labels='i', logits='f', probabilities='f',
                         classes='U', stream='U', config='U', checkpoint='U')


@pytest.mark.parametrize('config, stream', [
    ('stdcl-ctrgcn_1xb16-bone-motion-u52-65e_nw-ucla-xview-keypoint-3d.py',
     'bone-motion'), ('stdcl-stgcn_synthetic.py', '')])
def test_older_files_are_read(tmp_path, config, stream):
    """Before they stored the stream, the config's name told it."""
    scores = some_scores(tmp_path / 'a.npz', config=config, classes=(),
                         labels=None)
    write(scores)
    with np.load(scores.path) as file:
        arrays = dict(file)
    del arrays['stream']
    np.savez(scores.path, **arrays)
    again = read(scores.path)
    assert (again.stream, again.classes) == (stream, [])
    assert again.labels.tolist() == [-1] * 5


def dump(path, value, protocol=4):
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize('named', [False, True])
def test_dumps_of_mmengine_are_read(tmp_path, named):
    scores, path = some_scores(tmp_path / 'a.npz'), tmp_path / 'a.pkl'
    metric = DumpResults(str(path))
    metric.process(None, [
        dict(pred_score=torch.from_numpy(row), gt_label=torch.tensor([label]),
             **(dict(frame_dir=name) if named else {}))
        for name, row, label in zip(scores.names, scores.probabilities,
                                    scores.labels)])
    metric.compute_metrics(metric.results)
    again = read(path)
    assert again.kinds == ('probabilities', )
    np.testing.assert_array_equal(again.probabilities, scores.probabilities)
    assert again.labels.tolist() == scores.labels.tolist()
    assert (again.names is not None) == named
    if named:
        assert again.names.tolist() == scores.names.tolist()


@pytest.mark.parametrize('kind', ['logits', 'probabilities'])
@pytest.mark.parametrize('form', [
    'dict.pkl', 'arrays.npz', 'list.pkl', 'array.pkl'])
def test_files_of_others_are_read(tmp_path, form, kind):
    """CTR-GCN and FR-Head write a dict, PYSKL a list."""
    scores, path = some_scores(tmp_path / 'a.npz'), tmp_path / form
    rows = getattr(scores, kind)
    table = dict(zip(scores.names.tolist(), rows))
    if form == 'arrays.npz':
        np.savez(path, **table)
    else:
        dump(path, {'dict.pkl': table, 'list.pkl': list(rows),
                    'array.pkl': rows}[form], protocol=2)
    again = read(path)
    assert again.kinds == (kind, )  # guessed
    np.testing.assert_array_equal(getattr(again, kind), rows)
    assert set(again.labels) == {-1}
    if form in ('dict.pkl', 'arrays.npz'):
        assert again.names.tolist() == scores.names.tolist()
    else:
        assert again.names is None


@pytest.mark.parametrize('row', [[-0.1, 0.6, 0.5], [0.2, 0.3, 0.4]])
def test_one_odd_sequence_makes_logits(tmp_path, row):
    path = dump(tmp_path / 'a.pkl', dict(a=[0.5, 0.25, 0.25], b=row))
    assert read(path).kinds == ('logits', )


@pytest.mark.parametrize('name', ['objects.npz', 'pickle.npz', 'a.pkl'])
def test_no_code_runs(tmp_path, name):
    class Attack:
        def __reduce__(self):
            return Path.touch, (tmp_path / 'loot', )

    path = dump(tmp_path / name, dict(a=Attack()))
    if name == 'objects.npz':
        np.savez(path, a=np.array([Attack()], dtype=object))
    with pytest.raises((InputError, pickle.UnpicklingError), match=name):
        read(path)
    assert not (tmp_path / 'loot').exists()


@pytest.mark.parametrize('content, message', [
    (3, 'expected a dict'),
    ([3], r'shape \(1,\), expected \(sequ'),
    ({}, 'expected a dict'),
    ([], 'expected a dict'),
    (dict(a='x'), 'expected a dict .*could not convert'),
    (dict(a=[1, 2], b=[1, 2, 3]), 'same shape'),
    ({'1': [1, 2], 1: [1, 2]}, 'name of 1 is 1, expected each name once'),
    (dict(a=[1, 2], b=[1, np.nan]), 'sum of logits of b is nan, .*1 of 2'),
    ([dict(pred_label=1)], r"KeyError\('pred_score'\)"),
    ([dict(pred_score=[1, 2], gt_label=[0, 1])], 'expected .*"gt_label"'),
    ([dict(pred_score=[1, 2], gt_label=0.5)], 'expected .*float'),
    ([dict(pred_score=[1, 2], gt_label=2)], 'sequence 0 .* is 2, .*0 to 1'),
])
def test_bad_pickles_are_named(tmp_path, content, message):
    path = dump(tmp_path / 'a.pkl', content)
    with pytest.raises(InputError, match=f'a.pkl: .*{message}'):
        read(path)


@pytest.mark.parametrize('changes, message', [
    (dict(logits=np.full((5, 4), np.inf)), 'sum of logits of seq_0. is inf'),
    (dict(names=np.array(list('abcad'))), 'is a, expected each name once'),
    (dict(names=np.array(['a'])), r'"names" .* \(1,\), expected \(5,\)'),
    (dict(labels=np.full(5, -2)), 'label of seq_0. is -2, expected 0 to 3'),
    (dict(logits=np.zeros(5)), r'shape \(5,\), expected \(sequences'),
    (dict(probabilities=np.zeros((5, 3))), r'"probabilities" .* \(5, 3\)'),
    (dict(classes=np.array(['x'])), r'"classes" has shape \(1,\)')])
def test_bad_archives_are_named(tmp_path, changes, message):
    write(some_scores(tmp_path / 'a.npz'))
    with np.load(tmp_path / 'a.npz') as file:
        np.savez(tmp_path / 'b.npz', **{**file, **changes})
    with pytest.raises(InputError, match=f'b.npz: .*{message}'):
        read(tmp_path / 'b.npz')


def test_missing_and_truncated_files(tmp_path):
    path = tmp_path / 'a.npz'
    for missing in (path, path.with_suffix('.pkl')):
        with pytest.raises(FileNotFoundError, match=missing.name):
            read(missing)
    with pytest.raises(InputError, match=r'a.txt: expected \*.npz'):
        read(path.with_suffix('.txt'))
    write(some_scores(path))
    content = path.read_bytes()
    for place in range(0, len(content), 97):
        path.write_bytes(content[:place])
        with pytest.raises(InputError, match='a.npz is damaged'):
            read(path)
