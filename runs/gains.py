"""Gains of STD-CL in several studies: a table and a plot."""
from collections import defaultdict
from pathlib import Path
from typing import Iterable, Iterator, NamedTuple, Optional, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from projects.stdcl.catalogue import BENCHMARKS, ENCODERS
from projects.stdcl.studies.records import KEY
from projects.stdcl.studies.report import (
    StudyReport,
    cells_of,
    markdown,
    save_svg,
    spread,
)
from projects.stdcl.studies.statistics import Difference, compare, mean_of

MARKERS = 'os^vDPX*'  # one for each study
VARIANTS = ('published', 'recommended')
RECOMMENDED = ('recommended', 'block-8', 'conv5')  # filled in the plot
# further measures: column -> title, digits
OTHERS = {'top1_clips': ('five clips', 2), 'mean_class': ('class mean', 2),
          'nll': ('NLL', 3)}


class Gain(NamedTuple):
    """The difference of an arm with STD-CL from its plain arm.

    ``plain`` contains the top-1 accuracies of the plain runs of the pairs. The
    others are means of their training accuracy, in percent: ``fit`` without
    augmentation if the study has a test ``train``, and ``last_epoch`` in the
    last epoch, with augmentation and dropout.
    """
    arm: str
    difference: Difference
    plain: pd.Series
    fit: float
    last_epoch: float


def find_gains(report: StudyReport) -> Iterator[Gain]:
    """Yield the differences of arms with STD-CL from plain arms."""
    for arm, found in report.differences.items():
        pair = [report.results[report.results.arm == name]
                for name in (arm, report.plan.against[arm])]
        if [set(frame.method) for frame in pair] == [{'STD-CL'}, {'plain'}]:
            plain = pair[1].set_index(KEY[1:]).loc[found.seeds.index]
            fit = plain.get('top1_train', plain.train_top1)
            yield Gain(arm, found, plain.top1_last, fit.mean(),
                       plain.train_top1.mean())


def data_set(report: StudyReport) -> str:
    """Return the short title of a study's benchmark, or its own data."""
    data = next(iter(report.results.data.dropna()), report.plan.benchmark)
    return BENCHMARKS.get(data, data).split(',')[0]


def gains_table(reports: Iterable[StudyReport]) -> str:
    """Return a table of the gains in several studies and of their means.

    Arms with fewer than three pairs, which have no interval, are omitted. If a
    benchmark has several studies, a row shows the mean over their encoders.
    """
    rows, parts = [], defaultdict(list)
    for report in reports:
        title = data_set(report)
        rows += [[title, gain.arm, len(gain.difference.seeds),
                  spread(gain.plain),
                  '' if np.isnan(gain.fit) else f'{gain.fit:.1f}',
                  *cells_of(gain.difference), *others((report, gain.arm))]
                 for gain in find_gains(report)
                 if len(gain.difference.seeds) > 2]
        for name, mean in report.means.items():
            pairs = [(report, arm) for arm in report.plan.means[name]]
            parts[title, name].append((mean, pairs))
    for (title, name), groups in list(parts.items()):
        if len(groups) > 1:
            pairs = sum((group for _, group in groups), [])
            parts[title, f'{name} of all studies'] = [(mean_of(
                [one.differences[arm] for one, arm in pairs]), pairs)]
    rows += [[title, name + (f' of {pairs[0][0].plan.name}' if len(
                  groups) > 1 else ''), len(mean.seeds), '', '',
              *cells_of(mean), *others(*pairs)]
             for (title, name), groups in parts.items()
             for mean, pairs in groups if len(mean.seeds) > 2]
    return markdown(['data set', 'arm', 'pairs', 'plain top-1, %',
                     'plain train top-1, %', 'difference', '95 % interval',
                     'finding', *(title for title, _ in OTHERS.values())],
                    rows)


def encoder_table(reports: Iterable[StudyReport]) -> str:
    """Return a table of the gains of both variants for each encoder.

    The last row of a benchmark contains the means over all encoders.
    """
    tables = defaultdict(list)
    for report in reports:
        tables[data_set(report)].append(report)
    return markdown(['data set', 'encoder', 'plain top-1, %', *VARIANTS], [
        [title, *row] for title, group in tables.items()
        for row in (*sum(map(encoder_rows, group), []), mean_row(group))
        if any(row[1:])])


def encoder_rows(report: StudyReport) -> list[list]:
    """Return a row for each encoder of a study with at least three pairs."""
    rows = []
    for encoder in filter(ENCODERS.get, report.arms):
        found = [gain.plain for gain in find_gains(report)
                 if report.plan.against[gain.arm] == encoder]
        plain = pd.concat(found).groupby(level=[0, 1]).first() if found else ()
        if len(plain) > 2:  # an interval needs three seeds
            rows.append([ENCODERS[encoder].title, spread(plain), *(
                gain_cell(report.differences.get(f'{encoder}-{variant}'))
                for variant in VARIANTS)])
    return rows


def mean_row(group: Sequence[StudyReport]) -> list:
    """Return a row of the means over the encoders of all studies."""
    cells = []
    for variant in VARIANTS:
        name = f'{variant}, mean over the encoders'
        found = [report.differences[arm] for report in group
                 if name in report.means for arm in report.plan.means[name]]
        cells.append(f'{gain_cell(mean_of(found))}, {len(found)} encoders'
                     if found else '')
    return ['mean', '', *cells]


def gain_cell(found: Optional[Difference]) -> str:
    """Format a difference in points and its 95 % interval."""
    gain, interval, _ = cells_of(found)
    return f'{gain} ({interval})' if interval else gain


def others(*arms: tuple[StudyReport, str]) -> Iterator[str]:
    """Yield the mean differences of arms in the measures of OTHERS."""
    for column, (_, digits) in OTHERS.items():
        mean = mean_of([compare(
            report.results.reindex(columns=[*KEY, *OTHERS]), arm,
            report.plan.against[arm], column) for report, arm in arms])
        yield '' if np.isnan(mean.mean) else f'{mean.mean:+.{digits}f}' + (
            '' if np.isnan(mean.margin) else f' ± {mean.margin:.{digits}f}')


def draw_gains(reports: Iterable[StudyReport], path: Path) -> None:
    """Plot the gains of STD-CL against the error on the training set.

    Markers of the recommended variant are filled.
    """
    figure = Figure(figsize=(8, 4), layout='constrained')
    axes = figure.add_subplot(xscale='log')
    shown = 0
    for report in reports:
        gains = [gain for gain in find_gains(report)
                 if len(gain.difference.seeds) >= 5]
        for gain in gains:
            axes.errorbar(
                max(100 - gain.last_epoch, 0.01), *gain.difference[:2],
                fmt=MARKERS[shown % len(MARKERS)], color=f'C{shown % 10}',
                mfc=None if gain.arm.endswith(RECOMMENDED) else 'none',
                capsize=2, alpha=0.7)
        if gains:
            axes.plot([], [], MARKERS[shown % len(MARKERS)], mfc='none',
                      color=f'C{shown % 10}', label=report.plan.name)
            shown += 1
    axes.axhline(0, color='0.3', linewidth=0.8)
    axes.invert_xaxis()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter('{x:g}')
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel('training sequences that the plain encoder misclassifies '
                    'in the last epoch, %')
    axes.set_ylabel('difference in top-1 (points)')
    figure.legend(loc='outside right upper', fontsize='small',
                  title='filled: recommended', title_fontsize='small')
    save_svg(figure, path)
