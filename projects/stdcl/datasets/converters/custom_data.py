"""Convert your own sequences, one file each, to an annotation file.

docs/custom_data.md describes the files. All of them are checked before
anything is written.
"""
import csv
import json
import re
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple, Union

import numpy as np
from rich.console import Console
from rich.progress import track

from ...utils.input_error import InputError, printable
from ...utils.skeleton_layout import SkeletonLayout
from . import custom_splits
from .annotation_file import write_annotations
from .custom_splits import BY_SUBJECT, SPLITS
from .sequence_file import SUFFIXES, read_sequence, read_text

MAX_SHOWN = 20

# name of a sequence -> descriptions of its problems
Problems = Dict[str, List[str]]


@dataclass
class Conversion:
    """Result of :func:`convert`."""
    layout: Union[str, dict]  # as written to the file
    classes: List[str]
    persons: int  # largest number of persons in a sequence
    channels: int  # coordinates of a joint, plus its confidence if any
    summary: str  # overview for the user, a few lines
    warnings: List[str]
    problems: Problems  # problems of the skipped sequences


def convert(source: Path, labels: Path, destination: Path, layout: str, *,
            classes: Optional[Path] = None, val_ratio: Optional[float] = None,
            by_subject: Optional[bool] = None, seed: int = 0,
            img_shape: Optional[Tuple[int, int]] = None,
            skip_bad: bool = False) -> Conversion:
    """Check all files, then write the annotation file.

    Args:
        source (Path): Folder with one file per sequence.
        labels (Path): CSV table with the columns name and label, and
            optionally subject and split.
        layout (str): Name of a layout, or path of a ``.json`` file.
        classes (Path, optional): File with the class names in order, one per
            line. Defaults to the sorted names in the table.
        val_ratio (float, optional): Share of the data to draw for validation.
            Defaults to the column split of the table.
        by_subject (bool, optional): Whether to draw subjects. Defaults to True
            if every row names a subject and there are at least two subjects.
        seed (int): Random seed of the draw. Defaults to 0.
        img_shape (tuple[int, int], optional): Height and width in pixels of
            the images in which two-dimensional joints were detected.
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
    files = find_files(source, (labels, classes), problems)
    table = read_table(labels, problems)
    for name in files.keys() - table.keys():
        problems[name].append(f'{files[name]}: "{name}" has no row in '
                              f'{labels}.')
    for name in table.keys() - files.keys():
        problems[name].append(f'{labels}: "{name}" has no file in {source}, '
                              f'expected {name}.npy, .npz or .csv.')
    numbers, classes = number_labels(
        labels, {name: row['label'] for name, row in table.items()},
        classes and read_classes(classes), problems)
    subjects = {name: row.get('subject') for name, row in table.items()}
    splits = {name: row.get('split') for name, row in table.items()}
    if val_ratio is not None:
        method = custom_splits.method_of(subjects, by_subject)
    elif any(splits.values()):
        method = f'given by {labels}'
    else:
        raise InputError(f'{labels} contains no splits. Add a column split '
                         'with the values train and val, or use --val-ratio.')
    for name in table:
        if val_ratio is None and splits[name] not in SPLITS:
            problems[name].append(f'{labels}: the split of "{name}" is '
                                  f'"{splits[name]}", expected train or val.')
        if method == BY_SUBJECT and not subjects[name]:
            problems[name].append(f'{labels}: "{name}" has no subject, which '
                                  '--by-subject needs.')
    sequences = _read_files(files, layout, problems)
    names = [name for name in files if name not in problems]
    if problems and not (skip_bad and names):
        raise InputError(*_listed(problems))

    numbers = {name: numbers[name] for name in names}
    if val_ratio is not None:
        splits = custom_splits.draw(method, numbers, subjects, val_ratio, seed)
    splits = {name: splits[name] for name in names}
    warnings = custom_splits.check(splits, numbers, classes, subjects)
    image = {} if img_shape is None else dict.fromkeys(
        ('img_shape', 'original_shape'), tuple(img_shape))
    annotations = [dict(
        frame_dir=name, label=numbers[name], **sequences[name], **image,
        total_frames=sequences[name]['keypoint'].shape[1]) for name in names]
    write_annotations(
        destination, annotations, classes=classes, layout=fields,
        split={split: [name for name in names if splits[name] == split]
               for split in SPLITS})
    return Conversion(
        fields, classes, max(len(item['keypoint']) for item in annotations),
        _channels(annotations[0]), _summary(
            method, classes, annotations, Counter(splits.values())),
        warnings, dict(problems))


def _channels(sequence: dict) -> int:
    return sequence['keypoint'].shape[-1] + ('keypoint_score' in sequence)


def _summary(method: str, classes: List[str], annotations: List[dict],
             parts: Dict[str, int]) -> str:
    counts = Counter(item['label'] for item in annotations)
    frames = [item['total_frames'] for item in annotations]
    persons = sorted({len(item['keypoint']) for item in annotations})
    return '\n'.join([
        f'  sequences {len(frames)} (train {parts["train"]}, val '
        f'{parts["val"]})',
        f'  split     {method}',
        f'  classes   {len(classes)}: ' + ', '.join(
            f'{printable(name)} {counts[number]}'
            for number, name in enumerate(classes)),
        f'  frames    {min(frames)} to {max(frames)}, mean '
        f'{np.mean(frames):.1f}',
        f'  persons   {" or ".join(map(str, persons))}'])


def _listed(problems: Problems) -> List[str]:
    texts = [text for name in sorted(problems) for text in problems[name]]
    more = len(texts) - MAX_SHOWN
    title = f'{len(texts)} problem{"s" if len(texts) > 1 else ""}:'
    return [title, *texts[:MAX_SHOWN],
            *([f'... and {more} more'] if more > 0 else [])]


def _read_files(files: Dict[str, Path], layout: SkeletonLayout,
                problems: Problems) -> Dict[str, dict]:
    sequences = {}
    for name, path in track(
            files.items(), description='reading', transient=True,
            console=Console(stderr=True), disable=not sys.stderr.isatty()):
        try:
            sequences[name] = read_sequence(path, layout)
        except InputError as error:
            problems[name].append(str(error))
    # an encoder has a fixed number of channels
    counts = Counter(map(_channels, sequences.values()))
    for name, sequence in sequences.items():
        (usual, count), *_ = counts.most_common(1)
        if _channels(sequence) != usual:
            problems[name].append(
                f'{files[name]} has {_channels(sequence)} channels, including '
                f'the confidence, expected {usual}, as in {count} of '
                f'{len(sequences)} sequences.')
    return sequences


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
    text = text.replace('\\', '/')
    return re.sub(r'\.(npy|npz|csv)$', '', text, flags=re.IGNORECASE)


def read_table(path: Path, problems: Problems) -> Dict[str, Dict[str, str]]:
    """Read the table of labels: name of a sequence -> column -> value.

    The header must contain ``name`` (or ``file``) and ``label``. Names that
    occur twice are added to ``problems``.
    """
    lines = csv.reader(read_text(path).splitlines())
    header, *rows = list(filter(None, lines)) or [[]]
    header = [cell.strip().lower() for cell in header]
    header = ['name' if cell == 'file' else cell for cell in header]
    if not {'name', 'label'} <= set(header) or not rows:
        raise InputError(f'{path} has the header "{",".join(header)}" and '
                         f'{len(rows)} rows, expected the columns "name" (or '
                         '"file") and "label", and at least 1 row.')
    table = {}
    for number, cells in enumerate(rows, 1):
        row = dict(zip(header, map(str.strip, cells)))
        name = _sequence_name(row['name'])
        if len(cells) != len(header) or not name:
            raise InputError(f'{path}: row {number} is "{",".join(cells)}", '
                             f'expected {len(header)} values with a name.')
        if name in table:
            problems[name].append(f'{path}: "{name}" is in more than one row, '
                                  'expected exactly one.')
        table[name] = row
    return table


def number_labels(path: Path, texts: Dict[str, str],
                  classes: Optional[List[str]], problems: Problems
                  ) -> Tuple[Dict[str, Optional[int]], List[str]]:
    """Number the classes from 0, in the order of ``classes`` or sorted.

    ``texts`` maps each sequence to its label in the table. The labels are
    either all numbers or all class names. Return a dict of sequence -> class
    (None if unknown), and the class names.
    """
    values = set(filter(None, texts.values()))
    numbers = {text for text in values if re.fullmatch(r'-?\d+', text)}
    if classes is None:
        classes = [str(number) for number in range(len(values))]
        if not numbers:
            classes = sorted(values)
        elif values != set(classes):
            raise InputError(
                f'{path}: the labels are {", ".join(sorted(values))}; '
                'expected class names, or the numbers from 0 without a gap. '
                'If numbers are missing, list all classes with --classes.')
    known = {name: number for number, name in enumerate(classes)}
    if numbers == values and not known.keys() & numbers:
        known = {str(number): number for number in range(len(classes))}
    for name, text in texts.items():
        if text not in known:
            problems[name].append(
                f'{path}: the label of "{name}" is "{text}", expected one of '
                f'the {len(classes)} classes {", ".join(known)}.')
    return {name: known.get(text) for name, text in texts.items()}, classes


def read_classes(path: Path) -> List[str]:
    """Read class names from a text file, one per line."""
    classes = list(filter(None, map(str.strip, read_text(path).splitlines())))
    if not classes or len(set(classes)) < len(classes):
        raise InputError(f'{path} contains {len(classes)} names, of which '
                         f'{len(set(classes))} are distinct, expected each '
                         'class once, one per line.')
    return classes


def read_layout(text: str) -> Tuple[Union[str, dict], SkeletonLayout]:
    """Return a layout in the form for annotation files, and as an object.

    ``text`` is a name, or the path of a ``.json`` file with the arguments of
    :class:`SkeletonLayout`. Their ``name`` defaults to that of the file.
    """
    if not text.endswith('.json'):
        return text, SkeletonLayout.get(text)
    try:
        fields = {'name': Path(text).stem, **json.loads(read_text(Path(text)))}
        return fields, SkeletonLayout.get(fields)
    except (ValueError, TypeError) as error:
        raise InputError(f'{text} is not a valid layout: {error}') from None
