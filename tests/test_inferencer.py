"""The inferencer and tools/demo.py classify recordings."""
import hashlib
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.apis import inference_recognizer, init_recognizer
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

from projects.stdcl.apis import SkeletonInferencer
from projects.stdcl.apis.clip_shape import find_test_set
from projects.stdcl.apis.skeleton_file import read_skeleton_file
from projects.stdcl.apis.sliding_window import cut
from projects.stdcl.utils.input_error import InputError
from projects.stdcl.utils.skeleton_layout import SkeletonLayout
from projects.stdcl.visualization.colors import assign_colors
from tests.commands import CONFIG, ROOT
from tests.ntu_files import write_skeleton
from tests.test_visualization import data_of

CLASSES = [f'action {index}' for index in range(16)]
NARROW = {'model.backbone.base_channels': 8, 'model.cls_head.in_channels': 32,
          'test_dataloader.dataset.num_sequences': 5}
ZOO = ROOT / 'runs/zoo'


def config():
    cfg = Config.fromfile(ROOT / CONFIG)
    cfg.merge_from_dict(NARROW)
    return cfg


def dataset():
    return DATASETS.build(config().test_dataloader.dataset)


def raw_joints():
    """Return the joints of five sequences, each (1, T, 20, 3)."""
    return [dataset().get_data_info(index)['keypoint'] for index in range(5)]


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Write a checkpoint with random weights of a narrow encoder."""
    torch.manual_seed(0)
    init_default_scope('mmaction')
    model = MODELS.build(config().model)
    model.cls_head.resize_banks(5)
    # make logits depend on the differences between sequences
    clips = torch.stack([clip['inputs'][0] for clip in dataset()]).float()
    fc = model.eval().cls_head.fc
    with torch.no_grad():
        shared = model.backbone(clips).mean(dim=(0, 1, 3, 4))  # (C,)
        torch.nn.init.normal_(fc.weight, std=30)
        fc.bias.copy_(-fc.weight @ shared)
    path = tmp_path_factory.mktemp('weights') / 'epoch_1.pth'
    torch.save(dict(meta=dict(dataset_meta=dict(classes=CLASSES)),
                    state_dict=model.state_dict()), path)
    return path


@pytest.fixture(scope='module')
def inferencer(checkpoint):
    return SkeletonInferencer(config(), checkpoint, 'cpu')


@pytest.mark.parametrize('num_frames, window, stride, starts', [
    (10, None, None, [0]), (10, 12, 5, [0]), (10, 4, 2, [0, 2, 4, 6]),
    (11, 4, 3, [0, 3, 6, 7]), (10, 4, None, [0, 1, 2, 3, 4, 5, 6])])
def test_windows_reach_the_end(num_frames, window, stride, starts):
    size = min(window or num_frames, num_frames)
    assert cut([True] * num_frames, window, stride) == [
        slice(start, start + size) for start in starts]


def test_clips_are_averaged(checkpoint):
    cfg, joints = config(), raw_joints()
    cfg.test_dataloader.dataset.pipeline[1].num_clips = 3
    cfg.model.cls_head.average_clips = 'score'  # the mean of the logits
    found = SkeletonInferencer(cfg, checkpoint, 'cpu')
    packed = found.pipeline(dict(dataset().get_data_info(0), test_mode=True))
    clips = found.model.data_preprocessor.make_stream(packed['inputs'])
    with torch.inference_mode():
        expected = found.model.cls_head(found.model.backbone(clips)).mean(0)
    assert found(joints[0])['predictions'][0]['top'][0]['score'] == (
        pytest.approx(float(expected.softmax(0).max())))


def test_windows_are_parts_of_the_sequence(inferencer):
    joints = np.concatenate([one[0, :30] for one in raw_joints()])
    windows = [(start, start + 20) for start in range(0, 131, 10)]
    np.random.seed(7)  # the transforms use other seeds
    found, = inferencer(joints, window=20, stride=10)['predictions']
    assert np.random.randint(9**9) == np.random.RandomState(7).randint(9**9)
    alone = inferencer([joints[start:end] for start, end in windows],
                       topk=16)['predictions']
    scores, mean = np.zeros((150, 16)), np.zeros(16)
    for (start, end), one in zip(windows, alone):
        for best in one['top']:
            scores[start:end, best['label']] += best['score']
            mean[best['label']] += best['score'] / len(windows)
    scores /= scores.sum(axis=1, keepdims=True)
    assert found['score'] == pytest.approx(mean.max(), abs=1e-5)
    assert len(found['segments']) > 2
    assert sum(([one['label']] * (one['end'] - one['start'])
                for one in found['segments']), []) == scores.argmax(1).tolist()
    for one in found['segments']:
        part = scores[one['start']:one['end'], one['label']]
        assert one['score'] == pytest.approx(part.mean(), abs=1e-5)
    # frames 60 to 99 are only in windows without joints
    empty = joints.copy()
    empty[50:110] = 0
    ends = [inferencer(empty[part], window=20, stride=10)['predictions'][0]
            for part in (slice(60), slice(100, 150))]
    segments = inferencer(empty, window=20, stride=10)['predictions'][0][
        'segments']
    assert segments == [*ends[0]['segments'], dict(
        start=60, end=100, label=None, score=None, class_name='nobody'), *(
            dict(one, start=one['start'] + 100, end=one['end'] + 100)
            for one in ends[1]['segments'])]
    # a batch contains windows of several sequences
    both = inferencer([joints, joints[:30]], window=20, stride=10,
                      batch_size=4)['predictions']
    assert both[0]['segments'] == found['segments']


GOOD = np.ones((9, 20, 3))
LOST = 'all coordinates or confidences are zero, expected detected joints'


@pytest.mark.parametrize('sequence, options, words', [
    (dict(frame_dir='x', joints=1), {}, 'x: keypoint is missing'),
    (dict(keypoint=np.ones((9, 20, 3)), keypoint_score=np.ones((9, 3))), {},
     r'keypoint_score has shape \(1, 9, 3\)'),
    (np.ones((9, 25, 3)), {}, 'joints is 25.*20. The data must have the form'),
    (np.zeros((9, 20, 3)), {}, f'sequence-0: {LOST}'),
    (dict(keypoint=GOOD, keypoint_score=np.zeros((9, 20))), {}, LOST),
    (dict(keypoint=GOOD[..., :2], keypoint_score=GOOD[..., 0]), {},
     'sequence-0: keypoint has 2 channels beside keypoint_score, expected 3'),
    (np.ones((2, 9, 20, 3)), {}, '2 persons, expected at most 1'),
    (np.ones((9, 1, 3)), {}, '-0: the number of joints is 1'),
    (np.ones((9, 20, 2)), {}, 'sequence-0: .*channels is 2, but .* for 3'),
    (np.pad(GOOD, [(0, 0), (0, 1), (0, 0)], constant_values=-1)[:, 1:], {},
     'sequence-0: the coordinates of 9 of 180 joints are all -1'),
    (GOOD, dict(window=4.5), 'window is 4.5, expected a positive integer'),
    (GOOD, dict(stride=2), 'window is None and stride is 2'),
    (GOOD, dict(window=4, stride=5), 'window is 4 and stride is 5'),
    (GOOD, dict(out_dir='x', format='mp4'), "format is 'mp4'")])
def test_invalid_arguments_raise(inferencer, sequence, options, words):
    with pytest.raises(InputError, match=words):
        inferencer(sequence, **options)


def test_outputs_and_clips_that_do_not_fit(checkpoint):
    cfg = config()
    inferencer = SkeletonInferencer(cfg, checkpoint, 'cpu')
    inferencer.model.backbone.data_bn.running_var.fill_(-1)
    with pytest.raises(InputError, match='sequence-0: some outputs .* NaN'):
        inferencer(raw_joints()[0])
    cfg.test_dataloader.dataset.pipeline.pop(1)  # has clip_len
    inferencer = SkeletonInferencer(cfg, checkpoint, 'cpu')
    with pytest.raises(InputError, match='the clips have the shapes'):
        inferencer([GOOD, GOOD[:5]])
    cfg.model.cls_head.multi_class = True
    with pytest.raises(InputError, match='multi_class is True, expected'):
        SkeletonInferencer(cfg, checkpoint, 'cpu')


@pytest.mark.parametrize('device', ['gpu', 'meta', 'cuda:99'])
def test_devices_that_do_not_exist(checkpoint, device):
    with pytest.raises(InputError, match=f"device is '{device}', expected"):
        SkeletonInferencer(config(), checkpoint, device)


def test_a_wrapped_test_set(checkpoint, inferencer):
    """The steps of wrappers run last."""
    cfg = config()
    part, steps = cfg.test_dataloader.dataset, cfg.test_pipeline
    part.pipeline = steps[:-1]
    cfg.test_dataloader.dataset = dict(dataset=part, pipeline=steps[-1:])
    item = dict(keypoint=raw_joints()[0], label='unknown')
    assert SkeletonInferencer(cfg, checkpoint, 'cpu')(item) == inferencer(
        item['keypoint'])
    cfg.test_dataloader = cfg.val_dataloader = None
    with pytest.raises(InputError, match='dataset.pipeline is missing'):
        SkeletonInferencer(cfg, checkpoint, 'cpu')
    with pytest.raises(InputError, match='the test set is a list, expected'):
        find_test_set(dict(test_dataloader=dict(dataset=[1])))


def test_the_size_of_images_is_not_guessed(checkpoint):
    cfg = config()
    step = dict(type='PreNormalize2D')
    cfg.test_dataloader.dataset.pipeline.insert(0, step)
    inferencer = SkeletonInferencer(cfg, checkpoint, 'cpu')
    joints = [one * (50, 50, 0) + (240, 240, 1) for one in raw_joints()]
    for img_shape in None, 5:
        with pytest.raises(InputError, match='--img-shape HEIGHT WIDTH'):
            inferencer(joints, img_shape=img_shape)
    given = inferencer(joints, img_shape=np.array((480, 640)))
    assert given == inferencer([dict(keypoint=one, img_shape=(9, 9))
                                for one in joints], img_shape=(480, 640))
    # in some windows, most joints may be outside the image
    walk = np.concatenate([joints[0][:, :9]] * 9, axis=1)
    walk[:, 63:, :, 0] += 640
    assert inferencer(walk, window=9, img_shape=(480, 640))
    cfg.test_dataloader.dataset.pipeline[0] = dict(step, img_shape=(480, 640))
    assert SkeletonInferencer(cfg, checkpoint, 'cpu')(joints) == given


def test_supported_files(tmp_path):
    joints = np.random.default_rng(0).normal(size=(7, 20, 3)).astype('f')
    (tmp_path / 'a.json').write_text(json.dumps(dict(
        skeletons=joints.tolist())))
    np.save(tmp_path / 'a.npy', joints)
    layout = SkeletonLayout.get('nw-ucla')
    for suffix in ('.json', '.npy'):
        read = read_skeleton_file(tmp_path / f'a{suffix}', layout)
        np.testing.assert_array_equal(read['keypoint'], joints[None])
    body = joints.repeat(2, axis=1)[:, :25]
    (tmp_path / 'a.skeleton').write_bytes(write_skeleton(
        [[(72057594037931101, one)] for one in body]))
    np.testing.assert_allclose(read_skeleton_file(
        tmp_path / 'a.skeleton', SkeletonLayout.get('nturgb+d'))['keypoint'],
        body[None], rtol=1e-6)
    (tmp_path / 'b.json').write_text('{}')
    # the joints of NTU RGB+D are not those of the model
    for name in ('a.txt', 'b.json', 'a.skeleton'):
        with pytest.raises(InputError, match=name[1:]):
            read_skeleton_file(tmp_path / name, layout)


def test_the_demo_without_arguments(warm, tmp_path):
    done = warm('tools/demo.py', cwd=tmp_path)
    assert re.search(r'pullup.csv: pullup \d+\.\d%', done.stdout)
    assert (tmp_path / 'work_dirs/demo/pullup.html').is_file()
    done = warm('tools/demo.py', ROOT / CONFIG, cwd=tmp_path, status=2)
    assert 'expected a config, a checkpoint and skeleton files' in done.stderr


@pytest.mark.parametrize('model', sorted(ZOO.glob('*.pth')),
                         ids=lambda path: path.stem)
def test_the_model_zoo(model, request, tmp_path):
    name, digest = model.stem.rsplit('-', 1)
    assert hashlib.sha256(model.read_bytes()).hexdigest().startswith(digest)
    assert model.stat().st_size < 10**6
    inferencer = SkeletonInferencer(ZOO / f'{name}.py', model)
    # without it, a test with another normalization would not be refused
    assert inferencer.model.trained_on['preprocessing']
    recording, action = ZOO / 'pullup.csv', 'pullup'
    if not name.endswith('jhmdb'):
        folder = request.getfixturevalue('reference') / 'data/nw_ucla'
        with zipfile.ZipFile(folder / 'all_sqe.zip') as archive:
            recording, action = archive.extract(
                'all_sqe/a05_s01_e00_v03.json', tmp_path), 'sit down'
    prediction, = inferencer(recording)['predictions']
    assert prediction['class_name'] == action


def test_the_demo(warm, tmp_path, checkpoint):
    joints = np.concatenate([one[0, :30] for one in raw_joints()])
    np.save(tmp_path / 'day.npy', joints)
    (tmp_path / 'one.json').write_text(json.dumps(dict(
        skeletons=joints[:9].tolist())))

    def demo(*arguments, status=0):
        return warm('tools/demo.py', ROOT / CONFIG, checkpoint, *arguments,
                    '--cfg-options', *(f'{name}={value}' for name, value
                                       in NARROW.items()), cwd=tmp_path,
                    status=status)

    done = demo('--topk', 2, 'day.npy', '--window', 10, '--stride', 5,
                '--json', 'one.json')
    result = json.loads(done.stdout)
    assert [len(one['top']) for one in result['predictions']] == [2, 2]
    day = result['predictions'][0]['segments']
    page = data_of((tmp_path / 'work_dirs/demo/predictions.html').read_text())
    first, second = page['sequences']
    assert first['class_name'] == f'{len(day)} segments'
    assert second['class_name'] == result['predictions'][1]['class_name']
    parts = [part for one in page['sequences'] for part in one['timeline']]
    assert [part[:3] for part in first['timeline']] == [
        [one['start'], one['end'], one['class_name']] for one in day]
    assert dict((name, color) for _, _, name, color, _ in parts) == (
        assign_colors(name for _, _, name, *_ in parts))

    done = demo('day.npy', '--format', 'gif', '--out-dir', 'pictures',
                '--window', 20, '--stride', 10)
    first, second, *_ = done.stdout.splitlines()
    assert re.fullmatch(r'day.npy: \d+ segments', first)
    assert done.stdout.endswith('\nwritten: pictures/day.gif\n')
    assert re.fullmatch(r'  frames 1 to \d+: action \d+ [\d.]+%', second)
    with Image.open(tmp_path / 'pictures/day.gif') as gif:
        assert gif.n_frames == 150

    assert demo('none.npy', status=1).stderr.startswith(
        'error: files: none.npy: No such file')


def test_people_are_drawn_upright(tmp_path, checkpoint):
    cfg, drawn = config(), []
    for up, axes, signs in (('x', [1, 2, 0], 1), ('y', [0, 1, 2], 1),
                            ('z', [0, 2, 1], [1, -1, 1])):
        cfg.train_dataloader.dataset.pipeline = [dict(type='RandomView',
                                                      up=up)]
        pages = SkeletonInferencer(cfg, checkpoint)(
            raw_joints()[0][..., axes] * signs,
            out_dir=tmp_path / up)['visualization']
        drawn.append(data_of(Path(pages[0]).read_text())['sequences'][0][
            'panels'])
    assert drawn[0] == drawn[1] == drawn[2]


# DropEmptyFrames changes no coordinate
@pytest.mark.parametrize('step', ['PreNormalize2D', 'Standardize',
                                  'DropEmptyFrames'])
def test_confidences_of_arrays_and_files(tmp_path, step):
    """A third channel of two-dimensional joints is not a coordinate."""
    cfg = config()
    cfg.merge_from_dict({
        'model.clip_shape': (1, cfg.clip_len, 17, 3),
        'model.backbone.graph_cfg.layout': 'coco',
        'model.data_preprocessor.layout': 'coco'})
    cfg.test_dataloader.dataset.pipeline[0] = dict(type=step)
    cfg.test_pipeline = cfg.test_dataloader.dataset.pipeline
    model = MODELS.build(cfg.model)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'coco.pth')
    inferencer = SkeletonInferencer(cfg, str(tmp_path / 'coco.pth'), 'cpu')
    pixels = np.random.default_rng(0).integers(0, 640, (1, 40, 17, 2))
    score = np.float16(pixels[..., 0] % 3 / 2)
    both = np.concatenate([pixels, score[..., None]], axis=-1)
    np.save(tmp_path / 'a.npy', both[0])
    expected, *found = inferencer([
        dict(keypoint=pixels, keypoint_score=score, label=np.int64(3)),
        dict(keypoint=pixels[0], keypoint_score=score[0]),
        dict(keypoint=pixels, keypoint_score=np.where(score, score, -0.05)),
        both, both[0], both.astype(np.float32), dict(keypoint=both),
        torch.tensor(both), both.astype('>f8'), dict(keypoint=both.tolist()),
        tmp_path / 'a.npy'], batch_size=1, img_shape=(640, 640))['predictions']
    assert all(one == expected for one in found)
    with pytest.raises(InputError, match='built for 3. The confidence of'):
        inferencer(pixels, img_shape=(640, 640))
    for wrong in both / [640, 640, 1 / 1.5], both + [0, 0, 1.3]:
        with pytest.raises(InputError, match='third channel .*, not z'):
            inferencer(wrong)
    # MMAction2's function passes annotations to the pipeline as they are
    annotation = dict(keypoint=both, total_frames=40, img_shape=(640, 640))
    recognizer = init_recognizer(cfg, str(tmp_path / 'coco.pth'), 'cpu')
    if step == 'Standardize':
        with pytest.raises(InputError, match='confidence in keypoint_score'):
            inference_recognizer(recognizer, annotation)
    else:
        seen = inference_recognizer(recognizer, annotation)
        assert float(seen.pred_score.max()) == pytest.approx(
            expected['score'], rel=1e-5)


def test_arrays_that_are_not_numbers(inferencer):
    joints = raw_joints()[0]
    rough = torch.tensor(joints).bfloat16()
    assert inferencer(rough) == inferencer(rough.float().numpy())
    for array, text in ((joints > 0, 'bool'), (joints.astype(object), 'obj'),
                        (joints.astype(complex), 'complex'), (
                            np.ma.masked_less(joints, 0), 'is --')):
        for sequence in array, dict(keypoint=array):
            with pytest.raises(InputError, match=text):
                inferencer(sequence)
