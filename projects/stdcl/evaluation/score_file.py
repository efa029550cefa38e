"""Score files: what a trained model predicts for each test sequence.

Ours are ``.npz`` archives of plain arrays. Files of MMEngine, PYSKL, CTR-GCN,
FR-Head and others can be read too. Reading a file never runs code.
"""
import operator
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Sequence, Tuple, Union

import numpy as np

from ..utils import safe_files
from ..utils.atomic_write import atomic_write
from ..utils.input_error import InputError

KINDS = ('logits', 'probabilities')
ARRAYS = ('names', 'labels', *KINDS)
TEXTS = ('stream', 'config', 'checkpoint')


@dataclass
class Scores:
    """The scores of N test sequences for C classes.

    With several clips per sequence, ``logits`` are the mean of the clips'
    logits and ``probabilities`` the mean of the clips' softmax, which is not
    the softmax of the mean logits. At least one of the two is there.

    Args:
        path (Path): The file, for messages.
        names (ndarray, optional): ``frame_dir`` of each sequence, (N,).
        labels (ndarray, optional): Classes, -1 if unknown, (N,).
        logits, probabilities (ndarray, optional): (N, C).
        classes (sequence[str]): Class names, C or none.
        stream (str): A key of ``catalogue.STREAMS``, or '' if unknown.
        config, checkpoint (str): Their file names, or '' if unknown.

    Raises:
        InputError: A name occurs twice, a score is not finite, a label is out
            of range, or the sizes do not match.
    """
    path: Path
    names: Optional[np.ndarray] = None
    labels: Optional[np.ndarray] = None
    logits: Optional[np.ndarray] = None
    probabilities: Optional[np.ndarray] = None
    classes: Sequence[str] = ()
    stream: str = ''
    config: str = ''
    checkpoint: str = ''

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or not all(self.shape):
            raise InputError(f'{self.path}: the scores have shape '
                             f'{self.shape}, expected (sequences, classes).')
        number, num_classes = self.shape
        if self.labels is None:
            self.labels = np.full(number, -1)
        for field, shape in dict(
                names=(number, ), labels=(number, ), logits=self.shape,
                probabilities=self.shape, classes=(num_classes, )).items():
            value = getattr(self, field)
            if value is not None and np.shape(value) not in (shape, (0, )):
                raise InputError(f'{self.path}: "{field}" has shape '
                                 f'{np.shape(value)}, expected {shape}.')
        if self.names is not None:
            first = np.unique(self.names, return_index=True)[1]
            self._require('name', self.names, np.isin(range(number), first),
                          'each name once')
        self._require('label', self.labels, (self.labels >= -1)
                      & (self.labels < num_classes),
                      f'0 to {num_classes - 1}, or -1 if unknown')
        for kind in self.kinds:
            sums = getattr(self, kind).sum(axis=1)
            self._require(f'sum of {kind}', sums, np.isfinite(sums),
                          'finite numbers')

    def _require(self, what: str, values: np.ndarray, good: np.ndarray,
                 expected: str) -> None:
        """Raise an error about the first sequence that is not good (N,)."""
        if not good.all():
            index = good.argmin()
            raise InputError(
                f'{self.path}: the {what} of {self.name(index)} is '
                f'{values[index]}, expected {expected} ({(~good).sum()} of '
                f'{len(good)} sequences are wrong).')

    @property
    def kinds(self) -> Tuple[str, ...]:
        """Which of logits and probabilities the file has."""
        return tuple(kind for kind in KINDS
                     if getattr(self, kind) is not None)

    @property
    def shape(self) -> Tuple[int, ...]:
        """(N, C)."""
        return getattr(self, self.kinds[0]).shape

    def name(self, index: int) -> str:
        """Name a sequence in a message."""
        return f'sequence {index} (from 0)' if self.names is None \
            else str(self.names[index])


def write(scores: Scores) -> None:
    """Write ``scores.path``, a ``.npz`` of the fields of :class:`Scores`.

    Texts are unicode arrays, labels int64, scores float32; both kinds of
    scores and the names are needed.
    """
    dtypes = dict.fromkeys(KINDS, np.float32) | dict(labels=np.int64)
    with atomic_write(Path(scores.path)) as partial, open(
            partial, 'wb') as file:
        np.savez(file, **{
            field: np.array(getattr(scores, field), dtypes.get(field, np.str_))
            for field in (*ARRAYS, 'classes', *TEXTS)})


def read(path: Union[str, Path]) -> Scores:
    """Read a score file, ``*.npz``, ``*.pkl`` or ``*.pickle``.

    - Ours (``.npz``), see :func:`write`.
    - MMEngine's ``DumpResults`` (``.pkl``): a list of dicts with
      ``pred_score``, ``gt_label`` and optionally ``frame_dir``.
    - CTR-GCN, FR-Head and others: a dict name -> scores (``.pkl``), or an
      array for each name (``.npz``). They have no labels.
    - PYSKL (``.pkl``): a list of scores, or an array (N, C), in the order of
      the annotation file. They have neither names nor labels.

    Scores in files that are not ours are taken for probabilities if none is
    negative and those of each sequence sum to 1, else for logits.

    Raises:
        OSError, pickle.UnpicklingError: The file cannot be read.
        InputError: It is damaged, holds something else, or its parts do not
            match.
    """
    path, fields = Path(path), {}
    if path.suffix == '.npz':
        content = _read_npz(path)
        if {*ARRAYS, 'classes'} <= content.keys():
            return _from_ours(path, content)
    elif path.suffix in ('.pkl', '.pickle'):
        content = safe_files.load(str(path))
    else:
        raise InputError(f'{path}: expected *.npz, *.pkl or *.pickle.')
    try:
        if isinstance(content, dict):
            fields['names'] = np.array(list(map(str, content)))
            content = list(content.values())
        elif isinstance(content[0], dict):
            fields, content = _from_samples(content)
        scores = np.stack([np.asarray(row, np.float32) for row in content])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError
            ) as error:
        raise InputError(
            f'{path}: expected a dict name -> scores, a list of scores, or a '
            'list of dicts with "pred_score" and "gt_label", with as many '
            f'scores for each sequence ({error!r}).') from None
    sums = scores.sum(axis=-1, dtype=np.float64)
    alike = (scores >= 0).all() and np.allclose(sums, 1, rtol=0, atol=1e-3)
    return Scores(path, **fields,
                  **{'probabilities' if alike else 'logits': scores})


def _read_npz(path: Path) -> dict:
    with open(path, 'rb') as file:  # a missing file is an OSError, not damage
        try:
            return dict(np.load(file, allow_pickle=False))
        except Exception as error:  # a damaged archive raises many types
            raise InputError(f'{path} is damaged, or not an *.npz of plain '
                             f'arrays ({error}).') from None


def _from_ours(path: Path, content: dict) -> Scores:
    texts = {field: str(content.get(field, '')) for field in TEXTS}
    if 'stream' not in content:  # older files name it in the config's name
        found = re.search(r'_\d+xb\d+-([a-z-]+)-u\d+', texts['config'])
        texts['stream'] = found[1] if found else ''
    return Scores(path, **{field: content[field] for field in ARRAYS},
                  classes=content['classes'].tolist(), **texts)


def _from_samples(samples: Sequence[dict]) -> tuple:
    """Fields and rows of scores of what ``DumpResults`` writes."""
    fields = dict(labels=np.array([
        operator.index(np.asarray(sample.get('gt_label', -1)).item())
        for sample in samples]))
    if all('frame_dir' in sample for sample in samples):
        fields['names'] = np.array([sample['frame_dir'] for sample in samples])
    return fields, [sample['pred_score'] for sample in samples]
