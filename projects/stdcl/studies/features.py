"""Measures of the features of a study's trained models."""
from pathlib import Path

from mmengine.runner import Runner

from ..apis import load_model
from ..evaluation.features import FEATURES, extract, linear_share, measure
from ..utils.checkpoint_file import find_latest
from ..utils.config_check import load_config
from . import records
from .study import Study, Training


def measure_features(study: Study, folder: Path, work_dir: Path,
                     only: str = '*') -> int:
    """Record measures of the features of finished trainings, on the test set.

    They are rows of ``NAME_details.csv`` in ``folder``. Trainings that have
    them, or whose last checkpoint is not in ``work_dir``, are skipped.

    Returns:
        int: Number of trainings measured.
    """
    files = records.files_of(folder, study.name)
    epochs = records.read_results(files.results).set_index(
        records.KEY).epochs
    details = records.read(files.details)
    known = set(details[details.kind.isin(FEATURES.values())].set_index(
        records.KEY).index)
    measured = 0
    for training in study.matching(only):
        key = training.arm, training.fold, training.seed
        checkpoint = find_latest(
            str(work_dir / study.name / training.name)).path
        if key in known or key not in epochs or not checkpoint or (
                Path(checkpoint).stem != f'epoch_{epochs[key]:.0f}'):
            continue
        records.append(files.details, [
            dict(zip(records.KEY, key), kind=kind, name=name, value=value)
            for kind, found in _measure(training, checkpoint).items()
            for name, value in found.items()], [*records.KEY, 'kind', 'name'])
        measured += 1
    return measured


def _measure(training: Training, checkpoint: str) -> dict:
    """Kind of features -> its measures."""
    cfg = load_config(str(training.config), training.options)
    arrays = extract(load_model(cfg, checkpoint),
                     Runner.build_dataloader(cfg.test_dataloader))
    found = {name: measure(arrays[name], arrays['labels'])
             for name in FEATURES if name in arrays}
    for name in found.keys() - {'global_'}:
        found[name]['linear'] = linear_share(arrays[name], arrays['global_'])
    return {FEATURES[name]: {key: round(value, 5)
                             for key, value in measures.items()}
            for name, measures in found.items()}
