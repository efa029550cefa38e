"""Writing and reading score files, and errors for invalid ones."""
import copy
import os
import pickle

import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS
from mmengine.config import Config
from mmengine.runner import Runner
from scipy.special import softmax

from projects.stdcl.evaluation import label_file
from projects.stdcl.evaluation.score_file import Scores, read, write
from projects.stdcl.utils.input_error import InputError
from tests.commands import CONFIG, ROOT, environment

SEQUENCES = 7  # not a multiple of the batch size or the number of processes
OPTIONS = {f'test_dataloader.{key}': value for key, value in {
    'batch_size': 2, 'dataset.num_sequences': SEQUENCES}.items()}
OPTIONS.update({'model.backbone.base_channels': 4,
                'model.cls_head.in_channels': 16,
                'model.data_preprocessor.stream': 'bone'})


# run a tool in two processes, as torch.distributed.run does
TWO = '''
import os, runpy, sys
sys.argv.pop(0)
other = os.fork()
os.environ.update(WORLD_SIZE='2', MASTER_ADDR='127.0.0.1',
                  RANK='01'[other > 0], LOCAL_RANK='01'[other > 0])
runpy.run_path(sys.argv[0], run_name='__main__')
sys.exit(other and os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]))
'''


@pytest.fixture
def config(tmp_path):
    cfg = Config.fromfile(ROOT / CONFIG)
    cfg.merge_from_dict(OPTIONS)
    cfg.work_dir = str(tmp_path / 'work')
    cfg.custom_hooks = [dict(type='ScoreFileHook',
                             path=str(tmp_path / 'new' / 'scores.npz'))]
    return cfg


@torch.no_grad()
def build_runner(cfg):
    """Build a Runner whose model gives each sequence different scores."""
    cfg = Config({**copy.deepcopy(cfg), 'experiment_name': cfg.work_dir},
                 filename=cfg.filename)
    runner = Runner.from_cfg(cfg)
    model = runner.model.train()
    torch.manual_seed(1)
    torch.nn.init.normal_(model.cls_head.fc.weight, std=1)
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = None  # average over all batches
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
    dumped = pickle.loads((tmp_path / 'scores.pkl').read_bytes())
    own = 'probabilities' if average_clips == 'prob' else 'logits'
    np.testing.assert_allclose(
        torch.stack([sample['pred_score'] for sample in dumped]),
        getattr(scores, own), rtol=1e-5, atol=1e-6)


def test_names_labels_classes_and_source(config, tmp_path):
    runner = build_runner(config)
    runner._load_from = 'somewhere/epoch_3.pth'
    runner.load_or_resume = lambda: None
    runner.test()
    first = read(tmp_path / 'new' / 'scores.npz')
    # test again, with a different model and different class names
    runner.test_dataloader.dataset._metainfo['classes'] = ['a', 'b']
    runner.model.cls_head.fc.bias.data += 1
    runner.test()
    scores = read(tmp_path / 'new' / 'scores.npz')
    np.testing.assert_allclose(scores.logits, first.logits + 1, atol=1e-4)
    dataset = DATASETS.build(config.test_dataloader.dataset)
    assert scores.names.tolist() == [
        dataset.get_data_info(i)['frame_dir'] for i in range(SEQUENCES)]
    assert scores.labels.tolist() == list(range(SEQUENCES))
    assert first.classes == list(dataset.metainfo['classes'])
    assert scores.classes == []
    assert (scores.stream, scores.config, scores.checkpoint) == (
        'bone', 'stdcl-stgcn_synthetic.py', 'epoch_3.pth')
    assert os.listdir(tmp_path / 'new') == ['scores.npz']  # no partial file


@pytest.mark.parametrize('change, message', [
    (lambda results: results.pop('frame_dir'), 'contains no "frame_dir"'),
    (lambda results: results.update(label=[0, 1]), 'has several labels')])
def test_sequences_that_a_score_file_cannot_contain(config, change, message):
    runner = build_runner(config)
    transforms = runner.test_dataloader.dataset.pipeline.transforms
    transforms.insert(0, lambda results: change(results) and None or results)
    with pytest.raises(InputError, match=message):
        runner.test()


def test_two_processes_write_the_same_scores(warm, tmp_path, config,
                                             monkeypatch):
    runner = build_runner(config)
    runner.test()
    torch.save(dict(state_dict=runner.model.state_dict()),
               tmp_path / 'model.pth')
    (tmp_path / 'two.py').write_text(TWO)
    monkeypatch.setenv('MASTER_PORT', environment()['PORT'])
    done = warm(tmp_path / 'two.py', ROOT / 'tools/test.py', ROOT / CONFIG,
                'model.pth', '--launcher', 'pytorch', '--dump', 'two.npz',
                '--cfg-options',
                *[f'{key}={value}' for key, value in OPTIONS.items()],
                cwd=tmp_path)
    assert done.stdout.count(
        f'Wrote the scores of {SEQUENCES} sequences to two.npz') == 1
    assert (tmp_path / 'two_confusion.png').is_file()
    assert not (tmp_path / '.dist_test').exists()
    one = read(tmp_path / 'new' / 'scores.npz')
    two = read(tmp_path / 'two.npz')
    assert one.names.tolist() == two.names.tolist()
    assert one.labels.tolist() == two.labels.tolist() == list(range(SEQUENCES))
    # different batches change the order of sums
    np.testing.assert_allclose(one.logits, two.logits, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(one.probabilities, two.probabilities, atol=1e-4)
    assert one.logits.std(axis=0).min() > 0.1  # sequences differ


def some_scores(path, seed=0, n=5, k=4, **changes):
    """Make scores of n sequences; the seed does not affect names or labels."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k)).astype(np.float32)
    fields = dict(names=np.array([f's{i:03d}é' for i in range(n)]),
                  labels=np.random.default_rng(n).integers(0, k, n),
                  logits=logits, probabilities=softmax(logits, axis=1),
                  classes=[f'class {i}' for i in range(k)],
                  stream='', config='a.py', checkpoint='b.pth')
    return Scores(path, **{**fields, **changes})


def dump(path, value, protocol=4):
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


def test_percentages_are_probabilities(tmp_path):
    shares = some_scores(tmp_path / 'a.npz').probabilities
    again = read(dump(tmp_path / 'a.pkl', list(100 * shares)))
    np.testing.assert_allclose(again.probabilities, shares, rtol=1e-5)


@pytest.mark.parametrize('row', [[-0.1, 0.6, 0.5], [0.2, 0.3, 0.4]])
def test_scores_that_are_not_probabilities_are_logits(tmp_path, row):
    path = dump(tmp_path / 'a.pkl', dict(a=[0.5, 0.25, 0.25], b=row))
    assert read(path).kinds == ('logits', )


@pytest.mark.parametrize('content, message', [
    (3, 'expected a dict'),
    ([3], r'shape \(1,\), expected \(sequ'),
    ({}, 'expected a dict'),
    (dict(a='x'), 'could not convert.* expected a dict'),
    ([dict(pred_score=[1, 2])], 'expected a dict .*--dump'),
    (dict(a=[1, 2], b=[1, 2, 3]), 'same shape'),
    ({'1': [1, 2], 1: [1, 2]}, 'name "1" occurs 2 times, expected once'),
    (dict(a=[1, 2], b=[1, np.nan]), 'some logits are NaN or infinite'),
])
def test_invalid_pickles_are_named(tmp_path, content, message):
    path = dump(tmp_path / 'a.pkl', content)
    with pytest.raises(InputError, match=f'a.pkl.*{message}'):
        read(path)


@pytest.mark.parametrize('changes, message', [
    (dict(names=np.array(['a'])), r'"names" .* \(1,\) .*, expected .* \(5,\)'),
    (dict(labels=np.full(5, -2)), 'labels range from -2 to -2, expected 0'),
    (dict(labels=np.full(5, 4)), 'labels range from 4 to 4, expected 0 to 3'),
    (dict(probabilities=np.zeros((5, 3))), r'"probabilities" .* \(5, 3\)'),
    (dict(probabilities=np.arange(20.).reshape(5, 4)), 'do not sum to 1'),
    (dict(probabilities=np.full((5, 4), [2, -1, 0, 0.])), 'are negative'),
    (dict(labels=np.ones(5)), '"labels" .* type float64, expected int'),
    (dict(names=np.arange(5)), '"names" .* type int64, expected strings'),
    (dict(logits=np.full((5, 4), '1')), '"logits" .* type <U1, expect'),
    (dict(classes=np.array(['x'])), '"classes" has length 1, expect')])
def test_invalid_archives_are_named(tmp_path, changes, message):
    write(some_scores(tmp_path / 'a.npz'))
    with np.load(tmp_path / 'a.npz') as file:
        np.savez(tmp_path / 'b.npz', **{**file, **changes})
    with pytest.raises(InputError, match=f'b.npz: .*{message}'):
        read(tmp_path / 'b.npz')


@pytest.mark.parametrize('names', [['b', 'a'], ['0002', '0001']])
def test_a_list_of_names_may_have_a_header(tmp_path, names):
    (tmp_path / 'names.csv').write_text('\n'.join(['name', *names, '']))
    found = label_file.read(tmp_path / 'names.csv')
    assert found.names.tolist() == names and found.labels is None
