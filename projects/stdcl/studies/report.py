"""Report of a study: tables and a plot."""
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..utils.atomic_write import atomic_write
from ..utils.input_error import printable
from . import records
from .statistics import Difference, compare, mean_of
from .study import Study

TABLES = ('study', 'measures')
# column -> title, digits
MEASURES = {'top1_last': ('top-1', 2), 'mean_class': ('class mean', 2),
            'nll': ('negative log-likelihood', 3)}


def markdown(head: Iterable[str], rows: Iterable[Sequence]) -> str:
    """Format a Markdown table; return an empty string if it has no rows."""
    head, rows = list(head), list(rows)
    lines = [head, ['---'] * len(head), *rows] if rows else []
    return '\n'.join('| ' + ' | '.join(
        printable(cell).replace('|', r'\|') for cell in line) + ' |'
        for line in lines)


def cells_of(found: Difference | None, other: str = '') -> list[str]:
    """Return the table cells of a comparison: mean, interval, finding."""
    if found is None:
        return ['', '', '']
    low, high = found.mean - found.margin, found.mean + found.margin
    return [f'{found.mean:+.2f}' + (f' from {other}' if other else ''),
            f'{low:+.2f} to {high:+.2f}' if np.isfinite(low) else '',
            found.finding]


def spread(values: pd.Series) -> str:
    """Format the mean and, for several values, the standard deviation."""
    return f'{values.mean():.2f} ± {values.std():.2f}'.removesuffix(' ± nan')


class StudyReport:
    """Tables and a plot of a study, whose CSV file is in ``folder``."""

    def __init__(self, study: Study, folder: Path) -> None:
        self.plan, self.path = study, folder / f'{study.name}.csv'
        recorded = records.read(self.path)
        planned = [(one.arm, one.fold, one.seed) for one in study.trainings]
        self.results = recorded[pd.MultiIndex.from_frame(
            recorded[records.KEY]).isin(planned)]
        self.arms = study.arms
        found = {arm: compare(self.results, arm, other)
                 for arm, other in study.against.items()}
        self.differences = {arm: difference for arm, difference
                            in found.items() if len(difference.seeds)}
        means = {name: mean_of([self.differences[arm] for arm in arms])
                 for name, arms in study.means.items()
                 if arms and set(arms) <= self.differences.keys()}
        self.means = {name: mean for name, mean in means.items()
                      if len(mean.seeds)}

    def study(self) -> str:
        """Return a table of accuracies: recorded arms, then means of arms."""
        rows = []
        for arm in self.arms:
            found = self.results[self.results.arm == arm]
            if len(found):
                train, difference = found.train_top1, self.differences.get(arm)
                cells = cells_of(difference, self.plan.against.get(arm))
                if difference and len(difference.seeds) < len(found):
                    cells[0] += f' (pairs: {len(difference.seeds)})'
                rows.append([
                    arm, len(found), spread(found.top1_last),
                    f'{train.mean():.1f}' if train.notna().all() else '',
                    *cells,
                    '' if found.minutes.isna().all()  # a fused arm
                    else f'{found.minutes.median():.1f}'])
        rows += [[name, len(mean.seeds), '', '', *cells_of(mean), '']
                 for name, mean in self.means.items()]
        return markdown(
            ['arm', 'seeds', 'top-1, %', 'train top-1, %', 'difference',
             '95 % interval', 'finding', 'minutes per run (median)'], rows)

    def measures(self, min_pairs: int = 1) -> str:
        """Return a table of mean differences ± margins in all measures.

        Arms with fewer than ``min_pairs`` pairs are omitted.
        """
        columns = dict(MEASURES)
        for test, name in product(self.plan.tests, ('top1', 'nll')):
            title, digits = MEASURES[name.replace('top1', 'top1_last')]
            columns[f'{name}_{test}'] = f'{title} ({test})', digits
        results = self.results.reindex(columns=[*records.KEY, *columns])
        rows = []
        for arm, difference in self.differences.items():
            if len(difference.seeds) < min_pairs:
                continue
            found = [compare(results, arm, self.plan.against[arm], name)
                     for name in columns]
            pairs, cells = len(found[0].seeds), []
            for one, (_, digits) in zip(found, columns.values()):
                cell = f'{one.mean:+.{digits}f} ± {one.margin:.{digits}f}'
                cell = cell.replace(' ± nan', '').replace('+nan', '')
                if 0 < len(one.seeds) < pairs:  # the test was added later
                    cell += f' (pairs: {len(one.seeds)})'
                cells.append(cell)
            rows.append([arm, pairs, *cells])
        titles = [title for title, _ in columns.values()]
        return markdown(['arm', 'pairs', *titles], rows)

    def source(self) -> str:
        """Name the machines of the runs, and count the recorded runs."""
        recorded = self.results.arm.isin(self.arms).sum()
        return '; '.join([
            *map(printable, self.results.machine.dropna().unique()),
            f'{recorded} of {len(self.plan.trainings)} runs recorded'])

    def draw(self, path: Path) -> None:
        """Plot the differences as an SVG; write nothing if there are none."""
        arms = list(self.differences)
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
                          xerr=np.nan_to_num(found.margin),
                          mfc='none' if np.isnan(found.margin) else None)
        axes.axvline(0, color='0.3', linewidth=0.8)
        axes.set_yticks(range(len(arms)), arms[::-1], parse_math=False)
        axes.set_xlabel('difference in top-1 (points)\nmean, 95 % interval '
                        '(hollow: none), each seed')
        save_svg(figure, path)

    def write_page(self, page: Path) -> None:
        """Write a Markdown page with the tables, and the plot next to it."""
        page.parent.mkdir(parents=True, exist_ok=True)
        plot = page.with_suffix('.svg')
        self.draw(plot)
        parts = [f'# {printable(self.plan.about)}', f'{self.source()}.',
                 f'![Differences]({plot.name})' if self.differences else '']
        parts += [f'## {name.capitalize()}\n\n{table}' for name in TABLES
                  if (table := getattr(self, name)())]
        page.write_text('\n\n'.join(parts) + '\n', 'utf-8')


def save_svg(figure: Figure, path: Path) -> None:
    """Save a figure as an SVG file that depends only on the data."""
    with matplotlib.rc_context({'svg.hashsalt': 'stdcl',
                                'svg.fonttype': 'none'}), \
            atomic_write(path) as partial:
        figure.savefig(partial, format='svg', metadata=dict(Date=None))
