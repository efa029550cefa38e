"""Read a ``.skeleton`` file of NTU RGB+D and select its persons.

The selection is that of the scripts of SGN and CTR-GCN, except that a body
that disappears for some frames stays absent in these frames.
"""
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ...utils.input_error import InputError

NUM_JOINTS = 25
# thresholds for noise; see select_persons
NOISE_FRAMES = 11
NOISE_WIDTH, NOISE_SHARE = 0.8, 0.69754


class Body(NamedTuple):
    """A tracked body."""
    frames: np.ndarray  # (T,), ascending indices
    joints: np.ndarray  # (T, 25, 3), float32, meters


def parse_skeleton(content: bytes) -> tuple[list[Body], list[str]]:
    """Parse a ``.skeleton`` file.

    Parsing stops at the first incomplete frame. A body is ignored in a frame
    if it has a wrong number of joints or coordinates that are not finite, or
    if its ID occurs twice. Frames without a body are removed.

    Return the bodies in order of appearance, and a list of repairs, each as
    'reason: detail'. Without any body, an ``InputError`` is raised.
    """
    if not content.strip():
        raise InputError(f'empty file: {len(content)} bytes')
    numbered = enumerate(map(bytes.split, content.splitlines()), 1)
    lines = ((number, words) for number, words in numbered if words)
    tracks, repairs = defaultdict(dict), []
    num_frames = num_used = 0
    try:
        declared = _to_count(*next(lines), 'the number of frames')
        for line in lines:
            bodies = _parse_frame(_to_count(*line, 'a number of bodies'),
                                  lines, repairs)
            for identity, joints in bodies.items():
                tracks[identity][num_used] = joints
            num_frames += 1
            num_used += bool(bodies)
        if declared != num_frames:
            repairs.append(f'wrong frame count: line 1 says {declared}, but '
                           f'the file contains {num_frames}')
    except InputError as error:
        repairs.append(f'incomplete frame: {error}; kept the {num_frames} '
                       'frames before it')
    if not tracks:
        raise InputError(
            'no body: ' + '; '.join([f'{num_frames} frames', *repairs]))
    return [Body(np.array([*track]), np.array([*track.values()]))
            for track in tracks.values()], repairs


def _parse_frame(num_bodies: int, lines: Iterator, repairs: list) -> dict:
    """Return the bodies of a frame: ID -> joints, (25, 3)."""
    bodies = {}
    for _ in range(num_bodies):
        number, (identity, *_) = _take(lines, 10, 'a body')
        num_joints = _to_count(*_take(lines, 1, 'a number of joints'),
                               'a number of joints')
        joints = _to_joints([_take(lines, 12, 'a joint')[1]
                             for _ in range(num_joints)])
        if (num_joints != NUM_JOINTS or not np.isfinite(joints).all()
                or identity in bodies):
            repairs.append(f'unusable body: line {number}')
        else:
            bodies[identity] = joints
    return bodies


def _take(lines: Iterator, num_words: int, what: str) -> tuple[int, list]:
    """Return the next line's number and words; raise if words are missing."""
    number, words = next(lines, ('(end of file)', []))
    if len(words) < num_words:
        raise InputError(f'line {number} has {len(words)} values, expected '
                         f'{num_words} ({what})')
    return number, words


def _to_count(number: int, words: list, what: str) -> int:
    """Return the only number in a line."""
    if len(words) > 1 or not words[0].isdigit() or len(words[0]) > 9:
        seen = b' '.join(words[:3]).decode(errors='replace')
        raise InputError(f'line {number} is "{seen}", expected {what}')
    return int(words[0])


def _to_joints(lines: list) -> np.ndarray:
    """Parse three numbers per line; return only NaN if one is invalid."""
    try:
        joints = [[float(x), float(y), float(z)] for x, y, z, *_ in lines]
    except ValueError:
        return np.full((len(lines), 3), np.nan, np.float32)
    with np.errstate(over='ignore'):  # a number may be too large for float32
        return np.array(joints, np.float32)


def select_persons(bodies: list[Body]
                   ) -> tuple[np.ndarray, list[str], Counter]:
    """Select up to two persons, as in published results.

    If there are several bodies, those visible in at most 11 frames are
    dropped; if this would drop all, the longest is kept. Then bodies whose
    width exceeds 0.8 times their height in at least 69.754 % of their frames
    are dropped, as long as one remains. Each other body, largest motion first,
    goes to the first of two persons whose time span it does not overlap. A
    span includes its gaps, and may share one frame with the next one.

    Return ``keypoint``, a float32 array (1 or 2, T, 25, 3) that is zero where
    a person is absent; a list of repairs; and a Counter of the bodies that the
    rules for ``short`` and ``wide`` bodies dropped.
    """
    repairs, removed = [], Counter()
    if len(bodies) > 1:
        kept = [body for body in bodies if len(body.frames) > NOISE_FRAMES]
        if not kept:
            kept = [max(bodies, key=lambda body: len(body.frames))]
            repairs.append('all bodies short: kept the longest, '
                           f'{len(kept[0].frames)} frames')
        removed['short'] = len(bodies) - len(kept)
        bodies = _rank_by_motion(kept)
        removed['wide'] = len(kept) - len(bodies)
    if len(bodies) == 1:
        return bodies[0].joints[None], repairs, removed
    keypoint, left_out = _assign_places(bodies)
    if left_out:
        repairs.append(f'more than two persons: bodies left out: {left_out}')
    return keypoint, repairs, removed


def _rank_by_motion(bodies: list[Body]) -> list[Body]:
    """Drop wide bodies, and sort the others by motion, largest first."""
    remaining, ranked = len(bodies), []
    for body in bodies:
        motion = _motion(body.joints)
        if remaining > 1:
            width, height = np.ptp(body.joints[..., :2], axis=1).T  # (T, )
            wide = width > NOISE_WIDTH * height
            if wide.mean() >= NOISE_SHARE:
                remaining -= 1
                continue
            motion = min(motion, _motion(body.joints[~wide]))
        ranked.append((motion, body))
    ranked.sort(key=lambda pair: -pair[0])
    return [body for _, body in ranked]


def _motion(joints: np.ndarray) -> float:
    """Return the variance over joints and frames, summed over x, y, z."""
    return joints.reshape(-1, 3).var(axis=0, dtype=np.float64).sum()


def _assign_places(bodies: list[Body]) -> tuple[np.ndarray, int]:
    """Return ``keypoint``, and the number of bodies without a place."""
    num_frames = 1 + max(body.frames[-1] for body in bodies)
    keypoint = np.zeros((2, num_frames, NUM_JOINTS, 3), np.float32)
    seen = np.zeros((2, num_frames), bool)
    # frames occupied in each place; (0, 0) is from the published scripts
    spans = [(bodies[0].frames[0], bodies[0].frames[0]), (0, 0)]
    left_out = 0
    for body in bodies:
        first, last = body.frames[0], body.frames[-1]
        for place, (start, end) in enumerate(spans):
            if min(end, last) - max(start, first) <= 0:
                keypoint[place, body.frames] = body.joints
                seen[place, body.frames] = True
                spans[place] = min(start, first), max(end, last)
                break
        else:
            left_out += 1
    persons = 1 + seen[1].any()
    return keypoint[:persons, seen.any(axis=0)], left_out
