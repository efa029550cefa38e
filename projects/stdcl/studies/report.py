"""Tables and plots of a study."""
from pathlib import Path
from typing import Dict, List, Optional

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..utils.atomic_write import atomic_write
from ..utils.input_error import InputError
from . import records
from .statistics import find_differences
from .study import Study

# title -> scalars of ContrastDiagnosisHook, those that were measured
DIAGNOSES = {
    'contrasted sequences': ['anchor_share'],
    'gradient of the spatial, temporal loss / of cross entropy':
        ['share_spatial', 'share_temporal'],
    'cosine of the gradients': ['gradient_cosine'],
    'similarity to positives, negatives':
        ['positive_spatial', 'negative_spatial'],
    'staleness': ['staleness_spatial'],
    'spread of attention over joints, frames':
        ['attention_spatial', 'attention_temporal']}
FEATURES = ('global', 'spatial', 'temporal')
MEASURES = {'intra': 'distance within classes', 'inter': 'between classes',
            'silhouette': 'silhouette', 'precision@1': 'precision at 1',
            'precision@5': 'precision at 5',
            'linear': 'linear in the global features'}
# ending of the file -> scalar -> title of its panel
CURVES = {
    '_curves': dict(val_top1='top-1, %', top1_acc='training top-1, share',
                    loss_cls='cross entropy'),
    '_diagnosis': dict(gradient_cls='gradient of cross entropy',
                       gradient_spatial='of the spatial loss',
                       gradient_temporal='of the temporal loss',
                       gradient_cosine='their cosine',
                       staleness_spatial='staleness')}
LINES = ('-', '--', ':')  # of ten arms each


def markdown(head: List[str], rows: List[List[str]]) -> str:
    """A Markdown table; empty without rows."""
    lines = [head, ['---'] * len(head), *rows] if rows else []
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def spread(values: pd.Series, digits: int = 2) -> str:
    """Mean ± standard deviation; empty without values."""
    if values.empty:
        return ''
    deviation = f' ± {values.std():.{digits}f}' if len(values) > 1 else ''
    return f'{values.mean():.{digits}f}{deviation}'


class StudyReport:
    """Tables and plots of one study.

    Args:
        study (Study): The study.
        folder (Path): Folder of its results.
    """

    def __init__(self, study: Study, folder: Path) -> None:
        self.study, self.files = study, records.files_of(folder, study.name)
        self.results = records.read_results(self.files.results)
        self.details = records.read(self.files.details)
        self.curves = records.read(self.files.curves)
        self.differences = find_differences(study, self.results)
        self.tables = dict(
            study=self.summary, ensembles=self.ensembles, classes=self.classes,
            diagnosis=self.diagnosis, features=self.features)

    def summary(self) -> str:
        """A row for each arm, then for each mean."""
        rows = []
        for arm in self.study.arms:
            found = self.results[self.results.arm == arm]
            if len(found):
                train = found.train_top1
                rows.append([
                    arm, str(len(found)), spread(found.top1_last),
                    f'{train.mean():.1f}' if train.notna().all() else '',
                    *self._difference(arm), f'{found.minutes.median():.1f}'])
        rows += [[name, '', '', '', *self._difference(name), '']
                 for name in self.study.means if name in self.differences]
        return markdown(
            ['arm', 'seeds', 'top-1, %', 'train top-1, %', 'difference',
             '95 % interval', 'finding', 'minutes a training, median'], rows)

    def _difference(self, arm: str) -> List[str]:
        """Cells of a comparison."""
        found, other = self.differences.get(arm), self.study.against.get(arm)
        if found is None:
            return ['', '', '']
        return [f'{found.mean:+.2f}' + (f' to {other}' if other else ''),
                f'{found.low:+.2f} to {found.high:+.2f}'
                if np.isfinite(found.low) else '', found.finding]

    def ensembles(self) -> str:
        """A row for each recorded ensemble."""
        rows, top1 = [], self.results.set_index(records.KEY).top1_last
        for name, arms in self.study.ensembles.items():
            for row in self.results[self.results.arm == name].itertuples():
                members = (top1.get((arm, row.fold, row.seed), np.nan)
                           for arm in arms)
                rows.append([name, str(row.seed),
                             ', '.join(f'{one:.2f}' for one in members),
                             f'**{row.top1_last:.2f}**'])
        return markdown(['ensemble', 'seed', 'top-1 of its arms, %',
                         'top-1, %'], rows)

    def classes(self) -> str:
        """Difference in each class's accuracy, a column a comparison."""
        found = self.details[self.details.kind == 'class']
        values = found.set_index(['name', 'fold', 'seed']).value
        columns = {}
        for arm, other in self.study.against.items():
            one, two = (values[(found.arm == name).to_numpy()]
                        for name in (arm, other))
            columns[arm] = (one - two).dropna().groupby('name').mean()
        frame = pd.DataFrame(columns, index=found.name.unique()).dropna(
            axis=1, how='all').round(1) + 0.0  # no -0.0
        return markdown(['class', *frame], [
            [str(name), *(f'{value:+.1f}' for value in row)]
            for name, *row in frame.itertuples()] if len(columns) else [])

    def diagnosis(self) -> str:
        """Scalars of the contrast in the last epoch, mean over seeds."""
        rows, found = [], self.details[self.details.kind == 'diagnosis']
        for arm in self.study.arms:
            seeds = found[found.arm == arm].pivot(
                index=['fold', 'seed'], columns='name', values='value')
            if 'gradient_spatial' not in seeds:
                continue
            last = seeds.dropna(axis=1).mean()  # of those that all seeds have
            for part in ('spatial', 'temporal'):
                last[f'share_{part}'] = (last[f'gradient_{part}']
                                         / last.gradient_cls)
            rows.append([arm, str(len(seeds)), *(
                ', '.join(f'{last[name]:.2f}' for name in names
                          if name in last) for names in DIAGNOSES.values())])
        return markdown(['arm', 'seeds', *DIAGNOSES], rows)

    def features(self) -> str:
        """Measures of the features, mean and deviation over seeds."""
        rows = []
        for arm in self.study.arms:
            for kind in FEATURES:
                found = self.details[(self.details.arm == arm)
                                     & (self.details.kind == kind)]
                if len(found):
                    rows.append([arm, kind, str(found.seed.nunique()), *(
                        spread(found[found.name == name].value, 3)
                        for name in MEASURES)])
        return markdown(['arm', 'features', 'seeds', *MEASURES.values()], rows)

    def source(self) -> str:
        """Where the trainings ran, and how many are missing."""
        recorded = self.results.arm.isin(self.study.arms).sum()
        return '; '.join([
            *self.results.machine.dropna().unique(),
            f'{recorded} of {len(self.study.trainings)} trainings recorded'])

    def write_plots(self, folder: Path) -> List[str]:
        """Write the plots that there are data for; returns their names."""
        drawn = {f'{self.study.name}.svg': self._draw_differences(), **{
            f'{self.study.name}{ending}.svg': self._draw_curves(scalars)
            for ending, scalars in CURVES.items()}}
        drawn = {name: figure for name, figure in drawn.items() if figure}
        for name, figure in drawn.items():
            with matplotlib.rc_context({'svg.hashsalt': 'stdcl',
                                        'svg.fonttype': 'none'}), \
                    atomic_write(folder / name) as partial:
                figure.savefig(partial, format='svg', metadata=dict(Date=None))
        return list(drawn)

    def _draw_differences(self) -> Optional[Figure]:
        """Each comparison: seeds, mean, interval."""
        arms = [arm for arm in self.study.against if arm in self.differences]
        if not arms:
            return None
        figure = Figure(figsize=(7, 1 + 0.32 * len(arms)),
                        layout='constrained')
        axes = figure.add_subplot()
        for place, arm in enumerate(reversed(arms)):
            found = self.differences[arm]
            axes.plot(found.seeds, [place] * len(found.seeds), '|',
                      color='0.6')
            axes.errorbar(found.mean, place, fmt='o', capsize=3, color='C0',
                          xerr=np.nan_to_num(found.high - found.mean))
        axes.axvline(0, color='0.3', linewidth=0.8)
        axes.set_yticks(range(len(arms)), arms[::-1])
        axes.set_xlabel('difference in top-1, points: mean, 95 % interval, '
                        'each seed')
        return figure

    def _draw_curves(self, scalars: Dict[str, str]) -> Optional[Figure]:
        """Scalars over the epochs, mean over seeds, a panel each."""
        if next(iter(scalars)) not in self.curves.dropna(axis=1, how='all'):
            return None
        means = self.curves.groupby(['arm', 'epoch'])[list(scalars)].mean()
        arms = [arm for arm in self.study.arms if arm in means.index]
        figure = Figure(layout='constrained', figsize=(
            2 + 2.8 * len(scalars), max(3, 0.2 * len(arms))))
        panels = figure.subplots(1, len(scalars), squeeze=False)[0]
        for panel, (name, title) in zip(panels, scalars.items()):
            means[name].unstack('arm')[arms].interpolate(
                limit_area='inside').plot(
                ax=panel, legend=False, style=[
                    f'C{place % 10}{LINES[place // 10 % len(LINES)]}'
                    for place in range(len(arms))])
            panel.set_title(title, fontsize=10)
        figure.legend(*panels[0].get_legend_handles_labels(),
                      loc='outside right upper', fontsize=8)
        return figure

    def write_page(self, folder: Path) -> Path:
        """Write a Markdown page of all tables and plots."""
        if self.results.empty:
            raise InputError(f'{self.files.results} has no rows; '
                             'tools/experiments/run_study.py records them.')
        parts = [f'# {self.study.about}', f'{self.source()}.']
        for name, write in self.tables.items():
            text = write()
            parts += [f'## {name.capitalize()}', text] if text else []
        parts += [f'![{name}]({name})' for name in self.write_plots(folder)]
        page = folder / f'{self.study.name}.md'
        with atomic_write(page) as partial:
            partial.write_text('\n\n'.join(parts) + '\n')
        return page
