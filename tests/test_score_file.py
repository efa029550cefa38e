"""Score files: what a test writes, what is read, what is refused."""
import copy
import os
import pickle
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS
from mmengine.config import Config
from mmengine.evaluator.metric import DumpResults
from mmengine.runner import Runner

from projects.stdcl.apis.test import add_dump
from projects.stdcl.engine.hooks.score_file_hook import deliver_names
from projects.stdcl.evaluation.score_file import (
    ScoreFileError,
    Scores,
    read,
    write,
)
from projects.stdcl.utils.input_error import InputError
from projects.stdcl.utils.trusted_files import VARIABLE

CONFIG = 'configs/stdcl/stdcl-stgcn_synthetic.py'
SEQUENCES = 7  # neither a multiple of the batch nor of the processes
OPTIONS = {f'test_dataloader.{key}': value for key, value in {
    'batch_size': 2, 'dataset.num_sequences': SEQUENCES}.items()}
OPTIONS.update({'model.backbone.base_channels': 4,
                'model.cls_head.in_channels': 16})


@pytest.fixture
def config(root, tmp_path):
    cfg = Config.fromfile(root / CONFIG)
    cfg.merge_from_dict(OPTIONS)
    cfg.work_dir = str(tmp_path / 'work')
    cfg.custom_hooks = [dict(type='ScoreFileHook',
                             path=str(tmp_path / 'new' / 'scores.npz'))]
    return cfg


_runs = iter(range(10**6))


@torch.no_grad()
def build_runner(cfg):
    """With a model whose scores differ from sequence to sequence."""
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
    """One sequence and one clip at a time."""
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    model = runner.model.eval()
    logits, probabilities = [], []
    for sample in dataset:
        rows = []
        for clip in sample['inputs']:  # (M, T, V, C)
            stream = model.data_preprocessor.make_stream(clip[None])
            row = model.cls_head(model.backbone(stream))[0]
            rows.append(row.double())
        logits.append(sum(rows) / len(rows))
        probabilities.append(
            sum(row.exp() / row.exp().sum() for row in rows) / len(rows))
    return torch.stack(logits), torch.stack(probabilities)


@pytest.mark.parametrize('num_clips', [1, 3])
@pytest.mark.parametrize('average_clips', ['prob', 'score'])
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
    # what is written twice would be of no use if it were the same
    distance = abs(logits.softmax(dim=1) - probabilities).max()
    assert distance > 0.01 if num_clips > 1 else distance < 1e-6
    dumped = read(tmp_path / 'scores.pkl')
    own = 'probabilities' if average_clips == 'prob' else 'logits'
    assert dumped.kinds == (own, )
    np.testing.assert_allclose(getattr(dumped, own), getattr(scores, own),
                               rtol=1e-5, atol=1e-6)
    assert dumped.labels.tolist() == scores.labels.tolist()


def test_names_labels_classes_and_where_from(config, tmp_path):
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
    assert scores.config == 'stdcl-stgcn_synthetic.py'
    assert scores.checkpoint == 'epoch_3.pth'
    assert os.listdir(tmp_path / 'new') == ['scores.npz']  # nothing partial


def test_class_names_that_do_not_fit_are_left_out(config, tmp_path):
    config.test_dataloader.dataset.metainfo = dict(classes=['a', 'b'])
    build_runner(config).test()
    assert read(tmp_path / 'new' / 'scores.npz').classes == []


def test_sequences_without_names_are_refused(config):
    config.test_dataloader.dataset.pipeline.insert(0, dict(
        type='Rename', mapping=dict(frame_dir='other')))

    class Rename:
        def __init__(self, mapping):
            self.mapping = mapping

        def __call__(self, results):
            for old, new in self.mapping.items():
                results[new] = results.pop(old)
            return results

    from mmaction.registry import TRANSFORMS
    TRANSFORMS.register_module(module=Rename)
    try:
        with pytest.raises(ValueError, match='has no "frame_dir"'):
            build_runner(config).test()
    finally:
        del TRANSFORMS._module_dict['Rename']


def test_names_reach_through_wrappers(config):
    part = config.test_dataloader.dataset
    loader = Runner.build_dataloader(dict(
        dataset=dict(type='RepeatDataset', times=2, dataset=dict(
            type='ConcatDataset', datasets=[
                part, {**part, 'seed': 5}])),
        batch_size=1, num_workers=0, num_batch_per_epoch=20,
        sampler=dict(type='DefaultSampler')))
    deliver_names(loader.dataset)
    deliver_names(loader.dataset)
    packer = loader.dataset.dataset.datasets[1].pipeline.transforms[-1]
    assert packer.meta_keys.count('frame_dir') == 1
    names = [loader.dataset[i]['data_samples'].metainfo['frame_dir']
             for i in (0, SEQUENCES, 2 * SEQUENCES)]
    assert names == ['nw-ucla_0_test_00000', 'nw-ucla_5_test_00000',
                     'nw-ucla_0_test_00000']


def test_pipelines_that_pack_nothing_are_refused(config):
    dataset = DATASETS.build({**config.test_dataloader.dataset,
                              'pipeline': [dict(type='PoseDecode')]})
    with pytest.raises(ValueError, match='without PackActionInputs'):
        deliver_names(dataset)


def test_two_processes_write_what_one_writes(root, tmp_path, config):
    runner = build_runner(config)
    runner.test()
    torch.save(dict(state_dict=runner.model.state_dict()),
               tmp_path / 'model.pth')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    done = subprocess.run(
        ['bash', str(root / 'tools/dist_test.sh'), str(root / CONFIG),
         'model.pth', '2', '--dump', 'two.npz', '--cfg-options',
         *[f'{key}={value}' for key, value in OPTIONS.items()]],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, env={
            **os.environ, 'OMP_NUM_THREADS': '1', 'PORT': str(port),
            'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}'})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert f'Scores of {SEQUENCES} sequences are in two.npz' in done.stdout
    assert done.stdout.count('Scores of') == 1
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


def test_dump_wants_a_known_format():
    with pytest.raises(InputError, match=r'scores.txt, expected \*.npz'):
        add_dump(Config(), 'scores.txt')


# --- the file itself -------------------------------------------------------


def some_scores(path, n=5, k=4, **changes):
    rng = np.random.default_rng(n)
    logits = rng.normal(size=(n, k)).astype(np.float32)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    fields = dict(names=np.array([f'seq_{i}é' for i in range(n)]),
                  labels=rng.integers(0, k, n), logits=logits,
                  probabilities=probabilities,
                  classes=[f'class {i}' for i in range(k)],
                  config='a.py', checkpoint='b.pth')
    return Scores(path, **{**fields, **changes})


def same(a, b):
    for field in ('names', 'labels', 'logits', 'probabilities'):
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
    assert (a.classes, a.config, a.checkpoint) == (
        b.classes, b.config, b.checkpoint)


def test_our_format_is_plain_arrays(tmp_path):
    scores = some_scores(tmp_path / 'new' / 'a.npz')
    write(scores)
    same(read(scores.path), scores)
    with np.load(scores.path, allow_pickle=False) as file:
        kinds = {name: file[name].dtype.kind + str(file[name].itemsize)
                 if file[name].dtype.kind != 'U' else 'U'
                 for name in file.files}
    assert kinds == dict(names='U', labels='i8', logits='f4',
                         probabilities='f4', classes='U', config='U',
                         checkpoint='U')


def test_unknown_classes_and_labels(tmp_path):
    scores = some_scores(tmp_path / 'a.npz', classes=(), labels=None)
    write(scores)
    again = read(scores.path)
    assert again.classes == [] and again.labels.tolist() == [-1] * 5


def dump(path, value, protocol=4):
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


def test_dumps_of_mmengine_are_read(tmp_path):
    scores = some_scores(tmp_path / 'a.npz')
    for names in (False, True):
        path = tmp_path / f'names_{names}.pkl'
        metric = DumpResults(str(path))
        metric.process(None, [
            dict(pred_score=torch.from_numpy(row),
                 gt_label=torch.tensor([label]),
                 **(dict(frame_dir=name) if names else {}))
            for name, row, label in zip(scores.names, scores.probabilities,
                                        scores.labels)])
        metric.compute_metrics(metric.results)
        again = read(path)
        assert again.kinds == ('probabilities', )
        np.testing.assert_array_equal(again.probabilities,
                                      scores.probabilities)
        assert again.labels.tolist() == scores.labels.tolist()
        assert (again.names is not None) == names
        if names:
            assert again.names.tolist() == scores.names.tolist()


@pytest.mark.parametrize('suffix', ['pkl', 'npz'])
@pytest.mark.parametrize('kind', ['logits', 'probabilities'])
def test_tables_of_others_are_read(tmp_path, suffix, kind):
    scores = some_scores(tmp_path / 'a.npz')
    table = dict(zip(scores.names.tolist(), getattr(scores, kind)))
    path = tmp_path / f'table.{suffix}'
    if suffix == 'npz':
        np.savez(path, **table)
    else:
        dump(path, table, protocol=2)
    again = read(path)
    assert again.kinds == (kind, )  # found out
    assert again.names.tolist() == scores.names.tolist()
    assert set(again.labels) == {-1}
    np.testing.assert_array_equal(getattr(again, kind), getattr(scores, kind))
    for stated in ('logits', 'probabilities'):
        assert read(path, stated).kinds == (stated, )


@pytest.mark.parametrize('row', [[-0.1, 0.6, 0.5], [0.2, 0.3, 0.4]])
def test_one_odd_sequence_makes_logits(tmp_path, row):
    path = dump(tmp_path / 'a.pkl', dict(a=[0.5, 0.25, 0.25], b=row))
    assert read(path).kinds == ('logits', )


class Attack:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return Path.touch, (Path(self.path), )


def attack_in_npz(path, loot):
    np.savez(path, a=np.array([Attack(loot)], dtype=object))


ATTACKS = {
    'table.pkl': lambda path, loot: dump(path, dict(a=Attack(loot))),
    'list.pkl': lambda path, loot: dump(
        path, [dict(pred_score=Attack(loot), gt_label=0)]),
    'array.pkl': lambda path, loot: dump(
        path, dict(a=np.array([Attack(loot)], dtype=object))),
    'object.npz': attack_in_npz,
    # np.load takes a pickle for one whatever it is called
    'pickle.npz': lambda path, loot: dump(path, Attack(loot))}


@pytest.mark.parametrize('name', ATTACKS)
def test_malicious_files_run_nothing(tmp_path, name):
    path, loot = tmp_path / name, tmp_path / 'loot'
    ATTACKS[name](path, loot)
    loaded = np.load(path, allow_pickle=True)  # the attack is real
    if name == 'object.npz':
        loaded['a']
    assert loot.exists()
    loot.unlink()
    with pytest.raises(ScoreFileError, match=re.escape(str(path))) as caught:
        read(path)
    assert not loot.exists()
    assert (VARIABLE in str(caught.value)) == (path.suffix == '.pkl')


def ours(**changes):
    """A file of ours with other arrays in it."""
    def make(path):
        write(some_scores(path))
        with np.load(path) as file:
            arrays = dict(file)
        arrays.update(changes)
        np.savez(path, **arrays)
    return make


def pickled(value):
    return lambda path: dump(path, value)


NAN = np.float32([[0] * 4] * 3 + [[0, np.nan, 0, 0]] + [[0] * 4])


@pytest.mark.parametrize('name, make, message', [
    ('a.txt', Path.touch, r'a.txt: expected \*.npz, \*.pkl or'),
    ('a.pkl', lambda path: None, "No such file.*a.pkl"),
    ('a.npz', lambda path: None, "a.npz could not be read; it is not there"),
    ('a.npz', Path.touch, 'a.npz could not be read'),
    ('a.npz', lambda path: path.write_bytes(b'PK\x03\x04 no zip'),
     'a.npz could not be read; .*damaged'),
    ('a.npz', lambda path: np.ones(3).dump(path), 'a.npz could not be read'),
    ('a.pkl', lambda path: path.write_bytes(b'no pickle'), 'a.pkl.*damaged'),
    ('a.pkl', pickled(3), 'a.pkl holds a int, expected a dict of'),
    ('a.pkl', pickled([3]), 'a.pkl holds a list, expected a dict of'),
    ('a.pkl', pickled({}), 'a.pkl holds no sequence'),
    ('a.pkl', pickled([]), 'a.pkl holds no sequence'),
    ('a.pkl', pickled(dict(a=[])), r'a.pkl has scores of shape \(1, 0\)'),
    ('a.pkl', pickled(dict(a='x')), 'a.pkl: the scores of a are no numbers'),
    ('a.pkl', pickled(dict(a=1.5)), r'scores of a have shape \(\), expected '
     r'\(classes,\)'),
    ('a.pkl', pickled(dict(a=[[1, 2]])), r'of a have shape \(1, 2\)'),
    ('a.pkl', pickled(dict(a=[1, 2], b=[1, 2, 3])),
     r'of b have shape \(3,\), expected \(2,\) as those before'),
    ('a.pkl', pickled({'1': [1, 2], 1: [1, 2]}), '1 occurs 2 times'),
    ('a.pkl', pickled([dict(pred_label=1)]),
     r'a.pkl: sequence 0 .* has no "pred_score", but \[\'pred_label\'\]'),
    ('a.pkl', pickled([dict(pred_score=[1, 2], gt_label=[0, 1])]),
     r'"gt_label" of sequence 0 .* is \[0 1\], expected one whole'),
    ('a.pkl', pickled([dict(pred_score=[1, 2], gt_label=0.5)]),
     r'is \[0.5\], expected one whole'),
    ('a.pkl', pickled([dict(pred_score=[1, 2], gt_label=2)]),
     'label of sequence 0 .* is 2, expected 0 to 1'),
    ('a.pkl', pickled([dict(pred_score=[1, 2], gt_label=-2)]),
     'label of sequence 0 .* is -2, expected 0 to 1'),
    ('a.pkl', pickled(dict(a=[1, 2], b=[1, float('nan')])),
     'a.pkl: the logits of 1 sequences are not finite, .* b'),
    ('a.npz', ours(logits=NAN), 'a.npz: the logits of 1 .* seq_3'),
    ('a.npz', ours(probabilities=NAN), 'the probabilities of 1 .* seq_3'),
    ('a.npz', ours(names=np.array(list('abcad'))), 'a occurs 2 times'),
    ('a.npz', ours(names=np.array(list('abc'))),
     r'"names" has shape \(3,\), expected \(5,\)'),
    ('a.npz', ours(names=np.arange(5)), '"names" is of type int64'),
    ('a.npz', ours(labels=np.zeros(5)), '"labels" is of type float64'),
    ('a.npz', ours(labels=np.zeros(4, int)), r'"labels" has shape \(4,\)'),
    ('a.npz', ours(logits=np.zeros(5)), r'"logits" has shape \(5,\), exp'),
    ('a.npz', ours(probabilities=np.zeros((5, 3))),
     r'"probabilities" has shape \(5, 3\), expected \(5, 4\)'),
    ('a.npz', ours(classes=np.array(['x'])), '"classes" has 1 names for'),
])
def test_bad_files_are_named(tmp_path, name, make, message):
    path = tmp_path / name
    make(path)
    with pytest.raises(ScoreFileError) as caught:
        read(path)
    assert re.search(message, str(caught.value)), caught.value


@pytest.mark.parametrize('suffix', ['npz', 'pkl'])
def test_damage_anywhere_is_an_error_or_harmless(tmp_path, suffix):
    path = tmp_path / f'a.{suffix}'
    scores = some_scores(tmp_path / 'whole.npz')
    write(scores)
    content = scores.path.read_bytes() if suffix == 'npz' else pickle.dumps(
        dict(zip(scores.names.tolist(), scores.logits)))
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.integers(0, len(content), 150):
        path.write_bytes(content[:place] + bytes(
            [rng.integers(256)]) + content[place + 1:])
        try:
            read(path)
        except ScoreFileError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 20
