"""Score files: what a trained model gives each test sequence.

Ours are ``.npz`` files of plain arrays. Those of MMEngine and of others are
read as well, and never run code.
"""
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Sequence, Union

import numpy as np

from ..utils import safe_pickle
from ..utils.atomic_write import atomic_write
from ..utils.data_unpickler import check_shape, check_text
from ..utils.safe_zip import load_arrays

KINDS = ('logits', 'probabilities')
ARRAYS = ('names', 'labels', 'logits', 'probabilities', 'classes')
METADATA = ('config', 'checkpoint')


class ScoreFileError(ValueError):
    """A score file is not what it should be; the text names the file."""


@dataclass
class Scores:
    """The scores of a test set.

    With several clips a sequence, ``logits`` are the mean of the clips' and
    ``probabilities`` the mean of the clips' softmax, which is not the softmax
    of that mean.

    Args:
        path (Path): The file, for messages.
        names (ndarray, optional): ``frame_dir`` of each sequence, (N,). None
            where the file has no names.
        labels (ndarray, optional): Classes from 0 on, -1 where unknown, (N,).
            Defaults to all unknown.
        logits (ndarray, optional): (N, num_classes). None where the file has
            none.
        probabilities (ndarray, optional): (N, num_classes), likewise.
        classes (sequence[str]): Their names, or none. Defaults to none.
        config (str): Name of the config. Defaults to ''.
        checkpoint (str): Name of the checkpoint. Defaults to ''.

    Raises:
        ScoreFileError: No sequence, a name that occurs twice, numbers that
            are not finite, or sizes that do not go together.
    """
    path: Path
    names: Optional[np.ndarray] = None
    labels: Optional[np.ndarray] = None
    logits: Optional[np.ndarray] = None
    probabilities: Optional[np.ndarray] = None
    classes: Sequence[str] = ()
    config: str = ''
    checkpoint: str = ''

    def __post_init__(self) -> None:
        num_sequences, num_classes = self.shape
        if not num_sequences or not num_classes:
            raise ScoreFileError(
                f'{self.path} has scores of shape {self.shape}, expected at '
                'least one sequence and one class.')
        if self.labels is None:
            self.labels = np.full(num_sequences, -1)
        self._check_sizes(num_sequences, num_classes)
        self._check_names()
        for kind in self.kinds:
            finite = np.isfinite(getattr(self, kind)).all(axis=1)  # (N,)
            if not finite.all():
                raise ScoreFileError(
                    f'{self.path}: the {kind} of {(~finite).sum()} sequences '
                    'are not finite, the first of them '
                    f'{self.name(finite.argmin())}.')
        high = self.labels.argmax()
        if self.labels[high] >= num_classes or self.labels.min() < -1:
            wrong = high if self.labels[high] >= num_classes \
                else self.labels.argmin()
            raise ScoreFileError(
                f'{self.path}: the label of {self.name(wrong)} is '
                f'{self.labels[wrong]}, expected 0 to {num_classes - 1}, or '
                '-1 where unknown.')

    def _check_sizes(self, num_sequences: int, num_classes: int) -> None:
        expected = dict(names=(num_sequences, ), labels=(num_sequences, ),
                        logits=self.shape, probabilities=self.shape)
        for field, shape in expected.items():
            value = getattr(self, field)
            if value is not None and value.shape != shape:
                raise ScoreFileError(
                    f'{self.path}: "{field}" has shape {value.shape}, '
                    f'expected {shape}.')
        if len(self.classes) not in (0, num_classes):
            raise ScoreFileError(
                f'{self.path}: "classes" has {len(self.classes)} names for '
                f'scores of {num_classes} classes.')

    def _check_names(self) -> None:
        if self.names is None:
            return
        names, counts = np.unique(self.names, return_counts=True)
        if len(names) != len(self.names):
            raise ScoreFileError(
                f'{self.path}: {names[counts.argmax()]} occurs '
                f'{counts.max()} times, expected each sequence once.')

    @property
    def kinds(self) -> tuple:
        """What it has of ``logits`` and ``probabilities``."""
        return tuple(kind for kind in KINDS
                     if getattr(self, kind) is not None)

    @property
    def shape(self) -> tuple:
        """Numbers of sequences and classes."""
        return getattr(self, self.kinds[0]).shape

    def name(self, index: int) -> str:
        """What to call a sequence in a message."""
        return f'sequence {index} (from 0)' if self.names is None \
            else str(self.names[index])


def write(scores: Scores) -> None:
    """Write our format to ``scores.path``; complete, or not there.

    An ``.npz`` with ``names`` (unicode), ``labels`` (int64), ``logits`` and
    ``probabilities`` (float32), ``classes`` (unicode, empty if unknown), and
    ``config`` and ``checkpoint`` (unicode).

    Args:
        scores (Scores): All of it.
    """
    path = Path(scores.path)
    arrays = dict(names=np.array(scores.names, dtype=np.str_),
                  labels=scores.labels.astype(np.int64),
                  classes=np.array(scores.classes, dtype=np.str_))
    for kind in KINDS:
        arrays[kind] = getattr(scores, kind).astype(np.float32)
    for field in METADATA:
        arrays[field] = np.array(getattr(scores, field), dtype=np.str_)
    with atomic_write(path) as partial, open(partial, 'wb') as file:
        np.savez(file, **arrays)


def read(path: Union[str, Path], kind: Optional[str] = None) -> Scores:
    """Read a score file of any kind.

    - Ours, by :func:`write`.
    - MMEngine's (``.pkl``): a list of a dict for each sequence, with
      ``pred_score``, ``gt_label`` and perhaps ``frame_dir``.
    - Of other projects: a dict name -> scores (``.pkl``), or an array of
      scores for each name (``.npz``). They have no labels.

    Args:
        path (str | Path): The file, ``.npz``, ``.pkl`` or ``.pickle``.
        kind (str, optional): What the files hold that do not say it, all but
            ours: 'logits' or 'probabilities'. Defaults to probabilities where
            all scores of a file are 0 or more and sum to 1, else logits.

    Returns:
        Scores: What is in it.

    Raises:
        ScoreFileError: It is no score file, or its parts do not go together.
    """
    path = Path(path)
    if path.suffix == '.npz':
        content = _read_npz(path)
        if set(ARRAYS) <= content.keys():
            return _from_ours(path, content)
    elif path.suffix in ('.pkl', '.pickle'):
        content = read_pickle(path)
    else:
        raise ScoreFileError(f'{path}: expected *.npz, *.pkl or *.pickle.')
    if isinstance(content, dict):
        return _from_table(path, content, kind)
    if isinstance(content, list) and all(
            isinstance(sample, dict) for sample in content):
        return _from_samples(path, content, kind)
    raise ScoreFileError(
        f'{path} holds a {type(content).__name__}, expected a dict of '
        'scores by name or a list of dicts.')


def read_pickle(path: Path) -> Any:
    """Read a pickle of data, with the errors of this module.

    Raises:
        ScoreFileError: There is no such file, it is damaged, or it holds
            more than data.
    """
    try:
        return safe_pickle.load(str(path))
    except (OSError, pickle.UnpicklingError) as error:
        raise ScoreFileError(str(error)) from None


def _read_npz(path: Path) -> dict:
    try:
        arrays = load_arrays(path)
        if isinstance(arrays, np.ndarray):
            raise ValueError('a single array')
        for array in arrays.values():
            check_shape(array.shape, array.nbytes, 'an array')
            check_text(array)
        return arrays
    except Exception as error:  # what a damaged zip raises is many things
        raise ScoreFileError(
            f'{path} could not be read; it is not there, damaged, or no '
            f'*.npz of plain arrays ({error}).') from None


def _from_ours(path: Path, content: dict) -> Scores:
    for field, kinds in dict(names='U', labels='iu', logits='f',
                             probabilities='f', classes='U').items():
        if content[field].dtype.kind not in kinds:
            raise ScoreFileError(f'{path}: "{field}" is of type '
                                 f'{content[field].dtype}.')
    if content['logits'].ndim != 2:
        raise ScoreFileError(
            f'{path}: "logits" has shape {content["logits"].shape}, expected '
            '(sequences, classes).')
    metadata = {field: str(content[field]) for field in METADATA
                if field in content}
    return Scores(path, **{field: content[field] for field in ARRAYS
                           if field != 'classes'},
                  classes=content['classes'].tolist(), **metadata)


def _from_table(path: Path, table: dict, kind: Optional[str]) -> Scores:
    """Of a dict name -> scores of the classes."""
    names = [str(name) for name in table]
    scores = _stack(path, names, table.values())
    return Scores(path, names=np.array(names, dtype=np.str_),
                  **{kind or _guess_kind(scores): scores})


def _from_samples(path: Path, samples: list, kind: Optional[str]) -> Scores:
    """Of what MMEngine's ``DumpResults`` writes."""
    names = [sample.get('frame_dir') for sample in samples]
    if None in names:
        names = None
    callings = names or [f'sequence {i} (from 0)' for i in range(len(samples))]
    for calling, sample in zip(callings, samples):
        if 'pred_score' not in sample:
            raise ScoreFileError(f'{path}: {calling} has no "pred_score", but '
                                 f'{sorted(map(str, sample))}.')
    scores = _stack(path, callings,
                    [sample['pred_score'] for sample in samples])
    labels = np.array([_label(path, calling, sample.get('gt_label', -1))
                       for calling, sample in zip(callings, samples)])
    return Scores(path, labels=labels,
                  names=names and np.array(names, dtype=np.str_),
                  **{kind or _guess_kind(scores): scores})


def _label(path: Path, calling: str, value: Any) -> int:
    value = np.asarray(value).reshape(-1)
    if len(value) != 1 or value.dtype.kind not in 'iu':
        raise ScoreFileError(f'{path}: "gt_label" of {calling} is {value}, '
                             'expected one whole number.')
    return int(value[0])


def _stack(path: Path, callings: Sequence[str], rows) -> np.ndarray:
    """Make an array (N, num_classes) of a row of scores for each sequence."""
    arrays = []
    for calling, row in zip(callings, rows):
        try:
            arrays.append(np.asarray(row, dtype=np.float32))
        except (TypeError, ValueError) as error:
            raise ScoreFileError(f'{path}: the scores of {calling} are no '
                                 f'numbers ({error}).') from None
        shape = arrays[-1].shape
        if len(shape) != 1 or shape != arrays[0].shape:
            expected = '(classes,)' if len(arrays) == 1 \
                else f'{arrays[0].shape} as those before'
            raise ScoreFileError(f'{path}: the scores of {calling} have shape '
                                 f'{shape}, expected {expected}.')
    if not arrays:
        raise ScoreFileError(f'{path} holds no sequence.')
    return np.stack(arrays)


def _guess_kind(scores: np.ndarray) -> str:
    """What scores are: rows of probabilities are not negative and sum to 1."""
    sums = scores.sum(axis=1, dtype=np.float64)
    alike = (scores >= 0).all() and np.allclose(sums, 1, rtol=0, atol=1e-3)
    return 'probabilities' if alike else 'logits'
