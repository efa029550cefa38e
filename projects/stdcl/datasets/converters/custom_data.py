"""Convert your own sequences to an annotation file.

docs/custom_data.md describes the files. All of them are checked before
anything is written.
"""
import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
import pandas as pd

from ...utils.input_error import InputError, printable
from ...utils.skeleton_layout import SkeletonLayout
from ..plain_annotation import ARRAYS
from ..skeleton_dataset import SkeletonDataset
from . import custom_splits
from .annotation_file import write_annotations
from .custom_splits import SPLITS
from .sequence_file import (
    SUFFIXES,
    check_pixels,
    clean,
    read_cells,
    read_sequence,
    read_text,
    to_sequence,
)

MAX_SHOWN = 20
IMAGE = ('img_shape', 'original_shape')
COLUMNS = ['name', 'label', 'subject', 'split']
# words in the names of joints that are above or below the center of a body
ABOVE, BELOW = 'head|nose|face|neck', 'hip|pelvis|knee|ankle|foot'

# name of a sequence -> descriptions of its problems
Problems = Dict[str, List[str]]


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
    problems: Problems  # problems of the skipped sequences


def convert(source: Path, labels: Optional[Path], destination: Path,
            layout: str, *, classes: Optional[Path] = None,
            split: Sequence[str] = (), test_only: bool = False,
            val_ratio: Optional[float] = None,
            by_subject: Optional[bool] = None, seed: int = 0,
            img_shape: Optional[Tuple[int, int]] = None,
            up: Optional[str] = None, skip_bad: bool = False) -> Conversion:
    """Check all files, then write the annotation file.

    Args:
        source (Path): Folder with one file per sequence, or an annotation
            file, ``*.pkl``, which also contains the labels.
        labels (Path, optional): CSV table with the columns name and label,
            and optionally subject and split. Required for a folder.
        layout (str): Name of a layout, or path of a ``.json`` file.
        classes (Path, optional): File with the class names in order, one per
            line, or the annotation file of the training set. Defaults to the
            classes of ``source``, or to the sorted names in the table.
        split (sequence[str]): For an annotation file, the names of its splits
            for training, validation and, optionally, testing. Defaults to all
            sequences.
        test_only (bool): Whether all sequences are for testing. Defaults to
            False.
        val_ratio (float, optional): Share of the data to draw for validation.
            Defaults to the given splits. Test sequences remain as given.
        by_subject (bool, optional): Whether to draw subjects. Defaults to True
            if every row names a subject and there are at least two subjects.
        seed (int): Random seed of the draw. Defaults to 0.
        img_shape (tuple[int, int], optional): Height and width in pixels of
            the images in which two-dimensional joints were detected.
        up (str, optional): Vertical axis of three-dimensional joints: x, y or
            z. Defaults to the axis along which heads are above feet, or y.
        skip_bad (bool): Whether to skip sequences with problems instead of
            raising an error. Defaults to False.

    Raises:
        InputError: A file is invalid. In this case, nothing is written.
    """
    problems: Problems = defaultdict(list)
    fields, layout = read_layout(layout)
    if img_shape is not None and layout.dims == 3:
        raise InputError('--img-shape requires a two-dimensional layout, but '
                         f'"{layout.name}" is three-dimensional.')
    given, where = classes and read_classes(classes), labels or source
    if source.suffix == '.pkl':
        sources, table, own = read_annotations(source, split)
        given = given or own
    else:
        sources = find_files(source, (labels, classes), problems)
        table = read_table(labels, problems)
    for name in sources.keys() - set(table.index):
        problems[name].append(f'{sources[name]}: "{name}" has no row in '
                              f'{where}.')
    for name in set(table.index) - sources.keys():
        problems[name].append(f'{where}: "{name}" has no file in {source}, '
                              f'expected {name}.npy, .npz or .csv.')
    table['label'], names = number_labels(where, table['label'], given,
                                          problems)
    if test_only:
        table['split'] = 'test'
    if given is None and set(table['split']) == {'test'}:
        raise InputError(f'{where}: all sequences are in the split test, so '
                         'the classes of the training set are needed '
                         '(--classes).')
    method = custom_splits.choose(where, table, val_ratio, by_subject,
                                  problems)
    sequences, outside = _read(source, sources, layout, img_shape, problems)
    table = table.loc[[name for name in sources if name not in problems]]
    if problems and not (skip_bad and len(table)):
        raise InputError(*_listed(problems))

    if val_ratio is not None:
        table['split'] = custom_splits.draw(table, method, val_ratio, seed)
    warnings = custom_splits.check(table, names)
    if outside > 0.01:
        warnings.append(f'{outside:.0%} of the joints are outside the images; '
                        '--img-shape takes the height first, then the width')
    annotations = [dict(
        sequences[name], frame_dir=name, label=int(table.at[name, 'label']),
        total_frames=sequences[name]['keypoint'].shape[1])
        for name in table.index]
    up = up or find_up(annotations, layout)
    splits = {split: table.index[table['split'] == split].tolist()
              for split in SPLITS if split in set(table['split'])}
    write_annotations(destination, annotations, classes=names, layout=fields,
                      split=splits)
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
        persons=' or '.join(map(str, persons)),
        **(dict(up=f'{up}; to change it, use --up') if layout.dims == 3
           else {}))
    return Conversion(
        fields, names, list(splits), max(persons), _channels(annotations[0]),
        up, '\n'.join(f'  {key:9} {text}' for key, text in summary.items()),
        warnings, dict(problems))


def _channels(sequence: dict) -> int:
    return sequence['keypoint'].shape[-1] + ('keypoint_score' in sequence)


def _listed(problems: Problems) -> List[str]:
    texts = [text for name in sorted(problems) for text in problems[name]]
    more = len(texts) - MAX_SHOWN
    title = f'{len(texts)} problem{"s" if len(texts) > 1 else ""}:'
    return [title, *texts[:MAX_SHOWN],
            *([f'... and {more} more'] if more > 0 else [])]


def _read(source: Path, sources: dict, layout: SkeletonLayout,
          img_shape: Optional[Tuple[int, int]], problems: Problems) -> tuple:
    """Return the sequences, and the share of joints outside the images."""
    sequences, outside = {}, [0.]
    for name, item in sources.items():
        is_file = isinstance(item, Path)
        where = str(item) if is_file else f'{source}: {name}'
        try:
            sequence = (read_sequence(item, layout) if is_file
                        else to_sequence(where, item, layout))
            if not sequence['keypoint'].any():
                raise InputError(f'{where} contains only zeros, expected '
                                 'joints in at least one frame.')
            if img_shape:
                outside.append(check_pixels(where, sequence, img_shape))
                sequence.update(dict.fromkeys(IMAGE, tuple(img_shape)))
            sequences[name] = sequence
        except InputError as error:
            problems[name].append(str(error))
    # an encoder has a fixed number of channels
    counts = Counter(map(_channels, sequences.values()))
    for name, sequence in sequences.items():
        (usual, count), *_ = counts.most_common(1)
        if _channels(sequence) != usual:
            problems[name].append(
                f'{source}: "{name}" has {_channels(sequence)} channels, '
                f'including the confidence, expected {usual}, as in {count} '
                f'of {len(sequences)} sequences.')
    return sequences, np.mean(outside)


def find_files(source: Path, others: Tuple[Optional[Path], ...],
               problems: Problems) -> Dict[str, Path]:
    """Map names of sequences to their files in a folder, except ``others``."""
    others = {path.resolve() for path in others if path}
    files: Dict[str, Path] = {}
    for path in sorted(source.rglob('*')):
        if path.suffix.lower() in SUFFIXES and path.is_file() and (
                path.resolve() not in others):
            name = _sequence_name(path.relative_to(source).as_posix())
            if name in files:
                problems[name].append(f'{files[name]} and {path} have the '
                                      'same name, expected unique names.')
            files[name] = path
    if not files:
        raise InputError(f'{source} contains no .npy, .npz or .csv files, '
                         'expected a folder with one file per sequence.')
    return files


def _sequence_name(text: str) -> str:
    """Convert a path, possibly a Windows path, to the name of a sequence."""
    return re.sub(r'\.(npy|npz|csv)$', '', clean(text).replace('\\', '/'),
                  flags=re.IGNORECASE)


def read_annotations(path: Path, split: Sequence[str]
                     ) -> Tuple[Dict[str, dict], pd.DataFrame, list]:
    """Read an annotation file: arrays by name, the table, and the classes."""
    items, rows = {}, []
    for part, name in zip(SPLITS, split) if split else [('', None)]:
        dataset = SkeletonDataset(str(path), [], split=name)
        classes = dataset.metainfo.get('classes')
        for info in map(dataset.get_data_info, range(len(dataset))):
            if info['frame_dir'] in items or 'frame_inds' in info:
                raise InputError(
                    f'{path}: sequence {info["frame_dir"]} is in two splits '
                    'or is packed (frame_inds), expected neither.')
            label = info['label']
            rows.append((info['frame_dir'], classes[label] if classes and (
                label < len(classes)) else str(label), '', part))
            items[info['frame_dir']] = {
                key: info[key] for key in (*ARRAYS, *IMAGE) if key in info}
    table = pd.DataFrame(rows, columns=COLUMNS).set_index('name')
    return items, table, classes


def read_table(path: Path, problems: Problems) -> pd.DataFrame:
    """Read the table of labels, whose index is the name of the sequence.

    The header must contain ``name`` (or ``file``) and ``label``. Names that
    occur twice are added to ``problems``.
    """
    cells = read_cells(path).map(clean)
    header = [text.lower().replace('file', 'name')
              for text in cells.iloc[:1].to_numpy().ravel()]
    if not all(header.count(name) == 1 or name not in header and name in (
            'subject', 'split') for name in COLUMNS) or len(cells) < 2:
        raise InputError(f'{path} has the header "{",".join(header)}" and '
                         f'{len(cells) - 1} rows, expected the columns "name" '
                         '(or "file") and "label", and optionally "subject" '
                         'and "split", each once, and at least 1 row.')
    table = cells[1:].set_axis(header, axis=1).reindex(
        columns=COLUMNS, fill_value='')
    table['name'] = table['name'].map(_sequence_name)
    table['subject'] = table['subject'].str.casefold()
    for name in table['name'][table['name'].duplicated()]:
        problems[name].append(f'{path}: "{name}" is in more than one row, '
                              'expected exactly one.')
    return table.drop_duplicates('name').set_index('name')


def number_labels(path: Path, labels: pd.Series,
                  classes: Optional[List[str]], problems: Problems
                  ) -> Tuple[pd.Series, List[str]]:
    """Number the classes from 0, in the order of ``classes`` or sorted.

    The labels are either all numbers or all class names. Return the classes
    (-1 if unknown) and the class names.
    """
    values = sorted(set(labels) - {''})
    numbers = [text for text in values if re.fullmatch(r'-?\d+', text)]
    if classes is None:
        classes = values
        if numbers:
            classes = [str(number) for number in range(len(values))]
        spellings = Counter(map(str.casefold, values))
        if set(values) != set(classes) or len(spellings) < len(values):
            raise InputError(
                f'{path}: the labels are {", ".join(values)}; expected class '
                'names that differ in more than case, or the numbers 0, 1, 2 '
                'and so on without a gap. Otherwise, list all classes with '
                '--classes.')
    known = list(classes)
    if numbers == values and not set(known) & set(numbers):
        known = [str(number) for number in range(len(classes))]
    for name, text in labels[~labels.isin(known)].items():
        problems[name].append(
            f'{path}: the label of "{name}" is "{text}", expected one of '
            f'the {len(classes)} classes {", ".join(known)}.')
    codes = pd.Categorical(labels, known).codes
    return pd.Series(codes, labels.index), classes


def read_classes(path: Path) -> List[str]:
    """Read class names from a text file, one per line, or annotation file."""
    if path.suffix == '.pkl':
        classes = SkeletonDataset(str(path), []).metainfo.get('classes', [])
    else:
        classes = read_text(path).splitlines()
    classes = list(filter(None, map(clean, classes)))
    if not classes or len(set(classes)) < len(classes):
        raise InputError(f'{path} contains {len(classes)} names, of which '
                         f'{len(set(classes))} are distinct, expected each '
                         'class once, one per line.')
    return classes


def find_up(annotations: List[dict], layout: SkeletonLayout) -> str:
    """Return the axis along which heads are above feet, or 'y' if unclear."""
    above, below = ([joint for joint, name in enumerate(layout.joint_names)
                     if re.search(words, name.lower())]
                    for words in (ABOVE, BELOW))
    if layout.dims == 2 or not above or not below:
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
        pairs = json.loads(read_text(Path(text)), object_pairs_hook=list)
        if not isinstance(pairs, list) or len(dict(pairs)) < len(pairs):
            raise TypeError('expected a dict that contains each field once')
        fields = {'name': Path(text).stem, **dict(pairs)}
        return fields, SkeletonLayout.get(fields)
    except (ValueError, TypeError) as error:
        raise InputError(f'{text} is not a valid layout: {error}') from None
