"""Convert your own sequences to a ``PoseDataset`` annotation file.

docs/custom_data.md shows the whole way, from the files to a training.
"""
import argparse
import csv
import json
import os
import random
import re
import sys
from collections import Counter, defaultdict
from itertools import takewhile
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Set, Tuple, Union

import numpy as np
from annotation_file import DataError, write
from rich.console import Console
from rich.progress import track
from utils.safe_zip import load_arrays
from utils.skeleton_layout import LAYOUTS, SkeletonLayout

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = '''examples:
  python tools/data/custom.py recordings labels.csv data/gestures.pkl \\
      --layout hand.json --val-ratio 0.2 --config gestures.py
  python tools/data/custom.py poses labels.csv data/poses.pkl \\
      --layout coco --img-shape 1080 1920 --splits splits.csv

docs/custom_data.md says what the files look like.'''
SUFFIXES = ('.npy', '.npz', '.csv')
SPLITS = ('train', 'val')
BY_SUBJECT, BY_CLASS = 'drawn by subject', 'drawn by class'
MAX_SHOWN = 20
# config's folder -> frames and epochs in its name
ENCODERS = {'stgcn': 'u52-65e', '2s-agcn': 'u52-65e', 'ctrgcn': 'u52-65e',
            'hyperformer': 'u52-150e', 'hcn': 'u64-150e'}
LAYOUT_IN_GRAPH_CFG = ('stgcn', '2s-agcn')  # those of MMAction2
COUNTS_PERSONS = ('2s-agcn', 'ctrgcn', 'hyperformer')

# name of a sequence -> what is wrong with it
Problems = Dict[str, List[str]]


# Sequences


def read_sequence(path: Path, layout: SkeletonLayout) -> dict:
    """Read and check one sequence.

    Args:
        path (Path): ``.npy`` or ``.npz``, (T, V, C) or (M, T, V, C), or
            ``.csv``, a row for each frame or for each person in a frame.
        layout (SkeletonLayout): The joints that it must have.

    Returns:
        dict: ``keypoint``, float32, (M, T, V, C), in the unit of the file.
        Of a two-dimensional layout C is 2, and where the file has a
        confidence, it is ``keypoint_score``, float32, (M, T, V).

    Raises:
        DataError: Something is not as it should be; the text names the file.
    """
    if path.suffix.lower() == '.csv':
        arrays = dict(keypoint=_read_csv_keypoint(path, layout))
    else:
        arrays = _read_arrays(path)
    arrays = {name: _checked_numbers(path, name, array, layout)
              for name, array in arrays.items()}
    keypoint, score = arrays['keypoint'], arrays.get('keypoint_score')
    if score is None and layout.dims == 2 and keypoint.shape[-1] == 3:
        keypoint, score = keypoint[..., :2], keypoint[..., 2]
    if score is None:
        return dict(keypoint=keypoint)
    if keypoint.shape != (*score.shape, 2):  # never so in 3D
        raise DataError(
            f'{path}: keypoint_score has shape {score.shape} beside keypoint '
            f'of shape {keypoint.shape}; expected the same (persons, frames, '
            'joints), beside 2 coordinates of a two-dimensional layout.')
    return dict(keypoint=keypoint, keypoint_score=score)


def _read_arrays(path: Path) -> dict:
    """``keypoint`` and perhaps ``keypoint_score`` of a file of numpy's."""
    try:
        arrays = load_arrays(path)
    except Exception as error:  # what a damaged file raises is many things
        if 'Object arrays' in str(error):
            raise DataError(f'{path}: dtype is object, expected an array of '
                            'numbers. Objects are not read, because reading '
                            'them can run code.') from None
        if 'pickle' in str(error):  # numpy's guess at any unknown content
            error = 'it begins as neither of the two does'
        raise DataError(f'{path} is not readable as .npy or .npz: {error}. '
                        'Write it again with numpy.save or numpy.savez.'
                        ) from None
    if isinstance(arrays, np.ndarray):
        return dict(keypoint=arrays)
    if len(arrays) == 1 and 'keypoint_score' not in arrays:
        return dict(keypoint=next(iter(arrays.values())))
    if set(arrays) != {'keypoint', 'keypoint_score'}:
        raise DataError(
            f'{path}: holds the arrays {sorted(arrays)}, expected one array, '
            'or "keypoint" and "keypoint_score".')
    return arrays


def _read_csv_keypoint(path: Path, layout: SkeletonLayout) -> np.ndarray:
    """The joints of a table, (T, V, C), or (M, T, V, C) with keys."""
    rows = _read_rows(path)
    keys: List[str] = []
    # a first frame with a hole in it is none
    if all(cell and not _is_number(cell) for cell in rows[0][1]):
        header = [cell.lower() for cell in rows[0][1]]
        keys = list(takewhile(('frame', 'person').__contains__, header))
        rows = rows[1:]
    if not rows:
        raise DataError(f'{path}: has 0 frames, expected at least 1.')
    for line, cells in rows:
        for column, cell in enumerate(cells, 1):
            if not _is_number(cell):
                raise DataError(f'{path}: line {line}, column {column} has '
                                f'"{cell}", expected a number.')
    table = np.array([list(map(float, cells)) for _, cells in rows])
    values = table[:, len(keys):]
    channels = [c for c in _channels(layout)
                if values.shape[1] == layout.num_joints * c]
    if not channels:
        expected = ' or '.join(f'{layout.num_joints * c} ({c} for each joint)'
                               for c in _channels(layout))
        raise DataError(
            f'{path}: a row has {values.shape[1]} coordinates, expected '
            f'{expected} for the {layout.num_joints} joints of layout '
            f'"{layout.name}".')
    values = values.reshape(-1, layout.num_joints, channels[0])  # (T, V, C)
    if not keys:
        return values
    return _place(path, rows, dict(zip(keys, table.T)), values)


def _place(path: Path, rows: list, keys: dict, values: np.ndarray):
    """Put rows (R, V, C) to their persons and frames: (M, T, V, C).

    Where a person is not in a frame, the coordinates are 0, as in NTU RGB+D.
    """
    if 'frame' not in keys:
        raise DataError(f'{path}: the header has "person" but no "frame".')
    for name, column in keys.items():
        whole = np.isfinite(column) & (column == np.round(column))
        if not whole.all():
            row = int(np.argmin(whole))
            raise DataError(f'{path}: line {rows[row][0]}, "{name}" is '
                            f'{column[row]:g}, expected a whole number.')
    frames, t = np.unique(keys['frame'], return_inverse=True)
    persons, m = np.unique(keys.get('person', np.zeros(len(rows))),
                           return_inverse=True)
    gaps = np.flatnonzero(np.diff(frames) > 1)
    if len(gaps):
        raise DataError(f'{path}: "frame" goes from {frames[gaps[0]]:g} to '
                        f'{frames[gaps[0] + 1]:g}, expected every frame '
                        'between its first and its last.')
    _, first = np.unique(m * len(frames) + t, return_index=True)
    again = np.setdiff1d(np.arange(len(rows)), first)
    if len(again):
        seen = ', '.join(f'{name} {column[again[0]]:g}'
                         for name, column in keys.items())
        raise DataError(f'{path}: line {rows[again[0]][0]} has {seen} once '
                        'more, expected one row for each.')
    keypoint = np.zeros((len(persons), len(frames), *values.shape[1:]))
    keypoint[m, t] = values
    return keypoint


def _channels(layout: SkeletonLayout) -> tuple:
    """The numbers of channels that data of a layout can have."""
    return (3, ) if layout.dims == 3 else (2, 3)


def _checked_numbers(path: Path, name: str, array: np.ndarray,
                     layout: SkeletonLayout) -> np.ndarray:
    """Check shape and numbers; return float32, with the axis of persons."""
    if array.dtype.kind not in 'fiu':
        raise DataError(f'{path}: {name} has dtype {array.dtype}, expected '
                        'real numbers (float or int).')
    axes = ['persons', 'frames', 'joints']
    if name == 'keypoint':
        axes.append('channels')
    if array.ndim not in (len(axes) - 1, len(axes)):
        raise DataError(
            f'{path}: {name} has shape {array.shape}, expected '
            f'({", ".join(axes[1:])}) or ({", ".join(axes)}).')
    sizes = dict(zip(axes[::-1], array.shape[::-1]))
    for axis in ('frames', 'persons'):
        if sizes.get(axis) == 0:
            raise DataError(f'{path}: {name} has 0 {axis}, expected at least '
                            f'1 (shape {array.shape}).')
    if sizes['joints'] != layout.num_joints:
        raise DataError(
            f'{path}: {name} has {sizes["joints"]} joints, expected '
            f'{layout.num_joints} as layout "{layout.name}" has (shape '
            f'{array.shape}).')
    if sizes.get('channels', 3) not in _channels(layout):
        expected = ' or '.join(map(str, _channels(layout)))
        raise DataError(
            f'{path}: {name} has {sizes["channels"]} channels, expected '
            f'{expected} as layout "{layout.name}" is {layout.dims}D (shape '
            f'{array.shape}).')
    with np.errstate(over='ignore'):  # becomes inf, which the check finds
        array = array.astype(np.float32)
    if array.ndim == len(axes) - 1:
        array = array[None]  # (1, T, V, ...)
    _check_finite(path, name, array, layout)
    return array


def _check_finite(path: Path, name: str, array: np.ndarray,
                  layout: SkeletonLayout) -> None:
    """Name the first of the numbers (M, T, V, ...) that is not finite."""
    wrong = ~np.isfinite(array)
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0])
        person, frame, joint = place[:3]
        raise DataError(
            f'{path}: {name} has {array[place]} at person {person}, frame '
            f'{frame}, joint {joint} ("{layout.joint_names[joint]}"), '
            f'counted from 0, and {wrong.sum() - 1} more such; expected '
            'finite numbers in the range of float32.')


# Tables


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_rows(path: Path) -> List[Tuple[int, List[str]]]:
    """(line number, cells) of the rows of a CSV file that are not empty."""
    try:
        with open(path, newline='', encoding='utf-8-sig') as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, [cell.strip() for cell in cells])
                    for cells in reader if cells]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f'{path} is not readable as a CSV file: {error}.'
                        ) from None
    if not rows:
        raise DataError(f'{path}: is empty, expected rows of values with '
                        'commas between them.')
    first, width = rows[0][0], len(rows[0][1])
    for line, cells in rows:
        if len(cells) != width:
            raise DataError(f'{path}: line {line} has {len(cells)} values, '
                            f'expected {width} as in line {first}.')
    return rows


def _sequence_name(text: str) -> str:
    """The name of a path, with or without suffix, of Windows or not."""
    text = text.replace('\\', '/')
    return re.sub(r'\.(npy|npz|csv)$', '', text, flags=re.IGNORECASE)


def read_table(path: Path, column: str, problems: Problems) -> dict:
    """Read a CSV table with a row for each sequence.

    Args:
        path (Path): The table; its header has ``name`` (or ``file``).
        column (str): Another column that it must have.
        problems (Problems): Where a name that occurs twice is noted.

    Returns:
        dict[str, dict[str, str]]: Name of a sequence -> column -> value.

    Raises:
        DataError: It is no such table.
    """
    (_, header), *rows = _read_rows(path)
    header = [{'file': 'name'}.get(cell.lower(), cell.lower())
              for cell in header]
    if header.count('name') != 1 or header.count(column) != 1:
        raise DataError(f'{path}: the header is "{",".join(header)}", '
                        f'expected the columns name (or file) and {column}, '
                        'once each.')
    table, lines = {}, {}
    for line, cells in rows:
        row = dict(zip(header, cells))
        name = _sequence_name(row['name'])
        if not name:
            raise DataError(f'{path}: line {line} has no name.')
        if name in table:
            problems[name].append(
                f'{path}: "{name}" is in line {lines[name]} and in line '
                f'{line}, expected one row for each sequence.')
        table[name], lines[name] = row, line
    if not table:
        raise DataError(f'{path}: has a header and no rows.')
    return table


def number_labels(path: Path, texts: Dict[str, str],
                  classes: Optional[List[str]], problems: Problems) -> tuple:
    """Number the classes from 0.

    Args:
        path (Path): The table, for messages.
        texts (dict[str, str]): Name of a sequence -> its label in the table:
            all whole numbers, or all names of classes.
        classes (list[str], optional): Their names in order. By default they
            are the table's, sorted.
        problems (Problems): Where a label that is none of them is noted.

    Returns:
        tuple: dict[str, int], the number of each sequence's class, and
        list[str], the classes' names; where none are known, their numbers.

    Raises:
        DataError: Labels are numbers and names, or numbers with a gap.
    """
    numbers, names = [], []
    for text in filter(None, texts.values()):
        (numbers if re.fullmatch(r'-?\d+', text) else names).append(text)
    if classes is None and not numbers:
        classes = sorted(set(names))
    elif classes is None:
        if names:
            raise DataError(f'{path}: label is "{numbers[0]}" in one row and '
                            f'"{names[0]}" in another, expected numbers in '
                            'all rows or names in all.')
        values = sorted(set(map(int, numbers)))
        if values != list(range(len(values))):
            raise DataError(f'{path}: the labels are {values}, expected 0 to '
                            f'{len(values) - 1} without a gap; or name the '
                            'classes with --classes.')
        classes = [str(value) for value in values]
    known = {name: number for number, name in enumerate(classes)}
    if not names and not known.keys() & set(numbers):
        # numbers in the table, names in --classes
        known = {str(number): number for number in range(len(classes))}
    labels = {}
    for name, text in texts.items():
        if text in known:
            labels[name] = known[text]
        else:
            problems[name].append(
                f'{path}: the label of "{name}" is "{text}", expected one of '
                f'the {len(classes)} classes {", ".join(known)}.')
    return labels, classes


def read_classes(path: Path) -> List[str]:
    """Read the names of the classes, one a line.

    Raises:
        DataError: It is not readable, empty, or has a name twice.
    """
    try:
        lines = path.read_text(encoding='utf-8-sig').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f'{path} is not readable as text: {error}.') from None
    classes = [line.strip() for line in lines if line.strip()]
    if not classes:
        raise DataError(f'{path}: has no names, expected one a line.')
    (name, count), = Counter(classes).most_common(1)
    if count > 1:
        raise DataError(f'{path}: "{name}" is there {count} times, expected '
                        'every class once.')
    return classes


def _read_json(path: Path) -> object:
    """The content of a JSON file; ValueError or OSError if it is none."""
    try:
        return json.loads(path.read_text(encoding='utf-8-sig'))
    except RecursionError:
        raise ValueError('brackets in too many brackets') from None


def read_layout(text: str) -> Tuple[Union[str, dict], SkeletonLayout]:
    """Look up a layout by name, or read it from a file.

    Args:
        text (str): A name, or a ``.json`` file with the arguments of
            :class:`SkeletonLayout`; ``name`` is by default the file's.

    Returns:
        tuple: The layout as it stands in an annotation file, str or dict,
        and the :class:`SkeletonLayout`.

    Raises:
        DataError: The name is unknown, or the file is wrong.
    """
    if not text.endswith('.json'):
        try:
            return text, SkeletonLayout.get(text)
        except ValueError:
            raise DataError(f'--layout is "{text}", expected one of '
                            f'{", ".join(LAYOUTS)}, or a .json file.'
                            ) from None
    try:
        fields = _read_json(Path(text))
        if not isinstance(fields, dict):
            raise ValueError('it holds no object {...}')
        fields = {'name': Path(text).stem, **fields}
        return fields, SkeletonLayout.get(fields)
    except (OSError, ValueError) as error:
        raise DataError(f'{text} is not readable as a layout: {error}'
                        ) from None


# Splits


def read_splits(path: Path, problems: Problems) -> Dict[str, str]:
    """Read name -> split of a JSON object, or a CSV table.

    Raises:
        DataError: It is neither.
    """
    if path.suffix.lower() != '.json':
        table = read_table(path, 'split', problems)
        return {name: row['split'] for name, row in table.items()}
    try:
        splits = _read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f'{path} is not readable as JSON: {error}.') from None
    if not isinstance(splits, dict):
        raise DataError(f'{path}: holds a {type(splits).__name__}, expected '
                        'an object {"name of a sequence": "train" or "val"}.')
    return {_sequence_name(name): split for name, split in splits.items()}


def draw_stratified(labels: Dict[str, int], ratio: float,
                    seed: int) -> Set[str]:
    """Draw the validation part so that every class has its share.

    Every class gets its share rounded down; the sequences that are then
    missing go to the classes that lost most. At least one sequence of every
    class is left for training.

    Args:
        labels (dict[str, int]): Name of a sequence -> class.
        ratio (float): The share of the part, between 0 and 1.
        seed (int): The same seed draws the same part.

    Returns:
        set[str]: The names of the part.
    """
    rng = random.Random(seed)
    members = defaultdict(list)
    for name in sorted(labels):
        members[labels[name]].append(name)
    counts = {label: int(ratio * len(names))
              for label, names in members.items()}
    missing = round(ratio * len(labels)) - sum(counts.values())
    order = sorted(members)
    rng.shuffle(order)  # among those that lost as much
    order.sort(key=lambda label: counts[label] - ratio * len(members[label]))
    spare = [label for label in order
             if counts[label] + 1 < len(members[label])]
    for label in spare[:missing]:
        counts[label] += 1
    return {name for label in sorted(members)
            for name in rng.sample(members[label], counts[label])}


def draw_subjects(sizes: Dict[str, int], ratio: float, seed: int) -> Set[str]:
    """Draw the subjects whose sequences come nearest to a share of all.

    Args:
        sizes (dict[str, int]): Subject -> number of sequences; two subjects
            or more.
        ratio (float): The share, between 0 and 1.
        seed (int): Chooses among subjects that come as near.

    Returns:
        set[str]: Subjects; not none and not all.
    """
    subjects = sorted(sizes)
    random.Random(seed).shuffle(subjects)
    # bit s of sums[i]: some of the first i subjects have s sequences
    sums = [1]
    for subject in subjects:
        sums.append(sums[-1] | sums[-1] << sizes[subject])
    total = sum(sizes.values())
    rest = min((size for size, bit in enumerate(bin(sums[-1])[:1:-1])
                if bit == '1' and 0 < size < total),
               key=lambda size: abs(size - ratio * total))
    drawn = set()
    for before, subject in zip(sums[-2::-1], reversed(subjects)):
        if not before >> rest & 1:  # it does not come out without this one
            drawn.add(subject)
            rest -= sizes[subject]
    return drawn


def _given_splits(args: argparse.Namespace, table: dict,
                  problems: Problems) -> Optional[Dict[str, str]]:
    """Name -> split by the user's word; None where they are to be drawn."""
    if args.val_ratio is not None:
        return None
    if args.splits is not None:
        path, splits = args.splits, read_splits(args.splits, problems)
        for name in sorted(splits.keys() - table.keys()):
            problems[name].append(f'{path}: "{name}" is not in {args.labels}.')
    else:
        path = args.labels
        splits = {name: row.get('split') for name, row in table.items()}
        if set(splits.values()) == {None}:
            raise DataError(f'{path}: has no column split; add it, or give '
                            '--splits or --val-ratio.')
    for name in table:
        if not splits.get(name):
            problems[name].append(f'{path}: "{name}" is in no split, expected '
                                  'train or val.')
        elif splits[name] not in SPLITS:
            problems[name].append(f'{path}: the split of "{name}" is '
                                  f'"{splits[name]}", expected train or val.')
    return splits


def _method_of_split(args: argparse.Namespace, table: dict) -> str:
    """Where the splits come from, as the report says it."""
    if args.val_ratio is None:
        return f'given by {args.splits or args.labels}'
    by_subject = args.by_subject
    if by_subject is None:
        subjects = {row.get('subject') for row in table.values()}
        by_subject = all(subjects) and len(subjects) > 1
    return BY_SUBJECT if by_subject else BY_CLASS


def _drawn_splits(args: argparse.Namespace, method: str, table: dict,
                  labels: Dict[str, int]) -> Dict[str, str]:
    """Draw name -> split for the sequences that have a label."""
    if method == BY_SUBJECT:
        sizes = Counter(table[name]['subject'] for name in labels)
        if len(sizes) == 1:
            raise DataError(
                f'{args.labels}: the only subject is "{next(iter(sizes))}"; '
                'expected two or more to draw from. --no-by-subject draws '
                'sequences.')
        subjects = draw_subjects(sizes, args.val_ratio, args.seed)
        val = {name for name in labels if table[name]['subject'] in subjects}
    else:
        val = draw_stratified(labels, args.val_ratio, args.seed)
    return {name: SPLITS[name in val] for name in labels}


def _check_splits(splits: Dict[str, str], labels: Dict[str, int],
                  classes: List[str], table: dict) -> List[str]:
    """Refuse what cannot be trained; return warnings."""
    for split in SPLITS:
        if split not in splits.values():
            raise DataError(f'The split {split} has 0 of the {len(splits)} '
                            'sequences, expected at least 1.')
    seen = {(splits[name], label) for name, label in labels.items()}
    lacking = {split: ', '.join(f'"{name}"' for label, name in enumerate(
        classes) if (split, label) not in seen) for split in SPLITS}
    if lacking['train']:
        raise DataError(
            f'No training sequence for the classes {lacking["train"]}; '
            'expected at least 1 for each. Add some, or split in another way '
            '(--seed and --no-by-subject draw other parts).')
    warnings = []
    if lacking['val']:
        warnings.append('no validation sequence for the classes '
                        + lacking['val'])
    train, val = ({table[name].get('subject') for name in labels
                   if splits[name] == split} for split in SPLITS)
    both = sorted((train & val) - {None, ''})
    if both:
        warnings.append(f'{len(both)} subjects are in both parts, '
                        f'"{both[0]}" for one; --val-ratio with --by-subject '
                        'keeps them apart')
    return warnings


# The whole


def find_files(source: Path, besides: List[Path],
               problems: Problems) -> Dict[str, Path]:
    """Find the sequences below a folder.

    Args:
        source (Path): The folder.
        besides (list[Path]): Files that may lie there and are no sequences.
        problems (Problems): Where a name of two files is noted.

    Returns:
        dict[str, Path]: Name, the path below ``source`` without suffix ->
        file.

    Raises:
        DataError: There is no such folder, or none in it.
    """
    if not source.is_dir():
        what = 'is no folder' if source.exists() else 'does not exist'
        raise DataError(f'{source} {what}; expected a folder with a .npy, '
                        '.npz or .csv file for each sequence.')
    besides = {path.resolve() for path in besides}
    files: Dict[str, Path] = {}
    for path in sorted(source.rglob('*')):
        if path.suffix.lower() not in SUFFIXES or (
                path.resolve() in besides or not path.is_file()):
            continue
        name = _sequence_name(path.relative_to(source).as_posix())
        if name in files:
            problems[name].append(f'{files[name]} and {path} have the same '
                                  'name, expected one file for each.')
        files[name] = path
    if not files:
        raise DataError(f'{source} has no .npy, .npz or .csv files; expected '
                        'a folder with one for each sequence.')
    return files


def _check_files(files: Dict[str, Path], layout: SkeletonLayout,
                 problems: Problems) -> dict:
    """Read every file; name -> (shape of ``keypoint``, has a confidence)."""
    found = {}
    for name, path in track(
            files.items(), description='reading', transient=True,
            console=Console(stderr=True), disable=not sys.stderr.isatty()):
        try:
            sequence = read_sequence(path, layout)
        except DataError as error:
            problems[name].append(str(error))
        else:
            found[name] = (sequence['keypoint'].shape,
                           'keypoint_score' in sequence)
    # the encoder has one number of channels for all
    with_score = [name for name, (_, score) in found.items() if score]
    without = [name for name, (_, score) in found.items() if not score]
    minority = min(with_score, without, key=len)
    has = 'a' if minority is with_score else 'no'
    for name in minority:
        problems[name].append(
            f'{files[name]}: has {has} confidence, unlike '
            f'{len(found) - len(minority)} of the {len(found)} sequences; '
            'expected it in all or in none.')
    return found


def _annotations(args: argparse.Namespace, files: Dict[str, Path],
                 layout: SkeletonLayout,
                 labels: Dict[str, int]) -> Iterator[dict]:
    """Read the files once more, one at a time."""
    for name, label in labels.items():
        sequence = read_sequence(files[name], layout)
        annotation = dict(frame_dir=name, label=label,
                          total_frames=sequence['keypoint'].shape[1],
                          **sequence)
        if args.img_shape is not None:
            annotation.update(img_shape=tuple(args.img_shape),
                              original_shape=tuple(args.img_shape))
        yield annotation


def _listed(problems: Problems) -> str:
    texts = [text for name in sorted(problems) for text in problems[name]]
    lines = [f'{len(texts)} problem{"s" if len(texts) > 1 else ""}:',
             *texts[:MAX_SHOWN]]
    if len(texts) > MAX_SHOWN:
        lines.append(f'... and {len(texts) - MAX_SHOWN} more')
    return '\n  '.join(lines)


def convert(args: argparse.Namespace) -> dict:
    """Check everything, then write the annotation file.

    Args:
        args (argparse.Namespace): As :func:`parse_args` returns it.

    Returns:
        dict: What was made: ``layout`` (str or dict), ``classes`` (names),
        ``labels`` (name -> class), ``splits`` (name -> split), ``method`` (of
        the split), ``shapes`` (name -> (M, T, V, C)), ``channels`` (C, with
        the confidence), ``warnings`` and ``problems`` (of the sequences that
        were left out).

    Raises:
        DataError: Anything is not as it should be. Nothing is written then.
    """
    problems: Problems = defaultdict(list)
    given_layout, layout = read_layout(args.layout)
    if args.img_shape is not None and layout.dims == 3:
        raise DataError(f'--img-shape is for two-dimensional layouts; '
                        f'"{layout.name}" is 3D.')
    besides = [args.labels, *filter(None, [args.splits, args.classes])]
    files = find_files(args.source, besides, problems)
    table = read_table(args.labels, 'label', problems)
    for name in sorted(files.keys() - table.keys()):
        problems[name].append(f'{files[name]}: "{name}" has no row in '
                              f'{args.labels}.')
    for name in sorted(table.keys() - files.keys()):
        problems[name].append(f'{args.labels}: "{name}" has no file in '
                              f'{args.source}, expected {name}.npy, .npz or '
                              '.csv.')
    labels, classes = number_labels(
        args.labels, {name: row['label'] for name, row in table.items()},
        args.classes and read_classes(args.classes), problems)
    method = _method_of_split(args, table)
    if method == BY_SUBJECT:
        for name, row in table.items():
            if not row.get('subject'):
                problems[name].append(f'{args.labels}: "{name}" has no '
                                      'subject, which --by-subject needs.')
    splits = _given_splits(args, table, problems)
    found = _check_files(files, layout, problems)
    if problems and not args.skip_bad:
        raise DataError(_listed(problems))

    labels = {name: labels[name] for name in files if name not in problems}
    if not labels:
        raise DataError('No sequence is left; ' + _listed(problems))
    if splits is None:
        splits = _drawn_splits(args, method, table, labels)
    splits = {name: splits[name] for name in labels}
    warnings = _check_splits(splits, labels, classes, table)
    write(args.destination, _annotations(args, files, layout, labels),
          split={split: [name for name in labels if splits[name] == split]
                 for split in SPLITS},
          classes=classes, layout=given_layout)
    shapes = {name: found[name][0] for name in labels}
    shape, has_score = found[next(iter(labels))]
    return dict(layout=given_layout, classes=classes, labels=labels,
                splits=splits, method=method, shapes=shapes,
                channels=shape[-1] + has_score, warnings=warnings,
                problems=problems)


def make_config(args: argparse.Namespace, made: dict) -> str:
    """Write down the config of a training on what was made.

    It is an encoder's config for NW-UCLA, with STD-CL or plain, and what
    differs.

    Args:
        args (argparse.Namespace): As :func:`parse_args` returns it.
        made (dict): As :func:`convert` returns it.

    Returns:
        str: The config; its ``_base_`` holds in the folder of
        ``args.config``, or without that in the working directory.
    """
    encoder, layout = args.encoder, made['layout']
    place = f'{encoder}/' if args.plain else 'stdcl/stdcl-'
    base = (ROOT / 'configs' / f'{place}{encoder}_1xb16-joint-'
            f'{ENCODERS[encoder]}_nw-ucla-xview-keypoint-3d.py')
    folder = (args.config or Path('config.py')).resolve().parent
    definition, in_model = repr(layout), 'layout=layout'
    if isinstance(layout, dict):
        definition = 'dict(\n    ' + ',\n    '.join(
            f'{name}={value!r}' for name, value in layout.items()) + ')'
        # the base has a name there, to be replaced and not to be merged
        in_model = 'layout=dict(layout, _delete_=True)'
    persons = max(shape[0] for shape in made['shapes'].values())
    backbone = in_model
    if encoder in LAYOUT_IN_GRAPH_CFG:
        backbone = f'graph_cfg=dict({in_model})'
    if made['channels'] != 3:
        backbone += f', in_channels={made["channels"]}'
    if persons > 1 and encoder in COUNTS_PERSONS:
        backbone += f', num_person={persons}'
    pipelines, prepare = _pipelines(args, layout, persons)
    return f'''_base_ = {_relative(base, folder)!r}

ann_file = {str(args.destination)!r}
layout = {definition}

{pipelines}
train_dataloader = dict(dataset=dict(dataset=dict(
    ann_file=ann_file, split='train', {prepare}pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(
    ann_file=ann_file, split='val', {prepare}pipeline=val_pipeline))
test_dataloader = val_dataloader

model = dict(
    data_preprocessor=dict({in_model}),
    backbone=dict({backbone}),
    cls_head=dict(num_classes={len(made["classes"])}))
'''


def _relative(path: Path, folder: Path) -> str:
    """A path as seen from a folder, or all of it from another drive."""
    try:
        return os.path.relpath(path, folder)
    except ValueError:  # on Windows
        return str(path)


def _pipelines(args: argparse.Namespace, layout: Union[str, dict],
               persons: int) -> Tuple[str, str]:
    """Lines that fit the base's pipelines, and a further argument."""
    lines, start, prepare = [], '', ''
    if SkeletonLayout.get(layout).dims == 2:
        step = 'PreNormalize2D' if args.img_shape else 'MinMaxNormalize'
        lines = ['# of the base, what comes after the views in 3D',
                 f"prepare = [dict(type='{step}')]"]
        start, prepare = '[-4:]', 'prepare=prepare, '
    lines += [f'{part}_pipeline = _base_.{part}_pipeline{start}'
              for part in SPLITS]
    if persons > 1:
        lines += [f'{part}_pipeline[-2].num_person = {persons}'
                  '  # FormatGCNInput' for part in SPLITS]
    return ''.join(f'{line}\n' for line in lines), prepare


def report(destination: Path, made: dict) -> str:
    """What was made, for the user to look at."""
    counts = Counter(made['labels'].values())
    splits = Counter(made['splits'].values())
    frames = [shape[1] for shape in made['shapes'].values()]
    persons = sorted({shape[0] for shape in made['shapes'].values()})
    return '\n  '.join([
        f'{destination}:',
        f'sequences {len(frames)} (train {splits["train"]}, '
        f'val {splits["val"]})',
        f'split     {made["method"]}',
        f'classes   {len(made["classes"])}: ' + ', '.join(
            f'{name} {counts[number]}'
            for number, name in enumerate(made['classes'])),
        f'frames    {min(frames)} to {max(frames)}, mean '
        f'{np.mean(frames):.1f}',
        f'persons   {" or ".join(map(str, persons))}'])


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Convert your own sequences, one a file, to a '
        'PoseDataset annotation file with the splits train and val. '
        'Everything is checked before anything is written.',
        epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, metavar='SRC',
                        help='folder of .npy, .npz or .csv files')
    parser.add_argument(
        'labels', type=Path, metavar='LABELS',
        help='CSV table: name (or file), label, and at will subject, split')
    parser.add_argument('destination', type=Path, metavar='DST',
                        help='the file to write, *.pkl')
    parser.add_argument(
        '--layout', required=True,
        help=f'the joints: {", ".join(LAYOUTS)}, or a .json file with '
        'joint_names, edges, center, and at will name, bones, parts, dims')
    parser.add_argument(
        '--classes', type=Path, metavar='FILE',
        help='names of the classes in order, one a line; default: those of '
        'the table, sorted')
    split = parser.add_mutually_exclusive_group()
    split.add_argument(
        '--splits', type=Path, metavar='FILE',
        help='CSV table (name, split) or JSON object (name: split) with train '
        'or val for each sequence; default: the column split of LABELS')
    split.add_argument(
        '--val-ratio', type=float, metavar='R',
        help='draw this share for val, such as 0.2')
    parser.add_argument(
        '--by-subject', action=argparse.BooleanOptionalAction,
        help='with --val-ratio: draw whole subjects, so that none is in both '
        'parts, or else sequences of every class; default: by subject where '
        'every row of LABELS has one, and there are two or more')
    parser.add_argument('--seed', type=int, default=0,
                        help='seed of --val-ratio; default: 0')
    parser.add_argument(
        '--img-shape', type=int, nargs=2, metavar=('H', 'W'),
        help='pixels of the images of two-dimensional joints, by which the '
        'config then normalises')
    parser.add_argument(
        '--skip-bad', action='store_true',
        help='leave out sequences with problems, and list them in a report '
        'beside DST, *.report.json')
    parser.add_argument(
        '--config', type=Path, metavar='OUT.py',
        help='write the config of a training; default: print it')
    parser.add_argument('--encoder', choices=ENCODERS, default='stgcn',
                        help='encoder of the config; default: stgcn')
    parser.add_argument('--plain', action='store_true',
                        help='a config without STD-CL')
    args = parser.parse_args()
    if args.destination.suffix != '.pkl':
        parser.error(f'DST is {args.destination}; PoseDataset reads only '
                     '*.pkl.')
    if args.val_ratio is not None and not 0 < args.val_ratio < 1:
        parser.error(f'--val-ratio is {args.val_ratio}, expected a number '
                     'between 0 and 1.')
    if args.by_subject is not None and args.val_ratio is None:
        parser.error('--by-subject and --no-by-subject need --val-ratio.')
    if args.img_shape is not None and min(args.img_shape) < 1:
        parser.error(f'--img-shape is {args.img_shape}, expected two numbers '
                     'of pixels.')
    if args.config is not None and args.config.suffix != '.py':
        parser.error(f'--config is {args.config}, expected *.py.')
    if args.config is not None and args.config.exists():
        parser.error(f'--config is {args.config}, which exists already; it '
                     'may have changes of yours. Remove or rename it.')
    return args


def main() -> None:
    args = parse_args()
    try:
        made = convert(args)
    except DataError as error:
        sys.exit(f'error: {error}\nNothing was written.')
    print(report(args.destination, made))
    for warning in made['warnings']:
        print(f'warning: {warning}.', file=sys.stderr)
    if args.skip_bad:
        path = args.destination.with_suffix('.report.json')
        path.write_text(json.dumps(dict(
            annotation_file=str(args.destination),
            left_out=made['problems']), indent=2) + '\n')
        print(f'{path}: {len(made["problems"])} sequences left out')
    config = make_config(args, made)
    if args.config is None:
        print('A config to train on it, for the working directory:\n')
        print(config)
    else:
        args.config.parent.mkdir(parents=True, exist_ok=True)
        args.config.write_text(config)
        print(f'{args.config}: train with\n'
              f'  python {_relative(ROOT / "tools" / "train.py", Path())} '
              f'{args.config}')


if __name__ == '__main__':
    main()
