"""Make tables and plots of recorded studies.

Of a study of your own into a page of its own; without one those of README.md
and docs/.
"""
import argparse
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from scipy import stats

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'tools' / 'analysis')]

from record import check_current, read_record
from results_table import fill
from study import RECORDS, Study, digest, read_study

from projects.stdcl.evaluation.features import FEATURES
from projects.stdcl.utils.atomic_write import atomic_write
from projects.stdcl.utils.input_error import (
    InputError,
    end_cleanly,
)

STUDIES = ROOT / 'tools' / 'experiments' / 'studies'
PAGES = (ROOT / 'README.md', ROOT / 'docs' / 'findings.md')
PLOTS = ROOT / 'docs' / 'plots'
CONFIDENCE = 0.95
EXAMPLES = '''examples:
  python tools/experiments/study_report.py my_study.py
  python tools/experiments/study_report.py           those of this repository
  python tools/experiments/study_report.py --check   fail if one is stale'''
# title -> scalars of ContrastDiagnosisHook, those that there are
DIAGNOSIS_COLUMNS = {
    'anchors that took part': ['anchor_share'],
    'gradient of the spatial and temporal loss, of that of cross entropy':
        ['share_spatial', 'share_temporal'],
    'cosine of theirs and its': ['gradient_cosine'],
    'similarity to positives, negatives':
        ['positive_spatial', 'negative_spatial'],
    'staleness': ['staleness_spatial'],
    'spread of attention over joints, frames':
        ['attention_spatial', 'attention_temporal'],
}
LINES = ('-', '--', ':')  # of ten arms each
MEASURES = ('intra', 'inter', 'silhouette', 'precision@1', 'precision@5',
            'linear')


class Interval:
    """A difference and what is known of it.

    Subclasses have ``difference``, the points; ``error``, its standard error,
    inf where a single training says nothing of it; and ``freedom``, the
    degrees of freedom of that.
    """

    @property
    def margin(self) -> float:
        """Half of the 95 % interval of the difference.

        Of Student's t distribution: trainings are independent, and
        differences taken for normal.
        """
        if not np.isfinite(self.error):
            return float('inf')
        return float(stats.t.ppf((1 + CONFIDENCE) / 2, self.freedom)
                     * self.error)

    @property
    def finding(self) -> str:
        """What the interval says."""
        if abs(self.difference) <= self.margin:
            return 'inconclusive'
        return 'better' if self.difference > 0 else 'worse'


@dataclass
class Comparison(Interval):
    """An arm against another with the same seeds.

    Args:
        top1 (ndarray): Last-epoch top-1 of the arm, per cent, (R,).
        other (ndarray): That of the other, seed by seed, (R,).
    """
    top1: np.ndarray
    other: np.ndarray

    @property
    def difference(self) -> float:
        """Mean of the paired differences, points."""
        return float((self.top1 - self.other).mean())

    @property
    def error(self) -> float:
        """Its standard error."""
        if self.freedom < 1:
            return float('inf')
        return float((self.top1 - self.other).std(ddof=1)
                     / len(self.top1)**0.5)

    @property
    def freedom(self) -> int:
        """Degrees of freedom."""
        return len(self.top1) - 1


@dataclass
class Mean(Interval):
    """The mean of several comparisons, each with the same weight.

    Its interval is that for these encoders (or what the arms differ in) and
    this test set, of the chance of trainings alone; the degrees of freedom
    are those of Welch and Satterthwaite.

    Args:
        parts (list[Comparison]): They share no training.
    """
    parts: List[Comparison]

    @property
    def difference(self) -> float:
        """Mean of the mean differences, points."""
        return float(np.mean([part.difference for part in self.parts]))

    @property
    def error(self) -> float:
        """Its standard error."""
        return float(sum(part.error**2 for part in self.parts)**0.5
                     / len(self.parts))

    @property
    def freedom(self) -> float:
        """Degrees of freedom."""
        squares = np.array([part.error**2 for part in self.parts])
        own = np.array([part.freedom for part in self.parts])
        if not squares.any():
            return float('inf')
        return float(squares.sum()**2 / (squares**2 / own).sum())


def read_records(study: Study, folder: Path) -> Dict[str, List[dict]]:
    """The records of a study that are there, checked, by arm.

    Args:
        study (Study): The study.
        folder (Path): That of all studies' records.

    Raises:
        InputError: A record is damaged, or not of this study as it is today.
    """
    records = {}
    for arm in study.arms:
        records[arm] = []
        for training in study.arm(arm):
            path = folder / training.record
            if path.is_file():
                record = read_record(path)
                check_current(path, record, training)
                records[arm].append(record)
    return records


def compare(records: Dict[str, List[dict]], arm: str,
            other: str) -> Optional[Comparison]:
    """Two arms at the seeds that both have; None if there are none."""
    tops = [{record['seed']: record['top1_last'] for record in records[name]}
            for name in (arm, other)]
    seeds = sorted(tops[0].keys() & tops[1].keys())
    if not seeds:
        return None
    return Comparison(*(np.array([top[seed] for seed in seeds])
                        for top in tops))


def mean_of(study: Study, records: Dict[str, List[dict]],
            arms: List[str]) -> Optional[Mean]:
    """Mean of what arms differ from their others; None if one is missing."""
    found = [compare(records, arm, study.against[arm]) for arm in arms]
    return Mean(found) if all(found) else None


def table(study: Study, records: Dict[str, List[dict]],
          folder: Path) -> List[str]:
    """A row for each arm; difference and interval where it is compared."""
    rows = []
    for arm in study.arms:
        if not records[arm]:
            continue
        top1 = np.array([record['top1_last'] for record in records[arm]])
        minutes = median_minutes(records[arm])
        cells = [arm, str(len(top1)), mean_and_deviation(top1),
                 _training_top1(records[arm]), '', '', '', f'{minutes:.1f}']
        other = study.against.get(arm)
        found = other and compare(records, arm, other)
        if found:
            cells[4:7] = _difference(found, f' to {other}')
        rows.append(f'| {" | ".join(cells)} |')
    for name, arms in study.means.items():
        mean = mean_of(study, records, arms)
        if mean:
            rows.append(f'| {name} |  |  |  | '
                        f'{" | ".join(_difference(mean, ""))} |  |')
    if not rows:
        return []
    missing = len(study.trainings) - sum(map(len, records.values()))
    return [
        f'{study.about[0].upper()}{study.about[1:]} '
        f'([study]({_from_root(study.path)}), '
        f'[records]({_from_root(folder / study.name)}), {_where(records)}'
        f'{f"; {missing} trainings are still to be run" if missing else ""}):',
        '', '| arm | seeds | top-1, mean ± standard deviation | of the '
        'training set | difference | 95 % interval | finding | '
        'minutes a training, median |',
        '| --- ' * 8 + '|', *rows, '']


def _training_top1(records: List[dict]) -> str:
    """Mean over the last epoch's batches, if the head told it."""
    curves = [record['curves'].get('top1_acc') for record in records]
    if not all(curves):
        return ''
    return f'{100 * np.mean([curve[-1] for curve in curves]):.1f}'


def _from_root(path: Path) -> str:
    """As a link, see :func:`_linked`."""
    return Path(os.path.relpath(path.resolve(), ROOT)).as_posix()


def class_table(study: Study, records: Dict[str, List[dict]]) -> List[str]:
    """Difference of each class's accuracy, a column for each comparison."""
    columns, classes = {}, []
    for arm, other in study.against.items():
        if compare(records, arm, other):
            shares = [_class_accuracy(records, name, paired)
                      for name, paired in ((arm, other), (other, arm))]
            columns[arm] = shares[0] - shares[1]  # (classes,)
            classes = records[arm][0]['classes']
    if not columns:
        return []
    return ['| class | ' + ' | '.join(columns) + ' |',
            '| --- ' * (1 + len(columns)) + '|',
            *(f'| {name} | '
              + ' | '.join(f'{column[label]:+.1f}'
                           for column in columns.values()) + ' |'
              for label, name in enumerate(classes)), '']


def _class_accuracy(records: Dict[str, List[dict]], arm: str,
                    other: str) -> np.ndarray:
    """Mean over the seeds that both arms have, per cent, (classes,)."""
    seeds = {record['seed'] for record in records[other]}
    confusion = np.array([record['confusion'] for record in records[arm]
                          if record['seed'] in seeds])  # (R, C, C)
    correct = confusion.diagonal(axis1=1, axis2=2)  # (R, C)
    return 100 * (correct / confusion.sum(axis=2)).mean(axis=0)


def diagnosis_table(study: Study,
                    records: Dict[str, List[dict]]) -> List[str]:
    """What ContrastDiagnosisHook saw: mean of the last epoch over seeds."""
    rows = []
    for arm in study.arms:
        seen = [record['curves'] for record in records[arm]
                if 'gradient_spatial' in record['curves']]
        if seen:
            common = set.intersection(*(set(curves) for curves in seen))
            last = {name: np.mean([curves[name][-1] for curves in seen])
                    for name in common - {'val_epoch'}}
            for part in ('spatial', 'temporal'):
                last[f'share_{part}'] = (last[f'gradient_{part}']
                                         / last['gradient_cls'])
            cells = [', '.join(f'{last[name]:.2f}' for name in names
                               if name in last)
                     for names in DIAGNOSIS_COLUMNS.values()]
            rows.append(f'| {arm} | {len(seen)} | {" | ".join(cells)} |')
    if not rows:
        return []
    return [f'| arm | seeds | {" | ".join(DIAGNOSIS_COLUMNS)} |',
            '| --- ' * (2 + len(DIAGNOSIS_COLUMNS)) + '|', *rows, '']


def feature_table(study: Study, records: Dict[str, List[dict]],
                  folder: Path) -> List[str]:
    """What tools/experiments/study_features.py has measured, by arm.

    Raises:
        InputError: It was measured on other trainings than those recorded.
    """
    path = folder / f'features_{study.name}.json'
    if not path.is_file():
        return []
    known = json.loads(path.read_text())
    rows = []
    for arm in study.arms:
        found = [(record, known[f'{arm}_seed-{record["seed"]}'])
                 for record in records[arm]
                 if f'{arm}_seed-{record["seed"]}' in known]
        for record, measured in found:
            if (measured['record'], measured['clean']) != (
                    record['sha256'], True):
                raise InputError(
                    f'{path}: {arm}_seed-{record["seed"]} was measured with '
                    f'the record {measured["record"]}, and clean is '
                    f'{measured["clean"]}; expected {record["sha256"]} and a '
                    'clean tree; run study_features.py again.')
        for name, title in FEATURES.items():
            seen = [measured[name] for _, measured in found
                    if name in measured]
            if seen:
                cells = [_spread([one[key] for one in seen if key in one])
                         for key in MEASURES]
                rows.append(f'| {arm} | {title} | {len(seen)} | '
                            f'{" | ".join(cells)} |')
    if not rows:
        return []
    return ['| arm | features | seeds | distance within classes | between '
            'classes | silhouette | precision of the nearest | of 5 | linear '
            'in the global ones |', '| --- ' * 9 + '|', *rows, '']


def _spread(values: List[float]) -> str:
    if not values:
        return ''
    values = np.array(values)
    deviation = f' ± {values.std(ddof=1):.3f}' if len(values) > 1 else ''
    return f'{values.mean():.3f}{deviation}'


def ensemble_table(study: Study, records: Dict[str, List[dict]],
                   folder: Path) -> List[str]:
    """A row for each recorded ensemble of a study.

    Raises:
        InputError: It does not fuse the recorded trainings.
    """
    rows = []
    for name, arms in study.ensembles.items():
        for path in sorted((folder / study.name).glob(
                f'ensemble_{name}_seed-*.json')):
            seed = int(path.stem.rpartition('-')[2])
            ensemble = json.loads(path.read_text())
            seen = [100 * file['top1'] for file in ensemble['files']]
            expected = [record['top1_last'] for arm in arms
                        for record in records[arm] if record['seed'] == seed]
            if not ensemble['clean'] or not np.allclose(
                    [*seen, len(seen)], [*expected, len(arms)], atol=0.01):
                raise InputError(
                    f'{path}: clean is {ensemble["clean"]}, and the files '
                    f'have top-1 {seen}; expected a clean tree and '
                    f'{expected}, as recorded.')
            weights = ':'.join(f'{file["weight"]:g}'
                               for file in ensemble['files'])
            rows.append(
                f'| {name} | {seed} | '
                + ', '.join(f'{top1:.2f}' for top1 in seen) + f' | {weights} '
                f'| **{100 * ensemble["fused"]["top1"]:.2f}** |')
    if not rows:
        return []
    return ['| ensemble | seed | top-1 of its arms | weights | top-1 |',
            '| --- ' * 5 + '|', *rows, '']


def mean_and_deviation(top1: np.ndarray) -> str:
    """As text, per cent."""
    deviation = f' ± {top1.std(ddof=1):.2f}' if len(top1) > 1 else ''
    return f'{top1.mean():.2f}{deviation}'


def median_minutes(records: List[dict]) -> float:
    """Of a training; some may have been paused, or had to share the cores."""
    return float(np.median([record['seconds'] for record in records])) / 60


def _difference(found: Interval, to: str) -> List[str]:
    """Cells of a comparison."""
    return [f'{found.difference:+.2f}{to}', _interval(found), found.finding]


def _interval(found: Interval) -> str:
    if not np.isfinite(found.margin):
        return ''
    low, high = (found.difference + sign * found.margin for sign in (-1, 1))
    return f'{low:+.2f} to {high:+.2f}'


def _where(records: Dict[str, List[dict]]) -> str:
    """The machines of all records."""
    machines = {record['machine'].get(
        'gpu', f'CPU, threads: {record["machine"]["threads"]}')
        for arm in records.values() for record in arm}
    return ', '.join(sorted(machines))


def draw(study: Study, records: Dict[str, List[dict]]) -> Optional[Figure]:
    """The differences with their intervals, and each seed's."""
    found = [(arm, compare(records, arm, other))
             for arm, other in study.against.items()]
    found = [item for item in found if item[1] is not None][::-1]
    if not found:
        return None
    figure = Figure(figsize=(7, 1 + 0.32 * len(found)), layout='constrained')
    axes = figure.add_subplot()
    for place, (_, comparison) in enumerate(found):
        seeds = comparison.top1 - comparison.other
        axes.plot(seeds, [place] * len(seeds), '|', color='0.6')
        margin = comparison.margin
        axes.errorbar(comparison.difference, place, fmt='o', capsize=3,
                      xerr=margin if np.isfinite(margin) else None,
                      color='C0')
    axes.axvline(0, color='0.3', linewidth=0.8)
    axes.set_yticks(range(len(found)), [arm for arm, _ in found])
    axes.set_xlabel('difference of top-1, points: mean, 95 % interval, seeds')
    return figure


def draw_curves(study: Study, records: Dict[str, List[dict]],
                scalars: Dict[str, str]) -> Optional[Figure]:
    """Scalars over the epochs, the mean over seeds, a panel for each.

    Args:
        study (Study): The study.
        records (dict): Its records, by arm.
        scalars (dict): Name in the curves -> what the axis says.
    """
    arms = [arm for arm in study.arms if records[arm]]
    if not arms:
        return None
    figure = Figure(figsize=(2 + 2.8 * len(scalars), max(3, 0.2 * len(arms))),
                    layout='constrained')  # high enough for the legend
    panels = figure.subplots(1, len(scalars), squeeze=False)[0]
    for panel, (name, title) in zip(panels, scalars.items()):
        for place, arm in enumerate(arms):
            curves = [record['curves'] for record in records[arm]]
            if all(name in curve for curve in curves):
                epochs = 'val_epoch' if name == 'val_top1' else 'epoch'
                panel.plot(curves[0][epochs],
                           np.mean([curve[name] for curve in curves], axis=0),
                           label=arm, color=f'C{place % 10}',
                           linestyle=LINES[place // 10])
        panel.set_xlabel('epoch')
        panel.set_title(title, fontsize=10)
    figure.legend(*panels[0].get_legend_handles_labels(),
                  loc='outside right upper', fontsize=8)
    return figure


CURVES = dict(val_top1='top-1, per cent', top1_acc='top-1 in training, of 1',
              loss_cls='loss_cls')
DIAGNOSES = dict(
    gradient_cls='gradient of loss_cls', gradient_spatial='of loss_spatial',
    gradient_temporal='of loss_temporal', gradient_cosine='their cosine',
    staleness_spatial='staleness of the spatial bank')


def figures(study: Study, records: Dict[str, List[dict]]) -> dict:
    """Name of the file -> figure, of those that there are data for."""
    drawn = {f'{study.name}.svg': draw(study, records),
             f'{study.name}_curves.svg': draw_curves(study, records, CURVES)}
    if any('gradient_cls' in record['curves']
           for arm in records.values() for record in arm):
        drawn[f'{study.name}_diagnosis.svg'] = draw_curves(
            study, records, DIAGNOSES)
    return {name: figure for name, figure in drawn.items() if figure}


def fingerprint(records: Dict[str, List[dict]]) -> str:
    """What figures are made of; it stands in them.

    The figures themselves differ between versions of matplotlib.
    """
    return digest({arm: [record['sha256'] for record in records[arm]]
                   for arm in records})


def save(figure: Figure, path: Path, mark: str) -> None:
    """Write a figure as SVG, the same each time."""
    with matplotlib.rc_context({'svg.hashsalt': 'stdcl',
                                'svg.fonttype': 'none'}), \
            atomic_write(path) as partial:
        figure.savefig(partial, format='svg', metadata=dict(
            Date=None, Description=mark))


def is_stale(path: Path, mark: str) -> bool:
    """Whether a figure is missing, or made of other records."""
    return not path.is_file() or mark not in path.read_text()


def tables(study: Study, records: Dict[str, List[dict]],
           folder: Path) -> Dict[str, List[str]]:
    """All tables of a study: name -> lines, none where there are no data."""
    return {
        f'study {study.name}': [*table(study, records, folder),
                                *ensemble_table(study, records, folder)],
        f'diagnosis of {study.name}': diagnosis_table(study, records),
        f'classes of {study.name}': class_table(study, records),
        f'features of {study.name}': feature_table(study, records, folder)}


def report(folder: Path = RECORDS) -> tuple:
    """All tables and figures of the studies of this repository.

    Returns:
        tuple[dict, dict]: Name of the table -> lines; path of the figure ->
        (figure, mark).
    """
    found, drawn = {}, {}
    for path in sorted(STUDIES.glob('*.py')):
        study = read_study(path)
        records = read_records(study, folder)
        found.update(tables(study, records, folder))
        for name, figure in figures(study, records).items():
            drawn[PLOTS / name] = (figure, fingerprint(records))
    return found, drawn


def write_page(study: Study, folder: Path, out: Path) -> Path:
    """Tables and figures of one study.

    Args:
        study (Study): The study.
        folder (Path): That of all studies' records.
        out (Path): Where the page and its figures go; it is made.

    Returns:
        Path: The page.

    Raises:
        InputError: Nothing is recorded.
    """
    records = read_records(study, folder)
    if not any(records.values()):
        raise InputError(f'{folder / study.name} has no records of '
                         f'{study.name}; run_study.py makes them.')
    page, lines = out / f'{study.name}.md', [f'# {study.name}', '']
    for name, found in tables(study, records, folder).items():
        if found:
            lines += [f'## {name[0].upper()}{name[1:]}', '',
                      *_linked(found, page)]
    for name, figure in figures(study, records).items():
        save(figure, out / name, fingerprint(records))
        lines += [f'![{name}]({name})', '']
    with atomic_write(page) as partial:
        partial.write_text('\n'.join(lines))
    return page


def _linked(lines: List[str], page: Path) -> List[str]:
    """Links as the page needs them, which are from the root."""
    def link(found: re.Match) -> str:
        path = os.path.relpath(ROOT / found[1], page.resolve().parent)
        return f']({Path(path).as_posix()})'

    return [re.sub(r'\]\((.*?)\)', link, line) for line in lines]


def bring_up_to_date(check: bool) -> None:
    """Make all that is stale in this repository, or exit with its names."""
    found, drawn = report()
    stale = [path for path, (_, mark) in drawn.items()
             if is_stale(path, mark)]
    for path in stale if not check else ():
        save(drawn[path][0], path, drawn[path][1])
    for page in PAGES:
        text = page.read_text()
        fresh = fill(text, {name: _linked(lines, page)
                            for name, lines in found.items()})
        if fresh != text:
            stale.append(page)
            if not check:
                page.write_text(fresh)
    if check and stale:
        sys.exit('error: stale: '
                 + ', '.join(str(path.relative_to(ROOT)) for path in stale)
                 + '; run python tools/experiments/study_report.py')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('study', type=Path, nargs='?', help='study file; '
                        'without one: all of tools/experiments/studies')
    parser.add_argument('--records', type=Path, default=RECORDS,
                        help='folder of the records; default: runs/studies')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/reports'),
                        help='folder of the page of a study; default: '
                        'work_dirs/reports')
    parser.add_argument('--check', action='store_true', help='only say '
                        'whether README.md and docs/ are up to date')
    args = parser.parse_args()
    if args.study and args.check:
        parser.error('--check is for the pages of this repository, expected '
                     'no study with it.')
    return args


def main() -> None:
    args = parse_args()
    with end_cleanly(str(args.study or 'studies')):
        if args.study is None:
            bring_up_to_date(args.check)
            return
        study = read_study(args.study)
        print(write_page(study, args.records, args.out))


if __name__ == '__main__':
    main()
