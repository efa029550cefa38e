"""Convert the NW-UCLA skeletons to a ``PoseDataset`` annotation file.

Example:
    python tools/data/nw_ucla.py all_sqe.zip data/nw_ucla/nw_ucla.pkl
"""
import argparse
import json
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
from annotation_file import DataError, write
from rich.progress import track
from utils.safe_zip import UnsafeZipError, check_zip

# Northwestern-UCLA Multiview Action 3D; ids 7 and 10 were never recorded
CLASSES = {
    1: 'pick up with one hand', 2: 'pick up with two hands', 3: 'drop trash',
    4: 'walk around', 5: 'sit down', 6: 'stand up', 8: 'donning',
    9: 'doffing', 11: 'throw', 12: 'carry'
}
LABELS = {action: label for label, action in enumerate(CLASSES)}
NUM_JOINTS = 20
# split -> (views, sequences in the published set)
SPLITS = {'xview_train': ((1, 2), 1020), 'xview_val': ((3, ), 464)}
# subjects that each fold of the training views holds out, to tune on
FOLDS = ((1, 2, 3), (4, 5, 6, 7), (8, 9, 10))
NAME = re.compile(r'a(\d\d)_s(\d\d)_e(\d\d)_v(\d\d)')


def read_source(source: Path):
    """Yield (file name, content) of the JSON files of a zip or a folder.

    Args:
        source (Path): ``all_sqe.zip``, or the unpacked folder.

    Raises:
        DataError: ``source`` is neither, or the zip is damaged.
    """
    if source.is_dir():
        paths = sorted(source.rglob('*.json'))
        yield from ((path.name, path.read_bytes()) for path in paths)
        return
    if not source.is_file():
        raise DataError(f'{source} does not exist; expected all_sqe.zip or '
                        'the folder it unpacks to.')
    try:
        with zipfile.ZipFile(source) as archive:
            check_zip(archive, source)
            members = sorted(member for member in archive.namelist()
                             if member.endswith('.json'))
            for member in members:
                yield Path(member).name, archive.read(member)
    except UnsafeZipError as error:
        raise DataError(f'{error}.') from None
    # what zipfile raises for damaged, encrypted or unknown content
    except (zipfile.BadZipFile, zipfile.zlib.error, EOFError, OSError,
            RuntimeError, ValueError) as error:
        raise DataError(f'{source} is not a readable zip file: {error}. '
                        'Download it again.') from None


def parse(name: str, content: bytes) -> dict:
    """Turn one JSON file into an annotation.

    Args:
        name (str): File name, such as ``a01_s01_e00_v01.json``.
        content (bytes): What is in it: ``file_name``, ``skeletons``
            (T x 20 x 3, metres), ``label`` (class + 1).

    Returns:
        dict: ``frame_dir``, ``label``, ``total_frames`` and ``keypoint``,
        float32, (1, T, 20, 3).

    Raises:
        DataError: Something is not as it should be; the text names the file.
    """
    match = NAME.fullmatch(Path(name).stem)
    action = int(match[1]) if match else None
    if action not in LABELS:
        raise DataError(f'{name}: the name is not aAA_sSS_eEE_vVV.json with '
                        f'an action in {sorted(LABELS)}.')
    record, keypoint = read_skeletons(name, content)
    label = record.get('label')
    if label != LABELS[action] + 1:
        raise DataError(f'{name}: "label" is {label}, expected '
                        f'{LABELS[action] + 1} for action {action}.')
    return dict(frame_dir=match[0], label=LABELS[action],
                total_frames=keypoint.shape[1], keypoint=keypoint)


def read_skeletons(name: str, content: bytes) -> tuple:
    """Read the joints of a JSON file.

    Args:
        name (str): File name, for messages.
        content (bytes): A JSON object with ``skeletons``, T x 20 x 3, metres.

    Returns:
        tuple[dict, ndarray]: The object, and the joints, float32,
        (1, T, 20, 3).

    Raises:
        DataError: It is no such file.
    """
    try:
        record = json.loads(content)
        keypoint = np.array(record['skeletons'], dtype=np.float32)
    except (ValueError, TypeError, KeyError, OverflowError,
            RecursionError) as error:
        raise DataError(f'{name}: not readable as a JSON object with numbers '
                        f'in "skeletons": {error!r}.') from None
    if keypoint.ndim != 3 or keypoint.shape[1:] != (NUM_JOINTS, 3) or (
            len(keypoint) == 0):
        raise DataError(f'{name}: "skeletons" has shape {keypoint.shape}, '
                        f'expected (frames, {NUM_JOINTS}, 3).')
    if not np.isfinite(keypoint).all():
        raise DataError(f'{name}: "skeletons" has numbers that are not '
                        'finite.')
    return record, keypoint[None]


def make_splits(names: list) -> dict:
    """Split by view, and check the counts.

    Args:
        names (list[str]): ``frame_dir`` of every sequence.

    Returns:
        dict[str, list[str]]: Names for ``xview_train`` and ``xview_val``, and
        for each fold ``fold0_train``, ``fold0_val`` and so on, which are
        ``xview_train`` without some subjects, and those.

    Raises:
        DataError: Names occur twice, or a split has not its published size.
    """
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f'{twice} occurs more than once in the source.')
    splits = {}
    for split, (views, expected) in SPLITS.items():
        splits[split] = [name for name in names
                         if int(NAME.fullmatch(name)[4]) in views]
        if len(splits[split]) != expected:
            raise DataError(
                f'{split} (views {views}) has {len(splits[split])} sequences, '
                f'expected {expected}: files are missing or too many.')
    for fold, subjects in enumerate(FOLDS):
        for part, held_out in (('train', False), ('val', True)):
            splits[f'fold{fold}_{part}'] = [
                name for name in splits['xview_train']
                if (int(NAME.fullmatch(name)[2]) in subjects) == held_out]
    return splits


def convert(source: Path, destination: Path) -> dict:
    """Convert the whole set; see :func:`parse` and :func:`make_splits`."""
    files = list(read_source(source))
    annotations = [parse(*file) for file in track(
        files, description='NW-UCLA', disable=not sys.stderr.isatty())]
    splits = make_splits([item['frame_dir'] for item in annotations])
    write(destination, annotations, split=splits,
          classes=list(CLASSES.values()), layout='nw-ucla')
    return splits


def main() -> None:
    parser = argparse.ArgumentParser(
        description='Convert the NW-UCLA skeletons (1,484 JSON files) to a '
        'PoseDataset annotation file with the splits xview_train (views 1 '
        'and 2, 1,020 sequences) and xview_val (view 3, 464), and with '
        'fold0_train, fold0_val to fold2_val, which split xview_train by '
        'subjects, for choices that must not be made on the test set.',
        epilog='example: python tools/data/nw_ucla.py all_sqe.zip '
        'data/nw_ucla/nw_ucla.pkl')
    parser.add_argument('source', type=Path, metavar='SRC',
                        help='all_sqe.zip, or the folder it unpacks to')
    parser.add_argument('destination', type=Path, metavar='DST',
                        help='the file to write, *.pkl; the configs expect '
                        'data/nw_ucla/nw_ucla.pkl')
    args = parser.parse_args()
    if args.destination.suffix != '.pkl':
        parser.error(f'DST is {args.destination}; PoseDataset reads only '
                     '*.pkl.')
    try:
        splits = convert(args.source, args.destination)
    except DataError as error:
        sys.exit(f'error: {error}\nNothing was written.')
    counts = ', '.join(f'{name} {len(part)}' for name, part in splits.items())
    print(f'{args.destination}: {counts} sequences')


if __name__ == '__main__':
    main()
