"""Results as CSV files that are small, readable and independent of the code.

A study NAME has up to three, beside its study file:

- ``NAME.csv``: a row a training, see :data:`COLUMNS`; an ensemble has a row
  too, with its name as the arm.
- ``NAME_details.csv``: ``arm, fold, seed, kind, name, value``. ``kind`` is
  ``class`` (accuracy of each class, per cent), ``diagnosis`` (scalars of
  ``ContrastDiagnosisHook`` in the last epoch), or ``global``, ``spatial`` or
  ``temporal`` (measures of these features).
- ``NAME_curves.csv.gz``: a row an epoch, for the plots.

A record is history: it is checked against itself alone, and may hold columns
that this version does not know.
"""
import json
from pathlib import Path
from typing import List, NamedTuple, Sequence

import numpy as np
import pandas as pd

from ..evaluation import score_file
from ..utils.atomic_write import atomic_write
from ..utils.environment import (
    current_commit,
    machine_kind,
    package_versions,
)
from ..utils.input_error import InputError
from .study import Training

KEY = ['arm', 'fold', 'seed']
# accuracies in per cent; empty where not measured
COLUMNS = [
    *KEY, 'encoder', 'method', 'stream', 'data', 'epochs',
    'top1_last',  # after the last epoch, which is the result
    'top1_best', 'best_epoch',  # of the validated epochs
    'mean_class', 'nll',  # mean class accuracy, negative log-likelihood
    'top1_clips',  # of several clips a sequence
    'train_top1', 'train_top1_eval',  # last epoch's batches; in eval mode
    'minutes', 'commit', 'machine', 'versions']
# scalars of an epoch that the plots show, and those of the last in the details
CURVES = ['top1_acc', 'loss_cls', 'gradient_cls', 'gradient_spatial',
          'gradient_temporal', 'gradient_cosine', 'staleness_spatial']
DIAGNOSES = ('anchor_share', 'gradient_', 'positive_', 'negative_',
             'staleness_', 'attention_')


class Files(NamedTuple):
    """The three files of a study, or what one training adds to each."""
    results: Path | List[dict]
    details: Path | List[dict]
    curves: Path | List[dict]


def files_of(folder: Path, study: str) -> Files:
    """Paths of the files of a study."""
    return Files(*(folder / f'{study}{ending}' for ending in (
        '.csv', '_details.csv', '_curves.csv.gz')))


def read(path: Path) -> pd.DataFrame:
    """Read a file of results; no rows if it does not exist.

    Raises:
        InputError: It is damaged or lacks a column of :data:`KEY`.
    """
    if not path.is_file():
        return pd.DataFrame(columns=[*KEY, 'kind', 'name', 'value'])
    try:
        return pd.read_csv(path, dtype=dict(arm=str, fold=int, seed=int))
    except (ValueError, KeyError, OSError, EOFError) as error:
        raise InputError(f'{path}: not a file of results: {error}') from None


def read_results(path: Path) -> pd.DataFrame:
    """Read ``NAME.csv``, with all :data:`COLUMNS`, and check it.

    Raises:
        InputError: A training is recorded twice, its accuracy is missing or
            out of range, or the best accuracy is below the last one.
    """
    frame = read(path)
    frame = frame.reindex(columns=frame.columns.union(COLUMNS, sort=False))
    for problem, rows in {
            'is recorded twice': frame.duplicated(KEY),
            'has top1_last outside 0 to 100':
                ~frame.top1_last.between(0, 100),
            'has top1_best below top1_last':
                frame.top1_best < frame.top1_last}.items():
        for row in frame[rows].itertuples():
            raise InputError(f'{path}: arm {row.arm}, fold {row.fold}, seed '
                             f'{row.seed} {problem}.')
    return frame


def append(path: Path, rows: List[dict], key: Sequence[str] = KEY) -> None:
    """Add rows to a CSV file, in place of rows with the same key.

    The file is replaced as a whole, so a crash leaves the old one.

    Args:
        path (Path): ``*.csv`` or ``*.csv.gz``.
        rows (list[dict]): The rows.
        key (sequence[str]): Columns that identify a row.
    """
    if not rows:
        return
    frame, key = pd.DataFrame(rows), list(key)
    if path.is_file():  # its texts stay as they are
        old = pd.read_csv(path, dtype=str, keep_default_na=False)
        new = frame[key].astype(str)
        frame = pd.concat([old[~old.set_index(key).index.isin(
            new.set_index(key).index)], frame])
    zipped = dict(method='gzip', mtime=0) if path.suffix == '.gz' else None
    with atomic_write(path) as partial:
        frame.to_csv(partial, index=False, compression=zipped)


def add(files: Files, new: Files) -> None:
    """Record a training; its row of the results last, as that is skipped."""
    append(files.curves, new.curves, [*KEY, 'epoch'])
    append(files.details, new.details, [*KEY, 'kind', 'name'])
    append(files.results, new.results)


def collect(training: Training, work_dir: Path, **extra: float) -> Files:
    """Collect what a finished training has left.

    Args:
        training (Training): The training.
        work_dir (Path): With ``run.json`` of ``RunRecordHook`` and
            ``scores.npz`` of ``tools/test.py --dump``.
        **extra (float): More columns.

    Returns:
        Files: Rows for each file.

    Raises:
        InputError: An epoch or the last validation is missing.
    """
    run = json.loads((work_dir / 'run.json').read_text())
    epochs = run['epochs']
    if [epoch['epoch'] for epoch in epochs] != list(
            range(1, len(epochs) + 1)) or 'val' not in (epochs or [{}])[-1]:
        raise InputError(
            f'{work_dir}/run.json: expected all epochs from 1, the last one '
            f'validated. Delete {work_dir} to train from scratch.')
    top1 = {epoch['epoch']: round(100 * epoch['val']['acc/top1'], 4)
            for epoch in epochs if 'val' in epoch}
    best, last = max(top1, key=top1.get), epochs[-1]['train']
    tested = measure(work_dir / 'scores.npz')
    key = dict(arm=training.arm, fold=training.fold, seed=training.seed)
    row = dict(
        key, encoder=training.encoder, stream=training.stream,
        method='STD-CL' if training.stdcl else 'plain', data=training.data,
        epochs=len(epochs), top1_last=top1[len(epochs)], top1_best=top1[best],
        best_epoch=best, mean_class=tested['mean_class'], nll=tested['nll'],
        train_top1=round(100 * last.get('top1_acc', np.nan), 4),
        minutes=round(sum(epoch['seconds'] for epoch in epochs) / 60, 4),
        **provenance(run), **extra)
    details = {('class', name): value
               for name, value in tested['classes'].items()}
    details.update({('diagnosis', name): float(f'{value:.5g}')
                    for name, value in last.items()
                    if name.startswith(DIAGNOSES)})
    curves = [dict(key, epoch=epoch['epoch'], val_top1=top1.get(
        epoch['epoch']), **{name: float(f'{epoch["train"][name]:.5g}')
                            if name in epoch['train'] else None
                            for name in CURVES}) for epoch in epochs]
    return Files([{name: row.get(name) for name in dict.fromkeys(
        [*COLUMNS, *row])}], [dict(key, kind=kind, name=name, value=value)
                              for (kind, name), value in details.items()],
        curves)


def measure(scores: Path) -> dict:
    """Measures of a score file.

    Returns:
        dict: ``top1``, ``mean_class`` and ``classes`` (name -> accuracy), in
        per cent, and ``nll``, the mean negative log-likelihood.
    """
    read_scores = score_file.read(scores)
    labels, logits = read_scores.labels, read_scores.logits.astype(float)
    hits = logits.argmax(axis=1) == labels  # (N,)
    nll = np.logaddexp.reduce(logits, axis=1) - logits[
        np.arange(len(labels)), labels]  # (N,)
    names = list(read_scores.classes) or range(logits.shape[1])
    classes = {str(name): round(100 * hits[labels == label].mean(), 4)
               for label, name in enumerate(names) if (labels == label).any()}
    return dict(top1=round(100 * hits.mean(), 4), nll=round(nll.mean(), 5),
                mean_class=round(np.mean(list(classes.values())), 4),
                classes=classes)


def provenance(run: dict) -> dict:
    """Commit, machine and versions of a ``run.json``, as text.

    The commit ends in ``-dirty`` if files had been changed.
    """
    commit, machine = run['commit'] or 'unknown', run['machine']
    processor = machine.get('gpu', f'{machine["processor"]} CPU')
    return dict(
        commit=commit if run['clean'] else f'{commit}-dirty',
        machine=f'{processor}, {machine["cores"]} cores, threads: '
        f'{machine["threads"]}', versions=' '.join(
            f'{name}={version}' for name, version in run['versions'].items()))


def add_benchmark(path: Path, cases: List[dict], key: Sequence[str],
                  command: str) -> None:
    """Record a benchmark, with the machine, versions and commit.

    Args:
        path (Path): CSV file, such as those in ``runs/benchmarks``.
        cases (list[dict]): A row each. Nested dicts become dotted columns;
            repeated measurements have ``min``, ``median`` and ``max``.
        key (sequence[str]): Columns that identify a case, which is replaced.
        command (str): Command that measured it.
    """
    frame = pd.json_normalize(cases).assign(command=command, **provenance(dict(
        current_commit(), machine=machine_kind(),
        versions=package_versions())))
    append(path, frame.to_dict('records'), key)
