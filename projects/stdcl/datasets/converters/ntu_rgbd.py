"""Converts NTU RGB+D to an annotation file with all splits of a benchmark.

Names, splits and published sizes are those of the dataset's authors
(https://rose1.ntu.edu.sg/dataset/actionRecognition).
"""
import json
import os
import re
import signal
import sys
import zipfile
import zlib
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path, PurePosixPath
from typing import Callable, Iterable, Iterator, NamedTuple, Optional

import numpy as np
from rich.console import Console
from rich.progress import track

from ...utils.atomic_write import atomic_write
from ...utils.input_error import InputError
from .annotation_file import write_annotations
from .ntu_skeleton import UnusableFileError, parse_skeleton, select_persons

NAME = re.compile(
    r'S(?P<setup>\d{3})C(?P<camera>\d{3})P(?P<performer>\d{3})'
    r'R(?P<replication>\d{3})A(?P<action>\d{3})')
# performers of the training sets
XSUB60 = frozenset((1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28,
                    31, 34, 35, 38))
XSUB120 = XSUB60 | {
    45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82,
    83, 84, 85, 86, 89, 91, 92, 93, 94, 95, 97, 98, 100, 103}


class Benchmark(NamedTuple):
    """Files of a benchmark and its splits.

    Args:
        setups (int): It has the setups 1 to this one.
        classes (int): Number of classes.
        files (int): Published number of files.
        is_training (dict): Split -> whether a name is for training.
        sizes (dict): Part of a split -> published number of sequences.
    """
    setups: int
    classes: int
    files: int
    is_training: dict[str, Callable[[dict], bool]]
    sizes: dict[str, int]


BENCHMARKS = {
    'ntu60': Benchmark(
        17, 60, 56880, dict(xsub=lambda name: name['performer'] in XSUB60,
                            xview=lambda name: name['camera'] in (2, 3)),
        dict(xsub_train=40091, xsub_val=16487, xview_train=37646,
             xview_val=18932)),
    'ntu120': Benchmark(
        32, 120, 114480, dict(xsub=lambda name: name['performer'] in XSUB120,
                              xset=lambda name: name['setup'] % 2 == 0),
        dict(xsub_train=63026, xsub_val=50919, xset_train=54468,
             xset_val=59477))}


class Source(NamedTuple):
    """A skeleton file: its name without suffix, and where it is."""
    name: str
    file: str  # the file itself, or the zip that has it
    member: str = ''  # its path in the zip

    def __str__(self) -> str:
        return f'{self.file}{self.member and ":"}{self.member}'


def parse_name(name: str) -> Optional[dict[str, int]]:
    """Parse SsssCcccPpppRrrrAaaa; None if the name is of another form."""
    match = NAME.fullmatch(name)
    return match and {key: int(digits)
                      for key, digits in match.groupdict().items()}


def read_list(name: str) -> list[str]:
    """Lines of a text file beside this module, without comments."""
    lines = Path(__file__).with_name(name).read_text().splitlines()
    return [line for line in lines if not line.startswith('#')]


def find_sources(paths: Iterable[Path]) -> list[Source]:
    """List the skeleton files of zips and folders, nested or not.

    Raises:
        InputError: A path does not exist or has no skeleton file, or a zip is
            damaged.
    """
    sources = []
    for path in paths:
        if not path.exists():
            raise InputError(f'{path} does not exist; expected a zip file as '
                             'downloaded, or a folder.')
        files = sorted(path.rglob('*')) if path.is_dir() else [path]
        found = [source for file in files for source in _list_file(file)]
        if not found:
            raise InputError(f'{path} has no .skeleton file; expected a zip '
                             'file as downloaded, or a folder.')
        sources += found
    return sources


def _list_file(path: Path) -> Iterator[Source]:
    """The skeleton file itself, or those in a zip."""
    if path.suffix.lower() == '.skeleton':
        yield Source(path.stem, str(path))
    elif path.suffix.lower() == '.zip':
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.namelist()
        except (zipfile.BadZipFile, OSError) as error:
            raise InputError(f'{path} is not a readable zip file: {error}. '
                             'Download it again.') from None
        for member in members:
            inside = PurePosixPath(member)
            if inside.suffix.lower() == '.skeleton':
                yield Source(inside.stem, str(path), member)


@lru_cache(maxsize=32)
def _open_zip(path: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)  # one handle in each worker


def read_sequence(source: Source) -> tuple[np.ndarray, list[str], Counter]:
    """Read a file and choose its persons; runs in a worker process.

    Returns:
        tuple: The result of :func:`select_persons`. ``keypoint`` is empty if
        the file cannot be used, and the list says why.
    """
    try:
        content = (_open_zip(source.file).read(source.member)
                   if source.member else Path(source.file).read_bytes())
        bodies, repairs = parse_skeleton(content)
    except UnusableFileError as error:
        return np.zeros(0), [str(error)], Counter()
    # what zipfile raises for damaged, encrypted or unknown content
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError,
            RuntimeError) as error:
        return np.zeros(0), [f'not readable: {error}'], Counter()
    keypoint, more, removed = select_persons(bodies)
    return keypoint, repairs + more, removed


def read_sequences(sources: list[Source],
                   processes: Optional[int]) -> Iterator[tuple]:
    """Yield the results of :func:`read_sequence`, in order."""
    if processes is None and hasattr(os, 'sched_getaffinity'):
        processes = len(os.sched_getaffinity(0))
    # a forked worker need not import PyTorch, which takes seconds
    context = get_context('fork' if sys.platform == 'linux' else None)
    try:
        with ProcessPoolExecutor(  # Ctrl-C is for the main process alone
                processes, context, signal.signal,
                (signal.SIGINT, signal.SIG_IGN)) as pool:
            yield from track(
                pool.map(read_sequence, sources, chunksize=16), 'NTU RGB+D',
                len(sources), console=Console(stderr=True),
                disable=not sys.stderr.isatty())
    except BrokenProcessPool:
        raise InputError('a worker process was killed, perhaps because memory '
                         'ran out; use fewer processes.') from None


class Conversion:
    """A set on its way to an annotation file, and what happens to its files.

    Args:
        benchmark (str): A key of :data:`BENCHMARKS`.
    """

    def __init__(self, benchmark: str) -> None:
        self.name, self.benchmark = benchmark, BENCHMARKS[benchmark]
        self.splits = {part: [] for part in self.benchmark.sizes}
        self.dropped, self.repaired = {}, {}  # file -> 'reason: detail'
        self.removed, self.others = Counter(), 0  # bodies; files

    def select(self, sources: list[Source]) -> list[Source]:
        """Select the files of the benchmark, sorted by name."""
        missing = set(read_list('ntu_missing_skeletons.txt'))
        selected, last = {}, BENCHMARKS['ntu120'].setups
        for source in sources:
            name = parse_name(source.name)
            if name is None or not 1 <= name['setup'] <= last:
                self.dropped[str(source)] = (
                    'unknown name: expected SsssCcccPpppRrrrAaaa, setup 1 to '
                    f'{last}')
            elif name['setup'] > self.benchmark.setups:
                self.others += 1
            elif source.name in missing:
                self.dropped[source.name] = (
                    "missing skeletons: on the list of the dataset's authors")
            elif not 1 <= name['action'] <= self.benchmark.classes:
                self.dropped[source.name] = (
                    f'unknown action: expected 1 to {self.benchmark.classes}')
            elif source.name in selected:
                raise InputError(f'{source.name} occurs twice: '
                                 f'{selected[source.name]} and {source}.')
            else:
                selected[source.name] = source
        return [selected[name] for name in sorted(selected)]

    def annotate(self, sources: list[Source],
                 results: Iterable[tuple]) -> Iterator[dict]:
        """Yield annotations of selected files; add them to the splits."""
        for (name, *_), (keypoint, repairs, removed) in zip(sources, results):
            if not keypoint.size:
                self.dropped[name], = repairs
                continue
            if repairs:
                self.repaired[name] = repairs
            self.removed += removed
            fields = parse_name(name)
            for split, is_training in self.benchmark.is_training.items():
                part = 'train' if is_training(fields) else 'val'
                self.splits[f'{split}_{part}'].append(name)
            yield dict(frame_dir=name, label=fields['action'] - 1,
                       total_frames=keypoint.shape[1], keypoint=keypoint)
        if not any(self.splits.values()):
            raise InputError(
                f'no file of {self.name} can be used: {self.others} are of '
                f'other setups, {len(self.dropped)} were dropped'
                + ''.join(f', {file} as {why}' for file, why in
                          [*self.dropped.items()][:1]) + '.')

    def report(self) -> dict:
        """What happened to the files."""
        sizes = {part: len(names) for part, names in self.splits.items()}
        sequences = sizes['xsub_train'] + sizes['xsub_val']
        found = sequences + sum(map(bool, map(parse_name, self.dropped)))
        return dict(
            benchmark=self.name, files_found=found,
            files_published=self.benchmark.files,
            files_of_other_setups=self.others, sequences=sequences,
            splits=sizes, splits_published=self.benchmark.sizes,
            # an incomplete set cannot be compared
            as_published=None if found != self.benchmark.files
            else sizes == self.benchmark.sizes,
            dropped_by_reason=Counter(
                why.split(':')[0] for why in self.dropped.values()),
            repaired_by_reason=Counter(
                reason for repairs in self.repaired.values()
                for reason in {why.split(':')[0] for why in repairs}),
            bodies_removed_as_noise=self.removed,
            dropped=self.dropped, repaired=self.repaired)


def convert(paths: list[Path], destination: Path,
            benchmark: Optional[str] = None,
            processes: Optional[int] = None) -> dict:
    """Convert a set to an annotation file, with a report beside it.

    Args:
        paths (list[Path]): Zip files and folders; see :func:`find_sources`.
        destination (Path): The annotation file, ``*.pkl``. The report,
            ``*.report.json``, names every file that was dropped or repaired.
        benchmark (str, optional): 'ntu60' or 'ntu120'. Defaults to 'ntu120'
            if there are files of setups 18 to 32.
        processes (int, optional): Number of worker processes. Defaults to the
            number of available cores.

    Returns:
        dict: The report.

    Raises:
        InputError: A path or a zip is wrong, a sequence occurs twice, no file
            can be used, or a worker was killed.
    """
    sources = find_sources(paths)
    if benchmark is None:
        names = filter(None, (parse_name(source.name) for source in sources))
        benchmark = 'ntu120' if any(
            17 < name['setup'] <= 32 for name in names) else 'ntu60'
    conversion = Conversion(benchmark)
    selected = conversion.select(sources)
    write_annotations(
        destination, conversion.annotate(
            selected, read_sequences(selected, processes)),
        split=conversion.splits, layout='nturgb+d',
        classes=read_list('ntu_classes.txt')[:conversion.benchmark.classes])
    report = conversion.report()
    with atomic_write(destination.with_suffix('.report.json')) as partial:
        partial.write_text(json.dumps(report, indent=1) + '\n')
    return report
