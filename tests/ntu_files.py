"""Synthetic ``.skeleton`` files of NTU RGB+D, including a golden set.

``tests/golden/ntu_rgbd.npz`` contains the output of the vectorized converter
of commit 61498b0 for :func:`golden_set`.
"""
import numpy as np

FIRST_ID = 72057594037931101  # IDs have 17 digits and differ in the last few


def write_body(identity: int, joints: np.ndarray) -> list:
    lines = [f'{identity} 0 1 1 1 1 0 0.02764709 0.05745083 2',
             str(len(joints))]
    for x, y, z in joints.tolist():
        depth, color = 366 / max(z, 0.5), 1062 / max(z, 0.5)
        rest = (256 + depth * x, 212 - depth * y, 960 + color * x,
                540 - color * y, 0.2 * x, 0.97 - 0.1 * y, 0.01 * z, 0.1 * y)
        # as in the published files: seven digits, or a form such as 1.2E-05
        lines.append(' '.join(f'{number:.7G}' for number in (x, y, z, *rest))
                     + ' 2')
    return lines


def write_skeleton(frames: list) -> bytes:
    """Make a file from a list of frames, each a list of (ID, joints)."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for identity, joints in bodies:
            lines += write_body(identity, joints)
    return '\r\n'.join([*lines, '']).encode()  # CRLF, as published


def make_frames(rng: np.random.Generator, num_frames: int,
                persons: int = 1) -> list:
    """Make upright persons who sway, walk and move their limbs."""
    pose = rng.normal(size=(persons, 25, 3)) * (0.15, 0.5, 0.1)
    pose += (0, 0, 3)
    pose[..., 0] += np.arange(persons)[:, None]
    speed = rng.normal(size=(persons, 25, 3)) * 0.1
    walk = rng.normal(size=(persons, 1, 3)) * (0.01, 0, 0.01)
    time = np.arange(num_frames)[:, None, None, None]
    joints = (pose + speed * np.sin(time / 10) + walk * time
              + rng.normal(size=(num_frames, persons, 25, 3)) * 0.002)
    return [[(FIRST_ID + person, frame[person]) for person in range(persons)]
            for frame in joints]


def content_of(num_frames: int, persons: int = 1, seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    return write_skeleton(make_frames(rng, num_frames, persons))


def write_scene(*people: tuple) -> bytes:
    """Make a file from one (first frame, last frame, options) per person.

    Options: ``gap``, frames without the person; ``wide``, frames in which
    the person lies down; ``moves``, meters per frame (default: 0.01).
    """
    rng = np.random.default_rng(len(people))
    pose = rng.uniform(-1, 1, (25, 3)) * (0.25, 0.9, 0.1) + (0, 0, 3)
    frames = [[] for _ in range(1 + max(last for _, last, *_ in people))]
    for number, (start, end, *options) in enumerate(people):
        options = options[0] if options else {}
        for frame in range(start, end + 1):
            joints = pose + number + rng.normal(size=(25, 3)) * 0.01
            joints += frame * options.get('moves', 0.01)
            if frame in options.get('wide', ()):
                joints[:, 1] *= 0.1
            if frame not in options.get('gap', ()):
                # rounding keeps the golden file small
                frames[frame].append((FIRST_ID + number, joints.round(2)))
    return write_skeleton(frames)


# name -> arguments of write_scene
SCENES = {
    'one': [(3, 23)],
    'one, short': [(3, 5)],
    'one, wide': [(0, 23, dict(wide=range(24)))],
    'one, with a gap': [(0, 23, dict(gap=(3, 4)))],
    'two': [(0, 23), (0, 23)],
    '11 frames': [(0, 23), (5, 15)],
    '12 frames': [(0, 23), (5, 16)],
    'all short': [(0, 5), (3, 12), (2, 11)],
    # 17 of 24 frames are more than 69.754 %, and 16 are less
    'wide': [(0, 23), (0, 23, dict(wide=range(17)))],
    'not so wide': [(0, 23), (0, 23, dict(wide=range(16)))],
    'all wide': [(0, 23, dict(wide=range(24))), (0, 19, dict(
        wide=range(24)))],
    'motion without the wide frames': [
        (0, 23, dict(wide=range(12), moves=0.03)), (0, 23, dict(moves=0.02))],
    'more motion with the wide frames': [
        (0, 23, dict(wide=range(6, 18), moves=0.03)),
        (0, 23, dict(moves=0.031))],
    'most motion first': [(0, 23), (0, 23, dict(moves=0.1))],
    'one after the other': [(0, 11), (14, 27)],
    'a shared frame': [(0, 13, dict(moves=0.1)), (13, 25)],
    'two shared frames': [(0, 13, dict(moves=0.1)), (12, 25)],
    'three, one after another': [
        (0, 12, dict(moves=0.2)), (13, 25, dict(moves=0.1)), (26, 38)],
    # the first and the last person share the first place in the output
    'three, in another order': [
        (0, 12, dict(moves=0.2)), (13, 25), (26, 38, dict(moves=0.1))],
    'second place from two': [
        (0, 29, dict(moves=0.1)), (0, 12, dict(moves=0.05)), (15, 29)],
    # as published, a person in the second place occupies it from frame 0
    'second place from its start': [
        (0, 29, dict(moves=0.1)), (16, 29, dict(moves=0.05)), (2, 14)],
    'a third': [(0, 23), (0, 23), (5, 20)],
    'nobody left in some frames': [
        (5, 20), (0, 4), (21, 25), (6, 20)],
    'a gap does not end a body': [
        (0, 35, dict(gap=range(10, 26), moves=0.1)), (12, 24)],
}


def random_scenes(num: int) -> list:
    """Make random scenes with two to five persons."""
    rng, scenes = np.random.default_rng(0), []
    for _ in range(num):
        people = []
        for _ in range(rng.integers(2, 6)):
            start, end = np.sort(rng.integers(30, size=2))
            wide = rng.choice(30, rng.integers(30), False) * rng.integers(2)
            people.append((start, end, dict(
                wide=wide, moves=rng.choice([0, 0.01, 0.05]),
                gap=rng.choice(np.arange(start, end + 1),
                               (end - start) // 3, False))))
        scenes.append(people)
    return scenes


def replace_words(content: bytes, frame: int, joint: int, first: int,
                  *words: bytes) -> bytes:
    """Replace words in the line of a joint in a file with one person."""
    lines = content.split(b'\r\n')
    number = 1 + 28 * frame + 3 + joint
    changed = lines[number].split()
    changed[first:first + len(words)] = words
    lines[number] = b' '.join(changed)
    return b'\r\n'.join(lines)


def golden_set() -> dict:
    """Return 48 files by name; the converter drops or repairs some."""
    whole, two = content_of(6), content_of(8, 2, seed=1)
    contents = [write_scene(*people)
                for people in [*SCENES.values(), *random_scenes(6)]]
    contents += [
        whole, two, two[:-40], two[:len(two) // 2],
        whole.replace(b'\r', b''), whole.replace(b'\n', b'\n \r\n'),
        replace_words(whole, 2, 3, 7, *[b''] * 5),
        replace_words(whole, 0, 3, 0, b'nan'),
        replace_words(whole, 1, 0, 0, b'-1.5E-05', b'+.5', b'3.'),
        b'9' + whole[1:], b'', b'6\r\n', b'frames', b'2\r\n0\r\n0\r\n']
    performers = (1, 2, 3, 7, 38, 45, 41, 107)
    names = [f'S{(1, 2, 17, 18, 32)[i % 5]:03d}C{1 + i % 3:03d}'
             f'P{performers[i % 8]:03d}R{1 + i % 2:03d}'
             f'A{1 + i % 60 + 60 * (i % 5 > 2):03d}'
             for i in range(len(contents))]
    return dict(zip(names, contents)) | {
        'S001C002P005R002A008': whole,  # listed as missing
        'S001C001P001R001A121': whole, 'S033C001P001R001A001': whole,
        'S1C1P1': whole}
