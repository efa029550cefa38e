"""The inferencer and the demo."""
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS, INFERENCERS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from PIL import Image

from projects.stdcl.apis import SkeletonInferencer
from projects.stdcl.apis.skeleton_inferencer import (
    Window,
    cut,
    runs,
    spread_over_frames,
)
from projects.stdcl.utils.input_error import InputError
from projects.stdcl.utils.skeleton_layout import SkeletonLayout
from tests.commands import CONFIG, ROOT
from tests.ntu_files import write_skeleton
from tools import demo

CLASSES = [f'action {index}' for index in range(16)]


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Random weights of a narrow encoder, as a training leaves them."""
    torch.manual_seed(0)
    init_default_scope('mmaction')
    model = MODELS.build(config().model)
    model.cls_head.resize_banks(5)
    # classes by what tells the sequences apart, not by what they share
    clips = torch.stack([clip['inputs'][0] for clip in dataset()]).float()
    fc = model.eval().cls_head.fc
    with torch.no_grad():
        shared = model.backbone(clips).mean(dim=(0, 1, 3, 4))  # (C,)
        torch.nn.init.normal_(fc.weight, std=30)
        fc.bias.copy_(-fc.weight @ shared)
    path = tmp_path_factory.mktemp('weights') / 'epoch_1.pth'
    torch.save(dict(meta=dict(dataset_meta=dict(classes=CLASSES)),
                    state_dict=model.state_dict()), path)
    return str(path)


@pytest.fixture(scope='module')
def inferencer(checkpoint):
    return SkeletonInferencer(config(), checkpoint, 'cpu')


def dataset():
    return DATASETS.build(config().test_dataloader.dataset)


def raw_joints():
    """Of the five sequences, (1, T, 20, 3) each."""
    return [dataset().get_data_info(index)['keypoint'] for index in range(5)]


def config():
    cfg = Config.fromfile(ROOT / CONFIG)
    cfg.model.backbone.base_channels = 8
    cfg.model.cls_head.in_channels = 32
    cfg.test_dataloader.dataset.num_sequences = 5
    return cfg


@pytest.mark.parametrize('num_frames, window, stride, starts', [
    (10, None, None, [0]), (10, 10, 1, [0]), (10, 12, 5, [0]),
    (10, 4, 2, [0, 2, 4, 6]), (11, 4, 3, [0, 3, 6, 7]), (10, 4, None, [
        0, 1, 2, 3, 4, 5, 6]), (10, 1, 4, [0, 4, 8, 9])])
def test_windows_reach_to_the_end(num_frames, window, stride, starts):
    size = min(window or num_frames, num_frames)
    assert cut(num_frames, window, stride) == [
        (start, start + size) for start in starts]


@pytest.mark.parametrize('window, stride', [(4, 1), (4, 3), (3, 3), (2, 5)])
def test_frames_have_the_mean_of_their_windows(window, stride):
    windows = cut(13, window, stride)
    scores = torch.rand(len(windows), 3)
    found = spread_over_frames(scores, windows)
    for frame in range(13):
        inside = [score for score, (start, end) in zip(scores, windows)
                  if start <= frame < end]
        before = [score for score, (start, _) in zip(scores, windows)
                  if start <= frame]
        expected = torch.stack(inside).mean(dim=0) if inside else before[-1]
        torch.testing.assert_close(found[frame], expected)


def test_runs():
    assert list(runs([3, 3, 1, 3])) == [
        (3, Window(0, 2)), (1, Window(2, 3)), (3, Window(3, 4))]


def test_same_classes_as_the_test(inferencer):
    """With the whole pipeline, for sequences of the test set."""
    expected = inferencer.model.test_step(pseudo_collate(list(dataset())))
    joints = raw_joints()
    result = inferencer(joints, batch_size=2, topk=16)
    assert result['visualization'] == []
    for sample, found in zip(expected, result['predictions']):
        assert found['label'] == int(sample.pred_label)
        assert found['class_name'] == CLASSES[found['label']]
        scores = {one['label']: one['score'] for one in found['top']}
        np.testing.assert_allclose(
            [scores[label] for label in range(16)],
            sample.pred_score.detach().numpy(), atol=1e-6)
        assert sum(scores.values()) == pytest.approx(1)
    assert len({found['label'] for found in result['predictions']}) > 1
    assert json.dumps(result)
    # the axis of persons may be left out; one sequence may come alone
    assert inferencer(joints[0][0]) == inferencer(joints[:1])


def test_windows_are_parts_of_the_sequence(inferencer):
    joints = np.concatenate([one[0, :30] for one in raw_joints()])
    windows = [(start, start + 20) for start in range(0, 131, 10)]
    found, = inferencer(joints, window=20, stride=10)['predictions']
    alone = inferencer([joints[start:end] for start, end in windows],
                       topk=16)['predictions']
    scores = np.zeros((150, 16))
    for (start, end), one in zip(windows, alone):
        for best in one['top']:
            scores[start:end, best['label']] += best['score']
    scores /= scores.sum(axis=1, keepdims=True)
    labels = scores.argmax(axis=1)
    assert len(found['segments']) > 2
    assert sum(([one['label']] * (one['end'] - one['start'])
                for one in found['segments']), []) == labels.tolist()
    for one in found['segments']:
        part = scores[one['start']:one['end'], one['label']]
        assert one['score'] == pytest.approx(part.mean(), abs=1e-5)
    samples = inferencer(joints, return_datasamples=True, window=20,
                         stride=10)['predictions']
    assert [sample.window for sample in samples] == windows


@pytest.mark.parametrize('sequence, words', [
    (np.zeros((20, 3)), r'shape \(20, 3\)'),
    (np.zeros((0, 20, 3)), r'shape \(0, 20, 3\)'),
    (np.full((9, 20, 3), np.nan), 'not finite'),
    (np.zeros((9, 20, 3), dtype=object), 'dtype object'),
    (dict(joints=1), 'dtype object'),
    (np.zeros((9, 25, 3)), '25 joints.*20'),
    (np.zeros((2, 9, 20, 3)), '2 persons, expected at most 1'),
    (np.zeros((9, 20, 2)), '2 channels after the test pipeline, expected 3')])
def test_sequences_that_are_refused(inferencer, sequence, words):
    with pytest.raises(InputError, match=words):
        inferencer(sequence)


def test_options_that_are_refused(inferencer, tmp_path, checkpoint):
    joints = np.zeros((9, 20, 3))
    for name in ('window', 'stride'):
        with pytest.raises(InputError, match=f'{name} is 0'):
            inferencer(joints, **{name: 0})
    for options, words in [
            (dict(stride=2), 'stride is 2 and window is None'),
            (dict(window=4, stride=5), 'stride is 5 and window 4'),
            (dict(topk=0), 'topk is 0'),
            (dict(out_dir=str(tmp_path), names=['a', 'b']), '1 names'),
            (dict(out_dir=str(tmp_path), names=['../a']), 'without folders')]:
        with pytest.raises(InputError, match=words):
            inferencer(joints, **options)
    assert not list(tmp_path.glob('*.html'))
    with pytest.raises(InputError, match="format is 'mp4'"):
        inferencer(joints, out_dir=str(tmp_path), format='mp4')
    with pytest.raises(ValueError, match='config'):
        SkeletonInferencer(None, checkpoint)


def test_it_is_registered():
    assert INFERENCERS.get('SkeletonInferencer') is SkeletonInferencer


def test_files_of_all_kinds(tmp_path):
    joints = np.random.default_rng(0).normal(size=(7, 20, 3)).astype('f')
    (tmp_path / 'a.json').write_text(json.dumps(dict(
        skeletons=joints.tolist())))
    np.save(tmp_path / 'a.npy', joints)
    layout = SkeletonLayout.get('nw-ucla')
    for suffix in ('.json', '.npy'):
        read = demo.read(tmp_path / f'a{suffix}', layout)
        np.testing.assert_array_equal(read['keypoint'], joints[None])
    body = joints.repeat(2, axis=1)[:, :25]
    (tmp_path / 'a.skeleton').write_bytes(write_skeleton(
        [[(72057594037931101, one)] for one in body]))
    np.testing.assert_allclose(
        demo.read(tmp_path / 'a.skeleton', layout)['keypoint'], body[None],
        rtol=1e-6)
    (tmp_path / 'a.txt').write_text('1')
    (tmp_path / 'b.json').write_text('{}')
    (tmp_path / 'b.skeleton').write_text('0')
    for name, words in [('a.txt', r'suffix is ".txt"'),
                        ('b.json', 'b.json: not readable'),
                        ('b.skeleton', 'b.skeleton')]:
        with pytest.raises(InputError, match=words):
            demo.read(tmp_path / name, layout)
    for suffix in ('.json', '.skeleton', '.npy'):
        with pytest.raises(FileNotFoundError, match='none'):
            demo.read(tmp_path / f'none{suffix}', layout)


def test_segments_are_printed(capsys):
    first, second = (dict(class_name=name, label=0, score=0.5)
                     for name in ('sit', 'stand'))
    demo.show(Path('day.npy'), dict(top=[first, second], segments=[
        dict(first, start=0, end=7), dict(second, start=7, end=9)]), 'day.gif')
    assert capsys.readouterr().out.splitlines() == [
        'day.npy: on average sit 50.0%, stand 50.0%; day.gif',
        '  frames 1 to 7: sit 50.0%', '  frames 8 to 9: stand 50.0%']


@pytest.mark.parametrize('where', ['prepare', 'pipeline'])
def test_the_size_of_images_is_not_guessed(checkpoint, where):
    cfg = config()
    steps = [dict(type='PreNormalize2D'),
             *cfg.test_dataloader.dataset.get(where, ())]
    cfg.test_dataloader.dataset[where] = steps
    with pytest.raises(InputError, match='--img-shape HEIGHT WIDTH'):
        SkeletonInferencer(cfg, checkpoint, 'cpu')(raw_joints())
    cfg.test_dataloader.dataset[where][0].img_shape = (480, 640)
    assert not SkeletonInferencer(cfg, checkpoint, 'cpu').needs_image


def test_names_of_files_differ():
    assert demo.unique(['a', 'b', 'a', 'a-0']) == ['a-0', 'b', 'a-2', 'a-0-3']


@pytest.fixture
def narrow(tmp_path):
    """The config as a file, for the command."""
    path = tmp_path / 'narrow.py'
    path.write_text(f'''
_base_ = '{ROOT / CONFIG}'
model = dict(backbone=dict(base_channels=8), cls_head=dict(in_channels=32))
''')
    return path


def test_the_command(warm, tmp_path, narrow, checkpoint):
    joints = np.random.default_rng(1).normal(size=(40, 20, 3))
    np.save(tmp_path / 'day.npy', joints)
    (tmp_path / 'one.json').write_text(json.dumps(dict(
        skeletons=joints[:9].tolist())))
    done = warm('tools/demo.py', narrow, checkpoint, 'day.npy', 'one.json',
                '--window', 10, '--stride', 5, '--json', '--topk', 2,
                cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result['files'] == ['day.npy', 'one.json']
    assert [len(one['top']) for one in result['predictions']] == [2, 2]
    day = result['predictions'][0]['segments']
    page = (tmp_path / 'work_dirs/demo/day.html').read_text()
    shown = json.loads(page.split('id="data">')[1].split('</script>')[0])
    assert shown['sequences'][0]['timeline'] == [
        [one['start'], one['end'], one['class_name'], 1] for one in day]

    done = warm('tools/demo.py', narrow, checkpoint, 'day.npy', '--format',
                'gif', '--out-dir', 'pictures', '--window', 10, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.match(r'day.npy: (on average )?action \d+ [\d.]+%, .*; '
                    'pictures/day.gif',
                    done.stdout)
    with Image.open(tmp_path / 'pictures/day.gif') as gif:
        assert gif.n_frames == 40

    for arguments, words in [
            (['none.npy'], 'none.npy does not exist'),
            (['narrow.py'], 'suffix is ".py"'),
            (['day.npy', '--topk', '0'], '--topk is 0')]:
        done = warm('tools/demo.py', narrow, checkpoint, *arguments,
                    cwd=tmp_path)
        assert done.returncode and words in done.stderr
        assert 'Traceback' not in done.stderr
