"""Measure how the features of a study's models lie in the classes.

For every recorded training whose checkpoint is in its work directory: the
distances within and between classes, silhouette and retrieval of its features
on the test set, and how far the decoupled ones are linear in the global ones
(projects.stdcl.evaluation.features says what they are), into
features_STUDY.json beside the records; study_report.py makes a table of it.
"""
import argparse
import json
import logging
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'tools' / 'analysis')]

from mmengine.config import Config
from mmengine.runner import Runner
from record import (
    check_clean,
    find_finished,
    read_record,
)
from study import add_finished_arguments, read_study

from projects.stdcl.apis import load_model
from projects.stdcl.evaluation.features import (
    FEATURES,
    extract,
    linear_share,
    measure,
)
from projects.stdcl.utils.atomic_write import atomic_write
from projects.stdcl.utils.environment import (
    current_commit,
    machine_kind,
    package_versions,
)
from projects.stdcl.utils.input_error import (
    InputError,
    end_cleanly,
)

EXAMPLE = '''example:
  python tools/experiments/study_features.py \\
      tools/experiments/studies/nw_ucla_quarter.py'''


def measure_training(record: dict, checkpoint: Path) -> dict:
    """Measures of a trained model, on its test set.

    Args:
        record (dict): The record of the training.
        checkpoint (Path): Its checkpoint.

    Returns:
        dict: ``record``, the record's hash, and for each feature that there
        is, what :func:`features.measure` returns, and of the decoupled
        ones ``linear``, their :func:`features.linear_share` of the
        global ones.

    Raises:
        InputError: The checkpoint does not do what the record says.
    """
    cfg = Config.fromstring(record['config'], '.py')
    arrays = extract(load_model(cfg, str(checkpoint)),
                     Runner.build_dataloader(cfg.test_dataloader))
    top1 = 100 * (arrays['predictions'] == arrays['labels']).mean()
    if abs(top1 - record['top1_last']) > 0.01:
        raise InputError(f'{checkpoint}: top-1 is {top1:.2f}, expected '
                         f'{record["top1_last"]:.2f} as recorded.')
    found = {name: measure(arrays[name], arrays['labels'])
             for name in FEATURES if name in arrays}
    for name in found.keys() - {'global_'}:
        found[name]['linear'] = linear_share(arrays[name], arrays['global_'])
    return dict(record=record['sha256'], **{
        name: {key: round(value, 5) for key, value in measures.items()}
        for name, measures in found.items()})


def _is_of(measured: dict, record: Path) -> bool:
    """Whether something was measured on the training that is recorded."""
    return record.is_file() and (
        read_record(record)['sha256'] == measured['record'])


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add_finished_arguments(parser)
    return parser.parse_args()


def run(args: argparse.Namespace) -> tuple:
    """The command; returns the file, and how many trainings are in it."""
    study = read_study(args.study)
    path = args.records / f'features_{study.name}.json'
    known = json.loads(path.read_text()) if path.is_file() else {}
    known = {name: measured for name, measured in known.items()
             if _is_of(measured, args.records / study.name / f'{name}.json')}
    # of the code that runs, whatever changes in the files meanwhile
    measured_by = dict(**current_commit(), versions=package_versions(),
                       machine=machine_kind())
    check_clean(measured_by)
    for training in study.matching(args.only):
        found = find_finished(training, args.work_dir, args.records)
        if found and training.name not in known:
            print(training.name)
            known[training.name] = {**measured_by, **measure_training(*found)}
            _write(path, known)
    if not known:
        raise InputError(
            f'no training has both a record in {args.records} and the '
            'checkpoint of its last epoch in '
            f'{", ".join(map(str, args.work_dir))}; run_study.py makes them.')
    _write(path, known)  # without what was measured on other trainings
    return path, len(known)


def _write(path: Path, known: dict) -> None:
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(known, indent=1) + '\n')


def main() -> None:
    args = parse_args()
    logging.disable(logging.WARNING)  # MMEngine logs to stdout
    with end_cleanly(str(args.study)):
        path, number = run(args)
    print(f'{path}: {number} trainings')


if __name__ == '__main__':
    main()
