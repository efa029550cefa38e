"""Curves of losses and metrics, from the logs of training runs."""
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ..utils.atomic_write import atomic_write
from ..utils.input_error import InputError, printable
from .colors import assign_colors

MARKED = 60  # curves with fewer points have markers


def read_log(path: Path) -> pd.DataFrame:
    """Read the scalars that MMEngine logged in a training run.

    ``path`` is a log with one JSON object per line, such as
    ``TIME/vis_data/scalars.json``, or a work directory, whose logs are joined.
    The table has a column for each scalar and a row for each logged step or
    validation. Its index is the number of epochs completed by then (of steps,
    if the log has no epochs). An ``InputError`` is raised for other files.
    """
    files = [file for file in sorted(path.glob('*/vis_data/scalars.json'))
             if file.stat().st_size] if path.is_dir() else [path]
    tables, log = [], pd.DataFrame()
    for file in files:
        try:
            text = file.read_text()
            if not text.rstrip().endswith('}'):  # the run was killed
                text = text.rpartition('\n')[0] or text
            rows = pd.read_json(StringIO(text), lines=True).astype(float)
            tables.append(rows.set_index(rows['step'].to_numpy()))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f'{file} is not a log of MMEngine ({error}), expected one '
                'JSON object with "step" per line.') from None
    sizes = [(rows['iter'] / rows['epoch']).max() if 'epoch' in rows else 1
             for rows in tables]  # steps per epoch
    for rows, steps in zip(tables, sizes):
        if 'epoch' in rows:  # training rows count steps, others count epochs
            if rows['epoch'].nunique() == 1:  # it may not contain all steps
                most = (rows['iter'] / (rows['epoch'] - 1)).min()
                steps = max((size for size in sizes if size <= most),
                            default=steps)
            # in validations, IterBasedTrainLoop always counts 0 epochs
            rows.index = (rows['iter'] / steps).where(
                rows['epoch'].notna(),
                rows['step'].where(rows['step'] > 0)).ffill().fillna(0)
        start = rows.index.min()
        kept = log.index < start
        if 'epoch' in log and ('epoch' not in rows
                               or pd.isna(rows['epoch'].iloc[0])):
            # a resumed run first repeats the validation of the last epoch
            kept |= (log.index == start) & log['epoch'].notna()
        log = pd.concat([log[kept], rows])
    if log.empty:
        raise InputError(f'{path} contains no logged scalars, expected a '
                         'work directory with */vis_data/scalars.json.')
    return log.dropna(axis=1, how='all')  # only in rows that were replaced


def plot_curves(logs: Sequence[pd.DataFrame], keys: Sequence[str],
                names: Sequence[str], path: Path) -> None:
    """Plot scalars of several runs as a PNG, one diagram for each scalar.

    ``logs`` are results of :func:`read_log`, and ``names`` those of the runs.
    An ``InputError`` is raised if a log lacks one of ``keys``, the scalars.
    """
    figure = Figure(figsize=(5 * len(keys), 3.6), layout='constrained')
    plots = figure.subplots(1, len(keys), squeeze=False)[0]
    colors = [*assign_colors(range(len(logs))).values()]
    for axes, key in zip(plots, keys):
        axes.set(xlabel='epoch' if any('epoch' in log for log in logs)
                 else 'step', ylabel=key)
        axes.grid(alpha=0.3)
        for index, (log, name) in enumerate(zip(logs, names)):
            if key not in log:
                raise InputError(f'{name} contains no scalar "{key}", '
                                 f'expected one of {", ".join(log)}.')
            curve = log[key].dropna()
            axes.plot(curve.index, curve, colors[index],
                      marker='o' if len(curve) < MARKED else '', markersize=3)
    # matplotlib would hide a label that starts with "_"
    for text in axes.legend(axes.lines, map(printable, names)).get_texts():
        text.set_parse_math(False)
    with atomic_write(path) as partial:
        figure.savefig(partial, format='png')


def describe_times(log: pd.DataFrame) -> str:
    """Describe the mean time per training step, overall and by epoch."""
    steps = log.reindex(columns=['iter', 'epoch', 'time']).dropna(
        subset=['iter', 'time'])  # rows of training
    times = steps.groupby(steps['epoch'].fillna(1))['time'].mean()
    return 'no training steps' if times.empty else (
        f'mean {times.mean():.4f} s per step; slowest epoch '
        f'{times.idxmax():.0f} ({times.max():.4f} s), fastest epoch '
        f'{times.idxmin():.0f} ({times.min():.4f} s)')
