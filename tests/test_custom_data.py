"""Conversion of custom data, and the commands in docs/custom_data.md."""
import io
import itertools
import json
import os
import pickle
import re
import runpy
import shlex
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from mmaction.registry import DATASETS, MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate

from projects.stdcl.catalogue import CONFIGS, ENCODERS
from projects.stdcl.datasets.converters import custom_config, custom_data
from projects.stdcl.datasets.converters.sequence_file import (
    read_sequence,
    require_one_index,
    to_sequence,
)
from projects.stdcl.datasets.dataset_access import add_indices
from projects.stdcl.utils import safe_files
from projects.stdcl.utils.input_error import InputError
from projects.stdcl.utils.skeleton_layout import SkeletonLayout
from tests.attacks import Call
from tests.test_configs import narrow

HAND = dict(name='hand', joint_names=['wrist', 'thumb', 'index', 'tip'],
            edges=[[1, 0], [2, 0], [3, 2]], center=0)
FLAT = dict(HAND, name='flat', dims=2)
LAYOUTS = {name: SkeletonLayout.get(fields)
           for name, fields in (('hand', HAND), ('flat', FLAT))}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Write eight valid sequences of two classes and four subjects."""
    monkeypatch.chdir(tmp_path)
    rows = []
    for i in range(8):
        name = f'{"ab"[i % 2]}/{i}'
        save(name, joints(5 + i, seed=i))
        rows.append((name, ['wave', 'clap'][i % 2], f's{i // 2}',
                     'val' if i > 5 else 'train'))
    Path('hand.json').write_text(json.dumps(HAND))
    Path('flat.json').write_text(json.dumps(FLAT))
    pd.DataFrame(rows, columns=['name', 'label', 'subject', 'split']).to_csv(
        'labels.csv', index=False)
    return tmp_path


def joints(frames, channels=3, seed=0, persons=None):
    shape = (frames, 4, channels)
    shape = shape if persons is None else (persons, *shape)
    return np.random.default_rng(seed).normal(size=shape)


def save(name, array):
    path = Path('src', f'{name}.npy')
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def edit(path, old, new):
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new, 1))


def convert(layout='hand.json', **options):
    if 'classes' in options:
        options['classes'] = Path(options['classes'])
    return custom_data.convert(Path('src'), Path('labels.csv'),
                               Path('out/made.pkl'), layout, **options)


def made():
    return safe_files.load('out/made.pkl')


def refused(*args, **options):
    """Return the message of a conversion that fails without writing a file."""
    with pytest.raises(InputError) as caught:
        convert(*args, **options)
    assert not Path('out').exists()
    return str(caught.value)


def csv_text(array):
    return pd.DataFrame(array.reshape(len(array), -1)).to_csv(
        header=False, index=False)


WRITERS = {
    'a.npy': np.save,
    'c.npz': lambda path, array: np.savez_compressed(path, anything=array),
    'd.npz': lambda path, array: np.savez(
        path, keypoint=array[..., :2], keypoint_score=array[..., 2]),
    'e.csv': lambda path, array: np.savetxt(
        path, array.reshape(len(array), -1), delimiter=','),
    # spreadsheets write a byte order mark and CRLF line endings
    'f.csv': lambda path, array: path.write_text(
        '\ufeff' + csv_text(array).replace('\n', '\r\n'), newline='')}


@pytest.mark.parametrize('name, layout, persons', [
    (name, layout, persons)
    for name, layout, persons in itertools.product(
        WRITERS, LAYOUTS, (None, 1, 3))
    if not (persons and 'csv' in name or name == 'd.npz' and layout == 'hand')
])
@pytest.mark.parametrize('dtype', ['int32', '>f8'])
def test_every_format_is_read(tmp_path, name, layout, persons, dtype):
    array = (100 * joints(6, persons=persons) + 128).astype(dtype)
    if layout != 'hand':
        array[..., 2] %= 2 if dtype == 'int32' else 1  # the confidence
    WRITERS[name](tmp_path / name, array)
    sequence = read_sequence(tmp_path / name, LAYOUTS[layout])
    assert sequence.pop('total_frames') == 6
    array = np.float32(array).reshape(persons or 1, 6, 4, 3)
    expected = dict(keypoint=array) if layout == 'hand' else dict(
        keypoint=array[..., :2], keypoint_score=array[..., 2])
    assert sequence.keys() == expected.keys()
    for key, value in sequence.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, expected[key])


def with_value(value, place=(2, 3, 1)):
    array = joints(5)
    array[place] = value
    return array


def saved(function, *args, **arrays):
    content = io.BytesIO()
    function(content, *args, **arrays)
    return content.getvalue()


COORDINATES = ',0' * 12
FRAMES = 'frame' + ',x,y,z' * 4 + '\n1' + COORDINATES + '\n'
BAD = {
    'rank 2': (joints(5)[..., 0], r'keypoint has shape \(5, 4\), expected'),
    'joints': (np.zeros((5, 25, 3)), '25 joints .* expected 4 .* "hand"'),
    'channels': (joints(5, 2), '2 channels .* with the channels x, y, z of'),
    'confidence': (joints(5) * [99, 99, .02] + [0, 0, 1], 'expected z in'),
    'only a score': (saved(np.savez, keypoint_score=joints(5)), 'arrays .*k'),
    'lost joint': (with_value(-1, (2, 3)), 'of 1 of 20 joints are a'),
    'marks': (with_value(9999, (slice(2), 3)), 'of 2 of 20 joints are all 9'),
    'in meters': (with_value(-9, (slice(2), 3)) / 9, 'of 2 of 20 joints are'),
    'lost person': (np.stack([joints(5), joints(5) * 0 - 99]), 'of 20 of 40'),
    'no frames': (joints(0), 'total_frames is 0'),
    'nan': (with_value(np.nan), 'is nan at person 0, frame 2, joint 3'),
    'trap': (np.array([Call(os.mkdir, 'sprung')]), 'objects or no array'),
    'arrays': (saved(np.savez, a=joints(5), b=joints(5)),
               r"arrays are \['a', 'b'\], expected one array or"),
    'score in 3D': (saved(np.savez, keypoint=joints(5), keypoint_score=joints(
        5)[..., 0]), 'beside a keypoint_score, expected 4 joints with the'),
    'header only': (','.join(f'v{i}' for i in range(12)), 'total_frames is 0'),
    'ragged': (csv_text(joints(3)) + '1' + ',2' * 12, 'fields in line 4'),
    'text': (csv_text(joints(3)) + '\n1' + ',x' * 11, 'row 4, column 2 is'),
    'infinite': (FRAMES + '2' + COORDINATES[:-1] + 'inf', 'inf at .* frame 1'),
    'numbers': ('0' + ',.5' * 11 + ',\n1' + ',.5' * 11 + ',', 'the end is 1'),
    'hole': ('0,' + ',0' * 10 + '\n' + csv_text(joints(2)), ' 2 is "", .*e 0'),
    'missing words': ('x,y,z,' * 3 + 'x,y,z' + ('\n' + ','.join(['#N/A'] * 12))
                      + '\n' + csv_text(joints(2)), 'row 2, column 1 is "#N/'),
    'gap': (FRAMES + '3' + COORDINATES, 'row 3, column 1 is "3", expected co'),
    'label': ('0.5' + COORDINATES, 'row 1, column 1 is "0.5", .* labels'),
    'one row': ('320' + COORDINATES[2:] + ',7', '"320", expected consecutive'),
    'last': ('x,y,z,' * 4 + 'label\n1' + COORDINATES, 'frame numbers, then '),
    'thousands': ('"1,234"' + COORDINATES[2:] + '\n0,999' + COORDINATES[4:],
                  'such as "1,234" are ambiguous'),
    **{number: ('0.5\t' * 2 + number + '\t0.5' * 9, f'column 3 is "{number}"')
       for number in ('1,234', '1,234.5', '12,345,678')},
    'two keys': ('person,' + FRAMES, ': 14 columns are separated by')}


def test_unusual_coordinates_are_read(tmp_path):
    """They resemble marks, confidences or frame numbers."""
    flat, hand = LAYOUTS['flat'], LAYOUTS['hand']
    voxels = np.floor(np.abs(joints(5)) % 1 * [127, 127, 3]) - [0, 0, 1]
    millimeters = (np.abs(joints(5)) % 1 - 0.5) * [700, 700, 1.4]
    centered = np.arange(40.).reshape(5, 4, 2) // 3 - 6
    centered[2, 1] = -1
    depth = joints(5) * [99, 99, 0]
    for layout, one in (
            (flat, centered), (hand, depth + [0, 0, 1]), (hand, voxels),
            (hand, millimeters),
            (hand, depth + np.linspace(0, 1.9, 5)[:, None, None] * [0, 0, 1]),
            (flat, np.concatenate([joints(5, 2), np.full((5, 4, 1), 2)], 2))):
        sequence = to_sequence('', dict(keypoint=one), layout)
        assert sequence['total_frames'] == 5
    (tmp_path / 'numbered.csv').write_text('\n'.join(
        f'{frame}' + ',609.569' * 12 for frame in (1, 2, 3)))
    assert read_sequence(tmp_path / 'numbered.csv', hand)['total_frames'] == 3
    pixels = np.round(np.random.default_rng(0).uniform(100, 600, (9, 4, 3)), 3)
    pixels[:, 0, 0], pixels[..., 2] = range(5, 14), 1
    path = tmp_path / 'a.csv'
    for header in [], [','.join(['x,y,Confidence Score'] * 4)], [
            'x0,y0,v0,x1,y1,v1,x2,y2,v2,x3,y3,v3']:
        path.write_text('\n'.join(header + [
            ','.join(f'{x:.3f},{y:.3f},{c:.0f}' for x, y, c in frame)
            for frame in pixels]))
        found = read_sequence(path, flat)
        assert np.allclose(found['keypoint'][0], pixels[..., :2])


@pytest.mark.parametrize('content, message', BAD.values(), ids=BAD)
def test_bad_files_are_named(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    path = Path('a.csv' if isinstance(content, str) else 'a.npy')
    if isinstance(content, np.ndarray):
        content = saved(np.save, content)
    path.write_bytes(content if isinstance(content, bytes)
                     else content.encode())
    with pytest.raises(InputError, match=f'^{path}.*{message}'):
        read_sequence(path, LAYOUTS['hand'])
    assert not Path('sprung').exists()


def test_written_file(folder):
    _, summary = convert()
    assert re.sub(' +', ' ', summary).splitlines() == [
        'split train val', 'label ', 'clap 3 1', 'wave 3 1',
        'frames: up to 12, persons: up to 1, '
        'vertical axis (--up): y (assumed)',
        'x from -2.83 to 3.32, y from -2.56 to 2.43, z from -2.55 to 2.43']
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
        np.testing.assert_array_equal(
            annotation.pop('keypoint'),
            np.float32(joints(5 + number, seed=number))[None])
        assert annotation == dict(
            frame_dir=f'{"ab"[number % 2]}/{number}', label=1 - number % 2,
            total_frames=5 + number)
    assert sorted(os.listdir('out')) == ['made.pkl']


def test_names_in_tables(folder):
    """Names may have suffixes and different Unicode forms."""
    Path('src/b').rename('b')
    for link, path in dict(b='../b', loop='.', again='..').items():
        Path('src', link).symlink_to(path)
    Path('src/.hidden.npy').touch()
    name = 'a/caf\u00e9'
    save(unicodedata.normalize('NFD', name), joints(4))
    edit('labels.csv', 'name,', 'NAME,')
    edit('labels.csv', 'a/0,', '.\\a\\0.npy,')
    text = Path('labels.csv').read_text().replace('clap', 'caf\u00e9', 2)
    text = text.replace('clap', 'cafe\u0301\u200b') + f'{name},wave,s1,train\n'
    # spreadsheets may add empty columns and use semicolons
    text = text.replace('\n', ',,\n').replace(',', ';')
    Path('src/labels.csv').write_text(text)
    Path('labels.csv').unlink()
    Path('labels.csv').symlink_to('src/labels.csv')
    assert convert()[0]['classes'] == ['caf\u00e9', 'wave']
    Path('src/classes.txt').write_text('wave\ncafe\u0301\n')
    convert(classes='src/classes.txt')
    assert len(made()['annotations']) == 9
    assert made()['classes'] == ['wave', 'caf\u00e9']


def test_labels_by_name_and_by_number(folder):
    Path('classes.txt').write_text('wave\n\nclap\n')
    text = Path('labels.csv').read_text()
    numbers = text.replace('wave', '0').replace('clap', '1')
    for labels in (text, numbers, re.sub('([01]),s[12]', r'\1.0,s', numbers)):
        Path('labels.csv').write_text(labels)
        assert convert(classes='classes.txt')[0]['classes'] == ['wave', 'clap']
        assert [a['label'] for a in made()['annotations']] == (
            [0] * 4 + [1] * 4)
    assert convert()[0]['classes'] == ['0', '1']
    Path('classes.txt').write_text('1,5 m jump\n10,000 steps\n')
    names = ['1,5 m jump', '10,000 steps']  # a comma is not always decimal
    assert convert(classes='classes.txt')[0]['classes'] == names
    text = text.replace('wave', 'm2').replace('clap', 'm\xb2')
    Path('labels.csv').write_text(text)
    assert convert()[0]['classes'] == ['m2', 'm\xb2']


@pytest.mark.parametrize('old, new, options, message', [
    ('a/0,wave', 'a/0,3', {}, 'the label "wave", expected one of 0, 1, 2'),
    ('clap', 'wave', {}, r"classes are .'wave'., expected at least 2"),
    ('clap', 'clap', dict(classes='wave\nclap\nWAVE'),
     "classes.txt: the classes are .'WAVE', 'clap', 'wave'., .* differ in"),
    ('clap', 'clap', dict(classes=''), 'classes.txt cannot be read as a U'),
    (('clap', 'wave'), ('00', '01'), {}, 'label "01", expected one of 0, 1'),
    (('clap', 'wave'), ('0', '2'), {}, 'one of 0, 1 or, if no class is'),
    ('clap|wave', '1', dict(classes='2\n3'), 'label "1", expected one of 2,'),
    ('wave', 'wave', dict(classes='wave\n never \nclap'), '"train": never;'),
    (('clap', 'wave'), ('0', '1'), dict(classes='1 a\n0: b'), r'rs \[1, 0\]'),
    ('name,label', 'name,class', {}, 'header is "name,class,subj'),
    ('subject', 'label', {}, 'header is "name,label,label,s.* each once'),
    ('a/0,wave,', 'a/0,wave,,', {}, 'Expected 4 fields in line 2, saw 5'),
    ('a/0,', 'a/2,', {}, '"a/2" occurs in more than one row'),
    ('a/0,', 'a/x,', {}, '"a/x" has a row but no .npy, .npz or .csv fi'),
    ('s0,train', 's0,dev', {}, '"a/0" has the split "dev", expected train, v'),
    ('subject,split', 'subject,part', {}, 'labels.csv: the split "val" contai'
     'ns 0 of 8 sequences, .*Write "train" and "val" into a column "split"'),
    *(('a/0,wave,s0', f'a/0,wave,{none}', dict(val_ratio=0.5),
       '"a/0" has no subject, expected one in each row, or no column "subj')
      for none in ('None', '<NA>', '#N/A')),
    (r's\d,.*', 's1,', dict(val_ratio=0.25), '5 --seed 0 cannot .*1 .* subj'),
    ('train', 'Train', dict(val_ratio=0.5), r"splits \['train', 'val'\], ex"),
    ('val', '', dict(val_ratio=0.5), r"splits \['', 'train'\], exp"),
    ('wave', 'wave', dict(layout='mocap'), '"mocap" is unknown, expected one '
     'of nturgb.d, nw-ucla, coco, openpose'),
    ('wave', 'wave', dict(img_shape=(4, 5)), 'the layout "hand" are three-d'),
    *(('a/0,wave', f'a/0,{missing}', {}, '"a/0" has the label "", expected on')
      for missing in ('NaN', 'NA', '<NA>', '#N/A')),
    *((('wave', 'clap'), pair, {}, 'expected at least 2 names that differ')
      for pair in (('a_b', 'A b'), ('a - b', 'a-b'), ('\uff41', 'A'),
                   ('\u30ac', '\uff76\uff9e'))),
    ('wave', 'wave', dict(test_only=True), 'classes of the training set'),
    ('subject|val', 'train', dict(val_ratio=0.01), '2 different labels'),
    ('(?s).+', ',,', {}, 'the header is "", with 0 rows below it'),
])
def test_invalid_tables_are_named(folder, old, new, options, message):
    text = Path('labels.csv').read_text()
    pairs = [(old, new)] if isinstance(old, str) else zip(old, new)
    for pair in pairs:
        text = re.sub(*pair, text)
    Path('labels.csv').write_text(text)
    if 'classes' in options:
        Path('classes.txt').write_text(options['classes'])
        options = {**options, 'classes': 'classes.txt'}
    assert re.search(message, refused(**options)), message


def test_confidence_in_some_files_only(folder):
    for path in Path('src').glob('*/*.npy'):
        np.save(path, joints(4, 3 if path.stem == '2' else 2) % 1)
    assert ('src: sequence a/2 has 4 joints and 2 channels with keypoint_score'
            ', expected 4 joints and 2 channels without keypoint_score, as in '
            '7 of 8 sequences') in refused('flat.json')


def test_equal_problems_are_grouped(folder):
    """Numbers may differ within a group, but not labels."""
    for i in range(25):
        save(f'extra/{i:02d}', joints(3 + i, 2))
    Path('classes.txt').write_text('wave\nclap\na: b\n')
    for old in ('a/2,wave', 'a/4,wave', 'b/1,clap'):
        edit('labels.csv', old, f'{old[:4]}w{old > "a/3"}')
    lines = refused(classes='classes.txt').splitlines()
    for line, pattern in zip(lines, (
            '^problems found: 53$', '"a/2" has the label "wFalse", .*[.]$',
            r'"a/4" .* "wTrue", .*\. \(1 more like this\)$',
            r'"src/extra/00.npy" has no row .* \(24 more like this\)$',
            r'^  src/extra/00.npy: .* \(24 more like this\)$'), strict=True):
        assert re.search(pattern, line)
    with open('labels.csv', 'a') as file:
        file.writelines(f'extra/{i:02d},{chr(65 + i)},,\n' for i in range(25))
    assert refused(classes='classes.txt').endswith('and 8 more kinds of probl'
                                                   'ems')


def test_padded_recordings(folder):
    """Frames without a person are counted, and neither sampled nor tested."""
    save('a/0', np.pad(joints(5), ((1, 2), (0, 0), (0, 0))))
    save('a/2', with_value(0, (2, 3)))
    data = convert()
    assert 'joints at the origin that count as detected: 0.4%' in data[1]
    assert 'frames without a person: 4.3%' in data[1]
    cfg = load_config(data, 'stgcn')
    dataset = DATASETS.build(cfg.train_dataloader.dataset.dataset)
    assert dataset.get_data_info(0)['total_frames'] == 5
    assert cfg.test_pipeline[0].type == 'DropEmptyFrames'


@pytest.mark.filterwarnings('error:The groups parameter')
@pytest.mark.parametrize('ratio', [0.1, 0.29, 0.5])
def test_every_class_is_split(ratio):
    sizes = np.array([1, 20, 29, 40])
    table = pd.DataFrame(dict(label=np.repeat(range(4), sizes), subject='',
                              split=''))
    splits, shuffled, other = (
        custom_data.custom_splits.draw(part, ratio, seed)
        for part, seed in ((table, 0), (table.sample(frac=1), 0), (table, 1)))
    val = np.bincount(table['label'][splits == 'val'], minlength=4)
    assert val[0] == 0  # this class has only one sequence
    assert np.abs(val - ratio * sizes)[1:].max() <= 1
    pd.testing.assert_series_equal(shuffled.sort_index(), splits)
    assert (other != splits).any()


def test_subjects_are_drawn_if_there_are_any(folder):
    edit('labels.csv', ',subject', ',person')
    assert convert()[1].endswith('ignored columns: person')
    edit('labels.csv', ',person', ',subject')
    edit('labels.csv', 's3,val', '3.0,test')  # both are subject 3
    edit('labels.csv', 's3,val', '03,val')
    assert convert()[1].endswith('subjects in several splits: 3')
    Path('labels.csv').write_text(
        Path('labels.csv').read_text().replace('s0', 'Nan'))  # a name
    edit('labels.csv', '3,val', '3,train')
    for seed in range(4):
        convert(val_ratio=0.3, seed=seed)
        val = made()['split']['val']
        assert len({int(name[2:]) // 2 for name in val}) == 2
        assert made()['split']['test'] == ['a/6']
    edit('labels.csv', 'subject', 'person')
    convert(val_ratio=0.3)  # draws from each class
    assert {name[0] for name in made()['split']['val']} == {'a', 'b'}


def load_config(converted, encoder, **options):
    custom_config.write(Path('mine.py'), Path('out/made.pkl'), converted[0],
                        encoder, **options)
    return Config.fromfile('mine.py')


@pytest.mark.parametrize('encoder, kind', [
    *((encoder, '2D, 2 persons') for encoder in ENCODERS),
    ('stgcn', '3D'), ('stgcn', '3D, 2 persons'), ('stgcn', 'coco')])
def test_configs_fit_the_data(folder, encoder, kind):
    """The written config builds a data set and a model that can be trained."""
    persons, channels, image, layout = {
        '3D': (1, 3, None, 'hand.json'),
        '3D, 2 persons': (2, 3, None, 'hand.json'),
        '2D, 2 persons': (2, 2, None, 'flat.json'),
        # a built-in layout, in pixels and with confidences
        'coco': (1, 3, (480, 640), 'coco')}[kind]
    for i, path in enumerate(sorted(Path('src').glob('*/*.npy'))):
        array = 200 + 50 * joints(9, channels, i, persons if i else 1)
        if kind == 'coco':
            array = np.abs(np.concatenate([array] * 5, axis=-2)[..., :17, :])
            array[..., 2] %= 1
        np.save(path, array)
    cfg = load_config(convert(layout, img_shape=image), encoder,
                      img_shape=image)

    narrow(cfg, encoder)
    model = MODELS.build(cfg.model)
    model.init_weights()
    train = DATASETS.build(cfg.train_dataloader.dataset)
    val = DATASETS.build(cfg.val_dataloader.dataset)
    assert cfg.test_dataloader.dataset == cfg.val_dataloader.dataset
    steps = [step.type for step in cfg.train_pipeline]
    assert [step.get('test_mode') for step in cfg.train_pipeline
            if step.type == 'RandomSampleFrames'] == [None]
    # RandomView rotates only three-dimensional data
    assert ('RandomView' in steps) == kind.startswith('3D')
    assert ('RandomScale' in steps) != kind.startswith('3D')
    assert (len(train), len(val)) == (5 * 6, 2)
    model.cls_head.resize_banks(add_indices(train))
    data = pseudo_collate([train[i] for i in range(6)])
    clip_len = cfg.clip_len
    assert data['inputs'][0].shape == (
        1, persons, clip_len, 17 if kind == 'coco' else 4, channels)
    assert cfg.model.clip_shape == data['inputs'][0].shape[1:]
    losses = model(**model.data_preprocessor(data, training=True), mode='loss')
    loss = sum(value for key, value in losses.items() if 'loss' in key)
    loss.backward()
    assert loss.isfinite() and losses['loss_spatial'] > 0
    assert model.cls_head.num_classes == 2

    # joints are normalized by the image size, or by the standard deviation
    assert 'keypoint_score' in made()['annotations'][0] or kind != 'coco'
    assert made()['annotations'][0].get('img_shape') == image
    clip = torch.cat([val[i]['inputs'] for i in range(2)])[:, 0]
    source = np.load('src/a/6.npy').reshape(persons, 9, *clip.shape[2:])
    centered = source - source.mean(axis=(0, 1, 2))
    expected = (centered / centered.std() if kind != 'coco' else
                (source - [320, 240, 0]) / [320, 240, 1])
    np.testing.assert_allclose(
        clip[0], expected[0, np.linspace(0, 8, clip_len).astype(int)],
        atol=1e-5)


NAMES = [f'{joint}_{axis}' for joint in HAND['joint_names'] for axis in 'xyz']
ROWS = pd.MultiIndex.from_tuples([name.split('_') for name in NAMES])
DEEPLABCUT = pd.MultiIndex.from_tuples(
    [('DLC', *pair) for pair in ROWS], names=['scorer', 'bodyparts', 'coords'])


@pytest.mark.parametrize('columns, index', [
    (None, False), (None, True), (False, True), (NAMES, False), (NAMES, True),
    (np.repeat(range(4), 3), False), (range(1, 13), False), (ROWS, False),
    (range(2, 14), True), ([*range(7), *range(9, 14)], False),
    (ROWS, True), (DEEPLABCUT, True), (list('xyz') * 4, False),
    (np.arange(12.), True), ([f'{i // 3}.{i % 3}' for i in range(12)], False),
    (pd.MultiIndex.from_product([range(1, 5), range(3)]), True),
    (pd.MultiIndex.from_product([range(4), range(3)], names=[*'ab']), True),
    (pd.MultiIndex.from_product([['DLC'], range(4), range(3)]), False),
    ([f'{axis}{i}' for i in range(1, 5) for axis in 'xyz'], False),
    ([f'kpt_{i:02d}_{axis}' for i in range(1, 5) for axis in 'xyz'], False),
    ([f'Left {name[:-1]}at {name[-1]} (mm)' for name in NAMES], False),
    ([f'{joint}{end}' for joint in HAND['joint_names']
      for end in ('', '.1', '.2')], True),
    ([f'Joint{i}.{axis}' for i in range(4) for axis in 'XYZ'], False)])
def test_headers_of_pandas(tmp_path, columns, index):
    array = joints(6)
    array[0] = [0, -0., 0]  # nobody, which is not a row of the header
    header = columns is not False
    for sep, options in ((',', {}), (';', dict(decimal=',')), ('\t', {})):
        pd.DataFrame(array.reshape(6, -1), columns=columns if header else None
                     ).rename_axis('frame' if sep == ';' else None).to_csv(
                         tmp_path / 'a.csv', index=index, header=header,
                         sep=sep, **options)
        if index:  # spreadsheets may write blank lines and empty rows
            text = (tmp_path / 'a.csv').read_text()
            (tmp_path / 'a.csv').write_text(f'\n\n{text}{sep * 12}\n')
        np.testing.assert_array_equal(
            read_sequence(tmp_path / 'a.csv', LAYOUTS['hand'])['keypoint'],
            np.float32(array)[None])


def test_column_numbers_above_whole_numbers(tmp_path):
    array = np.random.default_rng(0).integers(0, 640, (5, 12))
    pd.DataFrame(array, columns=range(3, 15)).to_csv(tmp_path / 'a.csv',
                                                     index=False)
    sequence = read_sequence(tmp_path / 'a.csv', LAYOUTS['hand'])
    np.testing.assert_array_equal(sequence['keypoint'].reshape(5, 12), array)
    with open(tmp_path / 'a.csv') as file:
        header = file.readline()
    with open(tmp_path / 'a.csv', 'a') as file:
        file.write(header)
    with pytest.raises(InputError, match='row 7 repeats the header'):
        read_sequence(tmp_path / 'a.csv', LAYOUTS['hand'])
    array = np.random.default_rng(0).integers(0, 640, (5, 34))
    pd.DataFrame(array, columns=[i for i in range(51) if i % 3 != 2]).to_csv(
        tmp_path / 'b.csv', index=False)  # the columns of confidences are gone
    sequence = read_sequence(tmp_path / 'b.csv', SkeletonLayout.get('coco'))
    np.testing.assert_array_equal(sequence['keypoint'].reshape(5, 34), array)


@pytest.mark.parametrize('columns, message', [
    ([f'L {name}' for name in NAMES[:3] + NAMES[6:] + NAMES[3:6]],
     'the header of column 4 is "L index_x", expected x of joint "thumb".'),
    ([f'{axis}{i}' for axis in 'xyz' for i in range(4)], 'column 2 is "x1", '),
    (list('zyx') * 4, 'column 1 is "z", expected x of joint "wrist"'),
    (DEEPLABCUT[::-1], 'column 1 is "DLC tip z", expected x of join'),
    ([f'{joint}_{axis}' for joint in 'abcd' for axis in 'xyz'], '1 is "a_x"'),
    (pd.MultiIndex.from_product([range(3), range(4)]), 'column 4 is "0 3"'),
    (range(11, -1, -1), 'column 1 is "11"')])
def test_headers_in_a_different_order(tmp_path, columns, message):
    pd.DataFrame(joints(6).reshape(6, -1), columns=columns).to_csv(
        tmp_path / 'a.csv', index=False)
    with pytest.raises(InputError, match=f'a.csv: .*{message}'):
        read_sequence(tmp_path / 'a.csv', LAYOUTS['hand'])


def test_numbers_in_joint_names_are_not_positions(tmp_path):
    layout = SkeletonLayout.get(dict(
        HAND, joint_names=['P4', 'P3', 'P2', 'P1']))
    for prefix in ('', 'left '):
        pd.DataFrame(joints(6).reshape(6, -1), columns=[
            f'{prefix}P{i}_{axis}' for i in range(1, 5) for axis in 'xyz'
        ]).to_csv(tmp_path / 'a.csv', index=False)
        with pytest.raises(InputError, match='P1_x", expected x of joint'):
            read_sequence(tmp_path / 'a.csv', layout)


def test_persons_of_a_sequence():
    """Absent persons are dropped; a person with several indices raises."""
    array = joints(50, persons=3)
    array[[0, 2]] = 0
    np.testing.assert_array_equal(to_sequence(
        '', dict(keypoint=array), LAYOUTS['hand'])['keypoint'],
        np.float32(array[1:2]))
    # a tracker gives a person a new index every five frames
    there = np.arange(40) // 5 == np.arange(8)[:, None]
    tracked = joints(40, persons=8) * there[..., None, None]
    for layout, wrong, message in (
            ('hand', tracked, '8 persons, but at most 1 in any frame'),
            # the axes of ST-GCN, (C, T, V, M), with one or two persons
            ('flat', joints(9, 2, persons=3) * [1, 0], 'x or y is 0 for all'),
            ('flat', np.stack([*99 * joints(9, 2, persons=2), np.full(
                (9, 4, 2), 0.8)]), 'third person has only numbers between 0'),
            ('flat', np.stack([*joints(9, 2, persons=2).clip(-.5, .5), np.full(
                (9, 4, 2), 0.8)]), 'third person has only numbers between 0'),
            # z of a camera, and of MediaPipe, in place of confidences
            ('flat', np.abs(joints(9)) % 1 * [640, 480, 1.3] + [0, 0, .6],
             'third channel ranges from 0.6.*, not z'),
            *(('flat', np.abs(joints(9)) % 1 * [1, 1, .1] - [0, 0, low],
               'channel ranges from -0.0.*, not z') for low in (.09, .04)),
            # z of MediaPipe and flags of COCO in place of z in pixels
            *(('hand', np.abs(joints(9)) % 1 * [640, 480, 1.1] - [0, 0, low],
               'third channel ranges .*, expected z') for low in (0, 0.9)),
            ('hand', np.floor(np.abs(joints(9)) % 1 * [640, 480, 3]),
             'third channel ranges from 0 to 2; .*expected z'),
            ('hand', joints(50, persons=2).swapaxes(0, 1),
             r'50 persons in 2 frames, .*the axes \(persons, frames'),
            ('hand', np.pad(joints(20, persons=2).swapaxes(0, 1), (
                (0, 0), (0, 30), (0, 0), (0, 0))), '20 persons in 2 frames')):
        with pytest.raises(InputError, match=message):
            require_one_index('', to_sequence(
                '', dict(keypoint=wrong), LAYOUTS[layout]))


@pytest.mark.parametrize('scale, shift, img_shape, message', [
    (0.5, 0.5, (480, 640), 'x is between 0.*expected pixels of an image of h'),
    (1.1, 0, (480, 640), 'x is between 0.*expected pixels of an image of h'),
    (640, 0, (240, 320), 'x is between .*height 240 and width 320'),
    ((640, 480), 0, (480, 640), 'persons: up to 1, no confidences\n'),
    ((640, 480), 0, (640, 480), r'outside the images .*: 2\d.\d%')])
def test_image_sizes_are_checked(folder, scale, shift, img_shape, message):
    rng = np.random.default_rng(0)
    for path in Path('src').glob('*/*.npy'):
        np.save(path, rng.random((9, 4, 2)) * scale + shift)
    try:
        _, result = convert('flat.json', img_shape=img_shape)
    except InputError as error:
        result = str(error)
    assert re.search(message, result)


@pytest.mark.parametrize('up, option, expected', [
    (0, None, 'x'), (1, None, 'y'), (2, None, 'z'), (2, 'y', 'y')])
def test_the_vertical_axis(folder, monkeypatch, up, option, expected):
    body = dict(HAND, joint_names=['hip', 'left foot', 'right foot', 'Head'])
    Path('hand.json').write_text(json.dumps(body))
    for path in Path('src').glob('*/*.npy'):
        array = np.load(path)
        array[..., up] += np.array([0, -9, -9, 9])
        array[..., up - 1] += 99
        array[::2, 3] = 0  # an undetected head
        array[:, 1] = 0  # a foot that is never detected
        np.save(path, array)
    data = convert(up=option)
    assert f'vertical axis (--up): {expected}\n' in data[1]
    Path('hand.json').write_text(json.dumps(HAND))  # no head, no foot
    assert option or 'vertical axis (--up): y (assumed)' in convert()[1]
    step, = (step for step in load_config(data, 'stgcn').train_pipeline
             if step.type == 'RandomView')
    # without a tilt, the rotation keeps the coordinates along the axis
    monkeypatch.setattr(np.random, 'randint', lambda *_: np.array([0, 50]))
    sample = np.random.default_rng(0).normal(size=(1, 3, 4, 3))
    turned = TRANSFORMS.build(step)(dict(keypoint=sample))['keypoint']
    same = np.isclose(turned, sample, atol=1e-6).all(axis=(0, 1, 2))
    assert same.nonzero()[0].tolist() == ['xyz'.index(expected)]


def test_data_for_testing_only(folder):
    """The classes are numbered as in the training set."""
    edit('labels.csv', 's0,train', 's0,test')
    convert()
    assert made()['split']['test'] == ['a/0']
    text = Path('labels.csv').read_text()
    Path('labels.csv').write_text(text.replace(',val', ',train'))
    data = convert(val_ratio=0.4)
    assert made()['split']['test'] == ['a/0']
    cfg = load_config(data, 'stgcn')
    assert cfg.test_dataloader.dataset.split == 'test'
    Path('a/b').mkdir(parents=True)
    Path('linked').symlink_to(Path('a/b'))  # MMEngine does not follow the link
    custom_config.write(Path('linked/cfg.py'), Path('out/made.pkl'), data[0],
                        'stgcn')
    Config.fromfile('linked/cfg.py')
    Path('out/made.pkl').rename('train.pkl')
    Path('classes.txt').write_text('wave\nnever\nclap\n')
    text = Path('labels.csv').read_text()
    Path('labels.csv').write_text(text.replace('clap', 'wave'))
    for classes, label in (('train.pkl', 1), ('classes.txt', 0)):
        convert(classes=classes, test_only=True)
        assert list(map(len, made()['split'].values())) == [8]
        assert 'test' in made()['split']
        assert {item['label'] for item in made()['annotations']} == {label}


def test_annotation_files(folder):
    """The files of PYSKL and MMAction2 are converted like folders."""
    items = [dict(frame_dir=f'{i}', label=i % 2, total_frames=9,
                  img_shape=(4, 5), keypoint=joints(9, 2, i, 1).astype('f2'),
                  keypoint_score=joints(9, 1, i, 1)[..., 0].astype('f2') % 1)
             for i in range(8)]
    names = [item['frame_dir'] for item in items]
    content = dict(annotations=items, split=dict(sub_train=names[:4],
                                                 sub_val=names[4:7]))
    Path('in.pkl').write_bytes(pickle.dumps(content))

    def read(path='in.pkl', **options):
        return custom_data.convert(Path(path), None, Path('out/made.pkl'),
                                   'flat.json', **options)

    content['split']['sub_train'] = np.array(names[:4] + names[:1])
    read(split=('sub_train', 'sub_val'))
    assert made()['classes'] == ['0', '1']
    assert made()['split'] == dict(train=names[:4], val=names[4:7])
    for item, mine in zip(items, made()['annotations'], strict=False):
        for name in ('keypoint', 'keypoint_score'):
            assert mine[name].dtype == np.float32
            np.testing.assert_array_equal(mine[name], item[name])
    Path('classes.txt').write_text('1\n2\n')  # labels count from 0
    read(split=('sub_train', 'sub_val'), classes=Path('classes.txt'))
    assert [item['label'] for item in made()['annotations']] == [
        0, 1, 0, 1, 0, 1, 0]
    odd = ['cafe\u0301  au lait', '\u0645\u06cc\u200c\u0631']
    Path('odd.pkl').write_bytes(pickle.dumps({**content, 'classes': odd}))
    read('odd.pkl', val_ratio=0.5, classes=Path('odd.pkl'))
    assert made()['classes'] == odd  # as in the training set
    read(val_ratio=0.5)
    assert [len(part) for part in made()['split'].values()] == [4, 4]
    Path('none.pkl').write_bytes(pickle.dumps(items))
    for options, changed, message in (
            (dict(classes=Path('none.pkl')), dict(classes=['a', 'b']),
             r'none.pkl: the classes are \[\], expected at least 2 names'),
            ({}, {}, 'in.pkl: the split "val" contains 0 of 8 sequences'),
            (dict(split='ab'), {}, 'no split "a"; expected one of sub_'),
            (dict(split='abcd'), {}, '--split is a, b, c, d, expected at mos'),
            (dict(split=['sub_val'] * 2), {}, '"4" occurs in more than one'),
            (dict(split=['sub_val']), dict(classes=['a', 'a']),
             'in.pkl: classes: the name "a" occurs 2 times, expected once'),
            ({}, dict(classes=['0', '7'], annotations=[
                dict(item, label=item['label'] * 7) for item in items]),
             'the label "number 7", expected one of 0, 7'),
            ({}, dict(layout=dict(FLAT, joint_names='abcd')),
             r'joint_names\[0\] is .a., expected .wrist., as in the layout')):
        Path('in.pkl').write_bytes(pickle.dumps({**content, **changed}))
        with pytest.raises(InputError, match=message):
            read(**options)
    for item in items:  # PoseDataset also accepts "filename"
        item['filename'] = item.pop('frame_dir')
        item['keypoint'] = np.abs(item['keypoint'])
    del items[0]['img_shape']
    Path('named.pkl').write_bytes(pickle.dumps(items))
    read('named.pkl', val_ratio=0.5, img_shape=(6, 7))
    assert [item['frame_dir'] for item in made()['annotations']] == names
    assert [item['img_shape'] for item in made()['annotations']] == [
        (6, 7), *[(4, 5)] * 7]  # sequences keep their own size


@pytest.mark.parametrize('field, value, message', [
    ('joint_names', ['{{$HOME:x}}', 'b', 'c', 'd'], 'a string without "{{"'),
    ('joint_names', ['a', ['b'], 'c', 'd'], 'a string without "{{"'),
    ('parts', ['{{$HOME:x}}', 0, 0, 0], 'contains .* expected integers'),
    ('edges', [[1, 0], [2, 0], [3, 2.0]], 'contains 2.0, expected integers'),
    ('center', False, 'contains False, expected integers'),
    ('joint_names', ['a'], r"joint_names is \('a',\), expected several"),
    ('joint_names', ['a', 'b', 'c', 'a'], "'c', 'a'.*expected distinct names")
])
def test_layouts_do_not_reach_the_config_as_code(folder, field, value,
                                                 message):
    """MMEngine replaces "{{$VARIABLE:default}}" before it reads a config."""
    Path('hand.json').write_text(json.dumps({**HAND, field: value}))
    assert re.search(message, refused())


@pytest.mark.parametrize('encoder', ENCODERS)
def test_configs_without_stdcl_and_for_a_laptop(folder, encoder):
    cfg = load_config(convert(), encoder, epochs=10, width=0.25)
    full = load_config(convert(), encoder)
    plain = load_config(convert(), encoder, stdcl=False)
    assert 'decoupler' not in plain.model.cls_head
    assert 'clip_shape' not in plain.model
    assert plain.model.backbone == full.model.backbone
    assert plain.train_dataloader == full.train_dataloader
    assert cfg.train_cfg.max_epochs == 10
    steps, whole = ([epoch for step in one.param_scheduler for epoch in (
        step.get('end'), *step.get('milestones', ())) if epoch]
        for one in (cfg, full))
    assert steps == [max(1, round(epoch * 10 / full.train_cfg.max_epochs))
                     for epoch in whole]
    if encoder == 'hcn':  # the learning rate decays each epoch
        decays = [part.param_scheduler[0].gamma ** part.train_cfg.max_epochs
                  for part in (cfg, full)]
        assert decays[0] == pytest.approx(decays[1])
    else:
        assert steps
    model = MODELS.build(cfg.model)
    # the recognizer compares this number with the output of the encoder
    assert model.cls_head.in_channels < (
        full.model.cls_head.get('in_channels', 256) / 2)
    if not [*CONFIGS.glob(f'stdcl/stdcl-recommended-{encoder}_*')]:
        return  # these configs are optional
    cfg = load_config(convert(), encoder, width=0.25, recommended=True)
    fragment = Config.fromfile(CONFIGS / '_base_/stdcl_recommended.py')
    assert cfg.model.contrast_block and cfg.model.cls_head.loss_contrast == {
        **load_config(convert(), encoder).model.cls_head.loss_contrast,
        **fragment.stdcl_recommended.cls_head.loss_contrast}
    MODELS.build(cfg.model)  # compares the channels of the block


@pytest.mark.parametrize('words, message', [
    ('src labels.csv out.npy', 'out.npy, expected a folder, a table and a'),
    ('in.pkl in.pkl', 'two *.pkl files, of which the last is not an input'),
    ('src out.pkl', 'the paths are src, None, out.pkl, expected a folder'),
    ('src labels.csv out.pkl --config out.txt', 'expected a *.py'),
    ('src labels.csv {{$HOME:x}}.pkl --config a.py', 'because MMEngine repl'),
    ('src labels.csv out.pkl --layout no.json', 'error: layout: no.json: No'),
    ('src labels.csv out.pkl --layout hand.json', 'error: labels.csv: the sp'),
    ('src labels.csv out.pkl --epochs 0', '--epochs is 0, expected at least')])
def test_command_line_errors(root, folder, monkeypatch, capsys, words,
                             message):
    """Nothing is written, and no message names a file that is valid."""
    edit('labels.csv', 'split', 'part')
    monkeypatch.setattr(sys, 'argv', [
        'custom.py', '--layout', 'coco', *words.split()])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(root / 'tools/data/custom.py', run_name='__main__')
    assert message in f'{caught.value}{capsys.readouterr().err}'
    assert len(list(folder.iterdir())) == 4


def test_the_printed_command_can_be_copied(root, folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', [
        'custom.py', 'src', 'labels.csv', "it's.pkl", '--layout', 'hand.json',
        '--config', 'my configs/[1] b.py'])
    runpy.run_path(root / 'tools/data/custom.py', run_name='__main__')
    command = capsys.readouterr().out.splitlines()[-1]
    assert shlex.split(command)[2:] == ['my configs/[1] b.py']
    assert Config.fromfile('my configs/[1] b.py').ann_file == "it's.pkl"


def test_commands_of_the_page(root, warm, tmp_path):
    text = (root / 'docs' / 'custom_data.md').read_text()
    page = {language: re.findall(rf'```{language}\n(.*?)```', text, re.S)
            for language in ('json', 'python', 'shell', 'text')}
    for name in ('tools', 'projects', 'configs'):
        (tmp_path / name).symlink_to(root / name)
    (tmp_path / 'upper_body.json').write_text(page['json'][0])
    subprocess.run([sys.executable, '-c', page['python'][0]], cwd=tmp_path,
                   check=True)
    for line in page['text'][0].splitlines():
        assert line in (tmp_path / 'labels.csv').read_text().splitlines()
    outputs = {}
    commands = ''.join(page['shell']).splitlines()
    for command in commands:
        python, *words = shlex.split(command)
        assert python == 'python'
        if words[0] in ('tools/train.py', 'tools/test.py'):
            # with these options, the commands take seconds instead of hours
            words = [word.replace('epoch_65', 'epoch_1') for word in words]
            words += ['--cfg-options'] * ('--cfg-options' not in words) + [
                      'train_cfg.max_epochs=1',
                      'model.backbone.base_channels=8',
                      'model.cls_head.in_channels=32']
            for part in ('train', 'val', 'test'):
                words += [f'{part}_dataloader.num_workers=0',
                          f'{part}_dataloader.persistent_workers=False']
        done = warm(*words, cwd=tmp_path)
        outputs[command] = done.stdout
    train, test = (next(out for line, out in outputs.items() if name in line)
                   for name in ('train.py', 'test.py'))
    assert 'anchor_share: 1.0000' in train
    assert re.search(r'acc/top1: \d', test)
    assert re.search(r'(?s)wave +6 +2\nframes: .*python .*tools/train.py '
                     'gestures.py', outputs[commands[0]])
    poses = safe_files.load(str(tmp_path / 'data' / 'poses.pkl'))
    assert all('dora' in name for name in poses['split']['val'])
    assert poses['annotations'][0]['keypoint'].shape[0] == 2
