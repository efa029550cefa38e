"""CSV files that record the results of a study.

A study NAME has the file ``NAME.csv``, by default next to its study file, with
one row per run, the columns :data:`COLUMNS` and two columns for each of the
study's further ``tests``.
"""
import re
from pathlib import Path

import numpy as np
import pandas as pd

from ..engine.hooks.run_record_hook import read_record
from ..evaluation import score_file
from ..evaluation.fusion import fuse_files
from ..utils.atomic_write import atomic_write
from ..utils.input_error import InputError
from .study import Training

KEY = ['arm', 'fold', 'seed']
# accuracies are in percent; a value that was not measured is empty
COLUMNS = [
    *KEY, 'encoder', 'method', 'stream', 'data', 'epochs',
    'top1_last',  # the result: test accuracy after the last epoch
    'top1_best', 'best_epoch',  # best accuracy on the validation set
    'mean_class', 'nll',  # mean class accuracy, negative log-likelihood
    'train_top1',  # training accuracy in the last epoch
    'minutes',  # of training, without validation
    'commit', 'machine', 'versions']
# columns of numbers, including those of further tests
NUMBERS = '^((top1|nll)_.*|nll|mean_class|train_top1|minutes)$'


def read(path: Path) -> pd.DataFrame:
    """Read a CSV file of results, or return no rows if it does not exist.

    An ``InputError`` is raised if it is damaged, or if a row occurs twice or
    has a ``top1_last`` that is not between 0 and 100.
    """
    if not path.is_file():
        return pd.DataFrame(columns=COLUMNS)
    try:
        # an arm may be named "None" or "NA"
        frame = pd.read_csv(path, keep_default_na=False, na_values=[''],
                            dtype=dict(arm=str, fold=int, seed=int))
        numbers = frame.filter(regex=NUMBERS).columns
        frame[numbers] = frame[numbers].apply(pd.to_numeric)
        twice = frame.duplicated(KEY)
    except (ValueError, KeyError, OSError, OverflowError) as error:
        raise InputError(f'{path} cannot be read as results of a study: '
                         f'{error}') from None
    frame = frame.reindex(columns=frame.columns.union(COLUMNS, sort=False))
    wrong = twice | ~frame.top1_last.between(0, 100)
    for row in frame[wrong].itertuples():
        what = 'is recorded twice, expected one row' if twice[row.Index] else (
            f'has top1_last {row.top1_last}, expected 0 to 100')
        raise InputError(f'{path}: arm {row.arm}, fold {row.fold}, seed '
                         f'{row.seed} {what}.')
    return frame


def append(path: Path, row: dict) -> None:
    """Add a row to a CSV file, and remove an old row of the same run.

    The file is replaced as a whole, so a crash leaves the old file intact.
    """
    frame = pd.DataFrame([row]).astype(dict.fromkeys(KEY, str))
    if path.is_file():  # read as strings, so that old values do not change
        old = pd.read_csv(path, dtype=str, keep_default_na=False)
        frame = pd.concat([old, frame]).drop_duplicates(KEY, keep='last')
    with atomic_write(path) as partial:
        frame.to_csv(partial, index=False)


def collect(training: Training, work_dir: Path) -> dict:
    """Return the row of a finished run.

    ``work_dir`` contains ``run.json``, ``scores.npz`` and ``TEST.npz`` for
    each of the run's ``tests``. An ``InputError`` is raised if ``run.json``
    lacks an epoch or (in a run that validates) the last validation,
    or if the scores are those of an earlier epoch.
    """
    epochs = read_record(work_dir / 'run.json')['epochs']
    top1 = {epoch['epoch']: _percent(epoch['val'].get('acc/top1', np.nan))
            for epoch in epochs if 'val' in epoch}
    numbers = [epoch['epoch'] for epoch in epochs]
    complete = epochs and numbers == list(range(1, len(epochs) + 1))
    if not complete or (top1 and len(epochs) not in top1):
        raise InputError(
            f'{work_dir}/run.json: an epoch or the last validation is '
            'missing, expected every epoch from 1 and a validation after the '
            f'last epoch. Delete {work_dir} to train from scratch.')
    tested = re.fullmatch(r'epoch_(\d+)\.pth', score_file.read(
        work_dir / 'scores.npz').checkpoint)
    if tested and int(tested[1]) != len(epochs):
        raise InputError(f'{work_dir}: the last checkpoint is {tested[0]}, '
                         f'expected epoch_{len(epochs)}.pth. Delete the folder'
                         ', and set default_hooks.checkpoint.interval=1.')
    best = max(top1, key=top1.get, default=None)
    top1_best = top1.get(best, np.nan)
    row = describe(training, [work_dir])
    row.update(
        epochs=len(epochs), top1_best=top1_best,
        best_epoch=np.nan if np.isnan(top1_best) else best,
        train_top1=_percent(epochs[-1]['train'].get('top1_acc', np.nan)),
        nll=_nll(work_dir / 'scores.npz'),
        minutes=round(sum(epoch['seconds'] for epoch in epochs) / 60, 4))
    for name in training.tests:
        path = work_dir / f'{name}.npz'
        found = fuse_files([path], kind='probabilities')['fused']
        row.update({f'top1_{name}': _percent(found['top1']),
                    f'nll_{name}': _nll(path)})
    return row


def _percent(share: float) -> float:
    return round(100 * share, 4)


def describe(training: Training, folders: list[Path]) -> dict:
    """Return the row of a run, or of a fusion of runs.

    ``nll`` stays empty, because the summed logits of a fusion are not
    calibrated. ``folders`` are the work directories of the runs.
    """
    found = fuse_files(
        [folder / 'scores.npz' for folder in folders],
        # as in tools/test.py, if there are several clips
        kind='probabilities' if len(folders) == 1 else None)
    runs = [read_record(folder / 'run.json') for folder in folders]
    parts = [part for run in runs for part in (*run.get('resumed', ()), run)]
    return dict.fromkeys(COLUMNS) | dict(
        arm=training.arm, fold=training.fold, seed=training.seed,
        encoder=training.encoder, stream=training.stream, data=training.data,
        method='STD-CL' if training.stdcl else 'plain',
        top1_last=_percent(found['fused']['top1']),
        mean_class=_percent(found['fused']['mean_class_accuracy']),
        commit='+'.join(dict.fromkeys(
            (part['commit'] or 'unknown')
            + ('-dirty' if part['clean'] is False else '') for part in parts)),
        machine='+'.join(dict.fromkeys(
            f'{one.get("gpu", one["processor"] + " CPU")}, {one["cores"]} '
            f'cores, threads: {one["threads"]}' for one in (
                part.get('machine') for part in parts) if one)),
        versions='+'.join(dict.fromkeys(' '.join(map('='.join, one.items(
            ))) for one in (part.get('versions') for part in parts) if one)))


def _nll(path: Path) -> float:
    """Return the mean negative log-likelihood of a score file."""
    scores = score_file.read(path)
    likelihood = scores.probabilities[np.arange(len(scores.labels)),
                                      scores.labels].astype(float)
    return round(-np.log(likelihood.clip(1e-38)).mean(), 5)
