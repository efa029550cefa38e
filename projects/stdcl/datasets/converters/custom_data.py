"""Convert your own sequences to an annotation file.

docs/custom_data.md describes the files. All of them are read into one table
with a row per sequence, and checked before anything is written.
"""
import json
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ...utils.input_error import InputError, printable
from ...utils.skeleton_layout import SkeletonLayout
from ..annotation_check import check_sequences, name_of
from ..data_description import check_traits
from ..plain_annotation import ARRAYS
from ..skeleton_dataset import SkeletonDataset
from ..transforms.detected_joints import find_detected
from ..transforms.pre_normalize_2d import check_pixels
from . import custom_splits, sequence_file
from .annotation_file import write_annotations
from .custom_splits import SPLITS
from .sequence_file import clean, fold
from .source_files import find_files

# column of the table of labels -> default
COLUMNS = dict(name='', label='', subject='', split='train')
# words in the names of joints that are above or below the center of a body
ABOVE, BELOW = 'head|nose|face|neck', 'hip|pelvis|knee|ankle|foot'


def convert(source: Path, labels: Path | None, destination: Path, layout: str,
            *, classes: Path | None = None, split: Sequence[str] = (),
            test_only: bool = False, val_ratio: float | None = None,
            seed: int = 0, img_shape: tuple[int, int] | None = None,
            up: str | None = None) -> tuple[dict, str]:
    """Check all files, then write the annotation file.

    The arguments are the options of ``tools/data/custom.py``. Return the
    content of the annotation file with the vertical axis, ``up``, and an
    overview for the user. An ``InputError`` is raised if a file is invalid,
    and an ``OSError`` if it is missing. In both cases, nothing is written.
    """
    fields, layout = read_layout(layout)
    if img_shape and layout.dims == 3:
        raise InputError(f'--img-shape is {img_shape}, but the joints of the '
                         f'layout "{layout.name}" are three-dimensional.')
    if len(split) > (0 if labels else len(SPLITS)):
        raise InputError(f'--split is {", ".join(split)}, expected at most 3 '
                         'names, and only for an annotation file (*.pkl).')
    names = read_classes(classes) if classes else None
    if labels:
        table = read_folder(source, labels)
    else:
        table, names = read_annotations(source, layout, split, names)
    if test_only:
        table['split'] = 'test'
    where, drawn = labels or source, val_ratio is not None
    names, numbers = number_classes(classes or where, table, names)
    problems = find_problems(where, table, list(numbers), drawn)
    annotations = []
    for name, row in table.dropna(subset='read').iterrows():
        path = str(row['read'].args[0])
        try:
            item = row['read'](layout)
            sequence_file.require_one_index(path, item)
            if img_shape:
                item.setdefault('img_shape', tuple(img_shape))
                check_pixels(path, item, item['img_shape'])
            annotations.append(dict(item, frame_dir=name,
                                    label=numbers.get(row['label'])))
        except InputError as error:
            # names, values and numbers differ within a kind of problems
            problems.append((re.sub(r'"[^"]*"|[-.\d]+', '', str(
                error).removeprefix(path)), str(error)))
    if problems:
        kinds = pd.DataFrame(problems).groupby(0, sort=False)[1].agg(list)
        lines = [f'{first} ({len(more)} more like this)' if more else first
                 for first, *more in kinds]
        if len(lines) > 20:
            lines[20:] = [f'and {len(lines) - 20} more kinds of problems']
        raise InputError(f'problems found: {len(problems)}', *lines)
    check_sequences(str(source), annotations)

    table['label'] = pd.Categorical.from_codes(
        table['label'].map(numbers), names)
    if drawn:
        table['split'] = custom_splits.draw(table, val_ratio, seed)
    counts = custom_splits.count(str(where), table)
    content = dict(classes=names, layout=fields, split={
        name: list(part.index) for name, part in table.groupby('split')})
    write_annotations(destination, annotations, **content)
    up = up or find_up(annotations, layout)
    content.update(annotations=annotations, up=up or 'y')
    return content, _summarize(table, counts, content, bool(img_shape), up)


def _summarize(table: pd.DataFrame, counts: pd.DataFrame, content: dict,
               pixels: bool, up: str | None) -> str:
    items = content['annotations']
    detected = [find_detected(item)[1] for item in items]
    persons, frames = np.max([one.shape[:2] for one in detected], axis=0)
    scores = [item['keypoint_score'] for item in items
              if 'keypoint_score' in item]
    if scores:
        channels = (f'confidences from {min(map(np.min, scores)):.2g} to '
                    f'{max(map(np.max, scores)):.2g}')
    elif items[0]['keypoint'].shape[-1] == 2:
        channels = 'no confidences'
    else:
        channels = f'vertical axis (--up): {up or "y (assumed)"}'
    pairs = [(item['keypoint'], one) for item, one in zip(items, detected)]
    low = np.min([joints[one].min(axis=0) for joints, one in pairs], axis=0)
    high = np.max([joints[one].max(axis=0) for joints, one in pairs], axis=0)
    lines = [counts.rename(index=printable).to_string(),
             f'frames: up to {frames}, persons: up to {persons}, {channels}',
             ', '.join(f'{axis} from {least:.3g} to {most:.3g}' for
                       axis, least, most in zip('xyz', low, high))]
    shares = {
        'frames without a person': [~one.any(axis=(0, 2)) for one in detected],
        'joints at the origin that count as detected': [
            ~joints[one].any(axis=-1) for joints, one in pairs],
        'joints outside the images (--img-shape)': [
            [check_pixels('', item, item['img_shape'])] for item in items
            if pixels]}
    for text, parts in shares.items():
        if parts and np.concatenate(parts).any():
            lines.append(f'{text}: {np.concatenate(parts).mean():.1%}')
    if table.attrs.get('ignored'):
        lines.append('ignored columns: ' + printable(table.attrs['ignored']))
    splits = table[table['subject'] != ''].groupby('subject')['split']
    shared = splits.nunique()[lambda number: number > 1].index
    if len(shared):
        lines.append('subjects in several splits: '
                     + printable(', '.join(shared)))
    return '\n'.join(lines)


def find_problems(where: Path, table: pd.DataFrame, classes: list[str],
                  drawn: bool) -> list[tuple[str, str]]:
    """Return the first problem of each row, as a kind and as a message."""
    label, subject, split = table['label'], table['subject'], table['split']
    grouped = drawn and (subject[split != 'test'].fillna('') != '').any()
    checks = [
        (table.index.duplicated(),
         'occurs in more than one row, file or split, expected one of each'),
        (label.isna(), 'has no row in the table of labels'),
        (table['read'].isna(), 'has a row but no .npy, .npz or .csv file, '
         'expected one of each'),
        (~label.isin(classes), 'has the label "' + label + '", expected one '
         f'of {", ".join(classes)} or, if no class is a number, numbers from 0'
         ' in all rows (to set the classes, use --classes)'),
        (~split.isin(['', *SPLITS] if drawn else SPLITS),
         'has the split "' + split + '", expected train, val or test'),
        ((subject == '') & (split != 'test') & grouped, 'has no subject, '
         'expected one in each row, or no column "subject"')]
    conditions, texts = zip(*checks)
    problems = np.select(conditions, texts, default='')
    rows = zip(table.index, label.isna(), table['read'], problems)
    return [(problem, f'{where}: "{read.args[0] if file else name}" '
             f'{problem}.') for name, file, read, problem in rows if problem]


def read_folder(source: Path, labels: Path) -> pd.DataFrame:
    """Return a table with a row per sequence, whose index is its name.

    The columns are label, subject, split and ``read``, a function that reads
    the sequence. A sequence without a file has NaN in ``read``. A file without
    a row in the table of labels has NaN in the other columns.
    """
    cells = sequence_file.read_cells(labels).map(clean)
    cells = cells.loc[(cells != '').any(axis=1), (cells != '').any()]
    header = [text.lower() for text in cells[:1].to_numpy().ravel()]
    rows = cells.set_axis(header, axis=1)[1:]
    ignored = rows.columns[~rows.columns.isin(COLUMNS)]
    rows = rows.drop(columns=ignored)
    if rows.empty or not rows.columns.is_unique or not (
            {'name', 'label'} <= set(rows)):
        raise InputError(
            f'{labels}: the header is "{",".join(header)}", with {len(rows)} '
            'rows below it, expected at least 1 row and the columns "name" '
            'and "label" and, optionally, "subject" and "split", each once.')
    # pandas and MATLAB may write missing values like this; Nan is a name
    table = rows.reindex(columns=COLUMNS).fillna(COLUMNS).replace(
        dict.fromkeys(['label', 'subject', 'split'], ['nan', 'NaN']), '')
    table['name'] = table['name'].map(_sequence_name)
    table['label'] = table['label'].map(_whole).replace(
        ['NA', '<NA>', '#N/A'], '')
    table['split'] = table['split'].str.casefold()
    # 01 and 1 are the same person
    table['subject'] = table['subject'].map(_whole).map(
        sequence_file.strip_zeros).str.casefold().replace(
            ['none', '<na>', '#n/a'], '')
    files = pd.Series({
        path: partial(sequence_file.read_sequence, path)
        for path in find_files(source)
        if path.suffix.lower() in sequence_file.SUFFIXES and path.is_file()
        and not labels.samefile(path)}, name='read', dtype=object).rename(
            lambda path: _sequence_name(os.path.relpath(path, source)))
    if files.empty:
        raise InputError(
            f'{source} is not a folder that contains .npy, .npz or .csv '
            'files, expected one file per sequence.')
    table = table.set_index('name').join(files, how='outer')
    table.attrs['ignored'] = ', '.join(ignored)
    return table


def _whole(text: str) -> str:
    """Convert "1.0", which pandas may write, to "1"; clean other texts."""
    return re.sub(r'^(-?[0-9]+)\.0*$', r'\1', clean(text))


def _sequence_name(path: str) -> str:
    """Convert a path, possibly a Windows path, to the name of a sequence."""
    return re.sub(r'(?i)(\s*\.(npy|npz|csv))+$', '',
                  clean(path).replace('\\', '/').removeprefix('./'))


def read_annotations(path: Path, layout: SkeletonLayout, split: Sequence[str],
                     classes: list[str] | None
                     ) -> tuple[pd.DataFrame, list[str] | None]:
    """Return a table as :func:`read_folder` does, and the class names.

    Without ``split``, all sequences are in the split 'train'.
    """
    rows = []
    for part, name in zip(SPLITS, split or [None]):
        dataset = SkeletonDataset(str(path), [], split=name)
        check_traits(dict(joint_names=layout.joint_names), dataset,
                     source=f'the layout "{layout.name}" (--layout)')
        own = dataset.metainfo.get('classes', classes)
        known = dict(enumerate(map(_whole, own or ())))
        for info in map(dataset.get_data_info, range(len(dataset))):
            arrays = {key: info[key] for key in (*ARRAYS, 'img_shape')
                      if info.get(key) is not None}
            rows.append(dict(
                name=name_of(info), subject='', split=part,
                # a number without a class may be the name of another class
                label=known.get(info['label'], ('number ' if own else '')
                                + str(info['label'])),
                read=partial(sequence_file.to_sequence,
                             f'{path}: {name_of(info)}', arrays)))
    return pd.DataFrame(rows).set_index('name'), (
        own if classes is None else classes)


def read_classes(path: Path) -> list[str]:
    """Read class names from a text file (one per line) or annotation file."""
    if path.suffix == '.pkl':
        return SkeletonDataset(str(path), []).metainfo.get('classes', [])
    cells = sequence_file.read_cells(path, '\0').map(clean)
    return cells.to_numpy().ravel().tolist()


def number_classes(where: Path, table: pd.DataFrame,
                   classes: list[str] | None
                   ) -> tuple[list[str], dict[str, int]]:
    """Return the class names, and a dict of label -> number of its class.

    The labels are either class names or numbers that count from 0. ``where``
    is the source of the class names, ``classes``, which default to the labels.
    """
    labels = set(table['label'].dropna()) - {''}
    numbers = {label for label in labels if re.fullmatch('-?[0-9]+', label)}
    if classes is None:
        if set(table['split'].dropna()) == {'test'}:
            raise InputError(f'{where}: all sequences are in the split "test"'
                             ', expected the classes of the training set '
                             '(--classes FILE).')
        classes = map(str, range(len(labels))) if numbers else sorted(labels)
    classes = list(classes)
    keys = list(map(_whole, classes))
    if len(set(map(fold, keys))) < max(2, len(keys)):
        raise InputError(f'{where}: the classes are {sorted(classes)}, '
                         'expected at least 2 names that differ in more than '
                         'case, width, spaces, hyphens and underscores.')
    if numbers == labels and not labels.intersection(keys) and not all(
            map(str.isdecimal, keys)):
        order = [int(start[0]) for start in map(
            re.compile(r'\d+(?=[ :.)-])').match, keys) if start]
        if len(set(order)) == len(keys) > max(order) - min(order) and (
                order != sorted(order)):
            raise InputError(f'{where}: the classes start with the numbers '
                             f'{order}, expected ascending numbers.')
        keys = map(str, range(len(classes)))
    return classes, {key: number for number, key in enumerate(keys)}


def find_up(annotations: list[dict], layout: SkeletonLayout) -> str | None:
    """Return the axis along which heads are above feet; None if unclear."""
    names = pd.Series(layout.joint_names).str.lower()
    # undetected joints at the origin must not change the direction
    sequences = [item['keypoint'] for item in annotations]  # (M, T, V, C)
    total = sum(one.sum(axis=(0, 1)) for one in sequences)
    count = sum(one.any(axis=-1).sum(axis=(0, 1)) for one in sequences)
    above, below = (names.str.contains(part) & (count > 0)
                    for part in (ABOVE, BELOW))
    if layout.dims == 2 or not (above.any() and below.any()):
        return None
    mean = total / np.maximum(count, 1)[:, None]  # (V, C)
    rise = np.abs(mean[above].mean(axis=0) - mean[below].mean(axis=0))
    up = int(rise.argmax())
    return 'xyz'[up] if rise[up] > 2 * np.delete(rise, up).max() else None


def read_layout(text: str) -> tuple[str | dict, SkeletonLayout]:
    """Return a layout as stored in annotation files, and as an object.

    ``text`` is its name, or a ``.json`` file, which provides the default name.
    """
    if not text.lower().endswith('.json'):
        return text, SkeletonLayout.get(text)
    try:
        fields = {'name': Path(text).stem, **json.loads(
            Path(text).read_text(encoding='utf-8-sig'))}
        return fields, SkeletonLayout.get(fields)
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f'{text} is not a valid layout: {error}') from None
