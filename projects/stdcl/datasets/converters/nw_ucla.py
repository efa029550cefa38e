"""Convert Northwestern-UCLA Multiview Action 3D from CTR-GCN's JSON files.

As in published results, views 1 and 2 are for training; view 3 is for testing.
"""
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

import numpy as np

from ...utils.input_error import InputError
from .annotation_file import write_annotations
from .source_files import find_files

# IDs 7 and 10 do not exist
CLASSES = {
    1: 'pick up with one hand', 2: 'pick up with two hands', 3: 'drop trash',
    4: 'walk around', 5: 'sit down', 6: 'stand up', 8: 'donning',
    9: 'doffing', 11: 'throw', 12: 'carry'}
LABELS = {action: label for label, action in enumerate(CLASSES)}
NUM_JOINTS = 20
# split -> (views, published number of sequences)
SPLITS = {'xview_train': ((1, 2), 1020), 'xview_val': ((3, ), 464)}
# subjects in the validation part of each fold, for tuning
FOLDS = ((1, 2, 3), (4, 5, 6, 7), (8, 9, 10))
NAME = re.compile(r'a(\d\d)_s(\d\d)_e(\d\d)_v(\d\d)')


def convert(source: Path, destination: Path) -> dict[str, list[str]]:
    """Convert the data set to an annotation file, and return its splits.

    ``source`` is ``all_sqe.zip`` or its unpacked folder. If a file is damaged,
    missing or unexpected, an ``InputError`` is raised and nothing is written.
    """
    annotations = [
        parse(name, content) for name, content in read_source(source)
        if not name.startswith('.')]  # macOS adds such files to zips
    splits = make_splits([item['frame_dir'] for item in annotations])
    write_annotations(destination, annotations, split=splits,
                      classes=list(CLASSES.values()), layout='nw-ucla')
    return splits


def read_source(source: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each JSON file in a zip or folder.

    An ``InputError`` is raised if the zip is missing or damaged.
    """
    if source.is_dir():
        for path in find_files(source):
            if path.suffix == '.json':
                yield path.name, path.read_bytes()
        return
    if not source.is_file():
        raise InputError(f'{source} does not exist, expected all_sqe.zip or '
                         'its unpacked folder.')
    try:
        with zipfile.ZipFile(source) as archive:
            for member in sorted(archive.namelist()):
                if member.endswith('.json'):
                    yield PureWindowsPath(member).name, archive.read(member)
    # zipfile raises these errors for damaged, encrypted or unknown content
    except (zipfile.BadZipFile, zipfile.zlib.error, EOFError, OSError,
            RuntimeError, ValueError) as error:
        raise InputError(f'{source} is not a readable zip file: {error}. '
                         'Download it again.') from None


def parse(name: str, content: bytes) -> dict:
    """Convert a JSON file to an annotation, or raise an ``InputError``.

    ``name`` is, for example, ``a01_s01_e00_v01.json``. ``content`` contains
    ``skeletons`` (T x 20 x 3, meters) and ``label`` (class + 1).
    """
    match = NAME.fullmatch(Path(name).stem)
    action = int(match[1]) if match else None
    if action not in LABELS:
        raise InputError(f'{name}: the name is invalid, expected '
                         'aAA_sSS_eEE_vVV.json with an action in '
                         f'{sorted(LABELS)}.')
    record, keypoint = read_skeletons(name, content)
    label = record.get('label')
    if label != LABELS[action] + 1:
        raise InputError(f'{name}: "label" is {label}, expected '
                         f'{LABELS[action] + 1} for action {action}.')
    return dict(frame_dir=match[0], label=LABELS[action],
                total_frames=keypoint.shape[1], keypoint=keypoint)


def read_skeletons(name: str, content: bytes) -> tuple[dict, np.ndarray]:
    """Return the JSON object and a float32 array of joints, (1, T, 20, 3)."""
    try:
        record = json.loads(content)
        keypoint = np.array(record['skeletons'], dtype=np.float32)
    except (ValueError, TypeError, KeyError, OverflowError,
            RecursionError) as error:
        raise InputError(f'{name} cannot be read, expected a JSON object with '
                         f'numbers in "skeletons" ({error!r}).') from None
    if keypoint.shape[1:] != (NUM_JOINTS, 3) or not len(keypoint):
        raise InputError(f'{name}: "skeletons" has shape {keypoint.shape}, '
                         f'expected (frames, {NUM_JOINTS}, 3).')
    if not np.isfinite(keypoint).all():
        raise InputError(f'{name}: "skeletons" contains NaN or infinity, '
                         'expected finite numbers.')
    return record, keypoint[None]


def make_splits(names: list[str]) -> dict[str, list[str]]:
    """Return a dict of split -> names; raise InputError if a size is wrong."""
    fields = {name: NAME.fullmatch(name) for name in names}
    splits = {}
    for split, (views, expected) in SPLITS.items():
        splits[split] = [name for name in names
                         if int(fields[name][4]) in views]
        if len(splits[split]) != expected:
            raise InputError(
                f'the split {split} has {len(splits[split])} sequences, '
                f'expected {expected}; files are missing or unexpected.')
    for fold, subjects in enumerate(FOLDS):
        for part, held_out in (('train', False), ('val', True)):
            splits[f'fold{fold}_{part}'] = [
                name for name in splits['xview_train']
                if (int(fields[name][2]) in subjects) == held_out]
    return splits
