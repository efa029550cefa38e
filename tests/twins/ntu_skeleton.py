"""NTU RGB+D's ``.skeleton`` files: a writer, and the obvious reader.

The reader goes from line to line, as people write it; the clean-up goes from
body to body and from frame to frame. What is special is given as a set of
reasons, the converter's words.
"""
import io

import numpy as np

# ------------------------------------------------------------------- writing

def format_number(number: float) -> str:
    """As the Kinect's recorder did: seven digits, ``1.2E-05``."""
    return f'{number:.7G}'


def write_body(identity: int, joints: np.ndarray) -> list:
    """The lines of a body in a frame.

    Args:
        identity (int): Its ID, 17 digits.
        joints (np.ndarray): (V, 3), metres.
    """
    lines = [f'{identity} 0 1 1 1 1 0 0.02764709 0.05745083 2',
             str(len(joints))]
    for x, y, z in joints.tolist():
        depth, colour = 366 / max(z, 0.5), 1062 / max(z, 0.5)
        rest = (256 + depth * x, 212 - depth * y, 960 + colour * x,
                540 - colour * y, 0.2 * x, 0.97 - 0.1 * y, 0.01 * z, 0.1 * y)
        lines.append(' '.join(map(format_number, (x, y, z, *rest))) + ' 2')
    return lines


def write_skeleton(frames: list, newline: str = '\r\n') -> bytes:
    """A file.

    Args:
        frames (list[list[tuple]]): For each frame its bodies, (ID, joints).
        newline (str): The files as downloaded have Windows line ends.
    """
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for identity, joints in bodies:
            lines += write_body(identity, joints)
    return newline.join([*lines, '']).encode()


def make_frames(rng: np.random.Generator, num_frames: int,
                persons: int = 1) -> list:
    """Upright people who sway, walk and move their limbs.

    Returns:
        list[list[tuple]]: As :func:`write_skeleton` takes them. The IDs
        differ in their last digits alone.
    """
    first = 72057594037900000 + int(rng.integers(30000))
    pose = rng.normal(size=(persons, 25, 3)) * (0.15, 0.5, 0.1)
    pose += (0, 0, 3)
    pose[..., 0] += np.arange(persons)[:, None]
    speed = rng.normal(size=(persons, 25, 3)) * 0.1
    walk = rng.normal(size=(persons, 1, 3)) * (0.01, 0, 0.01)
    time = np.arange(num_frames)[:, None, None, None]
    joints = (pose + speed * np.sin(time / 10) + walk * time
              + rng.normal(size=(num_frames, persons, 25, 3)) * 0.002)
    return [[(first + person, frame[person]) for person in range(persons)]
            for frame in joints]


# ------------------------------------------------------------------- reading

# control characters but the line feed are blanks
BLANKS = bytes(32 if letter < 32 and letter != 10 else letter
               for letter in range(256))


class WrongLineError(Exception):
    """A line is not what should stand there."""


def parse(content: bytes) -> tuple:
    """Read a file line by line.

    Returns:
        tuple: {ID: {frame: float32 (25, 3)}} with frames that have a body
        counted from 0, and the set of reasons. The first is None, and the
        reason stands alone, if nothing can be used.
    """
    file = io.TextIOWrapper(io.BytesIO(content.translate(BLANKS)), 'ascii',
                            'replace')

    def next_line():
        line = file.readline()
        while line and not line.strip():
            line = file.readline()
        return line

    def count(line):
        try:
            number = int(line)
        except ValueError:
            raise WrongLineError(line) from None
        if number < 0:
            raise WrongLineError(line)
        return number

    line = next_line()
    if not line:
        return None, {'empty file'}
    try:
        declared = count(line)
    except WrongLineError:
        return None, {'no number of frames'}

    reasons, people = set(), {}
    frame = used = 0
    try:
        while True:
            line = next_line()
            if not line:
                break
            bodies, odd = [], set()
            for _ in range(count(line)):
                fields = next_line().split()
                if len(fields) != 10:
                    raise WrongLineError(fields)
                num_joints = count(next_line())
                joints = []
                for _ in range(num_joints):
                    numbers = next_line().split()
                    if len(numbers) < 12:
                        raise WrongLineError(numbers)
                    joints.append([to_float(text) for text in numbers[:3]])
                with np.errstate(over='ignore'):
                    joints = np.array(joints, np.float32)
                if num_joints != 25:
                    odd.add('not 25 joints')
                elif not np.isfinite(joints).all():
                    odd.add('joints not finite')
                elif fields[0] in dict(bodies):
                    odd.add('body twice in a frame')
                else:
                    bodies.append((fields[0], joints))
            for identity, joints in bodies:
                people.setdefault(identity, {})[used] = joints
            reasons |= odd
            frame += 1
            used += len(bodies) > 0
        if frame != declared:
            reasons.add('number of frames differs')
    except WrongLineError:
        reasons.add('frame not whole')
    if not people:
        return None, {'no body'}
    return people, reasons


def to_float(text: str) -> float:
    """NaN for what is no number."""
    try:
        return float(text)
    except ValueError:
        return float('nan')


# ------------------------------------------------------------------ clean-up

def motion(joints: list) -> float:
    """Sum over x, y and z of the variance, of all joints of some frames."""
    total = 0.0
    for axis in range(3):
        values = [float(joint[axis]) for frame in joints for joint in frame]
        mean = sum(values) / len(values)
        total += sum((value - mean)**2 for value in values) / len(values)
    return total


def is_wide(joints: np.ndarray) -> bool:
    """Whether a body of a frame, (25, 3), is wide for its height."""
    width = joints[:, 0].max() - joints[:, 0].min()
    height = joints[:, 1].max() - joints[:, 1].min()
    return width > np.float32(0.8) * height


def clean(people: dict) -> tuple:
    """Keep up to two persons.

    Args:
        people (dict): {ID: {frame: (25, 3)}}, as from :func:`parse`.

    Returns:
        tuple: ``keypoint``, (M, T, 25, 3), the set of reasons, and how many
        bodies were dropped for being short and for being wide.
    """
    reasons, removed = set(), dict(short=0, wide=0)
    if len(people) == 1:
        only, = people.values()
        return np.array([list(only.values())]), reasons, removed

    longest = max(people, key=lambda identity: len(people[identity]))
    remaining = dict(people)
    for identity, seen in people.items():
        if len(seen) <= 11:
            del remaining[identity]
    if not remaining:
        remaining = {longest: people[longest]}
        reasons.add('all bodies short')
    removed['short'] = len(people) - len(remaining)

    order = []
    for identity, seen in list(remaining.items()):
        moved = motion(seen.values())
        if len(remaining) > 1:
            good = [joints for joints in seen.values() if not is_wide(joints)]
            if 1 - len(good) / len(seen) >= 0.69754:
                del remaining[identity]
                removed['wide'] += 1
                continue
            if len(good) < len(seen):
                moved = min(moved, motion(good))
        order.append((moved, seen))
    if len(order) == 1:
        return np.array([list(order[0][1].values())]), reasons, removed
    order = sorted(order, key=lambda pair: pair[0], reverse=True)

    first = order[0][1]
    actors = [dict(first), {}]
    intervals = [[min(first), max(first)], [0, 0]]
    for _, seen in order[1:]:
        start, end = min(seen), max(seen)
        for actor in (0, 1):
            overlap = (min(intervals[actor][1], end)
                       - max(intervals[actor][0], start))
            if overlap <= 0:
                actors[actor].update(seen)
                intervals[actor] = [min(intervals[actor][0], start),
                                    max(intervals[actor][1], end)]
                break
        else:
            reasons.add('more than two persons')
    actors = [actor for actor in actors if actor]
    frames = sorted(set().union(*actors))
    nobody = np.zeros((25, 3), np.float32)
    return np.array([[actor.get(frame, nobody) for frame in frames]
                     for actor in actors]), reasons, removed
