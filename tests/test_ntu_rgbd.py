"""Tests of the NTU RGB+D converter."""
import errno
import json
import pickle
import zipfile
import zlib
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from projects.stdcl.datasets.converters import ntu_rgbd
from projects.stdcl.datasets.converters.ntu_skeleton import parse_skeleton
from projects.stdcl.utils.input_error import InputError
from tests.commands import ROOT
from tests.ntu_files import content_of, golden_set, replace_words

GOOD = 'S001C001P001R001A001'


def write_folder(folder, contents):
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / f'{name}.skeleton').write_bytes(content)
    return folder


def write_zip(path, contents):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(f'./nturgb+d_skeletons/{name}.skeleton', content)
    return path


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp('ntu') / 'in', golden_set())


@pytest.mark.parametrize('name', ['ntu60', 'ntu120'])
def test_equals_the_golden_file_bit_for_bit(source, tmp_path, name):
    destination = tmp_path / 'new' / 'ntu.pkl'
    report = ntu_rgbd.convert([source], destination, name, processes=2)
    data = pickle.loads(destination.read_bytes())
    with np.load(ROOT / 'tests/golden/ntu_rgbd.npz') as arrays:
        keypoints = dict(arrays)
    expected = json.loads(str(keypoints.pop('facts')))[name]
    assert data['split'] == expected['split']
    assert len(data['classes']) == expected['classes']
    assert data['layout'] == expected['layout']
    assert {item['frame_dir']: item['label']
            for item in data['annotations']} == expected['labels']
    for item in data['annotations']:
        keypoint = keypoints[item['frame_dir']]
        assert item['keypoint'].dtype == np.float32
        assert item['total_frames'] == keypoint.shape[1]
        np.testing.assert_array_equal(item['keypoint'], keypoint, strict=True)
    assert sorted(Path(name).stem for name in report['dropped']) == (
        expected['dropped'])
    assert sorted(report['repaired']) == expected['repaired']
    assert report['bodies_removed_as_noise'] == expected['removed']


def test_all_sources_give_the_same_file(source, tmp_path):
    contents = golden_set()
    names = list(contents)
    part = [{name: contents[name] for name in chosen}
            for chosen in (names[:20], names[20:30], names[30:])]
    write_zip(tmp_path / 'in' / 'a.ZIP', part[0])
    write_folder(tmp_path / 'other' / 'down', part[1])
    for name, target in (
            ('deep', 'other'), ('again', 'other'), ('loop', 'in')):
        (tmp_path / 'in' / name).symlink_to(tmp_path / target)
    zipped = write_zip(tmp_path / 'b.zip', {  # written on Windows, or on macOS
        f'skeletons\\{stem}{name}': content for name, content
        in part[2].items() for stem in ('', '._')})
    (tmp_path / 'in' / 'notes.txt').write_text('not a skeleton')
    for number, paths in enumerate([[source], [tmp_path / 'in', zipped]]):
        report = ntu_rgbd.convert(paths, tmp_path / f'{number}.pkl',
                                  processes=1)
        assert report['benchmark'] == 'ntu120'  # has setups above 17
        assert not any(name[0] == '.' for name in report['dropped'])
    assert (tmp_path / '0.pkl').read_bytes() == (
        tmp_path / '1.pkl').read_bytes()


def test_command(warm, source, tmp_path):
    done = warm('tools/data/ntu_rgbd.py', source, 'ntu60.pkl', '--benchmark',
                'ntu60', cwd=tmp_path)
    assert "{'xsub_train': 9, 'xsub_val': 15, 'xview_train': 16," in (
        done.stdout), done.stderr
    assert ' from 28 of 56880 files; 7 dropped, 8 repaired' in done.stdout
    report = json.loads((tmp_path / 'ntu60.report.json').read_text())
    assert report['dropped']['S001C002P005R002A008'].startswith(
        'missing skeletons')
    assert report['repaired']['S002C001P038R001A037'] == [
        'incomplete frame: line 64 has 7 values, expected 12 (a joint); kept '
        'the 2 frames before it']


def with_word(*place_and_word):
    return lambda content: replace_words(content, *place_and_word)


def with_frame(frame, change):
    """Return a function that changes one frame of a file."""
    def change_content(content):
        lines = content.split(b'\r\n')
        part = slice(1 + 28 * frame, 29 + 28 * frame)
        lines[part] = change(lines[part])
        return b'\r\n'.join(lines)
    return change_content


HALF, ODD = 'incomplete frame', 'unusable body'
# change to a file of 6 frames, reason in the report (or None), frames left
CHANGES = {
    'empty frame': (with_frame(2, lambda lines: [b'0']), None, 5),
    'frame missing': (with_frame(2, lambda lines: []),
                      'wrong frame count', 5),
    'joint missing': (with_frame(3, lambda lines: lines[:-1]), HALF, 3),
    '23 joints': (with_frame(1, lambda lines: [
        *lines[:2], b'23', *lines[5:]]), ODD, 5),
    'body twice': (with_frame(1, lambda lines: [
        b'2', *lines[1:], *lines[1:]]), ODD, 6),
    'too large': (with_word(5, 24, 1, b'4E+38'), ODD, 5),
    'junk': (with_word(2, 0, 1, b'-1.#IND'), ODD, 5),
    'junk beyond z': (with_word(2, 0, 3, b'nan'), None, 6),
    'blanks alone': (lambda c: b' \r\n', 'empty file', 0),
    'huge number': (lambda c: b'9' * 5000 + c, 'no body', 0),
    'all junk': (lambda c: c.replace(b'.', b'?'), 'no body', 0),
}


def test_errors_of_the_system_do_not_count_as_damage(monkeypatch):
    monkeypatch.setattr(Path, 'read_bytes', Mock(
        side_effect=PermissionError(errno.EACCES, 'Permission denied')))
    with pytest.raises(PermissionError):
        ntu_rgbd.read_sequence((GOOD, 'a.skeleton'))


@pytest.mark.parametrize('change, reason, left', CHANGES.values(),
                         ids=CHANGES)
def test_damaged_frames(change, reason, left):
    whole, = parse_skeleton(content_of(6))[0]
    content = change(content_of(6))
    if not left:
        with pytest.raises(InputError, match=f'^{reason}: '):
            parse_skeleton(content)
        return
    (body, ), repairs = parse_skeleton(content)
    assert [repair.split(':')[0] for repair in repairs] == (
        [reason] if reason else [])
    assert body.frames.tolist() == list(range(left))
    if left == 6:
        np.testing.assert_array_equal(body.joints, whole.joints)
    else:  # remaining frames are unchanged
        same = (body.joints[:, None] == whole.joints).all(axis=(2, 3))
        assert same.any(axis=1).all()


def test_unreadable_files_are_dropped(tmp_path):
    path = tmp_path / 'in' / 'a.zip'
    names = [GOOD[:-1] + str(number) for number in (1, 2, 3)]
    write_zip(path, dict.fromkeys(names, content_of(6)))
    (path.parent / f'{GOOD[:-1]}4.skeleton').symlink_to('nowhere')
    with zipfile.ZipFile(path) as archive:
        broken, locked = archive.infolist()[1:]
    data = bytearray(path.read_bytes())
    start = broken.header_offset + 30 + len(broken.filename)
    data[start + 50:start + 90] = bytes(40)
    data[data.index(locked.filename.encode(), data.rindex(b'PK\1\2')) - 38
         ] |= 1  # set the flag "encrypted"
    path.write_bytes(data)
    report = ntu_rgbd.convert([path.parent], tmp_path / 'ntu.pkl', processes=1)
    assert report['sequences'] == 1
    assert sorted(report['dropped']) == [*names[1:], f'{GOOD[:-1]}4']
    assert 'encrypted' in report['dropped'][names[2]]


def test_other_cameras_and_replications_are_dropped():
    others, dropped = ['S001C004P001R001A001', 'S001C001P001R000A001'], {}
    assert ntu_rgbd.select([(name, name) for name in (*others, GOOD)],
                           ntu_rgbd.BENCHMARKS['ntu60'], dropped) == [
                               (GOOD, GOOD)]
    assert [*dropped] == others


REFUSED = {
    'empty folder': (lambda path: write_folder(path, {}),
                     'in contains no .skeleton file, expected a'),
    'damaged zip': (lambda path: [
        write_folder(path, {}), (path / 'a.zip').write_bytes(b'PK\3\4')]
        and path, 'a.zip is not a readable zip file: .* Download it again'),
    'twice': (lambda path: [
        write_folder(path, {GOOD: b''}),
        write_zip(path / 'a.zip', {GOOD: b''})] and path,
        f'{GOOD} occurs twice, in .*/in/{GOOD}.skeleton.* and in .*/a.zip'),
    'nothing usable': (lambda path: write_folder(path, {
        'S018C001P001R001A061': b'', 'a': b'', GOOD: b''}),
        'no file of ntu60 can be used; dropped: .*a.skeleton.*: .unknown'),
}


@pytest.mark.parametrize('make, message', REFUSED.values(), ids=REFUSED)
def test_invalid_sources_raise(tmp_path, make, message):
    source = make(tmp_path / 'in')
    for processes, text in (1, message), (10**6, '--processes is 1000000'):
        with pytest.raises(InputError, match=text):
            ntu_rgbd.convert([source], tmp_path / 'ntu.pkl', 'ntu60',
                             processes)
    assert not list(tmp_path.glob('ntu*'))


@pytest.mark.parametrize('number', [2, 1])
def test_published_sizes(monkeypatch, tmp_path, number):
    monkeypatch.setitem(ntu_rgbd.BENCHMARKS, 'ntu60', dict(
        ntu_rgbd.BENCHMARKS['ntu60'], files=4, sizes=dict(
            xsub_train=2, xsub_val=1, xview_train=number, xview_val=1)))
    names = [f'S001C00{camera}P00{person}R001A001'
             for camera, person in ((1, 1), (2, 1), (3, 3))]
    source = write_folder(tmp_path / 'in', {
        **dict.fromkeys(names, content_of(6)), 'S001C002P005R002A008': b''})
    report = ntu_rgbd.convert([source], tmp_path / 'ntu.pkl', processes=1)
    assert report['as_published'] is (number == 2)


def test_properties_of_the_benchmarks(reference):
    missing = ntu_rgbd.read_list('ntu_missing_skeletons.txt')
    for name, file in (('ntu60', 'NTU_RGBD'), ('ntu120', 'NTU_RGBD120')):
        benchmark = ntu_rgbd.BENCHMARKS[name]
        listed = (reference / 'data/ntu' / (
            f'{file}_samples_with_missing_skeletons.txt')).read_text().split()
        assert listed == [name for name in missing
                          if int(name[1:4]) <= benchmark['setups']]
        sizes = list(benchmark['sizes'].values())
        assert {sum(sizes[:2]), sum(sizes[2:])} == {
            benchmark['files'] - len(listed)}
    facts = str([*map(sorted, (ntu_rgbd.XSUB60, ntu_rgbd.XSUB120)),
                 ntu_rgbd.read_list('ntu_classes.txt')])
    assert zlib.crc32(facts.encode()) == 4001000283
