"""JHMDB: converter, transforms of 2D data and choice of a split."""
import pickle

import numpy as np
import pytest

from projects.stdcl import datasets
from projects.stdcl.apis.train import set_split
from projects.stdcl.catalogue import find_config
from projects.stdcl.datasets.converters import jhmdb
from projects.stdcl.utils.input_error import InputError
from projects.stdcl.utils.skeleton_layout import LAYOUTS
from tests.test_streams import load


@pytest.fixture
def arrays(monkeypatch):
    monkeypatch.setattr(jhmdb, 'SIZES', [4, 1, 1, 2])
    frames = np.array([3, 2, 4, 5])
    rng = np.random.default_rng(0)
    return dict(
        name=np.array(['run_1', 'jump_1', 'run_2', 'jump_2']),
        label=np.array(['run', 'jump', 'run', 'jump']), num_frames=frames,
        keypoint=rng.normal(size=(frames.sum(), 15, 2)).astype(np.float32),
        is_test_1=np.array([1, 0, 0, 0], bool),
        is_test_2=np.array([0, 1, 0, 0], bool),
        is_test_3=np.array([0, 0, 1, 1], bool))


@pytest.mark.parametrize('dtype', [None, 'uint8', 'float32'])
def test_convert(arrays, dtype, tmp_path):
    # a mask of integers would be an index: all clips in all splits
    np.savez(tmp_path / 'in.npz', **{
        name: array.astype(dtype) if dtype and name[:3] in ('num', 'is_')
        else array.astype('S') if dtype and name in ('name', 'label')
        else array for name, array in arrays.items()})
    counts = jhmdb.convert(tmp_path / 'in.npz', tmp_path / 'out.pkl')
    assert counts == dict(split1_train=3, split1_val=1, split2_train=3,
                          split2_val=1, split3_train=2, split3_val=2,
                          split1_fit=2, split1_tune=1)
    tune = datasets.SkeletonDataset(str(tmp_path / 'out.pkl'), [],
                                    split='split1_tune')
    assert tune.metainfo['classes'] == ['jump', 'run']
    info = tune.get_data_info(0)
    assert (info['frame_dir'], info['label']) == ('jump_1', 0)
    np.testing.assert_array_equal(info['keypoint'][0], arrays['keypoint'][3:5])


def test_files_of_dd_net(arrays, tmp_path):
    poses = np.split(np.asfortranarray(arrays['keypoint'], float),
                     arrays['num_frames'].cumsum()[:-1])
    for split in (1, 2, 3):
        is_test = arrays[f'is_test_{split}']
        for part, chosen in ('test', is_test), ('train', ~is_test):
            clips = dict(pose=[poses[i] for i in np.flatnonzero(chosen)],
                         label=arrays['label'][chosen].tolist())
            (tmp_path / f'GT_{part}_{split}.pkl').write_bytes(
                pickle.dumps(clips, protocol=3))
    np.savez(tmp_path / 'in.npz', **arrays)
    for source in ('', 'in.npz'):
        jhmdb.convert(tmp_path / source, tmp_path / f'{source}.pkl')
    for split in ('split1_train', 'split2_val', 'split3_val', 'split1_tune'):
        one, two = ({clip['keypoint'].tobytes(): clip['label'] for clip in
                     datasets.SkeletonDataset(str(tmp_path / name), [],
                                              split=split)}
                    for name in ('.pkl', 'in.npz.pkl'))
        assert one and one == two
    (tmp_path / 'GT_test_3.pkl').write_bytes(pickle.dumps([1]))
    with pytest.raises(InputError, match='GT_test_3.pkl was not read'):
        jhmdb.convert(tmp_path, tmp_path / 'out.pkl')


@pytest.mark.parametrize('name, value, expected', [
    ('num_frames', np.array([3, 2, 4, 6]), 'keypoint has shape'),
    ('num_frames', np.array([3, 2, 4.5, 5]), '5.* expected integers'),
    ('is_test_2', np.zeros(3, bool), r'is_test_2 has shape \(3,\)'),
    ('is_test_2', np.ones(4), r'4 clips, and .* have \[1, 4, 2\] test'),
    ('keypoint', np.array([object()]), 'could not be read')])
def test_invalid_arrays(name, value, expected, arrays, tmp_path):
    np.savez(tmp_path / 'in.npz', **{**arrays, name: value})
    with pytest.raises(InputError, match=expected):
        jhmdb.convert(tmp_path / 'in.npz', tmp_path / 'out.pkl')
    with pytest.raises(FileNotFoundError, match='no.npz'):
        jhmdb.convert(tmp_path / 'no.npz', tmp_path / 'out.pkl')


def test_real_data(reference, tmp_path):
    source = reference / 'data' / 'jhmdb' / 'jhmdb_14_classes.npz'
    counts = jhmdb.convert(source, tmp_path / 'out.pkl')
    assert [counts[f'split{i}_val'] for i in (1, 2, 3)] == [176, 176, 175]
    assert (counts['split1_fit'], counts['split1_tune']) == (321, 112)
    clips = datasets.SkeletonDataset(str(tmp_path / 'out.pkl'), [])
    assert len(clips) == 609
    # y points down, so faces have a smaller y than ankles on average
    names = LAYOUTS['jhmdb'].joint_names
    pose = np.mean([clips.get_data_info(i)['keypoint'].mean(axis=(0, 1))
                    for i in range(609)], axis=0)
    assert pose[names.index('face'), 1] < pose[names.index('left ankle'), 1]


@pytest.mark.parametrize('normalize, expected', [
    (datasets.Standardize(), 0), (datasets.MinMaxNormalize(), -1)])
def test_a_constant_skeleton(normalize, expected):
    score = np.arange(15) < np.ones((1, 3, 1)) * [[0], [1], [15]]
    for scores in {}, dict(keypoint_score=score):
        keypoint = normalize(dict(
            keypoint=np.full((1, 3, 15, 2), 7.), **scores))['keypoint']
        assert (keypoint[scores.get('keypoint_score', score < 2)]
                == expected).all()
        assert np.isfinite(keypoint).all()  # also those of lost joints


def test_random_scale():
    np.random.seed(0)
    factors = np.array([datasets.RandomScale(0.5, 2)(dict(keypoint=np.ones(
        (1, 2, 3, 2), np.float32)))['keypoint'] for _ in range(200)])
    assert (factors == factors[:, :1, :1, :1, :1]).all()
    assert 0.5 <= factors.min() < 0.6 and 1.9 < factors.max() <= 2
    with pytest.raises(InputError, match='low is 2 and high is 1'):
        datasets.RandomScale(2, 1)


def test_rotation_in_the_plane():
    np.random.seed(0)
    points = np.random.normal(size=(1, 4, 15, 2)).astype(np.float32)
    angles = []
    rotate = datasets.RandomRotation(0.3)
    for _ in range(200):
        turned = rotate(dict(keypoint=points))['keypoint']
        np.testing.assert_allclose(np.hypot(*turned.T), np.hypot(*points.T),
                                   rtol=1e-5)
        ratio = (turned @ [1, 1j]) / (points @ [1, 1j])
        np.testing.assert_allclose(ratio, ratio[0, 0, 0], rtol=1e-4)
        angles.append(np.angle(ratio[0, 0, 0]))
    assert -0.3 <= min(angles) < -0.25 and 0.25 < max(angles) <= 0.3


def test_frames_of_a_random_segment():
    np.random.seed(0)
    sample = datasets.RandomSampleFrames(32, proportion=(0.5, 0.75))
    draws = np.array([sample(dict(total_frames=40))['frame_inds']
                      for _ in range(300)])
    assert (np.diff(draws, axis=1) >= 0).all()
    assert np.ptp(draws, axis=1).max() <= 29  # at most 30 frames
    assert draws.min() == 0 and draws.max() == 39
    assert (sample(dict(total_frames=1))['frame_inds'] == 0).all()
    clips = datasets.RandomSampleFrames(32, proportion=(0.5, 0.75),
                                        num_clips=5)(dict(total_frames=40))
    assert clips['num_clips'] == 5
    clips = clips['frame_inds'].reshape(5, 32)
    assert (np.diff(clips, axis=1) >= 0).all()
    assert len(np.unique(clips, axis=0)) == 5
    with pytest.raises(InputError, match=r'proportion is \(0, 1\)'):
        datasets.RandomSampleFrames(32, proportion=(0, 1))


@pytest.mark.parametrize('benchmark, split, train, val', [
    ('jhmdb', 'split3', 'split3_train', 'split3_val'),
    ('ntu60-xsub', 'xview', 'xview_train', 'xview_val')])
def test_split(benchmark, split, train, val, tmp_path):
    path = find_config('stgcn', benchmark, True)
    cfg = load(path, split=split)
    dataset = cfg.train_dataloader.dataset
    assert dataset.get('dataset', dataset).split == train
    assert cfg.val_dataloader.dataset.split == val
    assert cfg.test_dataloader.dataset.split == val
    assert cfg.work_dir == f'work_dirs/{path.stem}_{split}'
    cfg.dump(tmp_path / 'saved.py')
    assert load(tmp_path / 'saved.py',
                split=split).work_dir == cfg.work_dir
    dataset.get('dataset', dataset).split = 'my_own_train'
    set_split(cfg, 'other')
    assert dataset.get('dataset', dataset).split == 'other_train'
    with pytest.raises(InputError, match='no data set in the config'):
        load(find_config('stgcn', 'synthetic', True), split=split)
