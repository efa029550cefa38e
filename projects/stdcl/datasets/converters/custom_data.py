"""Convert your own sequences to an annotation file.

docs/custom_data.md describes the files. All of them are checked before
anything is written.
"""
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
import pandas as pd

from ...utils.input_error import InputError, printable
from ...utils.skeleton_layout import SkeletonLayout
from ..annotation_check import name_of
from ..plain_annotation import ARRAYS
from ..skeleton_dataset import SkeletonDataset
from . import custom_splits, sequence_file
from .annotation_file import write_annotations
from .custom_splits import SPLITS
from .sequence_file import clean

MAX_SHOWN = 20
IMAGE = ('img_shape', 'original_shape')
COLUMNS = ['name', 'label', 'subject', 'split']
# words in the names of joints that are above or below the center of a body
ABOVE, BELOW = 'head|nose|face|neck', 'hip|pelvis|knee|ankle|foot'

Problem = Tuple[str, str]  # name of a sequence, description


@dataclass
class Conversion:
    """Result of :func:`convert`."""
    layout: Union[str, dict]  # as written to the file
    classes: List[str]
    splits: List[str]  # the splits that contain sequences
    persons: int  # largest number of persons in a sequence
    channels: int  # coordinates of a joint, plus its confidence if any
    up: str  # vertical axis: x, y or z
    summary: str  # overview for the user, a few lines
    warnings: List[str]
    problems: List[str]  # problems of the skipped sequences


def convert(source: Path, labels: Optional[Path], destination: Path,
            layout: str, *, classes: Optional[Path] = None,
            split: Sequence[str] = (), test_only: bool = False,
            val_ratio: Optional[float] = None,
            by_subject: Optional[bool] = None, seed: int = 0,
            img_shape: Optional[Tuple[int, int]] = None,
            up: Optional[str] = None, skip_bad: bool = False) -> Conversion:
    """Check all files, then write the annotation file.

    The arguments are the options of ``tools/data/custom.py``, whose ``--help``
    explains them.

    Raises:
        InputError: A file is invalid. In this case, nothing is written.
    """
    fields, layout = read_layout(layout)
    if img_shape is not None and layout.dims == 3:
        raise InputError('--img-shape requires a two-dimensional layout, but '
                         f'"{layout.name}" is three-dimensional.')
    names = read_classes(classes) if classes else None
    if source.suffix == '.pkl':
        table, own = read_annotations(source, layout, split)
        names = names or own
    else:
        table = find_files(source, labels, classes).merge(
            read_table(labels), how='outer', on='name')
    table, where = table.set_index('name'), labels or source
    if test_only:
        table['split'] = 'test'
    if names is None and set(table['split'].dropna()) == {'test'}:
        raise InputError(f'{where}: all sequences are in the split test, so '
                         'the classes of the training set are needed '
                         '(--classes).')
    names, valid = find_classes(where, table['label'], names)
    method = custom_splits.choose(where, table, val_ratio, by_subject)
    problems = [*_check_rows(where, source, table, valid, method)]
    sequences = {}
    for name, item in table['source'].dropna().items():
        try:
            sequences[name] = _read(source, name, item, layout, img_shape)
        except InputError as error:
            problems.append((name, str(error)))
    problems += _check_channels(source, sequences)
    table = table.drop([name for name, _ in problems], errors='ignore')
    problems = [text for _, text in sorted(problems, key=lambda item: item[0])]
    if problems and (table.empty or not skip_bad):
        count = len(problems)
        if count > MAX_SHOWN:
            problems[MAX_SHOWN:] = [f'... and {count - MAX_SHOWN} more']
        raise InputError(f'{count} problem{"s" if count > 1 else ""}:',
                         *problems)

    table['label'] = pd.Categorical(table['label'], valid).codes
    if val_ratio is not None:
        table['split'] = custom_splits.draw(table, method, val_ratio, seed)
    warnings = custom_splits.check(table, names)
    annotations = [dict(
        sequences[name], frame_dir=name, label=label,
        total_frames=sequences[name]['keypoint'].shape[1])
        for name, label in table['label'].items()]
    outside = np.mean([sequence_file.check_pixels(where, item, img_shape)
                       for item in annotations]) if img_shape else 0
    if outside > 0.01:
        warnings.append(f'{outside:.0%} of the joints are outside the images; '
                        '--img-shape takes the height first, then the width')
    splits = {split: table.index[table['split'] == split].tolist()
              for split in SPLITS if split in set(table['split'])}
    write_annotations(destination, annotations, classes=names, layout=fields,
                      split=splits)
    up = up or find_up(annotations, layout)
    persons = sorted({len(item['keypoint']) for item in annotations})
    frames = [item['total_frames'] for item in annotations]
    counts = table['label'].value_counts()
    summary = dict(
        sequences=f'{len(table)} (' + ', '.join(
            f'{split} {len(part)}' for split, part in splits.items()) + ')',
        split=method, classes=f'{len(names)}: ' + ', '.join(
            f'{printable(name)} {counts.get(number, 0)}'
            for number, name in enumerate(names)),
        frames=f'{min(frames)} to {max(frames)}, mean {np.mean(frames):.1f}',
        persons=' or '.join(map(str, persons)))
    if layout.dims == 3:
        summary['up'] = f'{up}; to change it, use --up'
    return Conversion(
        fields, names, list(splits), max(persons), _channels(annotations[0]),
        up, '\n'.join(f'  {key:9} {text}' for key, text in summary.items()),
        warnings, problems)


def _check_rows(where: Path, source: Path, table: pd.DataFrame,
                valid: List[str], method: str) -> Iterator[Problem]:
    """Yield the problems of the rows of the table of files and labels."""
    label, subject, split = (table[name] for name in COLUMNS[1:])
    checks = {
        'is in two rows or splits, or has two files, expected one of each':
            table.index.duplicated(),
        'has no row, expected one for {source}': label.isna(),
        'has no file in {folder}, expected {name}.npy, .npz or .csv':
            table['source'].isna(),
        'has the label "{label}", expected one of the classes {valid}':
            label.notna() & ~label.isin(valid),
        'has the split "{split}", expected train, val or test':
            split.notna() & ~split.isin(SPLITS) & (
                method not in custom_splits.DRAWN),
        'has no subject, which --by-subject needs': (subject == '') & (
            split != 'test') & (method == custom_splits.BY_SUBJECT)}
    for text, wrong in checks.items():
        for name, row in table[wrong].iterrows():
            yield name, f'{where}: "{name}" ' + text.format(
                name=name, folder=source, valid=', '.join(valid), **row) + '.'


def _check_channels(source: Path, sequences: dict) -> Iterator[Problem]:
    """Yield the sequences with other channels, which an encoder can't take."""
    channels = pd.Series({name: _channels(sequence)
                          for name, sequence in sequences.items()}, dtype=int)
    for usual, count in channels.value_counts()[:1].items():
        for name, number in channels[channels != usual].items():
            yield name, (
                f'{source}: "{name}" has {number} channels, including the '
                f'confidence, expected {usual}, as in {count} of '
                f'{len(channels)} sequences.')


def _channels(sequence: dict) -> int:
    return sequence['keypoint'].shape[-1] + ('keypoint_score' in sequence)


def _read(source: Path, name: str, item: Union[Path, dict],
          layout: SkeletonLayout, img_shape: Optional[Tuple[int, int]]
          ) -> dict:
    """Read a file, or check the arrays from an annotation file."""
    is_file = isinstance(item, Path)
    where = str(item) if is_file else f'{source}: {name}'
    sequence = (sequence_file.read_sequence(item, layout) if is_file
                else sequence_file.to_sequence(where, item, layout))
    if not sequence['keypoint'].any():
        raise InputError(f'{where} contains only zeros, expected joints in at '
                         'least one frame.')
    if img_shape:
        sequence_file.check_pixels(where, sequence, img_shape)
        sequence.update(dict.fromkeys(IMAGE, tuple(img_shape)))
    return sequence


def find_files(source: Path, *others: Optional[Path]) -> pd.DataFrame:
    """Return a table of the files in a folder, except ``others``."""
    others = {path.resolve() for path in others if path}
    files = [path for path in sorted(source.rglob('*'))
             if path.suffix.lower() in sequence_file.SUFFIXES
             and path.is_file() and path.resolve() not in others]
    if not files:
        raise InputError(f'{source} contains no .npy, .npz or .csv files, '
                         'expected a folder with one file per sequence.')
    return pd.DataFrame(dict(source=files, name=[_sequence_name(
        path.relative_to(source).as_posix()) for path in files]))


def _sequence_name(text: str) -> str:
    """Convert a path, possibly a Windows path, to the name of a sequence."""
    return re.sub(r'\.(npy|npz|csv)$', '', clean(text).replace('\\', '/'),
                  flags=re.IGNORECASE)


def read_annotations(path: Path, layout: SkeletonLayout, split: Sequence[str]
                     ) -> Tuple[pd.DataFrame, Optional[List[str]]]:
    """Read an annotation file: a table with the arrays, and the classes."""
    if len(split) > len(SPLITS):
        raise InputError(f'--split is {", ".join(split)}, expected at most 3 '
                         'names: for train, val and test.')
    rows = []
    for part, name in zip(SPLITS, split) if split else [('', None)]:
        dataset = SkeletonDataset(str(path), [], split=name)
        if dataset.layout and (
                dataset.layout.joint_names != layout.joint_names):
            raise InputError(
                f'{path} has the layout "{dataset.layout.name}", expected the '
                f'joints of --layout, "{layout.name}".')
        classes = dataset.metainfo.get('classes') or None
        classes = classes and check_classes(path, classes)
        for info in map(dataset.get_data_info, range(len(dataset))):
            if 'frame_inds' in info:
                raise InputError(f'{path}: sequence {name_of(info)} is packed '
                                 '(frame_inds), expected (M, T, V, C).')
            label = info['label']
            rows.append((
                name_of(info), classes[label] if classes and (
                    label < len(classes)) else str(label), '', part,
                {key: info[key] for key in (*ARRAYS, *IMAGE) if key in info}))
    return pd.DataFrame(rows, columns=[*COLUMNS, 'source']), classes


def read_table(path: Path) -> pd.DataFrame:
    """Read the table of labels, and return :data:`COLUMNS`."""
    cells = sequence_file.read_cells(path).map(clean)
    header = cells.iloc[0].str.lower().replace('file', 'name').tolist()
    if not all(header.count(name) == 1 or name not in header and name in (
            'subject', 'split') for name in COLUMNS) or len(cells) < 2:
        raise InputError(f'{path} has the header "{",".join(header)}" and '
                         f'{len(cells) - 1} rows, expected the columns "name" '
                         '(or "file") and "label", and optionally "subject" '
                         'and "split", each once, and at least 1 row.')
    # a spreadsheet may write several columns without a header
    table = cells[1:].set_axis(header, axis=1).loc[:, [
        name in COLUMNS for name in header]].reindex(
            columns=COLUMNS, fill_value='')
    table['name'] = table['name'].map(_sequence_name)
    table['subject'] = table['subject'].str.casefold()
    return table


def find_classes(path: Path, labels: pd.Series, classes: Optional[List[str]]
                 ) -> Tuple[List[str], List[str]]:
    """Return the class names, and the valid labels, in the same order.

    The labels are all numbers, counted from 0, or all class names. Without
    ``classes``, they are sorted.
    """
    values = sorted(set(labels.dropna()) - {''})
    numbers = [text for text in values if re.fullmatch(r'-?\d+', text)]
    if classes is None:
        classes = values
        if numbers:
            classes = [str(number) for number in range(len(values))]
        spellings = set(map(str.casefold, values))
        if set(values) != set(classes) or len(spellings) < len(values):
            raise InputError(
                f'{path}: the labels are {", ".join(values)}; expected class '
                'names that differ in more than case, or the numbers 0, 1, 2 '
                'and so on without a gap. Otherwise, list all classes with '
                '--classes.')
    if numbers == values and not set(classes) & set(numbers):
        return classes, [str(number) for number in range(len(classes))]
    return classes, classes


def read_classes(path: Path) -> List[str]:
    """Read class names from a text file, one per line, or annotation file."""
    return check_classes(
        path, SkeletonDataset(str(path), []).metainfo.get('classes', [])
        if path.suffix == '.pkl' else
        sequence_file.read_text(path).splitlines())


def check_classes(path: Path, names: List[str]) -> List[str]:
    """Return class names in one Unicode form; raise if one occurs twice."""
    classes = list(filter(None, map(clean, names)))
    if not classes or len(set(classes)) < len(classes):
        raise InputError(f'{path} contains {len(classes)} class names, of '
                         f'which {len(set(classes))} are distinct, expected '
                         'each class once.')
    return classes


def find_up(annotations: List[dict], layout: SkeletonLayout) -> str:
    """Return the axis along which heads are above feet, or 'y' if unclear."""
    names = pd.Series(layout.joint_names).str.lower()
    above, below = names.str.contains(ABOVE), names.str.contains(BELOW)
    if layout.dims == 2 or not (above.any() and below.any()):
        return 'y'
    # a person who is absent is zero, and so is the difference
    rise = np.abs(np.mean([
        item['keypoint'][:, :, above].mean(axis=(0, 1, 2))
        - item['keypoint'][:, :, below].mean(axis=(0, 1, 2))
        for item in annotations], axis=0))
    axis = int(rise.argmax())
    return 'xyz'[axis] if rise[axis] > 2 * np.delete(rise, axis).max() else 'y'


def read_layout(text: str) -> Tuple[Union[str, dict], SkeletonLayout]:
    """Return a layout in the form for annotation files, and as an object.

    ``text`` is a name, or the path of a ``.json`` file with the arguments of
    :class:`SkeletonLayout`. Their ``name`` defaults to that of the file.
    """
    if not text.endswith('.json'):
        return text, SkeletonLayout.get(text)
    try:
        pairs = json.loads(sequence_file.read_text(Path(text)),
                           object_pairs_hook=list)
        if not isinstance(pairs, list) or len(dict(pairs)) < len(pairs):
            raise TypeError('expected a dict that contains each field once')
        fields = {'name': Path(text).stem, **dict(pairs)}
        return fields, SkeletonLayout.get(fields)
    except (ValueError, TypeError) as error:
        raise InputError(f'{text} is not a valid layout: {error}') from None
