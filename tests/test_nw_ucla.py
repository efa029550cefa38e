"""Tests of the NW-UCLA converter and preprocessing."""
import json
import pickle
import zipfile
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from projects.stdcl import datasets
from projects.stdcl.datasets.converters import nw_ucla
from projects.stdcl.datasets.converters.nw_ucla import convert, parse
from projects.stdcl.utils.input_error import InputError
from tests.commands import ROOT


@pytest.fixture(scope='module')
def archive(reference):
    return reference / 'data/nw_ucla/all_sqe.zip'


@pytest.fixture(scope='module')
def unpacked(archive, tmp_path_factory):
    folder = tmp_path_factory.mktemp('nw_ucla')
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder)
    (folder / 'all_sqe/._a01_s01_e00_v01.json').touch()  # of macOS
    return folder / 'all_sqe'


def test_folds_are_by_subject(monkeypatch):
    monkeypatch.setattr(nw_ucla, 'SPLITS', dict(
        xview_train=((1, 2), 20), xview_val=((3, ), 10)))
    splits = nw_ucla.make_splits([
        f'a01_s{subject:02d}_e05_v0{view}'
        for subject, view in product(range(1, 11), (1, 2, 3))])
    assert splits['fold0_val'] == splits['xview_train'][:6]
    assert splits['fold0_train'] == splits['xview_train'][6:]
    assert splits['fold2_val'] == splits['xview_train'][14:]


def test_converts_the_zip_and_the_folder_alike(warm, archive, unpacked,
                                               tmp_path):
    done = warm('tools/data/nw_ucla.py', archive, 'new/zip.pkl', cwd=tmp_path)
    assert 'xview_train 1020, xview_val 464' in done.stdout, done.stderr
    splits = convert(unpacked, tmp_path / 'folder.pkl')
    zipped, folder = (pickle.loads((tmp_path / name).read_bytes())
                      for name in ('new/zip.pkl', 'folder.pkl'))
    assert zipped['split'] == folder['split'] == splits
    for fold, held_out in enumerate(([1, 2, 3], [4, 5, 6, 7], [8, 9, 10])):
        for part, expected in ('val', True), ('train', False):
            assert splits[f'fold{fold}_{part}'] == [
                name for name in splits['xview_train']
                if (int(name[5:7]) in held_out) == expected]
    assert len(zipped['annotations']) == 1484
    assert zipped['classes'] == torch.load(next(ROOT.glob(
        'runs/zoo/stgcn_nw-ucla-*.pth')))['meta']['trained_on']['classes']
    for a, b in zip(zipped['annotations'], folder['annotations']):
        assert a['frame_dir'] == b['frame_dir']
        np.testing.assert_array_equal(a['keypoint'], b['keypoint'])
    frames = [a['total_frames'] for a in zipped['annotations']]
    assert (min(frames), max(frames)) == (1, 201)

    annotation = zipped['annotations'][700]
    record = json.loads(
        (unpacked / f'{annotation["frame_dir"]}.json').read_text())
    np.testing.assert_array_equal(
        annotation['keypoint'][0], np.float32(record['skeletons']))
    assert annotation['label'] == record['label'] - 1


@pytest.mark.parametrize('change, message', [
    (dict(skeletons=[[[0, 0, 0]] * 19]), r'shape \(1, 19, 3\), expected'),
    (dict(skeletons=[[[float('nan')] * 3] * 20]), 'expected finite'),
    (dict(skeletons='none'), 'cannot be read'),
    (dict(label=9), '"label" is 9, expected 1'),
    (dict(label=None), '"label" is None, expected 1'),
])
def test_damaged_files_are_named(change, message):
    record = dict(label=1, skeletons=np.ones((5, 20, 3)).tolist())
    name = 'a01_s01_e00_v01.json'
    assert parse(name, json.dumps(record).encode())['total_frames'] == 5
    with pytest.raises(InputError, match=f'{name}.*{message}'):
        parse(name, json.dumps({**record, **change}).encode())
    with pytest.raises(InputError, match='a07_.*: the name is invalid'):
        parse('a07_s01_e00_v01.json', b'{}')


def test_wrong_sources_are_named(unpacked, tmp_path):
    source, out = tmp_path / 'source', tmp_path / 'out/nw_ucla.pkl'
    source.mkdir()
    (tmp_path / 'broken.zip').write_bytes(b'PK\x03\x04 no zip')
    for path, message in (
            (source, 'xview_train has 0 .* expected 1020'),
            (tmp_path / 'none.zip', 'none.zip does not exist'),
            (tmp_path / 'broken.zip', 'broken.zip is not a readable zip')):
        with pytest.raises(InputError, match=message):
            convert(path, out)
    for path in unpacked.glob('*.json'):
        Path(source, path.name).symlink_to(path)
    next(source.glob('*v03.json')).unlink()
    with pytest.raises(InputError, match='xview_val has 463 .* expected'):
        convert(source, out)
    assert not out.parent.exists()


def published(keypoint, degrees, scale):
    """Apply CTR-GCN's preprocessing, which centers on joint 1 of frame 0."""
    x = keypoint - keypoint[:, :1, 1:2]
    a, b = np.radians(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), np.sin(a)],
                        [0, -np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, -np.sin(b)], [0, 1, 0],
                        [np.sin(b), 0, np.cos(b)]])
    x = x @ (about_y @ (about_x @ np.diag([scale] * 3)))
    for c in range(3):
        low, high = x[..., c].min(), x[..., c].max()
        x[..., c] = (x[..., c] - low) / (high - low) * 2 - 1
    return x


def test_recipe_equals_the_published_one():
    keypoint = np.random.default_rng(0).normal(
        size=(1, 30, 20, 3)).astype(np.float32)
    for seed in range(20):
        np.random.seed(seed)
        degrees = np.random.randint(-60, 61, 2)
        np.random.seed(seed)
        results = datasets.RandomView(60)(dict(keypoint=keypoint.copy()))
        ours = datasets.MinMaxNormalize()(results)['keypoint']
        scale = 0.5 + seed / 20  # undone by min-max normalization
        np.testing.assert_allclose(
            ours, published(keypoint.astype(np.float64), degrees, scale),
            atol=1e-5)
        assert ours.dtype == np.float32


@pytest.mark.parametrize('total', [1, 4, 52, 201])
def test_frames(total):
    test = datasets.RandomSampleFrames(52, test_mode=True).transform(
        dict(total_frames=total))['frame_inds']
    expected = [int(np.floor(t)) for t in np.linspace(0, total - 1, 52)]
    assert test.tolist() == expected

    train = datasets.RandomSampleFrames(52)
    draws = np.stack([train.transform(dict(total_frames=total))['frame_inds']
                      for _ in range(200)])
    assert draws.shape == (200, 52)
    assert (np.diff(draws, axis=1) >= 0).all()
    assert draws.min() == 0 and draws.max() == total - 1
    counts = np.bincount(draws.ravel(), minlength=total)
    mean = 200 * 52 / total  # allow six standard deviations
    assert abs(counts - mean).max() <= 6 * mean**0.5
