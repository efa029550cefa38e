"""The NTU RGB+D converter."""
import json
import os
import re
import signal
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from mmaction.datasets import PoseDataset

from projects.stdcl.utils import safe_pickle
from tests.twins import ntu_skeleton as twin

ROOT = Path(__file__).parents[1]
TOOL = ROOT / 'tools/data/ntu_rgbd.py'
sys.path.insert(0, str(TOOL.parent))

import ntu_rgbd


def compare(content):
    """Parse and clean with both; the reasons, for a look at them."""
    people, reasons = twin.parse(content)
    if people is None:
        with pytest.raises(ntu_rgbd.UnusableError) as raised:
            ntu_rgbd.parse(content)
        assert {raised.value.args[0]} == reasons
        return None, reasons
    bodies, problems = ntu_rgbd.parse(content)
    assert {problem.reason for problem in problems} == reasons
    assert len(problems) == len(reasons)
    assert len(bodies) == len(people)
    for body, seen in zip(bodies, people.values()):
        assert body.frames.tolist() == list(seen)
        assert body.joints.dtype == np.float32
        np.testing.assert_array_equal(body.joints, list(seen.values()))
    return bodies, reasons


def compare_clean(content):
    bodies, _ = compare(content)
    people, _ = twin.parse(content)
    keypoint, problems, removed = ntu_rgbd.clean(bodies)
    expected, reasons, expected_removed = twin.clean(people)
    np.testing.assert_array_equal(keypoint, expected)
    assert keypoint.dtype == np.float32
    assert [problem.reason for problem in problems] == sorted(reasons)
    assert {'short': 0, 'wide': 0, **removed} == expected_removed
    return keypoint, reasons, +removed


def frames_of(num_frames=6, persons=1, seed=0):
    return twin.make_frames(np.random.default_rng(seed), num_frames, persons)


def content_of(*args, **kwargs):
    return twin.write_skeleton(frames_of(*args, **kwargs))


# ----------------------------------------------------------------- one file

def replaced(old, new, count=1):
    def damage(content):
        assert re.search(old, content)
        return re.sub(old, new, content, count=count)
    return damage


def joint_word(frame, joint, column, word):
    """Put a word into a line of joints of a file with one person."""
    def damage(content):
        lines = content.split(b'\r\n')
        line = 1 + 28 * frame + 3 + joint
        words = lines[line].split()
        assert len(words) == 12
        words[column] = word
        lines[line] = b' '.join(words)
        return b'\r\n'.join(lines)
    return damage


def without_frame(frame, keep_line=True):
    """A frame of a file with one person becomes one with no body."""
    def damage(content):
        lines = content.split(b'\r\n')
        lines[1 + 28 * frame:29 + 28 * frame] = [b'0'] * keep_line
        return b'\r\n'.join(lines)
    return damage


def fewer_joints(content):
    """In frame 1, and the file says so."""
    lines = content.split(b'\r\n')
    assert lines[31] == b'25'
    lines[31:34] = [b'23']
    return b'\r\n'.join(lines)


def body_again(content):
    lines = content.split(b'\r\n')
    lines[29:57] = [b'2', *lines[30:57], *lines[2:29]]
    return b'\r\n'.join(lines)


WHOLE, HALF = set(), {'frame not whole'}
ODD, OTHER = {'joints not finite'}, {'number of frames differs'}
# name: (damage to a file of 6 frames, reasons, frames that are left)
DAMAGES = {
    'none': (lambda c: c, WHOLE, 6),
    'unix line ends': (lambda c: c.replace(b'\r', b''), WHOLE, 6),
    'trailing spaces': (lambda c: c.replace(b'\r\n', b'  \t \r\n'), WHOLE, 6),
    'leading spaces': (lambda c: c.replace(b'\n', b'\n \t'), WHOLE, 6),
    'several spaces': (lambda c: c.replace(b' ', b'  '), WHOLE, 6),
    'blank lines': (lambda c: c.replace(b'\n', b'\n \r\n\r\n'), WHOLE, 6),
    'first line blank': (lambda c: b'\r\n' + c, WHOLE, 6),
    'no last line end': (lambda c: c.rstrip(), WHOLE, 6),
    'zeros at the end': (lambda c: c + bytes(100), WHOLE, 6),
    'an empty frame': (without_frame(2), WHOLE, 5),
    'first frame empty': (without_frame(0), WHOLE, 5),
    'a frame too few': (without_frame(2, False), OTHER, 5),
    'says more frames': (replaced(rb'^6', b'9'), OTHER, 6),
    'says fewer frames': (replaced(rb'^6', b'0'), OTHER, 6),
    'half a line': (lambda c: c[:-40], HALF, 5),
    'half a word': (lambda c: c[:c.rindex(b'\n', 0, -2) + 9], HALF, 5),
    'half a body': (lambda c: c[:-1000], HALF, 5),
    'no joints': (lambda c: c[:c.rindex(b'\r\n25\r\n')], HALF, 5),
    'no body line': (lambda c: c[:c.rindex(b'\r\n720')], HALF, 5),
    'a line missing': (lambda c: b'\r\n'.join(
        line for number, line in enumerate(c.split(b'\r\n'))
        if number != 95), HALF, 3),
    'a word missing': (joint_word(3, 4, 5, b''), HALF, 3),
    'a word more': (joint_word(3, 4, 5, b'1 1'), WHOLE, 6),
    'body line of 9': (replaced(rb' 0.02764709', b''), HALF, None),
    'negative count': (replaced(rb'\r\n25\r\n', b'\r\n-25\r\n'), HALF, None),
    'huge count': (lambda c: c + b'99999999999999999999\r\n', HALF, 6),
    'huge joint count': (
        lambda c: c + b'1\r\n1 2 3 4 5 6 7 8 9 0\r\n9999999999\r\n', HALF, 6),
    'text after': (lambda c: c + b'end\r\n', HALF, 6),
    '23 joints': (fewer_joints, {'not 25 joints'}, 5),
    'a body twice': (body_again, {'body twice in a frame'}, 6),
    'nan': (joint_word(0, 3, 2, b'nan'), ODD, 5),
    'infinite': (joint_word(5, 24, 0, b'-inf'), ODD, 5),
    'too large': (joint_word(5, 24, 1, b'4E+38'), ODD, 5),
    'junk': (joint_word(2, 0, 1, b'-1.#IND'), ODD, 5),
    'no ascii': (joint_word(2, 0, 1, '1½'.encode()), ODD, 5),
    'two points': (joint_word(2, 0, 0, b'1.2.3'), ODD, 5),
    'sign in between': (joint_word(2, 0, 0, b'1-2'), ODD, 5),
    'a sign alone': (joint_word(2, 0, 0, b'-'), ODD, 5),
    'a point alone': (joint_word(2, 0, 0, b'.'), ODD, 5),
    'junk beyond z': (joint_word(2, 0, 3, b'nan'), WHOLE, 6),
    'exponent': (joint_word(2, 0, 0, b'-1.5E-05'), WHOLE, 6),
    'plus': (joint_word(2, 0, 0, b'+.5'), WHOLE, 6),
    'no point': (joint_word(2, 0, 0, b'-3'), WHOLE, 6),
    'nothing after point': (joint_word(2, 0, 0, b'3.'), WHOLE, 6),
    '14 letters': (joint_word(2, 0, 0, b'-1.234567890123'), WHOLE, 6),
    'many digits': (joint_word(2, 0, 0, b'0.30000000000000004'), WHOLE, 6),
    'nothing': (lambda c: b'', {'empty file'}, None),
    'blanks alone': (lambda c: b' \r\n\r\n', {'empty file'}, None),
    'no count': (lambda c: b'frames' + c, {'no number of frames'}, None),
    'count -1': (replaced(rb'^6', b'-1'), {'no number of frames'}, None),
    'no frame': (lambda c: b'6\r\n', {'no body'}, None),
    'empty frames': (lambda c: b'2\r\n0\r\n0\r\n', {'no body'}, None),
    'all junk': (replaced(rb'\.', b'?', 0), {'no body'}, None),
}


@pytest.mark.parametrize('damage, reasons, left', DAMAGES.values(),
                         ids=DAMAGES)
def test_reads_what_the_obvious_parser_reads(damage, reasons, left):
    bodies, found = compare(damage(content_of(6)))
    if left is None:  # nothing, of a file or of what is before a wrong line
        assert bodies is None
        assert found == (reasons if reasons != HALF else {'no body'})
    else:
        assert found == reasons
        assert len(bodies[0].joints) == left
        assert bodies[0].frames.tolist() == list(range(left))


def test_any_cut_leaves_the_whole_frames_before_it():
    content = content_of(3, 2)
    rng = np.random.default_rng(0)
    for size in [*range(30), *rng.integers(30, len(content), 150)]:
        compare(content[:size])


def test_any_wrong_letter_is_read_as_the_obvious_parser_does():
    content = content_of(2, 2)
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(content)
        for place in rng.integers(len(content), size=rng.integers(1, 4)):
            damaged[place] = rng.choice([*b'09-+.eE \n\r\tx\0', 255])
        compare(bytes(damaged))


def test_numbers_are_those_of_float():
    rng = np.random.default_rng(0)
    values = rng.normal(size=5000) * 10.0**rng.integers(-9, 9, 5000)
    words = [form(value) for value in values.tolist() for form in (
        twin.format_number, repr, '{:.3f}'.format, '{:.0f}'.format)]
    words += ['-0', '-0.0', '.5', '-.5', '5.', '12345678901234',
              '123456789012345', '0.1234567890123', '99999999999.999']
    text = ntu_rgbd._Text(' '.join(words).encode())
    expected = np.array([float(word) for word in words])
    result = text.numbers(np.arange(len(words)))
    np.testing.assert_array_equal(result.view(np.int64),
                                  expected.view(np.int64))


def test_bodies_are_told_apart_by_the_last_digits():
    first, second = (frames_of(4, seed=seed) for seed in (0, 1))
    assert float(72057594037931101) == float(72057594037931102)
    frames = [[(72057594037931101, one[0][1]), (72057594037931102, two[0][1])]
              for one, two in zip(first, second)]
    bodies, _ = compare(twin.write_skeleton(frames))
    assert [len(body.frames) for body in bodies] == [4, 4]


def test_frames_are_the_true_ones():
    (one, two), *_ = frames_of(1, 2)
    bodies, _ = compare(twin.write_skeleton(
        [[], [one], [one, two], [], [two], [one], []]))
    assert [body.frames.tolist() for body in bodies] == [[0, 1, 3], [1, 2]]


# ----------------------------------------------------------------- clean-up

def scene(*people, num_frames=40):
    """A file; each person is (first frame, last frame, options).

    Options: ``gap``, frames without the person; ``wide``, frames in which it
    lies down; ``moves``, how much.
    """
    rng = np.random.default_rng(len(people))
    pose = rng.uniform(-1, 1, (25, 3)) * (0.25, 0.9, 0.1) + (0, 0, 3)
    frames = [[] for _ in range(num_frames)]
    for number, (start, end, options) in enumerate(people):
        for frame in range(start, end + 1):
            joints = pose + number + rng.normal(size=(25, 3)) * 0.01
            joints += frame * options.get('moves', 0.01)
            if frame in options.get('wide', ()):
                joints[:, 1] *= 0.1
            if frame not in options.get('gap', ()):
                frames[frame].append((72057594037931101 + number, joints))
    return twin.write_skeleton(frames)


def scene_of(*people, **kwargs):
    return scene(*[(*person, {})[:3] for person in people], **kwargs)


# name: (people, persons, frames, reasons, removed)
SCENES = {
    'one': ([(3, 30)], 1, 28, set(), {}),
    'one, short': ([(3, 5)], 1, 3, set(), {}),
    'one, wide': ([(0, 39, dict(wide=range(40)))], 1, 40, set(), {}),
    'one, with a gap': ([(0, 39, dict(gap=(3, 4)))], 1, 38, set(), {}),
    'two': ([(0, 39), (0, 39)], 2, 40, set(), {}),
    '11 frames': ([(0, 39), (5, 15)], 1, 40, set(), dict(short=1)),
    '12 frames': ([(0, 39), (5, 16)], 2, 40, set(), {}),
    'all short': ([(0, 5), (3, 12), (2, 11)], 1, 10, {'all bodies short'},
                  dict(short=2)),
    # of 40 frames, 27 are 67.5 % and 28 are 70 %
    'wide': ([(0, 39), (0, 39, dict(wide=range(28)))], 1, 40, set(),
             dict(wide=1)),
    'not so wide': ([(0, 39), (0, 39, dict(wide=range(27)))], 2, 40, set(),
                    {}),
    'all wide': ([(0, 39, dict(wide=range(40))), (0, 19, dict(
        wide=range(40)))], 1, 20, set(), dict(wide=1)),
    'motion without the wide frames': (
        [(0, 39, dict(wide=range(20), moves=0.03)),
         (0, 39, dict(moves=0.02))], 2, 40, set(), {}),
    'more motion with the wide frames': (
        [(0, 39, dict(wide=range(10, 30), moves=0.03)),
         (0, 39, dict(moves=0.031))], 2, 40, set(), {}),
    'most motion first': ([(0, 39), (0, 39, dict(moves=0.1))], 2, 40, set(),
                          {}),
    'one after the other': ([(0, 15), (20, 39)], 1, 36, set(), {}),
    'a frame of both': ([(0, 20, dict(moves=0.1)), (20, 39)], 1, 40, set(),
                        {}),
    'two frames of both': ([(0, 20, dict(moves=0.1)), (19, 39)], 2, 40,
                           set(), {}),
    'three, one after another': (
        [(0, 12, dict(moves=0.2)), (13, 25, dict(moves=0.1)), (26, 39)], 1,
        40, set(), {}),
    # the first and the last fill the first place up
    'three, in another order': (
        [(0, 12, dict(moves=0.2)), (13, 25), (26, 39, dict(moves=0.1))], 2,
        40, set(), {}),
    'second place from two': (
        [(0, 39, dict(moves=0.1)), (0, 15, dict(moves=0.05)), (20, 39)], 2,
        40, set(), {}),
    # the second place counts as taken from frame 0 on, as published
    'second place from its start': (
        [(0, 39, dict(moves=0.1)), (20, 39, dict(moves=0.05)), (2, 15)], 2,
        40, {'more than two persons'}, {}),
    'a third': ([(0, 39), (0, 39), (10, 30)], 2, 40,
                {'more than two persons'}, {}),
    'nobody left in some frames': (
        [(5, 30), (0, 4), (31, 39), (6, 30)], 2, 26, set(), dict(short=2)),
    'a gap is no end': ([(0, 39, dict(gap=range(10, 30), moves=0.1)),
                         (12, 27)], 2, 36, set(), {}),
}


@pytest.mark.parametrize('people, persons, frames, reasons, removed',
                         SCENES.values(), ids=SCENES)
def test_cleans_up_as_the_obvious_way(people, persons, frames, reasons,
                                      removed):
    keypoint, found, noise = compare_clean(scene_of(*people))
    assert keypoint.shape == (persons, frames, 25, 3)
    assert (found, noise) == (reasons, removed)


def test_cleans_up_many_scenes_as_the_obvious_way():
    rng = np.random.default_rng(0)
    seen = Counter()
    for _ in range(60):
        people = []
        for _ in range(rng.integers(2, 6)):
            start, end = np.sort(rng.integers(40, size=2))
            wide = rng.choice(40, rng.integers(40), False) * rng.integers(2)
            people.append((start, end, dict(
                wide=wide, moves=rng.choice([0, 0.01, 0.05]),
                gap=rng.choice(np.arange(start, end + 1),
                               (end - start) // 3, False))))
        keypoint, reasons, removed = compare_clean(scene_of(*people))
        seen.update([len(keypoint), *reasons, *removed])
    assert min(seen.values()) > 2 and set(seen) == {
        1, 2, 'short', 'wide', 'all bodies short', 'more than two persons'}


def test_motion_orders_and_equal_motion_does_not():
    (one, two), *_ = frames_of(1, 2)
    frames = [[one, two]] * 20
    order = ntu_rgbd.clean(ntu_rgbd.parse(twin.write_skeleton(frames))[0])[0]
    moved = one[1].var(axis=0).sum() - two[1].var(axis=0).sum()
    first = one if moved > 0 else two
    np.testing.assert_allclose(order[0, 0], first[1], rtol=1e-5)
    mirrored = one[1] * (-1, 1, 1)  # has exactly the same motion
    content = twin.write_skeleton([[one, (one[0] + 1, mirrored)]] * 20)
    keypoint = ntu_rgbd.clean(ntu_rgbd.parse(content)[0])[0]
    np.testing.assert_allclose(keypoint[:, 0], [one[1], mirrored], rtol=1e-5)


# ---------------------------------------------------------------- the whole

NAMES = [f'S{setup:03d}C{camera:03d}P{performer:03d}R001A{action:03d}'
         for setup, performers, actions in (
             (1, (1, 3), (1, 60)), (2, (2, 7), (50, )), (18, (45, 41), (61, )),
             (32, (107, ), (120, )))
         for camera in (1, 2, 3) for performer in performers
         for action in actions]


@pytest.fixture(scope='module')
def contents():
    """Name -> file: 27 of them, of one and two persons."""
    return {name: content_of(5 + i, 1 + i % 2, seed=i)
            for i, name in enumerate(NAMES)}


def write_folder(folder, contents):
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / f'{name}.skeleton').write_bytes(content)
    return folder


def write_zip(path, contents):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(f'nturgb+d_skeletons/{name}.skeleton', content)
    return path


def command(*arguments):
    return [sys.executable, str(TOOL), *map(str, arguments)]


def convert(*arguments):
    done = subprocess.run(command(*arguments), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''
    return done.stdout


def report_of(destination):
    return json.loads(destination.with_suffix('.report.json').read_text())


def setups(contents, start, end):
    return {name: content for name, content in contents.items()
            if start <= int(name[1:4]) <= end}


@pytest.fixture(scope='module')
def converted(contents, tmp_path_factory):
    """A folder, and what became of it."""
    path = tmp_path_factory.mktemp('ntu')
    source = write_folder(path / 'source', contents)
    destination = path / 'new' / 'ntu.pkl'
    out = convert(source, destination, '--processes', 1)
    return source, destination, out


def test_a_file_has_all_splits(contents, converted):
    _, destination, out = converted
    assert sorted(path.name for path in destination.parent.iterdir()) == [
        'ntu.pkl', 'ntu.report.json']
    data = safe_pickle.load(str(destination))
    assert data['layout'] == 'nturgb+d'
    assert len(data['classes']) == 120
    names = sorted(contents)
    assert data['split'] == dict(
        xsub_train=[name for name in names if name[8:12] in (
            'P001', 'P002', 'P045')],
        xsub_val=[name for name in names if name[8:12] in (
            'P003', 'P007', 'P041', 'P107')],
        xset_train=[name for name in names if name[:4] != 'S001'],
        xset_val=[name for name in names if name[:4] == 'S001'])
    assert [item['frame_dir'] for item in data['annotations']] == names
    for item in data['annotations']:
        name = item['frame_dir']
        expected, *_ = twin.clean(twin.parse(contents[name])[0])
        np.testing.assert_array_equal(item['keypoint'], expected)
        assert item['keypoint'].dtype == np.float32
        assert item['total_frames'] == expected.shape[1]
        assert item['label'] == int(name[-3:]) - 1
    assert {len(item['keypoint']) for item in data['annotations']} == {1, 2}

    report = report_of(destination)
    counts = {name: len(part) for name, part in data['split'].items()}
    assert report['splits'] == counts
    assert (report['benchmark'], report['sequences'], report['files_found'],
            report['files_published'], report['as_published']) == (
                'ntu120', 27, 27, 114480, None)
    assert 'xsub_train 12, xsub_val 15, xset_train 15, xset_val 12' in out
    assert 'found 27 of 114480 files' in out
    assert report['repaired_by_reason'] == {'all bodies short': 3}
    assert report['bodies_removed_as_noise'] == {'short': 3}


def test_mmaction_reads_it(converted):
    dataset = PoseDataset(str(converted[1]), pipeline=[], split='xset_val',
                          test_mode=True)
    assert len(dataset) == 12
    assert dataset[0]['keypoint'].shape[2:] == (25, 3)


@pytest.mark.parametrize('make, processes', [
    (lambda path, c: [
        write_zip(path / 'a.zip', setups(c, 1, 17)),
        write_zip(path / 'b.ZIP', setups(c, 18, 32))], 2),
    (lambda path, c: [
        write_zip(path / 'in' / 'b.zip', setups(c, 18, 32)).parent,
        write_folder(path / 'in' / 'to' / 'a', setups(c, 1, 1)),
        write_zip(path / 'in' / 'to' / 'c.zip', setups(c, 2, 2))][:1], 1),
], ids=['zips, two processes', 'nested'])
def test_any_source_gives_the_same_file(contents, converted, tmp_path, make,
                                        processes):
    destination = tmp_path / 'ntu.pkl'
    convert(*make(tmp_path, contents), destination, '--processes', processes)
    assert destination.read_bytes() == converted[1].read_bytes()
    assert report_of(destination) == report_of(converted[1])


def test_ntu60_takes_the_first_17_setups(contents, converted, tmp_path):
    destination = tmp_path / 'ntu60.pkl'
    out = convert(converted[0], destination, '--benchmark', 'ntu60')
    data = safe_pickle.load(str(destination))
    names = sorted(setups(contents, 1, 17))
    assert [item['frame_dir'] for item in data['annotations']] == names
    assert len(data['classes']) == 60
    assert list(data['split']) == ['xsub_train', 'xsub_val', 'xview_train',
                                   'xview_val']
    assert data['split']['xview_train'] == [
        name for name in names if name[4:8] in ('C002', 'C003')]
    assert data['split']['xview_val'] == [
        name for name in names if name[4:8] == 'C001']
    assert 'skipped: 9 files' in out
    report = report_of(destination)
    assert report['files_of_other_setups'] == 9
    assert report['files_found'] == 18


def test_reports_what_was_dropped_and_repaired(contents, tmp_path):
    good, cut, empty, missing, action = (
        'S001C001P001R001A001', 'S001C001P001R001A002',
        'S001C001P001R001A003', 'S001C002P005R002A008',
        'S001C001P001R001A061')
    source = write_folder(tmp_path / 'source', {
        good: content_of(6), cut: content_of(6)[:-99], empty: b'',
        missing: content_of(6), action: content_of(6), 'S1C1P1': b'',
        'S033C001P001R001A001': content_of(6)})
    (source / 'S001C001P001R001A005.skeleton').symlink_to('nowhere')
    (source / 'notes.txt').write_text('no skeleton')
    destination = tmp_path / 'ntu60.pkl'
    out = convert(source, destination)
    report = report_of(destination)
    assert report['benchmark'] == 'ntu60'
    assert report['splits'] == dict(xsub_train=2, xsub_val=0, xview_train=0,
                                    xview_val=2)
    assert report['files_found'] == 6
    assert {name: problem['reason'] for name, problem in
            report['dropped'].items()} == {
        empty: 'empty file', missing: 'missing skeletons',
        action: 'unknown action', f'{source}/S1C1P1.skeleton': 'unknown name',
        f'{source}/S033C001P001R001A001.skeleton': 'unknown name',
        'S001C001P001R001A005': 'not readable'}
    assert report['dropped_by_reason'] == {
        'empty file': 1, 'missing skeletons': 1, 'unknown action': 1,
        'unknown name': 2, 'not readable': 1}
    assert report['repaired'] == {cut: [dict(
        reason='frame not whole',
        detail='frame 6 of 6: read are the 5 before it')]}
    assert report['repaired_by_reason'] == {'frame not whole': 1}
    assert 'dropped: 6 (' in out
    assert 'repaired: 1 (frame not whole 1)' in out


def test_zips_from_others_can_do_no_harm(tmp_path):
    path, content = tmp_path / 'bad.zip', content_of(6)
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('S001C001P001R001A001.skeleton', content)
        archive.writestr('a/S001C001P001R001A002.skeleton', content)
        archive.writestr('S001C001P001R001A008.skeleton',
                         bytes(ntu_rgbd.MAX_BYTES + 1))
        archive.writestr('S001C001P001R001A009.skeleton', content)
        locked = archive.infolist()[-1]
        archive.writestr('S001C001P001R001A010.skeleton', content)
        broken = archive.infolist()[-1]
        locked.flag_bits |= 1
    data = bytearray(path.read_bytes())
    start = broken.header_offset + 30 + len(broken.filename)
    data[start + 50:start + 90] = bytes(40)
    path.write_bytes(data)
    destination = tmp_path / 'out' / 'ntu60.pkl'
    convert(path, destination)
    report = report_of(destination)
    assert report['sequences'] == 2
    assert Counter(report['dropped_by_reason']) == {
        'too large': 1, 'not readable': 2}
    assert report['dropped']['S001C001P001R001A008']['detail'] == (
        '16,777,217 bytes, expected up to 16,777,216')
    assert 'encrypted' in report['dropped']['S001C001P001R001A009']['detail']
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'bad.zip', 'out']


@pytest.mark.parametrize('folder', ['../', '/', 'a/../../', 'C:\\', '..\\'])
def test_zips_that_lead_out_of_the_folder_are_refused(tmp_path, folder):
    path, name = tmp_path / 'bad.zip', 'S001C001P001R001A001.skeleton'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr(zipfile.ZipInfo(folder + name), content_of(6))
    with pytest.raises(ntu_rgbd.DataError) as caught:
        ntu_rgbd.find_sources([path])
    assert str(path) in str(caught.value)
    assert repr(folder + name) in str(caught.value)


GOOD = 'S001C001P001R001A001'
# name: (makes the arguments, message, exit status)
REFUSED = {
    'no source': (lambda path: [path / 'none.zip', path / 'ntu.pkl'],
                  'none.zip does not exist; expected a zip file', 1),
    'other file': (lambda path: [TOOL, path / 'ntu.pkl'],
                   'ntu_rgbd.py is no folder, and neither a .zip nor', 1),
    'empty folder': (lambda path: [
        write_folder(path / 'in', {}), path / 'ntu.pkl'],
        'in: no .skeleton file in it, nor in a zip in it', 1),
    'damaged zip': (lambda path: [
        write_folder(path / 'in', {}), (path / 'in' / 'a.zip').write_bytes(
            b'PK\3\4 no zip') and path / 'ntu.pkl'],
        'in/a.zip is not a readable zip file: .* Download it again', 1),
    'twice': (lambda path: [
        write_folder(path / 'in', {GOOD: b''}),
        write_zip(path / 'a.zip', {GOOD: b''}), path / 'ntu.pkl'],
        f'{GOOD} is there twice: .*/in/{GOOD}.skeleton and .*/a.zip:'
        rf'nturgb\+d_skeletons/{GOOD}.skeleton', 1),
    'nothing of it': (lambda path: [
        write_folder(path / 'in', {
            'S018C001P001R001A061': b'', 'a': b'',
            'S001C002P005R002A008': b''}),
        path / 'ntu.pkl', '--benchmark', 'ntu60'],
        'none of 3 files can be used: 1 x unknown name, 1 x missing '
        'skeletons, 1 x not of ntu60', 1),
    'no pickle': (lambda path: [path, path / 'ntu.npz'],
                  r'DST is .*/ntu.npz; PoseDataset reads only \*.pkl', 2),
    'a folder': (lambda path: [
        path, write_folder(path / 'ntu.pkl', {})],
        'DST is .*/ntu.pkl, a folder', 2),
    'no process': (lambda path: [
        path, path / 'ntu.pkl', '--processes', '0'],
        '--processes is 0, expected 1 or more', 2),
    'no way to it': (lambda path: [
        write_folder(path / 'in', {GOOD: b''}),
        path / 'in' / f'{GOOD}.skeleton' / 'ntu.pkl'], 'Not a directory', 1),
}


def run_here(monkeypatch, capsys, *arguments):
    """main() in this process: exit status and stderr."""
    monkeypatch.setattr(sys, 'argv', command(*arguments)[1:])
    try:
        ntu_rgbd.main()
    except SystemExit as stop:
        message = capsys.readouterr().err
        if isinstance(stop.code, str):
            return 1, stop.code
        return stop.code, message
    return 0, ''


@pytest.mark.parametrize('make, message, status', REFUSED.values(),
                         ids=REFUSED)
def test_refuses(monkeypatch, capsys, tmp_path, make, message, status):
    code, error = run_here(monkeypatch, capsys, *make(tmp_path))
    assert code == status
    assert re.search(message, ' '.join(error.split())), error
    assert not [path for path in tmp_path.rglob('ntu*') if path.is_file()]
    assert not list(tmp_path.rglob('*.parts'))


@pytest.mark.parametrize('published, status', [
    (dict(xsub=(2, 1), xview=(2, 1)), 0),
    (dict(xsub=(2, 1), xview=(1, 2)), 1)])
def test_published_counts_of_a_whole_set(monkeypatch, capsys, tmp_path,
                                         published, status):
    whole = ntu_rgbd.BENCHMARKS['ntu60']
    splits = {split: (rule, *published[split])
              for split, (rule, *_) in whole.splits.items()}
    monkeypatch.setitem(ntu_rgbd.BENCHMARKS, 'ntu60', whole._replace(
        files=4, splits=splits))
    names = [f'S001C00{camera}P00{person}R001A001'
             for camera, person in ((1, 1), (2, 1), (3, 3))]
    source = write_folder(tmp_path / 'in', {
        **dict.fromkeys(names, content_of(6)), 'S001C002P005R002A008': b''})
    destination = tmp_path / 'ntu60.pkl'
    code, error = run_here(monkeypatch, capsys, source, destination,
                           '--processes', 1)
    assert code == status
    assert report_of(destination)['as_published'] is (status == 0)
    assert len(safe_pickle.load(str(destination))['annotations']) == 3
    if status:
        assert "all files are there, but" in error
        assert "'xview_train': 2" in error and "'xview_train': 1" in error


def test_facts_of_the_benchmarks(reference):
    missing = [line for line in ntu_rgbd.MISSING.read_text().splitlines()
               if not line.startswith('#')]
    for name, file in (('ntu60', 'NTU_RGBD'), ('ntu120', 'NTU_RGBD120')):
        benchmark = ntu_rgbd.BENCHMARKS[name]
        listed = (reference / 'data/ntu' / (
            f'{file}_samples_with_missing_skeletons.txt')).read_text().split()
        left_out = [name for name in missing
                    if int(name[1:4]) <= benchmark.setups]
        assert left_out == listed
        for _, *numbers in benchmark.splits.values():
            assert sum(numbers) == benchmark.files - len(listed)
    assert (len(ntu_rgbd.XSUB60), len(ntu_rgbd.XSUB120)) == (20, 53)


def test_class_names():
    names = ntu_rgbd.CLASSES
    assert len(set(names)) == 120
    assert {action: names[action - 1] for action in (
        1, 9, 40, 49, 50, 60, 61, 95, 105, 106, 120)} == {
        1: 'drink water', 9: 'stand up', 40: 'cross hands in front',
        49: 'fan self', 50: 'punch/slap', 60: 'walking apart',
        61: 'put on headphone', 95: 'capitulate', 105: 'blow nose',
        106: 'hit with object', 120: 'rock-paper-scissors'}


def test_workers_stay_light():
    code = ('import sys, ntu_rgbd; '
            'print({"torch", "mmengine", "mmaction"} & {*sys.modules})')
    done = subprocess.run([sys.executable, '-c', code], cwd=TOOL.parent,
                          capture_output=True, text=True)
    assert done.stdout == 'set()\n', done.stderr


# ------------------------------------------------------------------- stops

@pytest.fixture(scope='module')
def many(tmp_path_factory):
    """A folder of 40 parts, and beside it what becomes of it."""
    contents = {f'S001C001P{performer:03d}R00{replication}A001':
                content_of(30, seed=performer)
                for performer in range(1, 41) for replication in (1, 2)}
    path = tmp_path_factory.mktemp('many')
    source = write_folder(path / 'in', contents)
    convert(source, path / 'whole.pkl', '--processes', 1)
    return source


def stop(source, destination, number):
    """Stop a run when it has some parts; the parts, exit status, stderr."""
    process = subprocess.Popen(
        command(source, destination, '--processes', 1), text=True,
        stderr=subprocess.PIPE, start_new_session=True)
    folder = ntu_rgbd.parts_folder(destination)
    while len(list(folder.glob('*.npz'))) < 3:
        assert process.poll() is None
        time.sleep(0.001)
    if number == signal.SIGKILL:
        process.kill()
    else:  # Ctrl-C goes to all
        os.killpg(process.pid, number)
    _, error = process.communicate()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return sorted(folder.glob('*.npz')), process.returncode, error
        time.sleep(0.01)
    raise AssertionError('workers outlive the main process')


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGINT])
def test_goes_on_after_a_stop(many, tmp_path, number):
    destination = tmp_path / 'ntu.pkl'
    parts, status, error = stop(many, destination, number)
    assert not destination.exists() and 3 <= len(parts) < 40
    if number == signal.SIGINT:
        assert status == 130
        assert error.startswith(f'stopped. Parts are in {destination}.parts;')
        assert 'Traceback' not in error
    whole = many.with_name('whole.pkl')

    # what is in a part is not read again: if it were, this would be noticed
    name = f'{parts[0].stem}R001A001.skeleton'
    path, content = many / name, (many / name).read_bytes()
    times = path.stat()
    path.write_bytes(bytes(len(content)))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    # what is damaged is
    parts[1].write_bytes(parts[1].read_bytes()[:1000])
    convert(many, destination, '--processes', 1)
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert destination.read_bytes() == whole.read_bytes()
    assert report_of(destination) == report_of(whole)
    assert not ntu_rgbd.parts_folder(destination).exists()


def sources_of(contents, folder):
    return ntu_rgbd.find_sources([write_folder(folder, contents)])


def test_a_part_is_made_anew_if_a_file_changed(tmp_path, monkeypatch):
    content = content_of(6)
    source, = sources_of({GOOD: content}, tmp_path / 'in')
    path = tmp_path / 'part.npz'
    facts = ntu_rgbd.make_part(path, [source])
    assert json.loads(json.dumps(facts)) == ntu_rgbd.read_facts(
        path, [source])
    assert not ntu_rgbd.read_facts(path, [])
    assert not ntu_rgbd.read_facts(path, [source._replace(stamp=0)])
    assert not ntu_rgbd.read_facts(path, [source._replace(size=1)])
    assert ntu_rgbd.read_facts(path, [source._replace(container='moved')])
    os.utime(source.container, ns=(0, 0))
    assert not ntu_rgbd.read_facts(path, ntu_rgbd.find_sources(
        [tmp_path / 'in']))
    zips = [ntu_rgbd.find_sources([write_zip(
        tmp_path / f'{number}.zip', {GOOD: content[:-number]})])
        for number in (1, 2)]
    assert zips[0][0].stamp != zips[1][0].stamp
    monkeypatch.setattr(ntu_rgbd, 'CODE', 0)
    assert not ntu_rgbd.read_facts(path, [source])


def test_a_part_that_breaks_later_is_named(tmp_path):
    sources = sources_of({GOOD: content_of(6)}, tmp_path / 'in')
    path = tmp_path / 'S001C001P001.npz'
    facts = ntu_rgbd.make_part(path, sources)
    item, = ntu_rgbd.annotations(tmp_path, {path.stem: facts})
    assert item['keypoint'].shape == (1, 6, 25, 3)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ntu_rgbd.DataError,
                       match='S001C001P001.npz is damaged .* delete it'):
        list(ntu_rgbd.annotations(tmp_path, {path.stem: facts}))


def test_a_zip_that_has_gone_stops_the_run(tmp_path):
    path = write_zip(tmp_path / 'a.zip', {GOOD: content_of(6)})
    source, = ntu_rgbd.find_sources([path])
    path.unlink()
    with pytest.raises(ntu_rgbd.DataError, match='a.zip can no longer be'):
        ntu_rgbd.read(source)


def test_benchmark(tmp_path):
    out = tmp_path / 'benchmark.json'
    done = subprocess.run(
        [sys.executable, ROOT / 'tools/benchmark/ntu_rgbd.py', '--files', '4',
         '--repeats', '1', '--out', out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text())
    assert record['readers']['ours']['median'] > 0
    assert set(record['commands']) == {
        'folder, processes: 1', 'folder, processes: 2', 'zip, processes: 1',
        'zip, processes: 2'}
    assert f'{record["readers"]["times_faster"]["median"]:.2f} times faster' \
        in done.stdout


def test_a_file_of_lines_alone_is_dropped_early():
    """Or its tens of millions of words would take gigabytes."""
    content = b'1\n' * 2**20
    tracemalloc.start()
    with pytest.raises(ntu_rgbd.UnusableError) as raised:
        ntu_rgbd.parse(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert raised.value.args[0] == 'too many lines'
    assert peak < 2**20
    # what is real is far from it
    real = content_of(300)
    assert real.count(b'\n') * ntu_rgbd.BYTES_OF_A_LINE < len(real) / 5


def test_linked_folders_count_once(tmp_path):
    source = write_folder(tmp_path / 'raw', {NAMES[0]: content_of()})
    top = tmp_path / 'top'
    top.mkdir()
    (top / 'raw').symlink_to(source)
    (top / 'again').symlink_to(source)
    (top / 'circle').symlink_to(top)
    found = ntu_rgbd.find_sources([top])
    assert [item.name for item in found] == [NAMES[0]]


def test_number_of_processes(monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: {0, 3, 5},
                        raising=False)
    assert ntu_rgbd.num_cores() == 3
    monkeypatch.delattr(os, 'sched_getaffinity')
    monkeypatch.setattr(os, 'cpu_count', lambda: 128)
    assert ntu_rgbd.num_cores() == 61


def test_no_parts_are_promised_that_are_not_there(
        tmp_path, monkeypatch, capsys):
    source = write_folder(tmp_path / 'source', {NAMES[0]: content_of()})
    (tmp_path / 'file').write_text('')
    status, message = run_here(monkeypatch, capsys, source,
                               tmp_path / 'file' / 'ntu.pkl')
    assert status == 1 and 'error: ' in message
    assert 'Parts are in' not in message
