"""Convert your own sequences to an annotation file.

docs/custom_data.md describes the files. All of them are checked before
anything is written.
"""
import json
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
import pandas as pd

from ...utils.input_error import InputError, printable
from ...utils.skeleton_layout import SkeletonLayout
from ..annotation_check import check_sequences, name_of
from ..plain_annotation import ARRAYS
from ..skeleton_dataset import SkeletonDataset
from ..transforms.pre_normalize_2d import check_pixels
from . import custom_splits
from .annotation_file import write_annotations
from .custom_splits import SPLITS
from .sequence_file import (
    SUFFIXES,
    clean,
    read_cells,
    read_sequence,
    to_sequence,
)

COLUMNS = ['name', 'label', 'subject', 'split']
# words in the names of joints that are above or below the center of a body
ABOVE, BELOW = 'head|nose|face|neck', 'hip|pelvis|knee|ankle|foot'


@dataclass
class Conversion:
    """Result of :func:`convert`."""
    layout: Union[str, dict]  # as written to the file
    classes: List[str]
    splits: List[str]  # the splits that contain sequences
    img_shape: Optional[Tuple[int, int]]  # size of the images in pixels
    persons: int  # largest number of persons in a sequence
    channels: int  # coordinates of a joint, plus its confidence if any
    up: str  # vertical axis: x, y or z
    summary: str  # overview for the user, a few lines


def convert(source: Path, labels: Optional[Path], destination: Path,
            layout: str, *, classes: Optional[Path] = None,
            split: Sequence[str] = (), test_only: bool = False,
            val_ratio: Optional[float] = None, seed: int = 0,
            img_shape: Optional[Tuple[int, int]] = None,
            up: Optional[str] = None) -> Conversion:
    """Check all files, then write the annotation file.

    The arguments are the options of ``tools/data/custom.py``, whose ``--help``
    explains them.

    Raises:
        OSError: A file is missing.
        InputError: A file is invalid. In this case, nothing is written.
    """
    fields, layout = read_layout(layout)
    if img_shape and layout.dims == 3:
        raise InputError('--img-shape requires a two-dimensional layout, but '
                         f'"{layout.name}" is three-dimensional.')
    if labels is None:
        table, names = read_annotations(source, layout, split)
    else:
        table, names = read_folder(source, labels, classes), None
    if classes is not None:
        names = read_classes(classes)
    if test_only:
        table['split'] = 'test'
    where, drawn = labels or source, val_ratio is not None
    names, valid = find_classes(where, table, names)
    problems = list(_check_rows(where, source, table, valid, drawn))
    annotations = []
    for name, read in table['read'].dropna().items():
        try:
            annotations.append(dict(read(layout), frame_dir=name))
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError(f'problems found: {len(problems)}', *problems[:20])

    table['label'] = pd.Categorical(table['label'], valid).rename_categories(
        names)
    if drawn:
        table['split'] = custom_splits.draw(table, val_ratio, seed)
    counts = custom_splits.count(table)
    for item, label in zip(annotations, table['label'].cat.codes.tolist()):
        item.update(label=label, total_frames=item['keypoint'].shape[1])
    check_sequences(str(source), annotations)
    outside = []
    for item in annotations if img_shape else ():
        item['img_shape'] = tuple(img_shape)
        outside.append(check_pixels(f'{source}: {item["frame_dir"]}', item,
                                    img_shape))
    write_annotations(
        destination, annotations, classes=names, layout=fields,
        split={name: list(rows) for name, rows in
               table.groupby('split').groups.items()})
    up = up or find_up(annotations, layout)
    persons, frames = np.max([item['keypoint'].shape[:2]
                              for item in annotations], axis=0).tolist()
    summary = counts.rename(index=printable).to_string() + (
        f'\nframes: up to {frames}, persons: up to {persons}, '
        f'vertical axis (--up): {up}')
    if img_shape:
        summary += ('\njoints outside the images (--img-shape): '
                    f'{np.mean(outside):.1%}')
    by_subject = table[table['subject'] != ''].groupby('subject')['split']
    shared = by_subject.nunique()[lambda number: number > 1].index
    if len(shared):
        summary += ('\nsubjects in several splits: '
                    + printable(', '.join(shared)))
    return Conversion(fields, names, list(counts), img_shape, persons,
                      layout.dims + ('keypoint_score' in annotations[0]), up,
                      summary)


def _check_rows(where: Path, source: Path, table: pd.DataFrame,
                valid: List[str], drawn: bool) -> Iterator[str]:
    """Yield the problems of the rows of the table of files and labels."""
    label, subject, split = (table[name] for name in COLUMNS[1:])
    if not drawn and set(split.dropna()) == {''}:
        yield (f'{where} contains no splits. Add a column "split" with the '
               'values "train" and "val", or use --val-ratio.')
        return
    anonymous = subject[split != 'test'].dropna() == ''
    checks = {
        'occurs in more than one row, file or split, expected one of each':
            table.index.duplicated(),
        'has a file but no row, expected one of each': label.isna(),
        'has no file in {folder}, expected {name}.npy, .npz or .csv':
            table['read'].isna(),
        'has the label "{label}", expected one of the classes {valid}':
            label.notna() & ~label.isin(valid),
        'has the split "{split}", expected train, val or test':
            split.notna() & ~split.isin(['', *SPLITS] if drawn else SPLITS),
        'has no subject, expected one in each row, or no column "subject"':
            (subject == '') & (split != 'test') & drawn & ~anonymous.all()}
    for text, wrong in checks.items():
        for name, row in table[wrong].iterrows():
            yield f'{where}: "{name}" ' + text.format(
                name=name, folder=source, valid=', '.join(valid), **row) + '.'


def read_folder(source: Path, labels: Path, classes: Optional[Path]
                ) -> pd.DataFrame:
    """Return the files in a folder with their rows in the table of labels."""
    others = [path.resolve() for path in (labels, classes) if path]
    files = [path for path in sorted(source.rglob('*'))
             if path.suffix.lower() in SUFFIXES
             and path.is_file() and path.resolve() not in others]
    if not files:
        raise InputError(f'{source} contains no .npy, .npz or .csv files, '
                         'expected a folder with one file per sequence.')
    cells = read_cells(labels).map(clean)
    header = cells.iloc[0].str.lower().tolist()
    found = list(map(header.count, COLUMNS))
    if found[:2] != [1, 1] or max(found) > 1 or len(cells) < 2:
        raise InputError(f'{labels} has the header "{",".join(header)}" (rows '
                         f'below it: {len(cells) - 1}), expected the columns '
                         '"name" and "label", and optionally "subject" and '
                         '"split", each once, and at least 1 row.')
    table = cells[1:].set_axis(header, axis=1)
    # a spreadsheet may write several columns without a header
    table = table.loc[:, table.columns.isin(COLUMNS)].reindex(
        columns=COLUMNS, fill_value='')
    table['name'] = table['name'].map(_sequence_name)
    table['subject'] = table['subject'].str.casefold()
    names = [_sequence_name(path.relative_to(source).as_posix())
             for path in files]
    reads = [partial(read_sequence, path) for path in files]
    return table.merge(pd.DataFrame(dict(name=names, read=reads)), 'outer',
                       on='name').set_index('name')


def _sequence_name(text: str) -> str:
    """Convert a path, possibly a Windows path, to the name of a sequence."""
    return re.sub(r'\.(npy|npz|csv)$', '', clean(text).replace('\\', '/'),
                  flags=re.IGNORECASE)


def read_annotations(path: Path, layout: SkeletonLayout, split: Sequence[str]
                     ) -> Tuple[pd.DataFrame, Optional[List[str]]]:
    """Return a table of an annotation file's sequences, and the classes."""
    if len(split) > len(SPLITS):
        raise InputError(f'--split is {", ".join(split)}, expected at most 3 '
                         'names, for train, val and test.')
    rows = []
    for part, name in zip(SPLITS, split) if split else [('', None)]:
        dataset = SkeletonDataset(str(path), [], split=name)
        if dataset.layout and (
                dataset.layout.joint_names != layout.joint_names):
            raise InputError(
                f'{path} has the layout "{dataset.layout.name}", expected one '
                f'with the joints of "{layout.name}" (--layout).')
        names = dataset.metainfo.get('classes')
        names = check_classes(path, names) if names else None
        known = dict(enumerate(names or ()))
        for info in map(dataset.get_data_info, range(len(dataset))):
            arrays = {key: info[key] for key in (*ARRAYS, 'img_shape')
                      if key in info}
            rows.append((
                name_of(info), known.get(info['label'], str(info['label'])),
                '', part, partial(to_sequence, f'{path}: {name_of(info)}',
                                  arrays)))
    return pd.DataFrame(rows, columns=[*COLUMNS, 'read']).set_index(
        'name'), names


def find_classes(where: Path, table: pd.DataFrame,
                 classes: Optional[List[str]]
                 ) -> Tuple[List[str], List[str]]:
    """Return the class names, and the valid labels, in the same order.

    The labels are either class names or numbers that count from 0. Without
    ``classes``, the class names are the sorted labels.
    """
    if classes is None and set(table['split'].dropna()) == {'test'}:
        raise InputError(f'{where}: all sequences are in the split "test", '
                         'expected the classes of the training set '
                         '(--classes FILE).')
    labels = sorted(set(table['label'].dropna()) - {''})
    numbered = [text for text in labels if re.fullmatch(r'-?\d+', text)]
    if classes is None:
        classes = list(map(str, range(len(labels)))) if numbered else labels
        spellings = set(map(str.casefold, labels))
        if set(labels) != set(classes) or len(spellings) < len(labels):
            raise InputError(
                f'{where}: the labels are {labels}, expected class '
                'names that differ in more than case, or the numbers 0, 1, 2 '
                'and so on without a gap. Otherwise, list all classes with '
                '--classes.')
    if len(classes) < 2:
        raise InputError(f'{where}: all sequences have the same label '
                         f'({", ".join(classes)}), expected at least 2 '
                         'classes.')
    if numbered == labels and not set(classes) & set(labels):
        return classes, list(map(str, range(len(classes))))
    return classes, classes


def read_classes(path: Path) -> List[str]:
    """Read class names from a text file (one per line) or annotation file."""
    if path.suffix == '.pkl':
        return check_classes(path, SkeletonDataset(
            str(path), []).metainfo.get('classes', []))
    try:
        text = path.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise InputError(f'{path} is not UTF-8 text: {error}.') from None
    return check_classes(path, text.splitlines())


def check_classes(path: Path, names: List[str]) -> List[str]:
    """Return class names in one Unicode form; raise if one occurs twice."""
    classes = list(filter(None, map(clean, names)))
    if not classes or len(set(classes)) < len(classes):
        raise InputError(f'{path} contains {len(classes)} class names, '
                         f'{len(set(classes))} of them distinct, expected at '
                         'least one, and each only once.')
    return classes


def find_up(annotations: List[dict], layout: SkeletonLayout) -> str:
    """Return the axis along which heads are above feet, or 'y' if unclear."""
    names = pd.Series(layout.joint_names).str.lower()
    above, below = names.str.contains(ABOVE), names.str.contains(BELOW)
    if layout.dims == 2 or not (above.any() and below.any()):
        return 'y'
    # the coordinates of absent persons are zero, and so is their difference
    rise = np.abs(np.mean([
        item['keypoint'][:, :, above].mean(axis=(0, 1, 2))
        - item['keypoint'][:, :, below].mean(axis=(0, 1, 2))
        for item in annotations], axis=0))
    axis = int(rise.argmax())
    return 'xyz'[axis] if rise[axis] > 2 * np.delete(rise, axis).max() else 'y'


def read_layout(text: str) -> Tuple[Union[str, dict], SkeletonLayout]:
    """Return a layout as stored in annotation files, and as an object.

    ``text`` is a name, or the path of a ``.json`` file with the arguments of
    :class:`SkeletonLayout`. Their ``name`` defaults to that of the file.
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
    except (ValueError, TypeError) as error:
        raise InputError(f'{text} is not a valid layout: {error}') from None
