"""Convert your own sequences to an annotation file.

docs/custom_data.md describes the files. All of them are read into one table
with a row per sequence, and checked before anything is written.
"""
import json
import re
from collections.abc import Sequence
from functools import partial
from glob import glob
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
from . import custom_splits
from .annotation_file import write_annotations
from .custom_splits import SPLITS
from .sequence_file import (
    SUFFIXES,
    clean,
    fold,
    read_cells,
    read_sequence,
    strip_zeros,
    to_sequence,
)

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
        raise InputError('--img-shape requires a two-dimensional layout, but '
                         f'"{layout.name}" is three-dimensional.')
    names = read_classes(classes) if classes else None
    if labels is None:
        table, names = read_annotations(source, layout, split, names)
    elif split:
        raise InputError(f'--split is {", ".join(split)}, which requires an '
                         f'annotation file (*.pkl), but {source} is a folder.')
    else:
        table = read_folder(source, labels)
    if test_only:
        table['split'] = 'test'
    where, drawn = labels or source, val_ratio is not None
    names, numbers = number_classes(classes or where, table, names)
    problems = find_problems(where, table, list(numbers), drawn)
    annotations, outside = [], []
    for name, row in table.dropna(subset='read').iterrows():
        try:
            item = dict(row['read'](layout), frame_dir=name,
                        label=numbers.get(row['label']))
            if img_shape:
                if item.get('img_shape') is None:
                    item['img_shape'] = tuple(img_shape)
                outside.append(check_pixels(f'{source}: {name}', item,
                                            item['img_shape']))
            annotations.append(item)
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError(f'problems found: {len(problems)}',
                         *_group(problems))
    check_sequences(str(source), annotations)

    table['label'] = pd.Categorical.from_codes(
        table['label'].map(numbers), names)
    if drawn:
        table['split'] = custom_splits.draw(table, val_ratio, seed)
    counts = custom_splits.count(str(where), table)
    content = dict(classes=names, layout=fields, split={
        name: list(rows) for name, rows in
        table.groupby('split').groups.items()})
    write_annotations(destination, annotations, **content)
    content.update(annotations=annotations,
                   up=up or find_up(annotations, layout))
    return content, _summarize(table, counts, content, outside)


def _group(problems: list[str]) -> list[str]:
    """Return the first problem of each kind, of up to 20 kinds."""
    kinds = {}
    for problem in problems:
        # names and numbers differ within a kind, but not labels
        kind = re.sub(r'^.*: ("[^"]*" )?|("[^"]*")|[-.\d]+', r'\2', problem)
        kinds.setdefault(kind, []).append(problem)
    lines = [f'{first} ({len(more)} more like this)' if more else first
             for first, *more in kinds.values()]
    rest = f'and {len(lines) - 20} more kinds of problems'
    return lines[:20] + [rest] * (len(lines) > 20)


def _summarize(table: pd.DataFrame, counts: pd.DataFrame, content: dict,
               outside: list[float]) -> str:
    persons, frames = np.max([item['keypoint'].shape[:2]
                              for item in content['annotations']], axis=0)
    detected = [find_detected(item)[1] for item in content['annotations']]
    empty = np.concatenate([~one.any(axis=(0, 2)) for one in detected])
    zeros = sum((one & ~item['keypoint'].any(axis=-1)).sum() for one, item in
                zip(detected, content['annotations']))
    scores = [item['keypoint_score'] for item in content['annotations']
              if 'keypoint_score' in item]
    channels = (
        f'confidences from {min(map(np.min, scores)):.2g} to '
        f'{max(map(np.max, scores)):.2g}' if scores else 'no confidences'
        if content['annotations'][0]['keypoint'].shape[-1] == 2 else
        f'vertical axis (--up): {content["up"]}')
    lines = [counts.rename(index=printable).to_string(), 'frames: up to '
             f'{frames}, persons: up to {persons}, {channels}']
    if empty.any():
        lines.append(f'frames without a person: {empty.sum():,} of '
                     f'{len(empty):,} ({empty.mean():.1%})')
    if zeros:
        lines.append('joints at the origin that count as detected: '
                     f'{zeros / sum(map(np.sum, detected)):.1%}')
    if outside:
        lines.append('joints outside the images (--img-shape): '
                     f'{np.mean(outside):.1%}')
    splits = table[table['subject'] != ''].groupby('subject')['split']
    shared = splits.nunique()[lambda number: number > 1].index
    if len(shared):
        lines.append('subjects in several splits: '
                     + printable(', '.join(shared)))
    return '\n'.join(lines)


def find_problems(where: Path, table: pd.DataFrame, classes: list[str],
                  drawn: bool) -> list[str]:
    """Describe the first problem of each row of a table that has one."""
    label, subject, split = table['label'], table['subject'], table['split']
    grouped = drawn and (subject[split != 'test'].fillna('') != '').any()
    checks = [
        (table.index.duplicated(),
         'occurs in more than one row, file or split, expected one of each'),
        (label.isna(), 'has a file but no row in the table of labels'),
        (table['read'].isna(), 'has a row but no .npy, .npz or .csv file, '
         'expected one of each'),
        (~label.isin(classes), 'has the label "' + label + '", expected one '
         f'of {", ".join(classes)} (to set the classes, use --classes)'),
        (~split.isin(['', *SPLITS] if drawn else SPLITS),
         'has the split "' + split + '", expected train, val or test'),
        ((subject == '') & (split != 'test') & grouped, 'has no subject, '
         'expected one in each row, or no column "subject"')]
    problems = zip(table.index, np.select(*zip(*checks), ''))
    return [f'{where}: "{name}" {problem}.' for name, problem in problems
            if problem]


def read_folder(source: Path, labels: Path) -> pd.DataFrame:
    """Return a table with a row per sequence, whose index is its name.

    The columns are label, subject, split and ``read``, a function that reads
    the sequence. A sequence without a file has NaN in ``read``. A file without
    a row in the table of labels has NaN in the other columns.
    """
    cells = read_cells(labels).map(clean)
    cells = cells[(cells != '').any(axis=1)]
    rows = cells[1:].set_axis(cells.iloc[0].str.lower(), axis=1)
    found = [list(rows).count(name) for name in COLUMNS]
    if found[:2] != [1, 1] or max(found) > 1 or rows.empty:
        raise InputError(f'{labels} has the header "{",".join(rows)}" (rows '
                         f'below it: {len(rows)}), expected the columns '
                         '"name" and "label", and optionally "subject" and '
                         '"split", each once, and at least 1 row.')
    table = pd.DataFrame({name: rows.get(name, default)
                          for name, default in COLUMNS.items()}, rows.index)
    table.iloc[:, 1:] = table.iloc[:, 1:].replace('nan', '')  # of pandas
    table['name'] = table['name'].map(_sequence_name)
    table['label'] = table['label'].map(_whole)
    table['split'] = table['split'].str.casefold()
    # 01 and 1 are the same person
    table['subject'] = table['subject'].map(_whole).map(strip_zeros).map(fold)
    files = [(_sequence_name(name), partial(read_sequence, source / name))
             for name in glob('**', root_dir=source, recursive=True)
             if name.lower().endswith(SUFFIXES) and (source / name).is_file()
             and not labels.samefile(source / name)]
    if not files:
        raise InputError(
            f'{source} is not a folder that contains .npy, .npz or .csv '
            'files, expected one file per sequence.')
    files = pd.DataFrame(files, columns=['name', 'read'])
    return table.set_index('name').join(files.set_index('name'), how='outer')


def _whole(text: str) -> str:
    """Convert "1.0", which pandas may write, to "1"; clean other texts."""
    return re.sub(r'^(-?\d+)\.0*$', r'\1', clean(text))


def _sequence_name(text: str) -> str:
    """Convert a path, possibly a Windows path, to the name of a sequence."""
    return re.sub(r'\.(npy|npz|csv)$', '', clean(text).replace('\\', '/'),
                  flags=re.IGNORECASE)


def read_annotations(path: Path, layout: SkeletonLayout, split: Sequence[str],
                     classes: list[str] | None
                     ) -> tuple[pd.DataFrame, list[str] | None]:
    """Return a table as :func:`read_folder` does, and the class names.

    Without ``split``, all sequences are in the split 'train'.
    """
    if len(split) > len(SPLITS):
        raise InputError(f'--split is {", ".join(split)}, expected at most 3 '
                         'names, for train, val and test.')
    rows = []
    for part, name in zip(SPLITS, split or [None]):
        dataset = SkeletonDataset(str(path), [], split=name)
        check_traits(dict(joint_names=layout.joint_names), dataset,
                     source=f'the layout "{layout.name}" (--layout)')
        own = dataset.metainfo.get('classes', classes)
        known = dict(enumerate(map(_whole, own or ())))
        for info in map(dataset.get_data_info, range(len(dataset))):
            arrays = {key: info[key] for key in (*ARRAYS, 'img_shape')
                      if key in info}
            rows.append(dict(
                name=name_of(info), subject='', split=part,
                # a label beyond the classes could be the name of another
                label=known.get(info['label'], f'{"number " * bool(own)}'
                                f'{info["label"]}'),
                read=partial(to_sequence, f'{path}: {name_of(info)}', arrays)))
    return pd.DataFrame(rows).set_index('name'), classes or own


def read_classes(path: Path) -> list[str]:
    """Read class names from a text file (one per line) or annotation file."""
    if path.suffix == '.pkl':
        return SkeletonDataset(str(path), []).metainfo.get('classes', [])
    return read_cells(path, separator='\0').to_numpy().ravel().tolist()


def number_classes(where: Path, table: pd.DataFrame,
                   classes: list[str] | None
                   ) -> tuple[list[str], dict[str, int]]:
    """Return the class names, and a dict of label -> number of its class.

    The labels are either class names or numbers that count from 0. ``where``
    is the source of the class names, ``classes``, which default to the labels.
    """
    labels = set(table['label'].dropna()) - {''}
    numbers = {label for label in labels if re.fullmatch(r'-?\d+', label)}
    if classes is None:
        if set(table['split'].dropna()) == {'test'}:
            raise InputError(f'{where}: all sequences are in the split "test"'
                             ', expected the classes of the training set '
                             '(--classes FILE).')
        classes = map(str, range(len(labels))) if numbers else sorted(labels)
    classes = list(map(clean, classes))
    keys = list(map(_whole, classes))
    if len(set(map(fold, keys))) < max(2, len(keys)):
        raise InputError(f'{where}: the classes are {sorted(classes)}, '
                         'expected at least 2 names that differ in more than '
                         'case, width, spaces, hyphens and underscores.')
    if numbers == labels and not labels.intersection(keys):
        keys = map(str, range(len(classes)))
    return classes, {key: number for number, key in enumerate(keys)}


def find_up(annotations: list[dict], layout: SkeletonLayout) -> str:
    """Return the axis along which heads are above feet, or 'y' if unclear."""
    names = pd.Series(layout.joint_names).str.lower()
    above, below = names.str.contains(ABOVE), names.str.contains(BELOW)
    if layout.dims == 2 or not (above.any() and below.any()):
        return 'y'
    # absent persons do not change the direction
    mean = np.mean([item['keypoint'].mean(axis=(0, 1))
                    for item in annotations], axis=0)  # (V, C)
    rise = np.abs(mean[above].mean(axis=0) - mean[below].mean(axis=0))
    axis = int(rise.argmax())
    return 'xyz'[axis] if rise[axis] > 2 * np.delete(rise, axis).max() else 'y'


def read_layout(text: str) -> tuple[str | dict, SkeletonLayout]:
    """Return a layout as stored in annotation files, and as an object.

    ``text`` is its name, or a ``.json`` file, which provides the default name.
    """
    if not text.endswith('.json'):
        return text, SkeletonLayout.get(text)
    try:
        pairs = json.loads(Path(text).read_text(encoding='utf-8-sig'),
                           object_pairs_hook=list)
        if not isinstance(pairs, list) or len(dict(pairs)) < len(pairs):
            raise TypeError('expected a JSON object with each field only once')
        fields = {'name': Path(text).stem, **dict(pairs)}
        return fields, SkeletonLayout.get(fields)
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f'{text} is not a valid layout: {error}') from None
