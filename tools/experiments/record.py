"""Records: what came of a training of a study, one small JSON file each.

Only run_study.py writes them. Every record ends in a hash of all of it, so
that one that was changed by hand is recognised.
"""
import hashlib
import json
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple

import numpy as np
from mmengine.config import Config
from study import Training, digest, recipe_of

from projects.stdcl.evaluation import score_file
from projects.stdcl.evaluation.fusion import confusion_matrix
from projects.stdcl.utils.atomic_write import atomic_write
from projects.stdcl.utils.checkpoint_file import find_latest
from projects.stdcl.utils.input_error import InputError

DIGITS = 5  # significant ones, of a curve
# field -> its type
FIELDS = dict(
    declared=dict, recipe_sha256=str, config=str, config_sha256=str,
    commit=str, clean=bool, versions=dict, machine=dict, seed=int,
    resumed=list, epochs=int, seconds=float, top1_last=float, top1_best=float,
    best_epoch=int, curves=dict, classes=list, confusion=list, sha256=str)


def make_record(training: Training, work_dir: Path) -> Dict[str, Any]:
    """Put together what a finished training has left.

    Args:
        training (Training): The training.
        work_dir (Path): With the ``run.json`` of ``RunRecordHook`` and the
            ``scores.npz`` of ``tools/test.py --dump``.

    Returns:
        dict: The record, see :data:`FIELDS`; accuracies in per cent.

    Raises:
        InputError: It is not of this training, see :func:`check_parts`, an
            epoch or the last validation is missing, or the scores do not
            belong to it.
    """
    check_parts(training, work_dir)
    run = json.loads((work_dir / 'run.json').read_text())
    scores = score_file.read(work_dir / 'scores.npz')
    epochs = run['epochs']
    validated = [epoch for epoch in epochs if 'val' in epoch]
    numbers = [epoch['epoch'] for epoch in epochs]
    if (not epochs or numbers != list(range(1, len(epochs) + 1))
            or 'val' not in epochs[-1]):
        raise InputError(
            f'{work_dir}/run.json: epochs are {numbers}, expected all from 1 '
            f'on, and the last one validated. {_advice(work_dir)}')
    top1 = [100 * epoch['val']['acc/top1'] for epoch in validated]
    confusion = confusion_matrix(scores.logits, scores.labels)
    tested = 100 * np.trace(confusion) / confusion.sum()
    if abs(tested - top1[-1]) > 0.01:
        raise InputError(f'{work_dir}: the last validation has top-1 '
                         f'{top1[-1]:.2f}, the test {tested:.2f}; expected '
                         'the same.')
    best = int(np.argmax(top1))
    record = dict(
        declared=training.declared(),
        recipe_sha256=recipe_of(Config.fromstring(run['config'], '.py')),
        **{name: run[name] for name in (
            'config', 'config_sha256', 'commit', 'clean', 'versions',
            'machine', 'seed')},
        resumed=[dict(epoch=part['epoch'], commit=part['commit'])
                 for part in run.get('resumed', [])],
        epochs=len(epochs),
        seconds=round(sum(epoch['seconds'] for epoch in epochs), 1),
        top1_last=round(top1[-1], 4), top1_best=round(top1[best], 4),
        best_epoch=validated[best]['epoch'],
        curves=_curves(epochs, validated, top1),
        classes=list(map(str, scores.classes)), confusion=confusion.tolist())
    return dict(record, sha256=digest(record))


def check_parts(training: Training, work_dir: Path) -> None:
    """Check that a training may go on, or end, in a work directory.

    It takes up whatever checkpoint is there, which must be of the same
    recipe. The rest of the config may differ: paths do, between machines.

    Args:
        training (Training): The training.
        work_dir (Path): Its work directory; it need not hold anything yet.

    Raises:
        InputError: What is there is of another recipe or seed, was not made
            on a clean tree, or there is a checkpoint that nothing is known
            of.
    """
    path = work_dir / 'run.json'
    if not path.is_file():
        if find_latest(str(work_dir)).path:
            raise InputError(f'{path}: is missing, expected beside a '
                             f'checkpoint. {_advice(work_dir)}')
        return
    run = json.loads(path.read_text())
    seeds = {run['seed'], *(part['seed'] for part in run.get('resumed', []))}
    for name, seen, expected in (
            ('clean', run['clean'], True),
            ('seed', sorted(seeds), [training.seed]),
            ('the hash of its recipe',
             recipe_of(Config.fromstring(run['config'], '.py')),
             training.recipe_sha256())):
        if seen != expected:
            raise InputError(f'{path}: {name} is {seen}, expected {expected} '
                             f'of {training.name} as it is today. '
                             f'{_advice(work_dir)}')


def check_clean(commit: dict) -> None:
    """Check that the commit says what is run.

    Args:
        commit (dict): As ``current_commit`` of ``RunRecordHook`` tells it.

    Raises:
        InputError: Files of the repository have changed since.
    """
    if not commit['clean']:
        raise InputError('the tree of the repository is not clean, and a '
                         'record names the commit that made it. "git status" '
                         'lists what is changed or new: commit it, or move '
                         'what is not part of the repository, such as files '
                         'of your own, out of it.')


def _advice(work_dir: Path) -> str:
    return f'Delete {work_dir}, and the training starts anew.'


def _curves(epochs: list, validated: list, top1: list) -> dict:
    """A list of numbers for each scalar that all epochs have."""
    names = sorted(set.intersection(*(set(epoch['train'])
                                      for epoch in epochs)))
    return dict(
        epoch=[epoch['epoch'] for epoch in epochs],
        seconds=[epoch['seconds'] for epoch in epochs],
        **{name: [_short(epoch['train'][name]) for epoch in epochs]
           for name in names},
        val_epoch=[epoch['epoch'] for epoch in validated],
        val_top1=list(map(_short, top1)))


def _short(number: float) -> float:
    return float(f'{number:.{DIGITS}g}')


def write_record(path: Path, record: dict) -> None:
    """Write a record; complete, or not there."""
    with atomic_write(path) as partial:
        partial.write_text('{\n' + ',\n'.join(
            f'{json.dumps(name)}: {json.dumps(value)}'
            for name, value in record.items()) + '\n}\n')


def read_record(path: Path) -> Dict[str, Any]:
    """Read a record and check it.

    Args:
        path (Path): The file.

    Returns:
        dict: The record.

    Raises:
        InputError: A field is missing, unknown or of another type, a hash is
            wrong, or fields contradict each other.
    """
    try:
        record = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f'{path}: not readable as JSON: {error}.') from None
    if not isinstance(record, dict) or record.keys() != FIELDS.keys():
        raise InputError(f'{path}: the fields are {sorted(record)}, expected '
                         f'{sorted(FIELDS)}.')
    for name, kind in FIELDS.items():
        if not isinstance(record[name], kind):
            raise InputError(f'{path}: {name} is {record[name]!r}, expected '
                             f'{kind.__name__}.')
    _check_hashes(path, record)
    _check_sense(path, record)
    return record


def _check_hashes(path: Path, record: dict) -> None:
    rest = {name: value for name, value in record.items() if name != 'sha256'}
    config = hashlib.sha256(record['config'].encode()).hexdigest()
    for name, seen, expected in (
            ('sha256', record['sha256'], digest(rest)),
            ('config_sha256', record['config_sha256'], config)):
        if seen != expected:
            raise InputError(
                f'{path}: {name} is {seen}, expected {expected} for what is '
                'in it. A record is written by run_study.py alone: delete it '
                'and run the study again.')


def _check_sense(path: Path, record: dict) -> None:
    """What one field says must not contradict another."""
    curves, confusion = record['curves'], np.array(record['confusion'])
    expected = dict(
        clean=(record['clean'], True),
        commit=(len(record['commit']), 40),
        epochs=(curves['epoch'], list(range(1, record['epochs'] + 1))),
        seed=(record['seed'], record['declared']['seed']),
        top1_best=(record['top1_best'], _near(max(curves['val_top1']),
                                              record['top1_best'])),
        top1_last=(record['top1_last'], _near(
            100 * np.trace(confusion) / confusion.sum(),
            record['top1_last'])),
        val_epoch=(curves['val_epoch'][-1], record['epochs']),
        name=(path.name, f'{record["declared"]["arm"]}_seed-'
              f'{record["seed"]}.json'))
    for name, (seen, wanted) in expected.items():
        if seen != wanted:
            raise InputError(f'{path}: {name} is {seen}, expected {wanted}.')


def check_current(path: Path, record: dict, training: Training) -> None:
    """Check that a record is of what the study and its config say today.

    Of :data:`study.RECIPE`, that is; what is in no config, such as defaults
    of classes, is that of the record's commit.

    Args:
        path (Path): The record's file, for messages.
        record (dict): What is in it.
        training (Training): As the study declares it.

    Raises:
        InputError: The study or the config has changed since.
    """
    seen, declared = record['declared'], training.declared()
    for name, value in declared.items():
        if seen.get(name) != value:
            raise InputError(
                f'{path}: {name} is {seen.get(name)}, but the study says '
                f'{value}. Give the arm another name, or delete the record '
                'and the work directory of its training.')
    if record['recipe_sha256'] != training.recipe_sha256():
        raise InputError(
            f'{path}: {training.config} says something else today than when '
            'it was recorded. Delete the record and the work directory of '
            'its training, or give the study the options that are in the '
            "record's config.")


def find_finished(training: Training, work_dirs: Sequence[Path],
                  records: Path) -> Optional[Tuple[dict, Path]]:
    """What a finished training has left.

    Args:
        training (Training): The training.
        work_dirs (sequence[Path]): Folders of all studies' trainings; the
            first that has its last checkpoint counts.
        records (Path): Folder of all studies' records.

    Returns:
        tuple[dict, Path] | None: Its record and its last checkpoint; None if
        either is missing.

    Raises:
        InputError: The record is damaged, or not of the training as it is
            today.
    """
    path = records / training.record
    if not path.is_file():
        return None
    record = read_record(path)
    check_current(path, record, training)
    for folder in work_dirs:
        latest = find_latest(
            str(folder / training.study / training.name)).path
        if latest and Path(latest).name == f'epoch_{record["epochs"]}.pth':
            return record, Path(latest)
    return None


def _near(number: float, seen: float) -> float:
    """The number as seen, if they differ by rounding alone."""
    return seen if abs(number - seen) < 0.01 else number
