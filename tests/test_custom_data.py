"""The converter of a user's own sequences, and its page in docs/."""
import csv
import io
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate

from projects.stdcl.datasets.training_sequences import TrainingSequences
from projects.stdcl.utils import safe_pickle

TOOL = 'tools/data/custom.py'
HAND = dict(name='hand', joint_names=['wrist', 'thumb', 'index', 'tip'],
            edges=[[1, 0], [2, 0], [3, 2]], center=0)
FLAT = dict(HAND, name='flat', dims=2)


@pytest.fixture
def custom(root, monkeypatch):
    """The tool as a module."""
    monkeypatch.syspath_prepend(root / 'tools' / 'data')
    import custom
    return custom


@pytest.fixture
def hand(custom):
    return custom.SkeletonLayout.get(HAND)


@pytest.fixture
def flat(custom):
    return custom.SkeletonLayout.get(FLAT)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Eight good sequences of two classes and four subjects."""
    monkeypatch.chdir(tmp_path)
    rows = []
    for i in range(8):
        name = f'{"ab"[i % 2]}/{i}'
        save(name, joints(5 + i, seed=i))
        rows.append((name, ['wave', 'clap'][i % 2], f's{i // 2}',
                     'val' if i > 5 else 'train'))
    Path('hand.json').write_text(json.dumps(HAND))
    write_csv('labels.csv', [('name', 'label', 'subject', 'split'), *rows])
    return tmp_path


def joints(frames, channels=3, seed=0, persons=None):
    shape = (frames, 4, channels)
    shape = shape if persons is None else (persons, *shape)
    return np.random.default_rng(seed).normal(size=shape)


def save(name, array):
    path = Path('src', f'{name}.npy')
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def write_csv(path, rows):
    with open(path, 'w', newline='') as file:
        csv.writer(file).writerows(rows)


def edit(path, old, new):
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new, 1))


@pytest.fixture
def run(custom, monkeypatch, capsys):
    """Run the tool in this process; returns stdout, stderr, error."""

    def call(*options, layout='hand.json'):
        monkeypatch.setattr(sys, 'argv', [
            TOOL, 'src', 'labels.csv', 'out/made.pkl', '--layout', layout,
            *map(str, options)])
        error = None
        try:
            custom.main()
        except SystemExit as stop:
            error = stop.code
        return (*capsys.readouterr(), error)

    return call


def made():
    return safe_pickle.load('out/made.pkl')


def refused(run, *options, **kwargs):
    """The message of a run that must fail and write nothing."""
    _, _, error = run(*options, **kwargs)
    assert isinstance(error, str) and error.startswith('error: '), error
    assert error.endswith('\nNothing was written.')
    assert not Path('out').exists()
    return error


# sequences


def csv_text(array, *, header=False):
    lines = [','.join(map(repr, frame.ravel().tolist())) for frame in array]
    if header:
        lines.insert(0, ','.join(f'v{i}' for i in range(array[0].size)))
    return '\n'.join(lines) + '\n'


@pytest.mark.parametrize('persons', [None, 1, 3])
@pytest.mark.parametrize('dtype', ['float32', 'float64', 'float16', 'int32',
                                   'uint8', '>f8'])
def test_reads_numpy(custom, hand, tmp_path, persons, dtype):
    array = (100 * joints(6, persons=persons) + 128).astype(dtype)
    np.save(tmp_path / 'a.npy', array)
    np.savez(tmp_path / 'b.npz', anything=array)
    np.savez_compressed(tmp_path / 'c.npz', keypoint=array)
    for name in ('a.npy', 'b.npz', 'c.npz'):
        sequence = custom.read_sequence(tmp_path / name, hand)
        assert list(sequence) == ['keypoint']
        keypoint = sequence['keypoint']
        assert keypoint.dtype == np.float32 and keypoint.dtype.isnative
        np.testing.assert_array_equal(
            keypoint, array.astype('f4').reshape(persons or 1, 6, 4, 3))


@pytest.mark.parametrize('header', [False, True])
def test_reads_csv(custom, hand, tmp_path, header):
    array = joints(6)
    # a spreadsheet's byte order mark, and its line ends
    text = '\ufeff' + csv_text(array, header=header).replace('\n', '\r\n')
    (tmp_path / 'a.csv').write_text(text, newline='')
    keypoint = custom.read_sequence(tmp_path / 'a.csv', hand)['keypoint']
    np.testing.assert_array_equal(keypoint, np.float32(array)[None])


@pytest.mark.parametrize('keys', [('frame', 'person'), ('Person', 'Frame'),
                                  ('frame', )])
def test_csv_rows_find_their_person_and_frame(custom, hand, tmp_path, keys):
    people = (7, 30, 4) if len(keys) == 2 else (0, )
    expected = joints(9, persons=len(people))
    lines = []
    for m, t in itertools.product(range(len(people)), range(9)):
        if (m, t) == (1, 3):  # not seen
            expected[m, t] = 0
            continue
        place = dict(frame=t + 100, person=people[m])
        lines.append([place[key.lower()] for key in keys]
                     + expected[m, t].ravel().tolist())
    np.random.default_rng(0).shuffle(lines)
    write_csv(tmp_path / 'a.csv', [
        (*keys, *(f'v{i}' for i in range(12))), *lines])
    keypoint = custom.read_sequence(tmp_path / 'a.csv', hand)['keypoint']
    np.testing.assert_array_equal(  # persons in the order of their numbers
        keypoint, np.float32(expected)[np.argsort(people)])


def test_confidence(custom, flat, tmp_path):
    array = joints(6, persons=2)
    np.save(tmp_path / 'a.npy', array)
    np.savez(tmp_path / 'b.npz', keypoint=array[..., :2],
             keypoint_score=array[..., 2])
    (tmp_path / 'c.csv').write_text(csv_text(array[0]))
    np.savez(tmp_path / 'd.npz', keypoint=array[0, ..., :2],
             keypoint_score=array[0, ..., 2])
    for name, persons in (('a.npy', 2), ('b.npz', 2), ('c.csv', 1),
                          ('d.npz', 1)):
        sequence = custom.read_sequence(tmp_path / name, flat)
        expected = np.float32(array[:persons])
        np.testing.assert_array_equal(sequence['keypoint'],
                                      expected[..., :2])
        np.testing.assert_array_equal(sequence['keypoint_score'],
                                      expected[..., 2])
    np.save(tmp_path / 'e.npy', array[..., :2])
    (tmp_path / 'f.csv').write_text(csv_text(array[0, ..., :2]))
    for name in ('e.npy', 'f.csv'):
        assert list(custom.read_sequence(tmp_path / name, flat)) == [
            'keypoint']


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path('sprung'), )


def with_value(value, place=(2, 3, 1)):
    array = joints(5)
    array[place] = value
    return array


def saved(**arrays):
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def numpy_bytes(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


COORDINATES = ',0' * 12
BAD_NUMPY = {
    'rank 2': (joints(5)[..., 0], r'keypoint has shape \(5, 4\), expected '
               r'\(frames, joints, channels\) or \(persons, frames, joints, '
               r'channels\)'),
    'rank 5': (joints(5)[None, None], r'shape \(1, 1, 5, 4, 3\)'),
    'joints': (np.zeros((5, 25, 3)), '25 joints, expected 4 as layout "hand"'),
    'channels': (joints(5, 2), '2 channels, expected 3 as layout "hand" is '
                 '3D'),
    'no frames': (joints(0), 'has 0 frames, expected at least 1'),
    'no persons': (joints(5, persons=0), 'has 0 persons'),
    'nan': (with_value(np.nan), 'has nan at person 0, frame 2, joint 3 '
            r'\("tip"\), counted from 0, and 0 more'),
    'inf': (with_value(-np.inf, np.s_[1:, 2]), 'has -inf at person 0, frame '
            r'1, joint 2 \("index"\), counted from 0, and 11 more'),
    'too large': (with_value(1e39), 'has inf at person 0, frame 2'),
    'complex': (joints(5) + 1j, 'dtype complex128, expected real numbers'),
    'text': (joints(5).astype(str), 'dtype <U32, expected real'),
    'bool': (joints(5) > 0, 'dtype bool, expected real numbers'),
    'time': (joints(5).astype('m8[s]'), r'dtype timedelta64\[s\]'),
    'object': (joints(5).astype(object), 'dtype is object, expected'),
    'trap': (np.array([Trap()]), 'dtype is object, .* can run code'),
    'fields': (np.zeros(5, [('x', 'f4')]), 'dtype .*, expected real numbers'),
    'empty': (b'', 'not readable as .npy or .npz: No data left'),
    'noise': (b'noise' * 99, 'not readable .* begins as neither'),
    'cut': (numpy_bytes(joints(5))[:-9], 'not readable as .npy'),
    'header': (numpy_bytes(joints(5))[:40], 'not readable as .npy'),
    'cut zip': (saved(a=joints(5))[:-99], 'not readable as .npy'),
    'bad zip': (saved(a=joints(5)).replace(b'\xbf', b'\xbe', 1),
                'not readable as .npy .*CRC'),
    'arrays': (saved(a=joints(5), b=joints(5)), r"arrays \['a', 'b'\], "
               'expected one array, or "keypoint" and "keypoint_score"'),
    'only score': (saved(keypoint_score=joints(5)), 'holds the arrays'),
    'object in zip': (saved(a=np.array([Trap()])), 'dtype is object'),
    'score in 3D': (saved(keypoint=joints(5), keypoint_score=joints(5)[
        ..., 0]), 'keypoint_score has shape .* two-dimensional layout'),
}


@pytest.mark.parametrize('content, message', BAD_NUMPY.values(),
                         ids=BAD_NUMPY)
def test_bad_numpy_files_are_named(custom, hand, tmp_path, monkeypatch,
                                   content, message):
    monkeypatch.chdir(tmp_path)
    for path in Path('a.npy'), Path('a.npz'):
        if not isinstance(content, bytes):
            content = numpy_bytes(content)
        path.write_bytes(content)
        with pytest.raises(custom.DataError, match=f'^{path}.*{message}'):
            custom.read_sequence(path, hand)
    assert not Path('sprung').exists()


BAD_CSV = {
    'empty': ('', 'is empty'),
    'header only': (','.join(f'v{i}' for i in range(12)), 'has 0 frames'),
    'ragged': (csv_text(joints(3)) + '1,2\n', 'line 4 has 2 values, expected '
               '12 as in line 1'),
    'text': (csv_text(joints(3)) + 'n/a' + ',0' * 11,
             'line 4, column 1 has "n/a", expected a number'),
    'hole': (csv_text(joints(3)) + '\n' + '0,' * 11, 'line 5, column 12 has '
             '"", expected a number'),
    'hole in the first': ('0,,' + '0,' * 9 + '0\n' + csv_text(joints(3)),
                          'line 1, column 2 has "", expected a number'),
    'no numbers in the first': (',' * 11 + '\n' + csv_text(joints(3)),
                                'line 1, column 1 has ""'),
    'nan': ('0,' * 10 + 'nan,0', r'has nan at person 0, frame 0, joint 3'),
    'joints': (csv_text(np.zeros((3, 5, 3))), 'a row has 15 coordinates, '
               r'expected 12 \(3 for each joint\) for the 4 joints of layout '
               '"hand"'),
    'semicolons': ('0;' * 11 + '0', 'a row has 1 coord|has 0 frames'),
    'no frame': ('person' + ',v' * 12 + '\n1' + COORDINATES,
                 'has "person" but no "frame"'),
    'fraction': ('frame' + ',v' * 12 + '\n1' + COORDINATES + '\n1.5'
                 + COORDINATES, 'line 3, "frame" is 1.5, expected a whole'),
    'infinite': ('frame' + ',v' * 12 + '\ninf' + COORDINATES,
                 '"frame" is inf, expected a whole'),
    'gap': ('frame' + ',v' * 12 + '\n1' + COORDINATES + '\n4' + COORDINATES,
            '"frame" goes from 1 to 4'),
    'twice': ('frame,person' + ',v' * 12 + '\n1,0' + COORDINATES + '\n1,1'
              + COORDINATES + '\n1,0' + COORDINATES,
              'line 4 has frame 1, person 0 once more'),
    'bytes': (b'\xff\xfe\x00', 'not readable as a CSV file'),
}


@pytest.mark.parametrize('content, message', BAD_CSV.values(), ids=BAD_CSV)
def test_bad_csv_files_are_named(custom, hand, tmp_path, content, message):
    path = tmp_path / 'a.csv'
    path.write_bytes(content if isinstance(content, bytes)
                     else content.encode())
    with pytest.raises(custom.DataError,
                       match=f'{re.escape(str(path))}.*({message})'):
        custom.read_sequence(path, hand)


@pytest.mark.parametrize('arrays, message', [
    (dict(keypoint=joints(5), keypoint_score=joints(5)[..., 0]),
     r'keypoint_score has shape \(1, 5, 4\) beside keypoint of shape '
     r'\(1, 5, 4, 3\)'),
    (dict(keypoint=joints(5, 2), keypoint_score=joints(6)[..., 0]),
     r'keypoint_score has shape \(1, 6, 4\)'),
    (dict(keypoint=joints(5, 2), keypoint_score=joints(5)),
     'keypoint_score has 3 joints, expected 4'),
    (dict(keypoint=joints(5, 2), keypoint_score=joints(5)[0, :, 0]),
     r'keypoint_score has shape \(4,\), expected \(frames, joints\) or'),
    (dict(keypoint=joints(5, 2), keypoint_score=np.full((5, 4), np.nan)),
     'keypoint_score has nan at person 0, frame 0'),
    (dict(keypoint=joints(5, 4)), '4 channels, expected 2 or 3 as layout '
     '"flat" is 2D'),
])
def test_bad_confidence_is_named(custom, flat, tmp_path, arrays, message):
    np.savez(tmp_path / 'a.npz', **arrays)
    with pytest.raises(custom.DataError, match=message):
        custom.read_sequence(tmp_path / 'a.npz', flat)


# tables


def test_what_is_written(run, folder):
    out, err, error = run()
    assert error is None and err == ''
    assert ('sequences 8 (train 6, val 2)' in out
            and 'classes   2: clap 4, wave 4' in out
            and 'frames    5 to 12, mean 8.5' in out
            and 'persons   1' in out)
    content = made()
    assert content['classes'] == ['clap', 'wave']
    assert content['layout'] == HAND
    names = [a['frame_dir'] for a in content['annotations']]
    assert names == ['a/0', 'a/2', 'a/4', 'a/6', 'b/1', 'b/3', 'b/5', 'b/7']
    assert content['split'] == dict(
        train=[n for n in names if n not in ('a/6', 'b/7')],
        val=['a/6', 'b/7'])
    for annotation in content['annotations']:
        number = int(annotation['frame_dir'][2:])
        assert set(annotation) == {'frame_dir', 'label', 'total_frames',
                                   'keypoint'}
        assert annotation['label'] == 1 - number % 2
        assert annotation['total_frames'] == 5 + number
        np.testing.assert_array_equal(
            annotation['keypoint'],
            np.float32(joints(5 + number, seed=number))[None])
    assert sorted(os.listdir('out')) == ['made.pkl']


def test_tables_may_lie_among_the_files_and_names_have_suffixes(run, folder):
    Path('labels.csv').rename('src/labels.csv')
    edit('src/labels.csv', 'name,', 'FILE,')
    edit('src/labels.csv', 'a/0,', 'a/0.npy,')
    Path('labels.csv').symlink_to('src/labels.csv')
    assert run()[2] is None
    assert len(made()['annotations']) == 8


def test_classes_in_the_order_of_a_file(run, folder):
    Path('classes.txt').write_text('wave\n\n never \nclap\n')
    labels = Path('labels.csv').read_text()
    for text in (labels, labels.replace('wave', '0').replace('clap', '2')):
        Path('labels.csv').write_text(text)
        _, _, error = run('--classes', 'classes.txt')
        assert 'No training sequence for the classes "never";' in error
    edit('classes.txt', ' never \n', '')
    Path('labels.csv').write_text(labels)
    assert run('--classes', 'classes.txt')[2] is None
    content = made()
    assert content['classes'] == ['wave', 'clap']
    assert content['annotations'][0]['label'] == 0


def test_labels_that_are_numbers(run, folder):
    text = Path('labels.csv').read_text()
    Path('labels.csv').write_text(
        text.replace('wave', '0').replace('clap', '1'))
    assert run()[2] is None
    content = made()
    assert content['classes'] == ['0', '1']
    assert [a['label'] for a in content['annotations']] == [0] * 4 + [1] * 4


@pytest.mark.parametrize('old, new, options, message', [
    ('a/0,wave', 'a/0,3', '', 'label is "3" in one row and "clap" in another'),
    ('a/0,wave', 'a/0,', '', 'label of "a/0" is "", expected one of the 2 '
     'classes clap, wave'),
    ('name,label', 'name,class', '', 'header is "name,class,subject,split", '
     r'expected the columns name \(or file\) and label'),
    ('name,label', 'name,label,label', '', 'line 2 has 4 values, expected 5'),
    ('subject,split', 'subject,label', '', 'header is .* once each'),
    ('a/0,', ',', '', 'labels.csv: line 2 has no name'),
    ('a/0,', 'a/2,', '', 'a/0.npy: "a/0" has no row in labels.csv(.|\n)*'
     '"a/2" is in line 2 and in line 4'),
    ('a/0,', 'a/x,', '', '"a/x" has no file in src, expected a/x.npy'),
    ('s0,train', 's0,test', '', 'split of "a/0" is "test", expected train or'),
    ('s0,train', 's0,', '', '"a/0" is in no split'),
    ('subject,split', 'subject,part', '', 'no column split; add it, or give'),
    ('a/0,wave,s0', 'a/0,wave,', '--val-ratio 0.5 --by-subject',
     '"a/0" has no subject, which --by-subject needs'),
    ('name', 'name', '--layout coco.json', 'coco.json is not readable as a '
     'layout: .*No such file'),
    ('name', 'name', '--layout mocap', '--layout is "mocap", expected one of '
     'nturgb.d, nw-ucla, coco, openpose'),
    ('name', 'name', '--layout nturgb+d', '8 problems:\n(.|\n)*a/0.npy: '
     'keypoint has 4 joints, expected 25 as layout "nturgb.d"'),
    ('name', 'name', '--img-shape 4 5', '--img-shape is for two-dim'),
    ('name', 'name', '--classes no.txt', 'no.txt is not readable as text'),
    ('name', 'name', '--classes src/a/0.npy', '0.npy is not readable as text'),
    ('name', 'name', '--splits no.json', 'no.json is not readable as JSON'),
    ('name', 'name', '--splits hand.json', 'in no split'),
    ('name', 'name', '--val-ratio 0.01 --no-by-subject',
     'split val has 0 of the 8'),
    ('subject', 'person', '--val-ratio 0.5 --by-subject', '8 problems:\n'
     '(.|\n)*"b/7" has no subject, which --by-subject needs'),
])
def test_wrong_tables_are_named(run, folder, old, new, options, message):
    edit('labels.csv', old, new)
    assert re.search(message, refused(run, *options.split())), message


def test_numbers_with_a_gap_and_unknown_classes(run, folder):
    text = Path('labels.csv').read_text()
    Path('labels.csv').write_text(
        text.replace('wave', '0').replace('clap', '2'))
    assert re.search(r'labels are \[0, 2\], expected 0 to 1 without a gap',
                     refused(run))
    Path('classes.txt').write_text('one\ntwo\n')
    assert re.search('label of "b/1" is "2", expected one of the 2 classes 0,'
                     ' 1', refused(run, '--classes', 'classes.txt'))
    Path('labels.csv').write_text(text)
    assert 'is "wave", expected one of the 2 classes one, two' in refused(
        run, '--classes', 'classes.txt')
    Path('classes.txt').write_text('one\ntwo\none\n')
    assert '"one" is there 2 times' in refused(run, '--classes', 'classes.txt')
    Path('classes.txt').write_text('\n')
    assert 'has no names' in refused(run, '--classes', 'classes.txt')


@pytest.mark.parametrize('fields, message', [
    ([1], 'it holds no object'),
    (dict(HAND, center=9), 'layout "hand": center has 9'),
    (dict(HAND, edges=[[0, 1]]), 'edges has 1 pairs'),
    (dict(HAND, jonts=[]), 'unexpected keyword argument .*jonts'),
])
def test_wrong_layouts_are_named(run, folder, fields, message):
    Path('hand.json').write_text(json.dumps(fields))
    assert re.search(f'hand.json is not readable as a layout: .*{message}',
                     refused(run))


def test_a_layout_is_named_by_its_file(custom, tmp_path):
    path = tmp_path / 'glove.json'
    path.write_text(json.dumps(
        {key: value for key, value in HAND.items() if key != 'name'}))
    fields, layout = custom.read_layout(str(path))
    assert layout.name == fields['name'] == 'glove'
    assert custom.read_layout('coco')[0] == 'coco'


def test_sources_without_files_and_names_of_two_files(run, folder):
    csv_path = Path('src/a/0.CSV')
    csv_path.write_text(csv_text(joints(3)))
    assert 'src/a/0.CSV and src/a/0.npy have the same name' in refused(run)
    for path in Path('src').glob('*/*'):
        path.unlink()
    assert 'src has no .npy, .npz or .csv files' in refused(run)
    Path('labels.csv').write_text('name,label\n')
    save('a', joints(3))
    assert 'has a header and no rows' in refused(run)


def test_a_source_that_is_no_folder(run, folder):
    Path('src').rename('other')
    expected = 'expected a folder with a .npy, .npz or .csv file for each'
    assert f'src does not exist; {expected}' in refused(run)
    Path('src').write_bytes(saved(a=joints(3)))
    assert f'src is no folder; {expected}' in refused(run)


def test_tables_among_the_files_are_no_sequences(run, folder):
    Path('src/classes.csv').write_text('wave\nclap\n')
    write_csv('src/splits.csv', [row[::3] for row in csv.reader(
        Path('labels.csv').read_text().splitlines())])
    assert run('--classes', 'src/classes.csv', '--splits',
               'src/splits.csv')[2] is None
    assert len(made()['annotations']) == 8
    assert made()['classes'] == ['wave', 'clap']


def test_paths_of_windows_in_tables(run, folder):
    assert run()[2] is None
    expected = made()['split']
    rows = [(name.replace('/', '\\') + '.npy', *row) for name, *row in
            csv.reader(Path('labels.csv').read_text().splitlines())][1:]
    write_csv('labels.csv', [('file', 'label'), *(row[:2] for row in rows)])
    splits = {row[0]: row[3] for row in rows}
    Path('splits.json').write_text(json.dumps(splits))
    write_csv('splits.csv', [('file', 'split'), *splits.items()])
    for path in ('splits.json', 'splits.csv'):
        assert run('--splits', path)[2] is None
        assert made()['split'] == expected


def test_confidence_in_some_files_only(run, folder):
    Path('hand.json').write_text(json.dumps(FLAT))
    for path in Path('src').glob('*/*.npy'):
        np.save(path, joints(4, 3 if path.stem == '2' else 2))
    assert re.search('1 problem:\n.*a/2.npy: has a confidence, unlike 7 of '
                     'the 8', refused(run))
    for path in Path('src').glob('*/*.npy'):
        np.save(path, joints(4, 2 if path.stem == '2' else 3))
    assert re.search('1 problem:\n.*a/2.npy: has no confidence, unlike 7 of '
                     'the 8', refused(run))
    np.save('src/a/2.npy', joints(4))
    assert run('--img-shape', 480, 640)[2] is None
    for annotation in made()['annotations']:
        assert annotation['keypoint'].shape == (1, 4, 4, 2)
        assert annotation['keypoint_score'].shape == (1, 4, 4)
        assert annotation['img_shape'] == (480, 640)
        assert annotation['original_shape'] == (480, 640)


def test_all_problems_are_listed_up_to_twenty(root, folder):
    """The whole command, as a user runs it."""
    command = [sys.executable, root / TOOL, 'src', 'labels.csv', 'made.pkl',
               '--layout', 'hand.json']
    for i in range(13):
        save(f'extra/{i:02d}', joints(3, 2))  # wrong channels and no row
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ''
    lines = done.stderr.splitlines()
    assert lines[0] == 'error: 26 problems:'
    assert len(lines) == 1 + 20 + 2
    assert lines[1:3] == [
        '  src/extra/00.npy: "extra/00" has no row in labels.csv.',
        '  src/extra/00.npy: keypoint has 2 channels, expected 3 as layout '
        '"hand" is 3D (shape (3, 4, 2)).']
    assert lines[-2:] == ['  ... and 6 more', 'Nothing was written.']
    assert not Path('made.pkl').exists()


def test_bad_files_are_skipped_and_reported(run, folder):
    Path('src/a/0.npy').write_bytes(b'')
    Path('src/b/1.npy').unlink()
    save('extra', joints(4))
    edit('labels.csv', 's1,train', 's1,test')  # a/2
    out, _, error = run('--skip-bad')
    assert error is None
    assert 'out/made.report.json: 4 sequences left out' in out
    names = [a['frame_dir'] for a in made()['annotations']]
    assert names == ['a/4', 'a/6', 'b/3', 'b/5', 'b/7']
    assert set().union(*made()['split'].values()) == set(names)
    report = json.loads(Path('out/made.report.json').read_text())
    assert report['annotation_file'] == 'out/made.pkl'
    assert sorted(report['left_out']) == ['a/0', 'a/2', 'b/1', 'extra']
    assert 'a/0.npy is not readable' in report['left_out']['a/0'][0]
    assert 'is "test"' in report['left_out']['a/2'][0]


def test_nothing_left(run, folder):
    for path in Path('src').glob('*/*.npy'):
        path.write_bytes(b'')
    assert 'No sequence is left; 8 problems:' in refused(run, '--skip-bad')


def test_a_file_that_changes_meanwhile(run, folder, custom, monkeypatch):
    reads = Counter()
    read = custom.read_sequence

    def change(path, layout):
        reads[path] += 1
        if reads[path] == 2 and path.stem == '5':
            path.write_bytes(b'')
        return read(path, layout)

    monkeypatch.setattr(custom, 'read_sequence', change)
    _, _, error = run()
    assert '5.npy is not readable' in error
    assert os.listdir('out') == []


@pytest.mark.parametrize('options, message', [
    ('--val-ratio 1', 'expected a number between 0 and 1'),
    ('--val-ratio 0.5 --splits a.csv', 'not allowed with'),
    ('--by-subject', '--by-subject and --no-by-subject need --val-ratio'),
    ('--no-by-subject', '--by-subject and --no-by-subject need --val-ratio'),
    ('--img-shape 0 5', r'--img-shape is \[0, 5\], expected two'),
    ('--config labels.csv', r'--config is labels.csv, expected \*.py'),
    ('--config mine.py', 'mine.py, which exists already'),
])
def test_wrong_options_are_named(run, folder, options, message):
    Path('mine.py').write_text('mine')
    _, err, error = run(*options.split())
    assert error == 2 and re.search(message, err), err
    assert Path('mine.py').read_text() == 'mine'
    assert not Path('out').exists()


# splits


def test_splits_by_a_file(run, folder):
    names = [f'{"ab"[i % 2]}/{i}' for i in range(8)]
    splits = {name: 'val' if i < 2 else 'train'
              for i, name in enumerate(names)}
    Path('splits.json').write_text(json.dumps(splits))
    write_csv('splits.csv', [('split', 'file'), *(
        (split, f'{name}.npy') for name, split in splits.items())])
    for path in ('splits.json', 'splits.csv'):
        assert run('--splits', path)[2] is None
        assert made()['split']['val'] == ['a/0', 'b/1']
    Path('out/made.pkl').unlink()
    Path('out').rmdir()
    splits['a/x'] = splits.pop('a/0')
    splits['b/1'] = 'valid'
    splits['b/3'] = None
    Path('splits.json').write_text(json.dumps(splits))
    message = refused(run, '--splits', 'splits.json')
    for part in ('"a/x" is not in labels.csv', '"a/0" is in no split',
                 'the split of "b/1" is "valid"', '"b/3" is in no split'):
        assert part in message
    Path('splits.json').write_text('["a/0"]')
    assert 'splits.json: holds a list, expected' in refused(
        run, '--splits', 'splits.json')


@pytest.mark.parametrize('ratio', [0.1, 0.2, 0.29, 0.5, 0.9])
def test_every_class_has_its_share(custom, ratio):
    rng = np.random.default_rng(0)
    for _ in range(50):
        sizes = rng.integers(1, 40, size=rng.integers(2, 9))
        labels = {f'{label}_{i}': label for label, size in enumerate(sizes)
                  for i in range(size)}
        val = custom.draw_stratified(labels, ratio, seed=3)
        counts = np.bincount([labels[name] for name in val],
                             minlength=len(sizes))
        assert (counts < sizes).all()
        over = counts - ratio * sizes
        assert (np.abs(over) < 1 + 1e-9).all()
        if (np.ceil(ratio * sizes) < sizes).all():
            # all together the nearest number; those that lost most by
            # rounding down were rounded up instead
            assert abs(over.sum()) <= 0.5 + 1e-9
            assert over.max() - over.min() <= 1 + 1e-9
        shuffled = dict(rng.permutation(list(labels.items())).tolist())
        shuffled = {name: int(label) for name, label in shuffled.items()}
        assert val == custom.draw_stratified(shuffled, ratio, seed=3)


def test_seeds_draw_other_parts(custom):
    labels = {str(i): i % 3 for i in range(60)}
    sizes = {str(i): 5 for i in range(12)}
    parts = {frozenset(custom.draw_stratified(labels, 0.2, seed))
             for seed in range(10)}
    subjects = {frozenset(custom.draw_subjects(sizes, 0.25, seed))
                for seed in range(10)}
    assert len(parts) == 10 and len(subjects) > 5
    # all classes have the same chance of the one that is left over
    extra = Counter()
    for seed in range(60):
        val = custom.draw_stratified({str(i): i % 3 for i in range(9)}, 0.5,
                                     seed)
        counts = Counter(int(name) % 3 for name in val)
        extra.update(label for label in counts if counts[label] == 2)
    assert set(extra) == {0, 1, 2}


def test_subjects_come_as_near_as_any_choice_of_them(custom):
    rng = np.random.default_rng(0)
    for seed in range(200):
        sizes = {f's{i}': int(rng.integers(1, 60))
                 for i in range(rng.integers(2, 9))}
        ratio = rng.uniform(0.02, 0.98)
        drawn = custom.draw_subjects(sizes, ratio, seed)
        assert 0 < len(drawn) < len(sizes)
        total = sum(sizes.values())

        def miss(chosen, sizes=sizes, goal=ratio * total):
            return abs(sum(sizes[name] for name in chosen) - goal)

        best = min(miss(chosen) for size in range(1, len(sizes))
                   for chosen in itertools.combinations(sizes, size))
        assert miss(drawn) == pytest.approx(best)


def test_no_subject_is_in_both_parts(run, folder):
    subjects = {row['name']: row['subject'] for row in csv.DictReader(
        Path('labels.csv').read_text().splitlines())}
    for seed in range(4):
        _, err, error = run('--val-ratio', 0.25, '--by-subject', '--seed',
                            seed)
        assert error is None and err == ''
        train, val = ({subjects[name] for name in made()['split'][part]}
                      for part in ('train', 'val'))
        assert len(val) == 1 and len(train) == 3 and not train & val


def test_subjects_are_drawn_where_every_row_has_one(run, folder):
    def split(*options):
        out, err, error = run('--val-ratio', 0.25, *options)
        assert error is None, error
        return (re.search('  split +(.*)\n', out)[1], err,
                made()['split'])

    by_subject, by_class = 'drawn by subject', 'drawn by class'
    assert split() == split('--by-subject')
    assert split()[:2] == (by_subject, '')
    method, err, _ = split('--no-by-subject')
    assert method == by_class
    assert 'warning: 2 subjects are in both parts, "s' in err
    text = Path('labels.csv').read_text()
    edit('labels.csv', 'wave,s0', 'wave,')  # one row has none
    assert split()[0] == by_class
    # a single subject, and none
    Path('labels.csv').write_text(re.sub(r's\d', 's1', text))
    assert split()[0] == by_class
    assert ('the only subject is "s1"; expected two or more to draw from. '
            '--no-by-subject') in run('--val-ratio', 0.25, '--by-subject')[2]
    Path('labels.csv').write_text(text.replace('subject', 'person'))
    assert split()[:2] == (by_class, '')
    assert re.search('split +given by labels.csv\n', run()[0])
    write_csv('splits.csv', [row[::3] for row in csv.reader(
        text.splitlines())])
    assert re.search('split +given by splits.csv\n',
                     run('--splits', 'splits.csv')[0])


def test_classes_without_sequences_to_train_or_validate_on(run, folder):
    for i, split in ((6, 'val'), (7, 'train')):
        edit('labels.csv', f'{"ab"[i % 2]}/{i},{["wave", "clap"][i % 2]},s3,'
             'val', f'{"ab"[i % 2]}/{i},{["wave", "clap"][i % 2]},s3,{split}')
    _, err, error = run()
    assert error is None
    assert 'warning: no validation sequence for the classes "clap".' in err
    Path('labels.csv').write_text(
        Path('labels.csv').read_text().replace('clap,s0,train', 'fall,s0,val'))
    assert 'No training sequence for the classes "fall"; expected' in run()[2]


# configs


def config_for(root, run, *options, layout):
    out, _, error = run(*options, layout=layout)
    assert error is None, error
    text = out[out.index('_base_ = '):]
    Path('mine.py').write_text(text)
    return Config.fromfile('mine.py')


NARROW = {'stgcn': (8, 32), '2s-agcn': (8, 32), 'ctrgcn': (8, 32),
          'hcn': (8, 32), 'hyperformer': (24, 24)}


@pytest.mark.parametrize('encoder, kind', [
    *((encoder, '2D, 2 persons') for encoder in NARROW),
    ('stgcn', '3D'), ('stgcn', '3D, 2 persons'), ('stgcn', 'coco')])
def test_configs_fit_the_data(root, run, folder, encoder, kind):
    """Model and data from the printed config, and a training step."""
    persons, channels, options, layout = {
        '3D': (1, 3, (), 'hand.json'),
        '3D, 2 persons': (2, 3, (), 'hand.json'),
        '2D, 2 persons': (2, 2, (), 'flat.json'),
        # with a confidence; of a known layout, in pixels
        'coco': (1, 3, ('--img-shape', 480, 640), 'coco')}[kind]
    Path('flat.json').write_text(json.dumps(FLAT))
    for i, path in enumerate(sorted(Path('src').glob('*/*.npy'))):
        array = 100 * joints(9, channels, i, persons if i else 1)
        if kind == 'coco':
            array = np.concatenate([array] * 5, axis=-2)[..., :17, :]
        np.save(path, array)
    cfg = config_for(root, run, '--encoder', encoder, *options, layout=layout)

    base, out = NARROW[encoder]
    cfg.model.backbone.base_channels = base
    cfg.model.cls_head.in_channels = out
    if encoder == 'hyperformer':
        cfg.model.backbone.num_heads = 1
    model = MODELS.build(cfg.model)
    model.init_weights()
    train = DATASETS.build(cfg.train_dataloader.dataset)
    val = DATASETS.build(cfg.val_dataloader.dataset)
    assert cfg.test_dataloader.dataset == cfg.val_dataloader.dataset
    steps = [step.type for step in cfg.train_pipeline]
    # which turns in three dimensions, and would take two for them
    assert ('RandomView' in steps) == kind.startswith('3D')
    assert (len(train), len(val)) == (5 * 6, 2)
    sequences = TrainingSequences(train)
    sequences.add_indices()
    for bank in (model.cls_head.spatial_bank, model.cls_head.temporal_bank):
        bank.resize(len(sequences))
    data = pseudo_collate([train[i] for i in range(6)])
    clip_len = 64 if encoder == 'hcn' else 52
    assert data['inputs'][0].shape == (
        1, persons, clip_len, 17 if kind == 'coco' else 4, channels)
    losses = model(**model.data_preprocessor(data, training=True), mode='loss')
    loss = sum(value for key, value in losses.items() if 'loss' in key)
    loss.backward()
    assert loss.isfinite() and losses['loss_spatial'] > 0
    assert model.cls_head.num_classes == 2

    # normalised once, by the image or by the range of the sequence
    clip = torch.cat([val[i]['inputs'] for i in range(2)])[:, 0]
    source = np.load('src/a/6.npy')
    if kind == 'coco':
        indices = np.linspace(0, 8, clip_len).astype(int)
        expected = (source.reshape(9, 17, 3)[indices]
                    - [320, 240, 0]) / [320, 240, 1]
        np.testing.assert_allclose(clip[0], expected, atol=1e-5)
    else:
        assert clip.min() >= -1 - 1e-6 and clip.max() <= 1 + 1e-6


def test_a_config_on_another_drive(root, run, folder, monkeypatch):
    def fail(path, start):  # as on Windows
        raise ValueError("path is on mount 'C:', start on mount 'D:'")

    monkeypatch.setattr(os.path, 'relpath', fail)
    out, _, error = run('--config', 'mine.py')
    assert error is None
    assert f'python {root / "tools" / "train.py"} mine.py' in out
    assert f"_base_ = '{root / 'configs'}" in Path('mine.py').read_text()
    assert Config.fromfile('mine.py').model.cls_head.num_classes == 2


@pytest.mark.parametrize('encoder', ['stgcn', 'hyperformer'])
def test_a_config_without_stdcl(run, folder, encoder):
    """The same, but for the head and its hook."""
    configs = []
    for name, options in (('stdcl.py', []), ('plain.py', ['--plain'])):
        _, _, error = run('--config', name, '--encoder', encoder, *options)
        assert error is None
        Path('out.pkl').unlink(missing_ok=True)
        configs.append(Config.fromfile(name))
    stdcl, plain = configs
    assert 'decoupler' in stdcl.model.cls_head
    assert 'decoupler' not in plain.model.cls_head
    assert plain.model.backbone == stdcl.model.backbone
    assert plain.train_dataloader == stdcl.train_dataloader


# the page


@pytest.fixture(scope='module')
def page(root):
    """Blocks of the page by language."""
    blocks = {}
    text = (root / 'docs' / 'custom_data.md').read_text()
    for language, block in re.findall(r'```(\w+)\n(.*?)```', text, re.S):
        blocks.setdefault(language, []).append(block)
    return blocks


def test_the_page_holds(root, page, warm, tmp_path):
    """Every command of docs/custom_data.md, on the data that it makes."""
    for name in ('tools', 'projects', 'configs'):
        (tmp_path / name).symlink_to(root / name)
    (tmp_path / 'upper_body.json').write_text(page['json'][0])
    subprocess.run([sys.executable, '-c', page['python'][0]], cwd=tmp_path,
                   check=True)
    for line in page['csv'][0].splitlines():
        assert line in (tmp_path / 'labels.csv').read_text().splitlines()
    outputs = {}
    commands = ''.join(page['shell']).splitlines()
    for command in commands:
        python, *words = shlex.split(command)
        assert python == 'python'
        if words[0] in ('tools/train.py', 'tools/test.py'):
            # seconds instead of hours
            words = [word.replace('epoch_65', 'epoch_1') for word in words]
            words += ['--cfg-options', 'train_cfg.max_epochs=1',
                      'model.backbone.base_channels=8',
                      'model.cls_head.in_channels=32']
            for part in ('train', 'val', 'test'):
                words += [f'{part}_dataloader.num_workers=0',
                          f'{part}_dataloader.persistent_workers=False']
        done = warm(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        outputs[command] = done.stdout
    train, test = (next(out for line, out in outputs.items() if name in line)
                   for name in ('train.py', 'test.py'))
    assert 'anchor_share: 1.0000' in train
    assert re.search(r'acc/top1: \d', test)
    # what the page says of it
    assert 'sequences 24 (train 18, val 6)' in outputs[commands[0]]
    assert re.search('python .*tools/train.py gestures.py',
                     outputs[commands[0]])
    assert 'split     drawn by subject' in outputs[commands[0]]
    assert any('split     drawn by class' in out for out in outputs.values())
    assert (tmp_path / 'data' / 'gestures.report.json').is_file()
    listed = safe_pickle.load(str(tmp_path / 'data' / 'listed.pkl'))
    assert all('dora' in name for name in listed['split']['val'])
    poses = safe_pickle.load(str(tmp_path / 'data' / 'poses.pkl'))
    assert poses['annotations'][0]['keypoint'].shape[0] == 2


def test_the_page_names_every_option(root, page):
    source = (root / TOOL).read_text()
    text = (root / 'docs' / 'custom_data.md').read_text()
    options = re.findall(r"add_argument\(\s*'(--[\w-]+)'", source)
    assert len(options) == 11
    for option in options:
        assert option in text, option
