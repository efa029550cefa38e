"""Curves of the losses and metrics of training runs."""
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ..engine.hooks.run_record_hook import read_record
from ..utils.atomic_write import atomic_write
from ..utils.input_error import InputError, printable
from .colors import assign_colors

MARKED = 60  # curves with fewer points have markers


def read_curves(path: Path) -> pd.DataFrame:
    """Read the scalars of each epoch of a training run.

    ``path`` is a work directory or its ``run.json``. The table has a row for
    each epoch, and a column for each mean of a training scalar, each
    validation metric and the ``seconds`` of an epoch. An ``InputError`` is
    raised for other files, and an ``OSError`` if there is none.
    """
    path = path / 'run.json' if path.is_dir() else path
    epochs = read_record(path)['epochs']
    if not epochs:
        raise InputError(f'{path} contains no epochs, expected at least one.')
    return pd.DataFrame(
        [{'seconds': one.get('seconds'), **one.get('train', {}),
          **one.get('val', {})} for one in epochs],
        index=[one['epoch'] for one in epochs])


def plot_curves(logs: Sequence[pd.DataFrame], keys: Sequence[str],
                names: Sequence[str], path: Path) -> None:
    """Plot scalars of several runs as a PNG, one diagram for each scalar.

    ``logs`` are results of :func:`read_curves`, and ``names`` label the runs.
    An ``InputError`` is raised if a run lacks one of ``keys``, the scalars.
    """
    figure = Figure(figsize=(5 * len(keys), 3.6), layout='constrained')
    plots = figure.subplots(1, len(keys), squeeze=False)[0]
    colors = [*assign_colors(range(len(logs))).values()]
    for axes, key in zip(plots, keys):
        axes.set(xlabel='epoch', ylabel=key)
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
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
