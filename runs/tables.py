"""Update the tables in README.md and docs/.

    python -m runs.tables

:func:`update` fills the blocks between ``<!-- table: NAME -->`` and
``<!-- /table -->`` on each page. NAME is one of

- ``study X`` and ``measures X``, where X is a study in ``runs/studies``;
  ``measures X 6`` omits arms with fewer than six pairs;
- ``gains X Y``, for the gains of STD-CL in several studies;
- ``encoders X Y``, the same with one row per encoder;
- ``configs``, for all encoders on all benchmarks;
- ``zoo``, for the models in ``runs/zoo``;
- ``X``, for any other CSV file X.csv in ``runs`` or ``runs/benchmarks``;
- ``X Y``, for the rows of X.csv whose first column is Y.
"""
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Callable

import pandas as pd
from mmengine.config import Config

from projects.stdcl.catalogue import BENCHMARKS, ENCODERS, ROOT, find_config
from projects.stdcl.evaluation.flops import analyze
from projects.stdcl.studies.report import TABLES, StudyReport, markdown, spread
from projects.stdcl.studies.study import read_study
from projects.stdcl.utils.input_error import InputError
from runs.gains import draw_gains, encoder_table, gains_table

RUNS = ROOT / 'runs'
COSTS = RUNS / 'benchmarks' / 'model_costs.csv'
PAGES = ('README.md', 'docs/**/*.md')
BLOCK = re.compile(r'(<!-- table: (.+?) -->\n).*?(<!-- /table -->)', re.DOTALL)
GAINS = dict(gains=gains_table, encoders=encoder_table)
# columns that are shown below a table -> their format
PROVENANCE = dict(command='`{}`', commit='{:.7}', machine='{}', versions='{}')


def update() -> None:
    """Fill the blocks of all pages, and update the plots."""
    for page in (path for pattern in PAGES for path in ROOT.glob(pattern)):
        page.write_text(fill(page.read_text('utf-8'), page.parent), 'utf-8')
    plots = ROOT / 'docs/plots'
    reports = [*map(load_report, sorted((RUNS / 'studies').glob('*.py')))]
    for report in reports:
        if (plots / f'{report.plan.name}.svg').is_file():
            report.draw(plots / f'{report.plan.name}.svg')
    draw_gains(reports, plots / 'gains.svg')


def fill(text: str, folder: Path, runs: Path = RUNS) -> str:
    """Fill the blocks of a page; links are relative to ``folder``."""

    def link(path: Path, name: str = '') -> str:
        target = Path(os.path.relpath(path, folder)).as_posix()
        return f'[{name or path.name}]({target})'

    return BLOCK.sub(lambda found: f'{found[1]}\n'
                     f'{make_table(found[2], runs, link)}\n\n{found[3]}', text)


def make_table(name: str, runs: Path, link: Callable) -> str:
    """Make the table of a block; raise InputError for an unknown name."""
    if name == 'configs':
        return config_table(link)
    if name == 'zoo':
        return zoo_table(runs, link)
    kind, _, subject = name.partition(' ')
    if kind in GAINS:
        studies = [runs / 'studies' / f'{name}.py' for name in subject.split()]
        return (f'{GAINS[kind](map(load_report, studies))}\n\n'
                f'{", ".join(map(link, studies))}.')
    study, _, options = subject.partition(' ')
    study = runs / 'studies' / f'{study}.py'
    if kind in TABLES and study.is_file():
        report = load_report(study)
        files = [path for path in (study, report.path) if path.is_file()]
        source = f'{", ".join(map(link, files))}: {report.source()}.'
        text = getattr(report, kind)(*map(int, options.split()))
        return f'{text}\n\n{source}' if kind == 'study' else text
    for path in (runs / f'{kind}.csv', runs / 'benchmarks' / f'{kind}.csv'):
        if path.is_file():
            return csv_table(path, subject, link)
    raise InputError(f'the table {name!r} is unknown, expected one of the '
                     f'names in the docstring of {__name__}.')


@lru_cache(maxsize=None)
def load_report(path: Path) -> StudyReport:
    """Load a study file and the results next to it as a report."""
    return StudyReport(read_study(path), path.parent)


def csv_table(path: Path, subject: str, link: Callable) -> str:
    """Make a table of the rows of a CSV file whose first entry is ``subject``.

    If ``subject`` is empty, all rows are included. The columns X.median, X.min
    and X.max become one column X with entries "median (min to max)". The
    columns in :data:`PROVENANCE` become a line below the table.
    """
    frame = pd.read_csv(path, dtype=str).fillna('')
    if subject:
        frame = frame[frame.iloc[:, 0] == subject]
    source = [link(path)]
    for name in frame.columns.intersection(PROVENANCE):
        source += [PROVENANCE[name].format(text)
                   for text in frame.pop(name).unique() if text]
    frame = frame.apply(lambda column: column.str.replace(
        r'^\d{4,}', lambda found: f'{int(found[0]):,}', regex=True))
    for name in [name[:-4] for name in frame if name.endswith('.min')]:
        low, high = (frame.pop(f'{name}.{end}') for end in ('min', 'max'))
        frame[f'{name}.median'] += (' (' + low + ' to ' + high + ')').where(
            low != '', '')
    head = [name.removesuffix('.median') for name in frame]
    rows = frame.to_numpy().tolist()
    return f'{markdown(head, rows)}\n\n{"; ".join(source)}.'


def zoo_table(runs: Path, link: Callable) -> str:
    """Make a table of trained models, with the accuracy of their runs."""
    rows = []
    for model in pd.read_csv(runs / 'zoo/models.csv').itertuples():
        report = load_report(runs / 'studies' / f'{model.study}.py')
        runs_of_arm = report.results[report.results.arm == model.arm]
        top1 = runs_of_arm.set_index('seed').top1_last[model.seed]
        rows.append([link(runs / 'zoo' / model.config), model.encoder,
                     model.width, f'{model.arm}, {model.seed}',
                     f'{top1:.2f}', spread(runs_of_arm.top1_last)])
    return markdown(['config', 'encoder', 'width', 'arm, seed', 'top-1, %',
                     'top-1 of the arm, %'], rows)


def config_table(link: Callable) -> str:
    """Make a table with one row per benchmark and encoder."""
    known = pd.read_csv(COSTS, index_col=['model', 'encoder']).to_dict('index')
    rows = []
    for data, title in BENCHMARKS.items():
        for encoder, entry in ENCODERS.items():
            plain, stdcl = (find_config(encoder, data, which)
                            for which in (False, True))
            cfg = Config.fromfile(plain)
            batch = cfg.train_dataloader.batch_size
            gpus = cfg.auto_scale_lr.base_batch_size // batch
            optimizer = cfg.optim_wrapper.optimizer
            cost = known.get((data, encoder)) or analyze(cfg)
            passes = cfg.train_dataloader.dataset.get('times', 1)
            rows.append([
                title, entry.title, link(plain, 'plain'),
                link(stdcl, 'STD-CL'), cfg.clip_len, f'{gpus} x {batch}',
                f'{cfg.train_cfg.max_epochs}'
                + (f' ({passes} passes each)' if passes > 1 else ''),
                f'{optimizer.type}, {optimizer.lr:g}, '
                f'{optimizer.weight_decay:g}',
                f'{cost["parameters"] / 1e6:.2f} M',
                f'{cost["flops"] / 1e9:.2f}'])
    return markdown(
        ['benchmark', 'encoder', 'config', 'with STD-CL', 'frames',
         'GPUs x batch', 'epochs', 'optimizer, lr, weight decay',
         'parameters', 'GFLOPs'], rows)


if __name__ == '__main__':
    update()
