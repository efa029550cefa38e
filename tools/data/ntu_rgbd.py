"""Convert the NTU RGB+D skeletons to a ``PoseDataset`` annotation file.

Example:
    python tools/data/ntu_rgbd.py nturgbd_skeletons_s001_to_s017.zip \
        data/ntu/ntu60.pkl

The names, the splits and the published counts are those of the dataset
(https://rose1.ntu.edu.sg/dataset/actionRecognition). The clean-up of files
with several bodies is that of the published results, as in the scripts of SGN
and CTR-GCN, with one difference: those take a body's frames as contiguous
from its first one; here each body stands at its true frames.
"""
import argparse
import hashlib
import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
import threading
import zipfile
import zlib
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Callable, Iterable, Iterator, NamedTuple, Optional

import numpy as np
from annotation_file import DataError, write
from numpy.lib.stride_tricks import sliding_window_view
from rich.console import Console
from rich.progress import track
from utils.complete_file import atomic_write
from utils.safe_zip import UnsafeZipError, check_zip

CLASSES = [
    'drink water', 'eat meal', 'brush teeth', 'brush hair', 'drop', 'pick up',
    'throw', 'sit down', 'stand up', 'clapping', 'reading', 'writing',
    'tear up paper', 'put on jacket', 'take off jacket', 'put on a shoe',
    'take off a shoe', 'put on glasses', 'take off glasses',
    'put on a hat/cap', 'take off a hat/cap', 'cheer up', 'hand waving',
    'kicking something', 'reach into pocket', 'hopping', 'jump up',
    'phone call', 'play with phone/tablet', 'type on a keyboard',
    'point to something', 'taking a selfie', 'check time (from watch)',
    'rub two hands', 'nod head/bow', 'shake head', 'wipe face', 'salute',
    'put palms together', 'cross hands in front', 'sneeze/cough', 'staggering',
    'falling down', 'headache', 'chest pain', 'back pain', 'neck pain',
    'nausea/vomiting', 'fan self', 'punch/slap', 'kicking', 'pushing',
    'pat on back', 'point finger', 'hugging', 'giving object', 'touch pocket',
    'shaking hands', 'walking towards', 'walking apart', 'put on headphone',
    'take off headphone', 'shoot at basket', 'bounce ball', 'tennis bat swing',
    'juggle table tennis ball', 'hush', 'flick hair', 'thumb up', 'thumb down',
    'make OK sign', 'make victory sign', 'staple book', 'counting money',
    'cutting nails', 'cutting paper', 'snap fingers', 'open bottle',
    'sniff/smell', 'squat down', 'toss a coin', 'fold paper', 'ball up paper',
    'play magic cube', 'apply cream on face', 'apply cream on hand',
    'put on bag', 'take off bag', 'put object into bag',
    'take object out of bag', 'open a box', 'move heavy objects', 'shake fist',
    'throw up cap/hat', 'capitulate', 'cross arms', 'arm circles',
    'arm swings', 'run on the spot', 'butt kicks', 'cross toe touch',
    'side kick', 'yawn', 'stretch oneself', 'blow nose', 'hit with object',
    'wield knife', 'knock over', 'grab stuff', 'shoot with gun',
    'step on foot', 'high-five', 'cheers and drink', 'carry object',
    'take a photo', 'follow', 'whisper', 'exchange things', 'support somebody',
    'rock-paper-scissors']
NUM_JOINTS = 25
NAME = re.compile(r'S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})')
MISSING = Path(__file__).with_name('ntu_missing_skeletons.txt')
# performers of the training parts
XSUB60 = frozenset((1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28,
                    31, 34, 35, 38))
XSUB120 = XSUB60 | {
    45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82,
    83, 84, 85, 86, 89, 91, 92, 93, 94, 95, 97, 98, 100, 103}
# a body is noise if seen in this many frames or fewer
NOISE_FRAMES = 11
# or if wider than this part of its height in this share of its frames
NOISE_WIDTH, NOISE_SHARE = 0.8, 0.69754
# words of up to so many letters are read all at once: exact as a float
DIGITS = 14
PLACES = np.arange(DIGITS)[::-1]
POWERS = 10.0**np.arange(DIGITS + 1)
POINT = ord('.') - ord('0') + 256  # as an unsigned byte
MAX_BYTES = 16 * 2**20  # of a file; real ones are below 5 MB
# a line of a joint has 24 bytes or more; checked where it matters
BYTES_OF_A_LINE, LARGE = 10, 2**20
# parts made by other code are made anew
CODE = zlib.crc32(Path(__file__).read_bytes())


class Benchmark(NamedTuple):
    """Which files belong to it, and how they are split."""
    setups: int  # 1 to this
    classes: int
    files: int  # in the published set, before any is left out
    # part: (whether a sequence is for training, published numbers of
    # sequences for training and validation)
    splits: dict[str, tuple[Callable[['Sequence'], bool], int, int]]


class Sequence(NamedTuple):
    """What a name says."""
    setup: int
    camera: int
    performer: int
    replication: int
    action: int


BENCHMARKS = {
    'ntu60': Benchmark(17, 60, 56880, dict(
        xsub=(lambda said: said.performer in XSUB60, 40091, 16487),
        xview=(lambda said: said.camera in (2, 3), 37646, 18932))),
    'ntu120': Benchmark(32, 120, 114480, dict(
        xsub=(lambda said: said.performer in XSUB120, 63026, 50919),
        xset=(lambda said: said.setup % 2 == 0, 54468, 59477)))}
SETUPS = BENCHMARKS['ntu120'].setups


class Source(NamedTuple):
    """Where a skeleton file is, and what tells that it changed."""
    name: str  # without .skeleton
    container: str  # the file itself, or the zip it is in
    member: str  # its path in the zip, or ''
    size: int
    stamp: int  # CRC in a zip, else time of the last change in ns

    def __str__(self) -> str:
        return f'{self.container}{self.member and ":"}{self.member}'


class Body(NamedTuple):
    """A tracked person."""
    frames: np.ndarray  # (T, ), ascending
    joints: np.ndarray  # (T, 25, 3), metres


class Problem(NamedTuple):
    """Why a file was dropped or repaired."""
    reason: str
    detail: str


class UnusableError(Exception):
    """A file is dropped; the arguments are those of a :class:`Problem`."""


# ---------------------------------------------------------------- one file

def parse(content: bytes) -> tuple[list[Body], list[Problem]]:
    """Read a ``.skeleton`` file.

    A frame counts if it is whole. A body that has not 25 joints in a frame,
    or numbers that are not finite, is taken as not seen in that frame. Frames
    in which no body is seen are removed.

    Args:
        content (bytes): The file: number of frames; per frame the number of
            bodies; per body a line of 10 fields (the first its ID), the
            number of joints, and a line of 12 numbers for each joint, of
            which x, y and z in metres come first.

    Returns:
        tuple: The bodies in order of appearance, and what had to be repaired.

    Raises:
        UnusableError: No frame with a body can be read.
    """
    lines = content.count(b'\n')
    if len(content) > LARGE and lines * BYTES_OF_A_LINE > len(content):
        raise UnusableError(
            'too many lines', f'{lines:,} in {len(content):,} bytes, expected '
            f'up to {len(content) // BYTES_OF_A_LINE:,}')
    text = _Text(content)
    if not text.num_lines:
        raise UnusableError('empty file', f'{len(content)} bytes')
    try:
        declared = text.count(0)
    except ValueError:
        raise UnusableError('no number of frames', 'the first line is '
                            f'{text.line(0)[:40].decode("latin1")!r}'
                            ) from None
    found, num_frames, whole = _find_bodies(text)
    problems = []
    if not whole:
        problems.append(Problem(
            'frame not whole', f'frame {num_frames + 1} of {declared}: read '
            f'are the {num_frames} before it'))
    elif declared != num_frames:
        problems.append(Problem(
            'number of frames differs', f'the first line says {declared}, '
            f'there are {num_frames}'))
    keep, joints, more = _read_joints(text, found)
    problems += more
    if not keep:
        raise UnusableError('no body', '; '.join(
            [f'{num_frames} frames', *(detail for _, detail in problems)]))

    _, frames = np.unique([body.frame for body in keep], return_inverse=True)
    rows = defaultdict(list)
    for row, body in enumerate(keep):
        rows[body.identity].append(row)
    return [Body(frames[own], joints[own]) for own in rows.values()], problems


class _Text:
    """Where the lines and words of a text are; blank lines are none.

    Found for all at once, since a file has tens of thousands of words.
    """

    def __init__(self, content: bytes) -> None:
        # so that every word has blanks before and after it
        self.content = b' ' * DIGITS + content + b' '
        self.letters = np.frombuffer(self.content, np.uint8)
        blank = self.letters <= ord(' ')  # control characters are, too
        edges = np.flatnonzero(blank[1:] != blank[:-1])
        edges += 1
        self.starts, self.ends = edges[::2], edges[1::2]  # of words
        breaks = np.flatnonzero(self.letters == ord('\n'))
        first = np.concatenate([
            [0], np.searchsorted(self.starts, breaks), [len(self.starts)]])
        # the first word of each line, and one after the last
        self.first = first[np.diff(first, prepend=-1) > 0]
        self.num_lines = len(self.first) - 1
        self.num_words = np.diff(self.first).tolist()

    def line(self, number: int) -> bytes:
        """A line, without the blanks around it."""
        first, after = self.first[number], self.first[number + 1]
        return self.content[self.starts[first]:self.ends[after - 1]]

    def count(self, number: int) -> int:
        """A line that is a count; ValueError if it is none."""
        count = int(self.line(number))
        if count < 0:
            raise ValueError(count)
        return count

    def numbers(self, words: np.ndarray) -> np.ndarray:
        """Words as numbers, NaN for what is none.

        Plain decimals, such as -0.25, are taken as a whole number and a power
        of ten. Both are exact, hence the quotient is what ``float`` gives.

        Args:
            words (np.ndarray): Indices of words, any shape.

        Returns:
            np.ndarray: float64, the same shape.
        """
        starts, ends = self.starts[words.ravel()], self.ends[words.ravel()]
        negative = self.letters[starts] == ord('-')
        sizes = ends - starts - negative
        # the last letters of each word, zeros before it: (14, words)
        windows = sliding_window_view(self.letters, DIGITS)
        digits = np.ascontiguousarray(
            windows[ends - DIGITS].T) - np.uint8(ord('0'))
        digits[np.arange(DIGITS)[:, None] < DIGITS - sizes] = 0
        point = digits == POINT
        digits[point] = 0
        points = point.sum(axis=0, dtype=np.uint8)
        plain = ((digits < 10).all(axis=0) & (points <= 1) & (sizes > points)
                 & (sizes <= DIGITS))
        decimals = (PLACES @ point).astype(int) * plain
        # the point has the place of a digit: it is taken out
        value = POWERS[PLACES] @ digits
        scale = POWERS[decimals]
        with_point = POWERS[decimals + points * plain]
        value -= np.floor(value / with_point) * (with_point - scale)
        value /= np.where(negative, -scale, scale)
        for odd in np.flatnonzero(~plain):
            value[odd] = _number(self.content[starts[odd]:ends[odd]])
        return value.reshape(words.shape)


def _number(word: bytes) -> float:
    try:
        return float(word)
    except ValueError:
        return np.nan


class _Found(NamedTuple):
    """A body of a frame."""
    frame: int
    identity: bytes  # 17 digits: too long for a float
    line: int  # of its first joint
    num_joints: int


def _find_bodies(text: _Text) -> tuple[list[_Found], int, bool]:
    """The bodies of all whole frames, their number, and if all are whole.

    Goes from count to count, past the joints.
    """
    found, frame, at = [], 0, 1
    try:
        while at < text.num_lines:
            bodies, start = [], at + 1
            for _ in range(text.count(at)):
                joints = text.count(start + 1)
                sizes = text.num_words[start + 2:start + 2 + joints]
                if text.num_words[start] != 10 or len(sizes) < joints or (
                        min(sizes, default=12) < 12):
                    raise ValueError(start)
                bodies.append(_Found(frame, text.line(start).split()[0],
                                     start + 2, joints))
                start += 2 + joints
            found += bodies
            frame, at = frame + 1, start
    except (ValueError, IndexError):
        return found, frame, False
    return found, frame, True


def _read_joints(text: _Text, found: list[_Found]
                 ) -> tuple[list[_Found], np.ndarray, list[Problem]]:
    """Bodies that can be used, their joints, and what is wrong with others.

    The joints are float32, (bodies, 25, 3).
    """
    left_out = defaultdict(list)
    right, seen = [], set()
    for body in found:
        if body.num_joints == NUM_JOINTS:
            right.append(body)
        else:
            left_out[f'not {NUM_JOINTS} joints'].append(body.frame)
    lines = np.array([body.line for body in right], int)[:, None]
    words = text.first[lines + np.arange(NUM_JOINTS)]  # (bodies, 25)
    with np.errstate(over='ignore'):  # what is too large becomes infinite
        joints = text.numbers(words[..., None] + np.arange(3)
                              ).astype(np.float32)
    finite = np.isfinite(joints).all(axis=(1, 2))
    keep = []
    for row, body in enumerate(right):
        key = body.frame, body.identity
        if not finite[row]:
            left_out['joints not finite'].append(body.frame)
        elif key in seen:
            left_out['body twice in a frame'].append(body.frame)
        else:
            seen.add(key)
            keep.append(row)
    return [right[row] for row in keep], joints[keep], [
        Problem(reason, f'{reason}: {len(frames)} times, first in frame '
                f'{frames[0] + 1}') for reason, frames in left_out.items()]


def clean(bodies: list[Body]) -> tuple[np.ndarray, list[Problem], Counter]:
    """Keep up to two persons, as the published results do.

    Of several bodies those seen in 11 frames or fewer are dropped; then, as
    long as more than one remains, those that are wider than 0.8 times their
    height in 69.754 % of their frames. The rest, that which moves most first,
    is put into two places: a body goes where its time does not overlap that
    of those before it.

    Args:
        bodies (list[Body]): As from :func:`parse`.

    Returns:
        tuple: ``keypoint``, float32, (1 or 2, T, 25, 3), zeros where a person
        is missing; what had to be repaired; how many bodies were dropped, by
        rule.
    """
    problems, removed = [], Counter()
    if len(bodies) > 1:
        kept = [body for body in bodies if len(body.frames) > NOISE_FRAMES]
        if not kept:
            kept = [max(bodies, key=lambda body: len(body.frames))]
            problems.append(Problem('all bodies short', 'kept is the longest, '
                                    f'{len(kept[0].frames)} frames'))
        ranked = _rank(kept)
        removed.update(short=len(bodies) - len(kept),
                       wide=len(kept) - len(ranked))
        bodies = ranked
    if len(bodies) == 1:
        return bodies[0].joints[None], problems, removed
    keypoint, left_out = _two_persons(bodies)
    if left_out:
        problems.append(Problem('more than two persons',
                                f'bodies left out: {left_out}'))
    return keypoint, problems, removed


def _rank(bodies: list[Body]) -> list[Body]:
    """Bodies that are not too wide, the one that moves most first."""
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
    """Sum over x, y and z of the variance over all joints and frames."""
    return joints.reshape(-1, 3).var(axis=0, dtype=np.float64).sum()


def _two_persons(bodies: list[Body]) -> tuple[np.ndarray, int]:
    """``keypoint``, and how many bodies found no place in it."""
    num_frames = 1 + max(body.frames[-1] for body in bodies)
    keypoint = np.zeros((2, num_frames, NUM_JOINTS, 3), np.float32)
    seen = np.zeros((2, num_frames), bool)
    # first and last frame of each person; the second's start as published
    spans = [(bodies[0].frames[0], bodies[0].frames[0]), (0, 0)]
    left_out = 0
    for body in bodies:
        first, last = body.frames[0], body.frames[-1]
        for person, (start, end) in enumerate(spans):
            if min(end, last) - max(start, first) <= 0:
                keypoint[person, body.frames] = body.joints
                seen[person, body.frames] = True
                spans[person] = min(start, first), max(end, last)
                break
        else:
            left_out += 1
    persons = 1 + seen[1].any()
    return keypoint[:persons, seen.any(axis=0)], left_out


# ------------------------------------------------------------------- source

def find_sources(paths: Iterable[Path]) -> list[Source]:
    """List the ``.skeleton`` files of folders and zips, however nested.

    Nothing is read but the lists of the zips.

    Raises:
        DataError: A path does not exist, or is neither a folder nor a
            readable zip.
    """
    sources = []
    for path in paths:
        if path.is_dir():
            for file in _files(path):
                sources += _list(file)
        elif not path.is_file():
            raise DataError(f'{path} does not exist; expected a zip file as '
                            'downloaded, or a folder of such or of .skeleton '
                            'files.')
        elif path.suffix.lower() in ('.zip', '.skeleton'):
            sources += _list(path)
        else:
            raise DataError(f'{path} is no folder, and neither a .zip nor a '
                            '.skeleton file.')
    return sources


def _files(top: Path) -> Iterator[Path]:
    """The files in a folder; linked folders count, each once."""
    known = set()
    for folder, inner, names in os.walk(top, followlinks=True):
        real = os.path.realpath(folder)
        if real in known:  # a link in a circle
            inner.clear()
            continue
        known.add(real)
        inner.sort()
        for name in sorted(names):
            yield Path(folder, name)


def _list(path: Path) -> Iterator[Source]:
    """The skeleton files that a file is or has."""
    suffix = path.suffix.lower()
    if suffix == '.skeleton':
        try:
            found = path.stat()
        except OSError:  # a link to nothing; reading it gives the reason
            yield Source(path.stem, str(path), '', 0, 0)
        else:
            yield Source(path.stem, str(path), '', found.st_size,
                         found.st_mtime_ns)
    elif suffix == '.zip':
        try:
            with zipfile.ZipFile(path) as archive:
                check_zip(archive, path)
                members = archive.infolist()
        except UnsafeZipError as error:
            raise DataError(f'{error}.') from None
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise DataError(f'{path} is not a readable zip file: {error}. '
                            'Download it again.') from None
        for member in members:
            inside = PurePosixPath(member.filename.replace('\\', '/'))
            if inside.suffix.lower() == '.skeleton':
                yield Source(inside.stem, str(path), member.filename,
                             member.file_size, member.CRC)


def read(source: Source) -> bytes:
    """The content of a skeleton file.

    Raises:
        UnusableError: It cannot be read, or should not be.
        DataError: The zip it is in has gone.
    """
    if source.size > MAX_BYTES:
        raise UnusableError('too large', f'{source.size:,} bytes, expected up '
                            f'to {MAX_BYTES:,}')
    archive = _open_zip(source.container) if source.member else None
    try:
        if archive:
            return archive.read(source.member)
        return Path(source.container).read_bytes()
    # what zipfile raises for damaged, encrypted or unknown content
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError,
            NotImplementedError) as error:
        raise UnusableError('not readable', f'{error}') from None


@lru_cache(maxsize=32)
def _open_zip(path: str) -> zipfile.ZipFile:
    """One handle in each process."""
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f'{path} can no longer be read: {error}.') from None


def parse_name(name: str) -> Optional[Sequence]:
    """What a name says; None if it is not SsssCcccPpppRrrrAaaa."""
    match = NAME.fullmatch(name)
    return Sequence(*map(int, match.groups())) if match else None


def choose(sources: list[Source],
           benchmark: Benchmark) -> tuple[list[Source], dict, int]:
    """Sort out what belongs to a benchmark.

    Returns:
        tuple: The sources to read; the names, or places, of those that cannot
        be used, with the :class:`Problem`; the number of files of other
        setups.

    Raises:
        DataError: A sequence is there twice.
    """
    missing = {line for line in MISSING.read_text().splitlines()
               if not line.startswith('#')}
    chosen, dropped, others = {}, {}, 0
    for source in sources:
        said = parse_name(source.name)
        if said is None or not 1 <= said.setup <= SETUPS:
            dropped[str(source)] = Problem(
                'unknown name', f'{source.name!r}, expected '
                f'SsssCcccPpppRrrrAaaa with a setup of 1 to {SETUPS}')
        elif source.name in chosen:
            raise DataError(f'{source.name} is there twice: '
                            f'{chosen[source.name]} and {source}.')
        else:
            chosen[source.name] = source
    for name in [*chosen]:
        said = parse_name(name)
        if said.setup > benchmark.setups:
            others += 1
        elif name in missing:
            dropped[name] = Problem('missing skeletons', 'on the list of the '
                                    "dataset's authors")
        elif not 1 <= said.action <= benchmark.classes:
            dropped[name] = Problem(
                'unknown action', f'{said.action}, expected 1 to '
                f'{benchmark.classes}')
        else:
            continue
        del chosen[name]
    return [chosen[name] for name in sorted(chosen)], dropped, others


# -------------------------------------------------------------------- parts

def part_name(source: Source) -> str:
    """A part holds a setup, camera and performer: up to 120 sequences."""
    return source.name[:12]


def digest(sources: list[Source]) -> str:
    """Changes with the files of a part, and with this code."""
    text = json.dumps([CODE, [(source.name, source.size, source.stamp)
                              for source in sources]])
    return hashlib.sha256(text.encode()).hexdigest()


def make_part(path: Path, sources: list[Source]) -> dict:
    """Parse some files and store them.

    The part is a ``.npz``: ``keypoint`` of all sequences, (sum of M * T, 25,
    3), and ``facts``, JSON. It is complete or not there.

    Returns:
        dict: The facts: ``digest``; ``shapes``, name -> (M, T); ``dropped``,
        name -> problem; ``repaired``, name -> problems; ``removed``, rule ->
        number of bodies.
    """
    facts = dict(digest=digest(sources), shapes={}, dropped={}, repaired={})
    keypoints, removed = [np.zeros((0, NUM_JOINTS, 3), np.float32)], Counter()
    for source in sources:
        try:
            bodies, problems = parse(read(source))
        except UnusableError as error:
            facts['dropped'][source.name] = error.args
            continue
        keypoint, more, noise = clean(bodies)
        facts['shapes'][source.name] = keypoint.shape[:2]
        keypoints.append(keypoint.reshape(-1, NUM_JOINTS, 3))
        removed += noise
        if problems + more:
            facts['repaired'][source.name] = problems + more
    facts['removed'] = removed
    with atomic_write(path) as partial, open(partial, 'wb') as file:
        np.savez(file, keypoint=np.concatenate(keypoints),
                 facts=np.array(json.dumps(facts)))
    return facts


def read_facts(path: Path, sources: list[Source]) -> Optional[dict]:
    """Facts of a part; None if it is not there, damaged or out of date."""
    try:
        with np.load(path) as part:
            facts = json.loads(str(part['facts']))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return facts if facts.get('digest') == digest(sources) else None


def make_parts(folder: Path, sources: list[Source],
               processes: int) -> dict[str, dict]:
    """Parse all files that are not in a part yet.

    Args:
        folder (Path): Where the parts are, or will be.
        sources (list[Source]): What to parse, in order.
        processes (int): How many processes do it.

    Returns:
        dict[str, dict]: Part -> its facts, in order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    groups = defaultdict(list)
    for source in sources:
        groups[part_name(source)].append(source)
    facts = {name: read_facts(folder / f'{name}.npz', group)
             for name, group in groups.items()}
    todo = [name for name, known in facts.items() if known is None]
    # a process that is ended is noticed; and none inherits memory or threads
    pool = ProcessPoolExecutor(
        processes, multiprocessing.get_context('spawn'), _start_worker)
    try:
        futures = {pool.submit(make_part, folder / f'{name}.npz',
                               groups[name]): name for name in todo}
        for future in _bar(as_completed(futures), 'Parsing', len(futures)):
            facts[futures[future]] = future.result()
    finally:
        pool.shutdown(cancel_futures=True)
    return facts


def _bar(items: Iterable, what: str, total: int) -> Iterable:
    """``items`` with a progress bar on a terminal."""
    return track(items, what, total, console=Console(stderr=True),
                 disable=not sys.stderr.isatty())


def _start_worker() -> None:
    """Ctrl-C is for the main process, and without that a worker ends."""
    keep_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)),
                     daemon=True).start()


def keep_memory() -> None:
    """Have glibc keep what is freed, for the next file.

    Once a large block was freed, it no longer returns smaller ones to the
    system at once (mallopt(3), M_MMAP_THRESHOLD). Reading a file takes a third
    less time.
    """
    bytes(2**24)


def annotations(folder: Path, parts: dict[str, dict]) -> Iterator[dict]:
    """Yield the sequences of all parts, in order.

    Raises:
        DataError: A part is damaged.
    """
    for name, facts in parts.items():
        path = folder / f'{name}.npz'
        try:
            with np.load(path) as part:
                keypoint = part['keypoint']
        except (OSError, ValueError, KeyError, EOFError,
                zipfile.BadZipFile) as error:
            raise DataError(f'{path} is damaged ({error}); delete it, and run '
                            'the same command again.') from None
        start = 0
        for frame_dir, (persons, frames) in facts['shapes'].items():
            end = start + persons * frames
            yield dict(
                frame_dir=frame_dir, label=parse_name(frame_dir).action - 1,
                total_frames=frames, keypoint=keypoint[start:end].reshape(
                    persons, frames, NUM_JOINTS, 3))
            start = end


# ------------------------------------------------------------------ the whole

def make_splits(names: list[str], benchmark: Benchmark) -> dict:
    """Names for the parts of each split, such as ``xsub_train``.

    A performer that the published lists do not know is for validation.
    """
    splits = {}
    for split, (for_training, *_) in benchmark.splits.items():
        splits[f'{split}_train'] = [
            name for name in names if for_training(parse_name(name))]
        train = set(splits[f'{split}_train'])
        splits[f'{split}_val'] = [name for name in names if name not in train]
    return splits


def make_report(benchmark_name: str, sources: list[Source], dropped: dict,
                others: int, parts: dict[str, dict], splits: dict) -> dict:
    """What happened to the files; see ``--help`` for where it goes."""
    benchmark = BENCHMARKS[benchmark_name]
    # files whose names say nothing do not count
    found = len(sources) + sum(map(bool, map(parse_name, dropped)))
    dropped = dropped | {name: problem for facts in parts.values()
                         for name, problem in facts['dropped'].items()}
    repaired = {name: problems for facts in parts.values()
                for name, problems in facts['repaired'].items()}
    published = {
        f'{split}_{part}': number
        for split, (_, *numbers) in benchmark.splits.items()
        for part, number in zip(('train', 'val'), numbers)}
    counts = {name: len(names) for name, names in splits.items()}
    return dict(
        benchmark=benchmark_name, files_found=found,
        files_published=benchmark.files, files_of_other_setups=others,
        sequences=sum(len(facts['shapes']) for facts in parts.values()),
        splits=counts, splits_published=published,
        # for a part of the set there is nothing to compare with
        as_published=counts == published if found == benchmark.files else None,
        dropped_by_reason=Counter(
            reason for reason, _ in dropped.values()),
        repaired_by_reason=Counter(
            reason for problems in repaired.values()
            for reason, _ in problems),
        bodies_removed_as_noise=sum(
            (Counter(facts['removed']) for facts in parts.values()),
            Counter()),
        dropped={name: dict(zip(Problem._fields, problem))
                 for name, problem in sorted(dropped.items())},
        repaired={name: [dict(zip(Problem._fields, problem))
                         for problem in problems]
                  for name, problems in repaired.items()})


def convert(paths: list[Path], destination: Path,
            benchmark_name: Optional[str], processes: int) -> dict:
    """Convert a whole set.

    Args:
        paths (list[Path]): Folders and zips; see :func:`find_sources`.
        destination (Path): The annotation file to write; the report is
            written beside it.
        benchmark_name (str, optional): ``ntu60`` or ``ntu120``. Default:
            ``ntu120`` if there are files of setups 18 to 32.
        processes (int): How many processes parse.

    Returns:
        dict: The report.

    Raises:
        DataError: See :func:`find_sources` and :func:`choose`; or nothing can
            be used.
    """
    sources = find_sources(paths)
    where = ', '.join(map(str, paths))
    if not sources:
        raise DataError(f'{where}: no .skeleton file in it, nor in a zip in '
                        'it.')
    if benchmark_name is None:
        is_ntu120 = any(
            said and BENCHMARKS['ntu60'].setups < said.setup <= SETUPS
            for said in (parse_name(source.name) for source in sources))
        benchmark_name = 'ntu120' if is_ntu120 else 'ntu60'
    benchmark = BENCHMARKS[benchmark_name]
    chosen, dropped, others = choose(sources, benchmark)
    folder = parts_folder(destination)
    parts = make_parts(folder, chosen, processes)
    names = [name for facts in parts.values() for name in facts['shapes']]
    splits = make_splits(names, benchmark)
    report = make_report(benchmark_name, chosen, dropped, others, parts,
                         splits)
    if not names:
        shutil.rmtree(folder)
        reasons = [f'{number} x {reason}' for reason, number in
                   report['dropped_by_reason'].items()]
        if others:
            reasons.append(f'{others} x not of {benchmark_name}')
        raise DataError(f'{where}: none of {len(sources)} files can be used: '
                        f'{", ".join(reasons)}.')
    write(destination, _bar(annotations(folder, parts), 'Writing',
                            len(names)),
          split=splits, classes=CLASSES[:benchmark.classes],
          layout='nturgb+d')
    with atomic_write(report_path(destination)) as partial:
        partial.write_text(json.dumps(report, indent=1) + '\n')
    shutil.rmtree(folder)
    return report


def parts_folder(destination: Path) -> Path:
    """Where the parts are until ``destination`` is complete."""
    return destination.with_name(f'{destination.name}.parts')


def report_path(destination: Path) -> Path:
    """Where the report goes."""
    return destination.with_suffix('.report.json')


def summary(destination: Path, report: dict) -> str:
    """The report in a few lines."""
    counts = ', '.join(f'{name} {number}' for name, number in
                       report['splits'].items())
    lines = [f'{destination}: {report["benchmark"]}, {report["sequences"]} '
             f'sequences; {counts}',
             f'found {report["files_found"]} of {report["files_published"]} '
             'files, so the numbers are those of a part of the set'
             if report['as_published'] is None else
             f'found all {report["files_found"]} files']
    if report['files_of_other_setups']:
        lines.append(f'skipped: {report["files_of_other_setups"]} files of '
                     f'setups that are not in {report["benchmark"]}')
    for what in ('dropped', 'repaired'):
        reasons = ', '.join(f'{reason} {number}' for reason, number in
                            report[f'{what}_by_reason'].items())
        lines.append(f'{what}: {len(report[what])}'
                     + (f' ({reasons})' if reasons else ''))
    return '\n'.join([*lines, f'report: {report_path(destination)}'])


DESCRIPTION = """\
Convert the NTU RGB+D skeletons to a PoseDataset annotation file with all
splits of a benchmark: xsub_train, xsub_val and, for ntu60, xview_train,
xview_val, for ntu120, xset_train, xset_val.

Beside DST goes a report, *.report.json: each file that was dropped or
repaired, why, and whether the splits have their published sizes. If all files
are there and the sizes differ, DST is written, and the exit status is 1. Of a
part of the set the report says how many files were found."""
NEEDS = """\
What is parsed is kept in DST.parts until DST is complete: after a stop, even
a kill, the same command goes on from there.

Needed for ntu60 / ntu120 (56,880 / 114,480 files), about:
  disk    2 GB / 4 GB for DST, and as much again for DST.parts
  memory  0.1 GB, and 0.1 GB for each process
  time    6 / 12 minutes of a core, which the processes share: 6 ms a file
          (docs/data.md has what was measured, on files as large)

examples:
  python tools/data/ntu_rgbd.py nturgbd_skeletons_s001_to_s017.zip \\
      data/ntu/ntu60.pkl
  python tools/data/ntu_rgbd.py nturgbd_skeletons_s001_to_s017.zip \\
      nturgbd_skeletons_s018_to_s032.zip data/ntu/ntu120.pkl
"""


def num_cores() -> int:
    """Cores that this process may use; Windows takes 61 processes at most."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return min(os.cpu_count() or 1, 61)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=NEEDS)
    parser.add_argument(
        'sources', type=Path, nargs='+', metavar='SRC',
        help='zip files as downloaded, or folders that hold zips or '
        '.skeleton files, nested or not; ntu60 is in the zip of setups 1 to '
        '17, ntu120 needs that and the zip of setups 18 to 32')
    parser.add_argument('destination', type=Path, metavar='DST',
                        help='the file to write, *.pkl')
    parser.add_argument(
        '--benchmark', choices=list(BENCHMARKS), help='ntu60 takes setups 1 '
        'to 17 alone; default: ntu120 if there are files of setups 18 to 32, '
        'else ntu60')
    parser.add_argument('--processes', type=int, default=num_cores(),
                        help='that parse; default: one for each core that '
                        'may be used, here %(default)s')
    args = parser.parse_args()
    if args.destination.suffix != '.pkl':
        parser.error(f'DST is {args.destination}; PoseDataset reads only '
                     '*.pkl.')
    if args.destination.is_dir():
        parser.error(f'DST is {args.destination}, a folder; expected a file.')
    if args.processes < 1:
        parser.error(f'--processes is {args.processes}, expected 1 or more.')
    parts = parts_folder(args.destination)

    def again() -> str:
        return (f'Parts are in {parts}; the same command goes on from there.'
                if parts.is_dir() else 'Nothing was written.')

    try:
        report = convert(args.sources, args.destination, args.benchmark,
                         args.processes)
    except DataError as error:
        sys.exit(f'error: {error}\nNothing was written.')
    except OSError as error:
        sys.exit(f'error: {error}\n{again()}')
    except BrokenProcessPool:
        sys.exit('error: a process was ended, as happens when memory runs '
                 f'out; fewer --processes need less. {again()}')
    except KeyboardInterrupt:
        print(f'stopped. {again()}', file=sys.stderr)
        sys.exit(130)
    print(summary(args.destination, report))
    if report['as_published'] is False:
        sys.exit('error: all files are there, but the splits have not their '
                 f'published sizes: {report["splits"]}, expected '
                 f'{report["splits_published"]}. {args.destination} was '
                 'written; see the report for what was dropped.')


if __name__ == '__main__':
    main()
