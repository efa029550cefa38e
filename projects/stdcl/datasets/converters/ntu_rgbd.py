"""Convert NTU RGB+D to an annotation file with all splits of a benchmark.

File names, splits and published sizes are those of the data set's authors
(https://rose1.ntu.edu.sg/dataset/actionRecognition).
"""
import json
import re
import signal
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from errno import EACCES, EIO, EMFILE, EPERM, ESTALE
from functools import lru_cache
from pathlib import Path, PureWindowsPath

import numpy as np
from rich.console import Console
from rich.progress import track

from ...utils.atomic_write import atomic_write
from ...utils.input_error import InputError, require_processes
from .annotation_file import write_annotations
from .ntu_skeleton import parse_skeleton, select_persons
from .source_files import find_files

NAME = re.compile(
    r'S(?P<setup>\d{3})C(?P<camera>\d{3})P(?P<performer>\d{3})'
    r'R(?P<replication>\d{3})A(?P<action>\d{3})')
# performers in the cross-subject training sets
XSUB60 = frozenset((1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28,
                    31, 34, 35, 38))
XSUB120 = XSUB60 | {
    45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82,
    83, 84, 85, 86, 89, 91, 92, 93, 94, 95, 97, 98, 100, 103}
# setups: largest setup number; files, sizes: published numbers of files and
# sequences; is_training: split -> function that tests a parsed name
BENCHMARKS = dict(
    ntu60=dict(
        setups=17, classes=60, files=56880,
        is_training=dict(xsub=lambda name: name['performer'] in XSUB60,
                         xview=lambda name: name['camera'] in (2, 3)),
        sizes=dict(xsub_train=40091, xsub_val=16487, xview_train=37646,
                   xview_val=18932)),
    ntu120=dict(
        setups=32, classes=120, files=114480,
        is_training=dict(xsub=lambda name: name['performer'] in XSUB120,
                         xset=lambda name: name['setup'] % 2 == 0),
        sizes=dict(xsub_train=63026, xsub_val=50919, xset_train=54468,
                   xset_val=59477)))


def parse_name(name: str) -> dict[str, int] | None:
    """Return the numbers in SsssCcccPpppRrrrAaaa, or None for other names."""
    match = NAME.fullmatch(name)
    return match and {key: int(digits)
                      for key, digits in match.groupdict().items()}


def read_list(name: str) -> list[str]:
    """Return the lines of a file next to this module, without comments."""
    lines = Path(__file__).with_name(name).read_text().splitlines()
    return [line for line in lines if not line.startswith('#')]


def find_sources(path: Path) -> Iterator[tuple[str, ...]]:
    """Yield (name, path) or (name, zip, member) for each skeleton file.

    An ``InputError`` is raised if a zip file cannot be opened.
    """
    if path.is_dir():
        for file in find_files(path):
            yield from find_sources(file)
    elif path.suffix.lower() == '.skeleton':
        yield path.stem, str(path)
    elif path.suffix.lower() == '.zip':
        try:
            members = zipfile.ZipFile(path).namelist()
        except (zipfile.BadZipFile, OSError) as error:
            raise InputError(f'{path} is not a readable zip file: {error}. '
                             'Download it again.') from None
        for member in members:  # "./a" would not be found as "a"
            name = PureWindowsPath(member)  # macOS adds hidden files
            if name.suffix.lower() == '.skeleton' and name.stem[0] != '.':
                yield name.stem, str(path), member


_open_zip = lru_cache(maxsize=32)(zipfile.ZipFile)


def read_sequence(source: tuple) -> tuple[np.ndarray, list[str], Counter]:
    """Apply :func:`select_persons` to a file from :func:`find_sources`.

    For an unusable file, the keypoints are empty, and the repairs say why.
    """
    _, file, *member = source
    try:
        content = (_open_zip(file).read(*member) if member
                   else Path(file).read_bytes())
        bodies, repairs = parse_skeleton(content)
    # damaged, encrypted or unknown zip content raises various errors
    except (InputError, zipfile.BadZipFile, zlib.error, EOFError, OSError,
            RuntimeError) as error:
        if getattr(error, 'errno', 0) in (EACCES, EIO, EMFILE, EPERM, ESTALE):
            raise  # the file may be intact
        return np.zeros(0), [str(error)], Counter()
    keypoint, more, removed = select_persons(bodies)
    return keypoint, repairs + more, removed


def convert(paths: list[Path], destination: Path, benchmark: str | None = None,
            processes: int | None = None) -> dict:
    """Convert NTU RGB+D to an annotation file, with a report next to it.

    ``paths`` are downloaded zip files, or folders. ``benchmark`` is 'ntu60' or
    'ntu120'; it defaults to 'ntu120' if there are files of setups 18 to 32,
    and to 'ntu60' otherwise. ``processes`` defaults to the number of cores.
    Return the report, in which ``as_published`` says whether the splits have
    the published sizes; it is None unless all files were found. An
    ``InputError`` is raised if ``processes`` is invalid, a path contains no
    skeleton file, a zip file is damaged, or a sequence occurs twice.
    """
    require_processes('--processes', 1 if processes is None else processes)
    sources = []
    for path in paths:
        found = [*find_sources(path)]
        if not found:
            raise InputError(f'{path} contains no .skeleton file, expected a '
                             'zip file or a folder that contains some.')
        sources += found
    if benchmark is None:
        benchmark = 'ntu120' if any('S018' <= name[:4] <= 'S032'
                                    for name, *_ in sources) else 'ntu60'
    facts = BENCHMARKS[benchmark]
    splits = {part: [] for part in facts['sizes']}
    report = dict(benchmark=benchmark, files_published=facts['files'],
                  bodies_removed_as_noise=Counter(), dropped={}, repaired={})
    selected = select(sources, facts, report['dropped'])
    pool = ProcessPoolExecutor(  # only the main process handles Ctrl-C
        processes, initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN))
    try:
        results = track(
            pool.map(read_sequence, selected, chunksize=16), 'NTU RGB+D',
            len(selected), console=Console(stderr=True),
            disable=not sys.stderr.isatty())
        write_annotations(
            destination,
            annotate(zip(selected, results), facts, splits, report),
            split=splits, layout='nturgb+d',
            classes=read_list('ntu_classes.txt')[:facts['classes']])
    finally:  # an error must not wait for all files
        pool.shutdown(cancel_futures=True)
    report['splits'] = {part: len(names) for part, names in splits.items()}
    report['sequences'] = len(splits['xsub_train'] + splits['xsub_val'])
    report['files_found'] = report['sequences'] + sum(
        parse_name(name) is not None for name in report['dropped'])
    report['as_published'] = (
        None if report['files_found'] != facts['files']
        else report['splits'] == facts['sizes'])
    with atomic_write(destination.with_suffix('.report.json')) as partial:
        partial.write_text(json.dumps(report, indent=1) + '\n')
    return report


def select(sources: list[tuple], facts: dict,
           dropped: dict[str, str]) -> list[tuple]:
    """Return a benchmark's files, sorted; add unusable ones to ``dropped``."""
    missing = set(read_list('ntu_missing_skeletons.txt'))
    selected = {}
    limits = dict(setup=facts['setups'], camera=3, replication=2,
                  action=facts['classes'])
    for name, *where in sources:
        fields = parse_name(name)
        if fields and facts['setups'] < fields['setup'] <= 32:
            continue  # belongs only to NTU RGB+D 120
        if not fields or not all(1 <= fields[part] <= most
                                 for part, most in limits.items()):
            dropped[':'.join(where)] = (
                'unknown name: expected SsssCcccPpppRrrrAaaa with numbers '
                f'from 1 to {limits}')
        elif name in missing:
            dropped[name] = (
                "missing skeletons: listed by the authors of the data set")
        elif name in selected:
            raise InputError(f'{name} occurs twice, in {selected[name][1:]} '
                             f'and in {(*where, )}, expected once.')
        else:
            selected[name] = (name, *where)
    return [selected[name] for name in sorted(selected)]


def annotate(results: Iterable[tuple], facts: dict,
             splits: dict[str, list[str]], report: dict) -> Iterator[dict]:
    """Yield an annotation for each usable file; fill splits and report."""
    for (name, *_), (keypoint, repairs, removed) in results:
        if not keypoint.size:
            report['dropped'][name] = repairs[0]  # the only one: the reason
            continue
        if repairs:
            report['repaired'][name] = repairs
        report['bodies_removed_as_noise'] += removed
        fields = parse_name(name)
        for split, is_training in facts['is_training'].items():
            part = 'train' if is_training(fields) else 'val'
            splits[f'{split}_{part}'].append(name)
        yield dict(frame_dir=name, label=fields['action'] - 1,
                   total_frames=keypoint.shape[1], keypoint=keypoint)
    if not any(splits.values()):
        raise InputError(
            f'no file of {report["benchmark"]} can be used; dropped: '
            f'{report["dropped"]}.'[:200])
