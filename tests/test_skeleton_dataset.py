"""The data set reads files safely, caches results and shares its memory."""
import pickle
import re
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing  # noqa: F401  registers tensors
from mmaction.apis import inference_recognizer, init_recognizer
from mmaction.datasets import PoseDataset
from mmaction.registry import DATASETS, TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.runner import Runner

from projects.stdcl.apis import SkeletonInferencer
from projects.stdcl.catalogue import CONFIGS
from projects.stdcl.datasets import SkeletonDataset
from projects.stdcl.datasets.dataset_access import summarize
from projects.stdcl.datasets.skeleton_dataset import _Blocks
from projects.stdcl.evaluation import label_file
from projects.stdcl.utils.input_error import InputError
from projects.stdcl.utils.skeleton_layout import LAYOUTS

PIPELINE = [
    dict(type='UniformSampleFrames', clip_len=12, test_mode=True),
    dict(type='PoseDecode'),
    dict(type='FormatGCNInput', num_person=2),
    dict(type='PackActionInputs')]


def dump(path, content):
    path.write_bytes(pickle.dumps(content))
    return str(path)


@pytest.mark.parametrize('score, first', [
    (False, []), (True, []), (False, [dict(type='FastPreNormalize3D')])])
def test_equals_pose_dataset(tiny_annotations, score, first):
    path = tiny_annotations(persons=2, joints=25, score=score,
                            channels=2 if score else 3)
    ours = SkeletonDataset(path, first + PIPELINE, split='xview_train')
    stock = PoseDataset(path, first + PIPELINE, split='xview_train')
    assert len(ours) == len(stock) == 24
    for index in (0, 7, 23, 7):
        a, b = ours[index], stock[index]
        torch.testing.assert_close(a['inputs'], b['inputs'], rtol=0, atol=1e-6)
        assert a['data_samples'].gt_label == b['data_samples'].gt_label
    a, b = ours.get_data_info(3), stock.get_data_info(3)
    if not first:
        assert set(a) == set(b)


class Double:
    """Transform that doubles coordinates and counts its calls."""

    def __init__(self, cacheable):
        self.cacheable, self.calls = cacheable, 0

    def __call__(self, results):
        self.calls += 1
        results['keypoint'] = results['keypoint'] * 2
        return results


def test_leading_cacheable_transforms_run_once(tiny_annotations):
    steps = [Double(True), Double(True), Double(False), Double(True)]
    path = tiny_annotations(num=5)
    dataset = SkeletonDataset(path, steps, split='xview_train')
    for _ in range(3):
        for index in range(5):
            dataset[index]
    assert [step.calls for step in steps] == [5, 5, 15, 15]
    assert dataset.cached_pipeline.transforms == steps[:2]
    assert dataset.pipeline.transforms == steps[2:]
    raw = PoseDataset(path, [], split='xview_train').get_data_info(2)
    for info, factor in ((dataset.get_data_info(2), 4), (dataset[2], 16)):
        np.testing.assert_array_equal(info['keypoint'],
                                      raw['keypoint'] * factor)


@pytest.mark.parametrize('kind, options', [
    ('DropEmptyFrames', {}), ('CenterOnJoint', {}), ('MinMaxNormalize', {}),
    ('Standardize', {}), ('FastPreNormalize3D', {}),
    ('CropResize', dict(clip_len=4)), ('RandomRotation', {}),
    ('RandomView', {}), ('RandomSampleFrames', dict(clip_len=4)),
    ('FastUniformSampleFrames', dict(clip_len=4))])
def test_deterministic_transforms_are_cacheable(kind, options):
    """A transform is cacheable if it draws no random numbers by default."""
    transform = TRANSFORMS.build(dict(type=kind, **options))
    keypoint = np.random.default_rng(0).normal(size=(1, 30, 25, 3))
    state = np.random.get_state()[1:3]
    transform(dict(keypoint=keypoint, total_frames=30))
    drew = str(state) != str(np.random.get_state()[1:3])
    assert getattr(transform, 'cacheable', False) == (not drew)


@pytest.mark.parametrize('name', [path.stem for path in sorted(
    CONFIGS.glob('_base_/datasets/*.py'))])
def test_all_ways_to_predict_equal_the_test_loop(tmp_path, tiny_annotations,
                                                 name):
    """MMAction2's API and the inferencer give the scores of the test loop."""
    cfg = Config.fromfile(CONFIGS / f'_base_/datasets/{name}.py')
    persons, _, joints, channels = cfg.clip_shape
    layout = next(name for name, entry in LAYOUTS.items()
                  if entry.num_joints == joints)
    cfg.merge_from_dict(dict(
        default_scope='mmaction',
        model=dict(
            type='RecognizerGCN', data_preprocessor=dict(
                type='SkeletonDataPreprocessor', layout=layout),
            backbone=dict(
                type='STGCN', in_channels=channels, base_channels=8,
                num_stages=2, graph_cfg=dict(layout=layout)),
            cls_head=dict(type='GCNHead', num_classes=16, in_channels=8)),
        test_dataloader=dict(batch_size=1, num_workers=0,
                             persistent_workers=False)))
    part = cfg.test_dataloader.dataset
    part.update(dict(num_sequences=3) if name == 'synthetic' else dict(
        ann_file=tiny_annotations(
            num=3, persons=persons, joints=joints, channels=channels,
            change=lambda content: content['annotations'][0]['keypoint'][
                :persons - 1].fill(0))))  # the first of two is absent
    model = init_recognizer(cfg, device='cpu')
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'weights.pth')
    inferencer = SkeletonInferencer(cfg, str(tmp_path / 'weights.pth'), 'cpu')
    raw = DATASETS.build(dict(part, pipeline=[]))
    for index, batch in enumerate(
            Runner.build_dataloader(cfg.test_dataloader)):
        with torch.no_grad():
            expected, = model.test_step(batch)
        assert expected.pred_score.std() > 0
        annotation = raw.get_data_info(index)
        np.save(tmp_path / 'a.npy', annotation['keypoint'])
        for found in inferencer([annotation, tmp_path / 'a.npy'], topk=16,
                                batch_size=1)['predictions']:
            scores = {one['label']: one['score'] for one in found['top']}
            assert [scores[label] for label in range(16)
                    ] == expected.pred_score.tolist()
        seen = inference_recognizer(model, annotation)
        assert torch.equal(seen.pred_score, expected.pred_score)
        clips = Compose(cfg.test_pipeline)(raw.get_data_info(index))['inputs']
        assert torch.equal(clips, batch['inputs'][0])  # persons in this order
        if persons == 2 and not index:  # one of them is absent
            copied = 'ntu120' in name and not name.endswith('_u100')
            assert torch.equal(clips[:, 0], clips[:, 1]) == copied


@pytest.mark.parametrize('dtype', ['u1', 'i1', 'i2', 'i8', 'f2', '>f4', 'f8'])
@pytest.mark.parametrize('first', [
    [dict(type='MinMaxNormalize')], [dict(type='RandomScale', low=1, high=1)],
    [dict(type='CenterOnJoint'), dict(type='CropResize', clip_len=12)]])
def test_number_types(tmp_path, dtype, first):
    """The same numbers in any type give the same sample."""
    rng, samples = np.random.default_rng(0), []
    keypoint = rng.integers(1, 128, (1, 30, 17, 3))
    keypoint[..., 2] %= 3
    for kind in ('f4', dtype):
        item = dict(frame_dir='a', label=np.int32(2), total_frames=np.int8(30),
                    keypoint=keypoint.astype(kind))
        path = dump(tmp_path / f'{kind}.pkl', dict(
            annotations=[item], layout='coco'))
        np.random.seed(0)
        samples.append(SkeletonDataset(path, first + PIPELINE)[0])
    assert torch.equal(samples[0]['inputs'], samples[1]['inputs'])
    assert samples[1]['data_samples'].gt_label == 2
    # the third channel of a two-dimensional layout is not a coordinate
    assert samples[0]['inputs'][..., 2].max() == 2


@pytest.mark.parametrize('key', ['frame_dir', 'filename'])
def test_more_persons_than_the_model_takes(tmp_path, key):
    steps = [dict(type='FormatGCNInput', num_person=2)]
    item = {key: 'a', 'label': 0, 'total_frames': 30,
            'keypoint': np.ones((3, 30, 17, 3))}
    with pytest.raises(InputError, match='sequence a has 3 persons, expected '
                       'at most 2'):
        SkeletonDataset(dump(tmp_path / 'a.pkl', [item]), steps)
    # the check also covers MMAction2's own API
    with pytest.raises(InputError, match='sequence a has 3 persons'):
        Compose(steps)(dict(item))


@pytest.mark.parametrize('persons', [2, 3])
@pytest.mark.parametrize('score', [False, True])
def test_absent_persons_are_the_last(tmp_path, persons, score):
    keypoint = np.arange(1, persons + 1.).repeat(30 * 17 * 3).reshape(
        persons, 30, 17, 3)
    item = dict(ITEM, keypoint=keypoint, total_frames=30)
    if score:
        item['keypoint_score'] = np.ones((persons, 30, 17))
    item['keypoint_score' if score else 'keypoint'][0] = 0
    dataset = SkeletonDataset(dump(tmp_path / 'b.pkl', [item]), [dict(
        type='FormatGCNInput', num_person=2)])
    np.testing.assert_array_equal(
        dataset.get_data_info(0)['keypoint'],
        keypoint[[1, 0] if persons == 2 else [1, 2]])


def test_examples_of_the_page(root, tmp_path, monkeypatch, tiny_annotations):
    """Run the examples of docs/annotation_format.md."""
    text = (root / 'docs/annotation_format.md').read_text()
    write, read, config = re.findall(r'```python\n(.*?)```', text, re.S)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(write + read, names)
    expected = re.search('# (torch.Size.*)', read)[1]
    assert str(names['sample']['inputs'].shape) == expected
    assert names['dataset'].metainfo['classes'][1].endswith('right hand')

    Path('configs').symlink_to(root / 'configs')
    tiny_annotations(joints=25, split='xsub_train', name='ntu60_3d.pkl')
    Path('mine.py').write_text(config)
    cfg = Config.fromfile('mine.py')
    assert len(DATASETS.build(cfg.train_dataloader.dataset)) == 5 * 24
    assert len(DATASETS.build(cfg.test_dataloader.dataset)) == 24


def test_subsets(tiny_annotations):
    path = tiny_annotations(num=9)
    whole = SkeletonDataset(path, PIPELINE)
    subsets = [SkeletonDataset(path, PIPELINE, indices=[4, 2]),
               whole.get_subset([4, 2])]
    for subset in subsets:
        assert len(subset) == 2
        subset.get_data_info(1)['keypoint'][:] = 7  # as a transform may do
        np.testing.assert_array_equal(subset.get_data_info(1)['keypoint'],
                                      whole.get_data_info(2)['keypoint'])


def test_arrays_that_span_several_blocks(monkeypatch):
    monkeypatch.setattr(_Blocks, 'SIZE', 100)
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape).astype(dtype) for shape, dtype in (
        ((1, 2, 3, 3), 'f4'), ((2, 5, 5, 2), 'f8'), ((250, ), 'f2'),
        ((4, 0, 2), 'f4'), ((1, 7), 'i8'), ((90, ), 'f4'))]
    blocks = _Blocks()
    places = [blocks.put(array) for array in arrays]
    assert [len(block) for block in blocks.blocks] == [100, 100, 250, 100]
    for array, place in zip(arrays, places):
        kept = blocks.get(*place)
        assert kept.dtype == np.float32 and kept.shape == array.shape
        np.testing.assert_array_equal(kept, array.astype(np.float32))
    assert blocks.num_bytes == 4 * sum(array.size for array in arrays)


def test_class_names(tmp_path, tiny_annotations):
    content = pickle.loads(Path(tiny_annotations(num=3)).read_bytes())
    path = dump(tmp_path / 'named.pkl', dict(content, classes=['a', 'b']))
    assert SkeletonDataset(path, []).metainfo['classes'] == ['a', 'b']
    with pytest.raises(InputError, match="classes are .'a', 'b'., but"):
        SkeletonDataset(path, [], metainfo=dict(classes=['b', 'a']))
    own = SkeletonDataset(path, [], metainfo=dict(classes=['x', 'y']))
    assert own.metainfo['classes'] == ['x', 'y']
    path = dump(tmp_path / 'odd.pkl', dict(content, classes='ab'))
    with pytest.raises(ValueError, match='odd.pkl .* classes of type str'):
        SkeletonDataset(path, [])
    assert 'classes' not in SkeletonDataset(tiny_annotations(), []).metainfo


@pytest.mark.parametrize('fields, message', [
    (dict(classes=['b', 'a']), r"classes\[0\] is 'b', expected 'a'"),
    (dict(classes=['a', 'b', 'c']), 'num_classes is 3, expected 2'),
    (dict(layout='openpose'), r"joint_names\[1\] is 'neck', expected 'left "),
    (dict(layout='coco', classes=['a', 'b']), None), ({}, None)])
def test_concatenated_files_have_the_same_classes_and_joints(
        tmp_path, tiny_annotations, fields, message):
    content = pickle.loads(Path(tiny_annotations(
        num=3, channels=2)).read_bytes())
    parts = [dict(type='SkeletonDataset', pipeline=[], ann_file=dump(
        tmp_path / name, {**content, **own})) for name, own in (
            ('nameless.pkl', {}),
            ('first.pkl', dict(classes=['a', 'b'], layout='coco')),
            ('second.pkl', fields))]
    config = dict(type='ConcatDataset', datasets=parts)
    if message is None:
        whole = DATASETS.build(config)
        assert len(whole) == 9 and whole.metainfo['classes'] == ['a', 'b']
        return
    with pytest.raises(InputError, match=f'second.pkl: {message}.*as in an e'):
        DATASETS.build(config)


ITEM = dict(frame_dir='a', label=0, total_frames=2,
            keypoint=np.ones((1, 2, 25, 3), np.float32))


@pytest.mark.parametrize('content, message', [
    ([ITEM], 'of type list, expected a dict with "annotations"'),
    (dict(annotations=None), 'annotations of type NoneType, expected'),
    (dict(annotations=[ITEM]), 'contains split of type NoneType, expected'),
    (dict(annotations=[ITEM], split=dict(xset_train=['a'], xset_val=['a'])),
     'no split "xsub_train"; expected one of xset_train, xset_val'),
    (dict(annotations=[ITEM], split=dict(xsub_train=[])),
     r'split "xsub_train" is \[\], expected a list of at least one name'),
    (dict(annotations=[ITEM], split=dict(xsub_train=['a', 'b', 'c'])),
     r'without an annotation: 2 of 3 \(such as b, c\)')])
def test_files_of_a_different_form_raise(tmp_path, content, message):
    path = dump(tmp_path / 'odd.pkl', content)
    with pytest.raises(ValueError, match=f'{re.escape(path)}.*{message}'):
        SkeletonDataset(path, [], split='xsub_train')


@pytest.mark.parametrize('mark, message', [
    (-1, 'joints are all -1'), (9999, 'joints are all 9999'),
    (np.ma.masked, 'is -- at person 0, frame 0, joint 5')])
def test_marks_for_missing_joints(tmp_path, monkeypatch, mark, message):
    keypoint = np.ma.array(np.random.default_rng(0).normal(size=(1, 2, 25, 3)))
    keypoint[..., 5, :] = mark
    if not np.ma.is_masked(keypoint):
        keypoint = keypoint.data
    path = dump(tmp_path / 'a.pkl', [dict(ITEM, keypoint=keypoint)])
    monkeypatch.setenv('STDCL_TRUSTED_FILES', path)
    with pytest.raises(InputError, match=f'a.pkl: sequence a: .*{message}'):
        SkeletonDataset(path, [])
    if mark == 9999:  # a single joint
        keypoint = np.random.default_rng(0).normal(size=(1, 2, 25, 3))
        keypoint[0, 0, 5] = mark
        path = dump(tmp_path / 'a.pkl', [dict(ITEM, keypoint=keypoint)])
        with pytest.raises(InputError, match='1 of 50 joints are all 9999'):
            SkeletonDataset(path, [])
    far = np.array(keypoint) + 100
    far[..., 5, :] = 0  # without confidences, these are coordinates
    SkeletonDataset(dump(tmp_path / 'b.pkl', [dict(ITEM, keypoint=far)]), [])


def test_several_labels(tmp_path):
    path = dump(tmp_path / 'list.pkl', [dict(
        ITEM, label=[0, 2])])
    dataset = SkeletonDataset(path, [], multi_class=True, num_classes=3)
    assert dataset.get_data_info(0)['label'].tolist() == [1, 0, 1]
    assert dataset.get_cat_ids(0) == [0, 2]
    with pytest.raises(ValueError, match=r'label is \[0, 2\] \(list\)'):
        SkeletonDataset(path, [])


@pytest.mark.parametrize('frame_dir', [{}, dict(frame_dir='subject')])
def test_filename_is_the_name(tmp_path, frame_dir):
    item = {**ITEM, 'filename': 'b'}
    del item['frame_dir']
    item.update(frame_dir)
    path = dump(tmp_path / 'list.pkl', dict(annotations=[item]))
    assert SkeletonDataset(path, []).get_data_info(0)['frame_dir'] == 'b'
    assert label_file.read(path).names.tolist() == ['b']


def test_names_and_labels_need_no_coordinates(tiny_annotations):
    """The fingerprint of the training set equals that of PoseDataset."""
    options = dict(ann_file=tiny_annotations(), pipeline=PIPELINE,
                   split='xview_train')
    ours = SkeletonDataset(**options)
    assert summarize(ours, 0) == summarize(PoseDataset(**options), 0)
    assert not {'keypoint', 'keypoint_score'} & set(ours.get_annotation(3))


def test_processes_share_one_copy(tiny_annotations):
    """Workers get handles of shared memory, and no process keeps a list."""
    dataset = SkeletonDataset(tiny_annotations(num=200), [])
    blocks = dataset.blocks
    assert blocks.num_bytes == sum(range(20, 220)) * 20 * 3 * 4
    assert len(ForkingPickler.dumps(dataset)) < blocks.num_bytes / 50
    assert all(block.is_shared() for block in blocks.blocks)
