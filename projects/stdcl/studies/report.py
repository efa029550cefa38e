"""Report of a study: tables and a plot."""
from itertools import product
from pathlib import Path
from typing import Iterable, Iterator, List, NamedTuple, Optional, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..catalogue import BENCHMARKS
from ..utils.atomic_write import atomic_write
from ..utils.input_error import printable
from . import records
from .statistics import Difference, compare, mean_of
from .study import Study

TABLES = ('study', 'measures', 'details')
# column -> title, digits
MEASURES = {'top1_last': ('top-1', 2), 'mean_class': ('class mean', 2),
            'nll': ('negative log-likelihood', 3)}


def markdown(head: Iterable[str], rows: Iterable[Sequence]) -> str:
    """Format a Markdown table; return an empty string if it has no rows."""
    head, rows = list(head), list(rows)
    lines = [head, ['---'] * len(head), *rows] if rows else []
    return '\n'.join(f'| {" | ".join(map(printable, line))} |'
                     for line in lines)


def spread(values: pd.Series) -> str:
    """Format the mean and, for several values, the standard deviation."""
    deviation = f' ± {values.std():.2f}' if len(values) > 1 else ''
    return f'{values.mean():.2f}{deviation}'


class Gain(NamedTuple):
    """The difference of an arm with STD-CL from its plain arm.

    ``plain`` contains the top-1 accuracies of the plain arm. ``fit`` is the
    mean training accuracy of the plain arm, in percent: without augmentation
    if the study has a test ``train``, otherwise in the last epoch.
    """
    arm: str
    difference: Difference
    plain: pd.Series
    fit: float


class StudyReport:
    """Tables and a plot of a study, whose CSV files are in ``folder``."""

    def __init__(self, study: Study, folder: Path) -> None:
        self.plan, self.path = study, folder / f'{study.name}.csv'
        self.results = records.read(self.path)
        self.details_rows = records.read(
            folder / f'{study.name}_details.csv', records.DETAILS)
        self.arms = study.arms
        found = {arm: compare(self.results, arm, other)
                 for arm, other in study.against.items()}
        self.differences = {arm: difference for arm, difference
                            in found.items() if len(difference.seeds)}
        self.means = {
            name: mean_of([self.differences[arm] for arm in arms])
            for name, arms in study.means.items()
            if set(arms) <= self.differences.keys()}

    def study(self) -> str:
        """Return a table of accuracies: recorded arms, then means of arms."""
        rows = []
        for arm in self.arms:
            found = self.results[self.results.arm == arm]
            if len(found):
                train = found.train_top1
                rows.append([
                    arm, len(found), spread(found.top1_last),
                    f'{train.mean():.1f}' if train.notna().all() else '',
                    *self._difference(self.differences.get(arm),
                                      self.plan.against.get(arm)),
                    '' if found.minutes.isna().all()  # a fused arm
                    else f'{found.minutes.median():.1f}'])
        rows += [[name, '', '', '', *self._difference(mean), '']
                 for name, mean in self.means.items()]
        return markdown(
            ['arm', 'seeds', 'top-1, %', 'train top-1, %', 'difference',
             '95 % interval', 'finding', 'minutes per run (median)'], rows)

    def measures(self) -> str:
        """Return a table of mean differences ± margins in all measures."""
        columns = dict(MEASURES)
        for test, name in product(self.plan.tests, ('top1', 'nll')):
            title, digits = MEASURES[name.replace('top1', 'top1_last')]
            columns[f'{name}_{test}'] = f'{title} ({test})', digits
        results = self.results.reindex(columns=[*records.KEY, *columns])
        rows = []
        for arm in self.differences:
            found = [compare(results, arm, self.plan.against[arm], name)
                     for name in columns]
            rows.append([arm, len(found[0].seeds), *(
                f'{one.mean:+.{digits}f} ± {one.margin:.{digits}f}'.replace(
                    ' ± nan', '').replace('+nan', '')
                for one, (_, digits) in zip(found, columns.values()))])
        titles = [title for title, _ in columns.values()]
        return markdown(['arm', 'pairs', *titles], rows)

    def gains(self) -> Iterator[Gain]:
        """Yield the differences of arms with STD-CL from plain arms."""
        for arm, found in self.differences.items():
            pair = [self.results[self.results.arm == name]
                    for name in (arm, self.plan.against[arm])]
            if [set(frame.method) for frame in pair] == [{'STD-CL'},
                                                         {'plain'}]:
                fit = pair[1].get('top1_train', pair[1].train_top1)
                yield Gain(arm, found, pair[1].top1_last, fit.mean())

    @staticmethod
    def _difference(found: Optional[Difference], other: str = '') -> List[str]:
        """Return the table cells of a comparison."""
        if found is None:
            return ['', '', '']
        low, high = found.mean - found.margin, found.mean + found.margin
        return [f'{found.mean:+.2f}' + (f' from {other}' if other else ''),
                f'{low:+.2f} to {high:+.2f}' if np.isfinite(low) else '',
                found.finding]

    def details(self) -> str:
        """Return a table of mean details: accuracies of classes and so on."""
        means = self.details_rows.pivot_table(
            index=['kind', 'name'], columns='arm', values='value', sort=False)
        return markdown(['kind', 'name', *means], (
            [*names, *('' if np.isnan(value) else f'{value:.3g}'
                       for value in row)]
            for names, row in zip(means.index, means.to_numpy())))

    def source(self) -> str:
        """Name the machines of the runs, and count the recorded runs."""
        recorded = self.results.arm.isin(self.arms).sum()
        return '; '.join([
            *self.results.machine.dropna().unique(),
            f'{recorded} of {len(self.plan.trainings)} runs recorded'])

    def draw(self, path: Path) -> None:
        """Plot the differences as an SVG; write nothing if there are none."""
        arms = [arm for arm in self.plan.against if arm in self.differences]
        if not arms:
            return
        figure = Figure(figsize=(7, 1 + 0.32 * len(arms)),
                        layout='constrained')
        axes = figure.add_subplot()
        for place, arm in enumerate(reversed(arms)):
            found = self.differences[arm]
            axes.plot(found.seeds, [place] * len(found.seeds), '|',
                      color='0.6')
            axes.errorbar(found.mean, place, fmt='o', capsize=3, color='C0',
                          xerr=np.nan_to_num(found.margin))
        axes.axvline(0, color='0.3', linewidth=0.8)
        axes.set_yticks(range(len(arms)), arms[::-1])
        axes.set_xlabel('difference in top-1 (points): mean, 95 % interval, '
                        'each seed')
        _save(figure, path)

    def write_page(self, page: Path) -> None:
        """Write a Markdown page with the tables, and the plot next to it."""
        page.parent.mkdir(parents=True, exist_ok=True)
        plot = page.with_suffix('.svg')
        self.draw(plot)
        parts = [f'# {self.plan.about}', f'{self.source()}.',
                 f'![Differences]({plot.name})' if plot.is_file() else '']
        parts += [f'## {name.capitalize()}\n\n{table}' for name in TABLES
                  if (table := getattr(self, name)())]
        page.write_text('\n\n'.join(parts) + '\n')


def gains_table(reports: Iterable[StudyReport]) -> str:
    """Return a table of the gains in several studies and of their means."""
    rows = []
    for report in reports:
        title = BENCHMARKS[report.plan.benchmark].title.split(',')[0]
        rows += [[title, gain.arm, len(gain.difference.seeds),
                  spread(gain.plain),
                  '' if np.isnan(gain.fit) else f'{gain.fit:.1f}',
                  *report._difference(gain.difference)]
                 for gain in report.gains()]
        rows += [[title, name, '', '', '', *report._difference(mean)]
                 for name, mean in report.means.items()]
    return markdown(['data set', 'arm', 'pairs', 'plain top-1, %',
                     'plain train top-1, %', 'difference', '95 % interval',
                     'finding'], rows)


def draw_gains(reports: Iterable[StudyReport], path: Path) -> None:
    """Plot the gains of STD-CL against the fit of the training set."""
    figure = Figure(figsize=(7, 4), layout='constrained')
    axes = figure.add_subplot()
    for color, report in enumerate(reports):
        points = [(gain.fit, *gain.difference[:2]) for gain in report.gains()
                  if np.isfinite(gain.difference.margin)]
        if points:
            x, y, margin = zip(*points)
            axes.errorbar(x, y, margin, fmt='o', capsize=2, alpha=0.6,
                          color=f'C{color % 10}', label=report.plan.name)
    axes.axhline(0, color='0.3', linewidth=0.8)
    axes.set_xlabel('top-1 of the plain encoder on its training set, %')
    axes.set_ylabel('difference in top-1 (points)')
    axes.legend(fontsize='small')
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    """Save a figure as an SVG file that depends only on the data."""
    with matplotlib.rc_context({'svg.hashsalt': 'stdcl',
                                'svg.fonttype': 'none'}), \
            atomic_write(path) as partial:
        figure.savefig(partial, format='svg', metadata=dict(Date=None))
