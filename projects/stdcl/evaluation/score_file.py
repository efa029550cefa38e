"""Score files, which contain a model's scores for each test sequence.

Files from PYSKL, CTR-GCN, FR-Head and similar projects are supported as well.
"""
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..datasets.annotation_check import check_distinct
from ..utils import safe_files
from ..utils.atomic_write import atomic_write
from ..utils.input_error import InputError, printable

KINDS = ('logits', 'probabilities')
# array -> kinds of dtypes that it may have
ARRAYS = dict(names='U', labels='iu', logits='fiu', probabilities='fiu')
KIND_NAMES = dict(U='strings', iu='integers', fiu='numbers')
TEXTS = ('classes', 'stream', 'config', 'checkpoint')


@dataclass
class Scores:
    """The scores of N test sequences for C classes.

    With several clips per sequence, the scores are means over the clips, so
    ``probabilities`` are not the softmax of ``logits``. One may be omitted.

    Raises:
        InputError: A field is invalid, or a name occurs twice.
    """
    path: Path
    names: np.ndarray | None = None  # frame_dir of each sequence, (N,)
    labels: np.ndarray | None = None  # (N,), -1 if unknown
    logits: np.ndarray | None = None  # (N, C)
    probabilities: np.ndarray | None = None  # (N, C)
    classes: Sequence[str] = ()  # names of the C classes, or none
    stream: str = ''  # a key of catalogue.STREAMS, or '' if unknown
    config: str = ''  # file name of the config
    checkpoint: str = ''  # file name of the checkpoint

    def __post_init__(self) -> None:
        shape = self.shape
        self.classes = [*map(printable, self.classes)]
        for field in TEXTS[1:]:
            setattr(self, field, printable(getattr(self, field)))
        self._require(len(shape) == 2 and all(shape), f'the scores have shape '
                      f'{shape}, expected (sequences, classes)')
        if self.labels is None:
            self.labels = np.full(shape[0], -1)
        self._require(len(self.classes) in (0, shape[1]), '"classes" has '
                      f'length {len(self.classes)}, expected {shape[1]}')
        for field, dtypes in ARRAYS.items():
            if getattr(self, field) is not None:
                value = np.asarray(getattr(self, field))
                size = shape if field in KINDS else shape[:1]
                self._require(
                    value.shape == size and value.dtype.kind in dtypes,
                    f'"{field}" has shape {value.shape} and type '
                    f'{value.dtype}, expected {KIND_NAMES[dtypes]} of shape '
                    f'{size}')
        self.labels = self.labels.astype(np.int64)
        for kind in self.kinds:
            self._require(np.isfinite(getattr(self, kind)).all(),
                          f'some {kind} are NaN or infinite, expected finite '
                          'numbers')
        self._require(
            self.probabilities is None or (self.probabilities >= 0).all()
            and np.allclose(self.probabilities.sum(axis=1), 1, atol=1e-3),
            'some probabilities are negative or do not sum to 1, expected a '
            'sum of 1 for each sequence')
        low, high = self.labels.min(), self.labels.max()
        self._require(low >= -1 and high < shape[1], 'the labels range '
                      f'from {low} to {high}, expected 0 to {shape[1] - 1}, '
                      'or -1 if unknown')
        if self.names is not None:
            check_distinct(str(self.path), self.names.tolist())

    def _require(self, condition: bool, otherwise: str) -> None:
        if not condition:
            raise InputError(f'{self.path}: {otherwise}.')

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of scores: logits, probabilities or both."""
        return tuple(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of sequences and classes, (N, C)."""
        return getattr(self, self.kinds[0]).shape


def write(scores: Scores) -> None:
    """Write all fields of :class:`Scores` to the file ``scores.path`` (.npz).

    None of the four arrays may be None. The file stores strings as unicode
    arrays, labels as int64 and scores as float32.
    """
    dtypes = dict.fromkeys(KINDS, np.float32) | dict(labels=np.int64)
    with atomic_write(Path(scores.path)) as partial, open(
            partial, 'wb') as file:
        np.savez(file, **{
            field: np.array(getattr(scores, field), dtypes.get(field, np.str_))
            for field in (*ARRAYS, *TEXTS)})


def read(path: str | Path) -> Scores:
    """Read a score file.

    The formats are

    - ``.npz``, as written by :func:`write`;
    - a pickled dict that maps names to scores (CTR-GCN, FR-Head);
    - a pickled list of scores or array (N, C), without names (PYSKL).

    Scores in a pickle are taken as probabilities if none is negative and the
    sums of all sequences equal the same integer within 1 % (1, or 100 for
    percentages), and as logits otherwise.

    Raises:
        OSError, pickle.UnpicklingError: The file cannot be read.
        InputError: The file has a different format or inconsistent fields.
    """
    path, names = Path(path), None
    if path.suffix.lower() == '.npz':
        arrays = safe_files.load_arrays(path)
        seen = () if isinstance(arrays, np.ndarray) else arrays
        missing = [field for field in ARRAYS if field not in seen]
        if missing:
            raise InputError(f'{path}: missing arrays: {", ".join(missing)}; '
                             'expected a file from tools/test.py --dump.')
        return Scores(path, **{
            field: array if field in ARRAYS else array.tolist()
            for field, array in arrays.items() if field in (*ARRAYS, *TEXTS)})
    content = safe_files.load(str(path))
    if isinstance(content, dict):
        names = np.array(list(map(str, content)))
        content = list(content.values())
    try:
        scores = np.stack([np.asarray(row, np.float32) for row in content])
    except (TypeError, ValueError) as error:
        raise InputError(
            f'{path} cannot be read as scores ({error}), expected a dict that '
            'maps names to scores, or a list of scores, with the same number '
            'of scores for each sequence. To write a score file, run '
            'tools/test.py with --dump FILE.npz.') from None
    sums = scores.sum(axis=-1, keepdims=True)
    # such as 1, 100 for percentages, or 10 for ten clips
    total = max(1, np.round(sums.mean()))
    if (scores >= 0).all() and np.allclose(sums, total, rtol=0.01, atol=0):
        return Scores(path, names, probabilities=scores / sums)
    return Scores(path, names, logits=scores)
