"""Writes the tables of README.md, configs/README.md and docs/.

A page has blocks between ``<!-- table: NAME -->`` and ``<!-- /table -->``,
which :func:`update` fills. The names are

- ``study X``, ``ensembles X``, ``classes X``, ``diagnosis X``, ``features X``
  and ``models X``, for a study X of ``runs/studies``;
- ``configs``, for all encoders on all benchmarks;
- the name of any other CSV file in ``runs`` or ``runs/benchmarks``.
"""
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Callable, List, Optional

import pandas as pd
from mmengine.config import Config

from ..catalogue import BENCHMARKS, ENCODERS, ROOT, find_config
from ..utils.input_error import InputError
from . import records
from .report import StudyReport, markdown, spread
from .study import read_study

RUNS = ROOT / 'runs'
COSTS = RUNS / 'benchmarks' / 'model_costs.csv'
PAGES = ('README.md', 'configs/README.md', 'docs/**/*.md')
BLOCK = re.compile(r'(<!-- table: (.+?) -->\n).*?(<!-- /table -->)', re.DOTALL)
# below the table; the commit is a column where rows differ
PROVENANCE = ('command', 'commit', 'machine', 'versions')


def find_pages() -> List[Path]:
    """Pages of the repository that may have tables."""
    return sorted(path for pattern in PAGES for path in ROOT.glob(pattern))


def update() -> List[Path]:
    """Fill the blocks of all pages.

    Returns:
        list[Path]: The pages that have changed.

    Raises:
        InputError: A block has an unknown name.
    """
    old = {page: page.read_text() for page in find_pages()}
    new = {page: fill(text, page.parent) for page, text in old.items()}
    changed = [page for page in old if new[page] != old[page]]
    for page in changed:
        page.write_text(new[page])
    return changed


def fill(text: str, folder: Path, runs: Path = RUNS) -> str:
    """Fill the blocks of a page.

    Args:
        text (str): The page.
        folder (Path): Its folder, from which links lead.
        runs (Path): Folder of the results. Defaults to ``runs``.
    """
    def link(path: Path, name: Optional[str] = None) -> str:
        target = Path(os.path.relpath(path, folder)).as_posix()
        return f'[{name or path.name}]({target})'

    def block(found: re.Match) -> str:
        return (f'{found[1]}\n{make_table(found[2], runs, link).strip()}\n\n'
                f'{found[3]}')

    return BLOCK.sub(block, text)


def make_table(name: str, runs: Path, link: Callable) -> str:
    """Write one table, by its name in a page."""
    kind, _, subject = name.partition(' ')
    if name == 'configs':
        return config_table(link)
    study = runs / 'studies' / f'{subject}.py'
    if subject and study.is_file():
        report = load_report(study)
        if kind == 'models':
            return model_table(report, link)
        if kind in report.tables:
            text = report.tables[kind]() or 'No results yet.'
            return text if kind != 'study' else (
                f'{text}\n\n{link(study)}, {link(report.files.results)}: '
                f'{report.source()}.')
    for path in (runs / f'{name}.csv', runs / 'benchmarks' / f'{name}.csv'):
        if path.is_file():
            return csv_table(path, link)
    raise InputError(f'table {name!r} is unknown, expected "configs", a CSV '
                     f'file in {runs} or its folder "benchmarks", or a kind '
                     'of table and a study.')


@lru_cache(maxsize=None)
def load_report(path: Path) -> StudyReport:
    """Report of a study file with the results beside it."""
    return StudyReport(read_study(path), path.parent)


def csv_table(path: Path, link: Callable) -> str:
    """A table of a CSV file, as it is.

    Columns X.median, X.min and X.max share a column "median (min to max)".
    """
    frame = pd.read_csv(path, dtype=str).fillna('')
    source = [link(path)]
    for name in PROVENANCE:
        texts = frame.pop(name) if name in frame else pd.Series(dtype=str)
        if name == 'commit' and texts.nunique() > 1:
            frame[name] = texts.str[:7]
        else:
            mark = '`' if name == 'command' else ''
            source += [f'{mark}{text[:7] if name == "commit" else text}{mark}'
                       for text in texts.unique() if text]
    head = list(dict.fromkeys(re.sub(r'\.(min|median|max)$', '', name)
                              for name in frame))
    rows = [[_cell(row, name) for name in head] for _, row in frame.iterrows()]
    return f'{markdown(head, rows)}\n\n{"; ".join(source)}.'


def _cell(row: pd.Series, name: str) -> str:
    if name in PROVENANCE:
        return row[name]
    texts = [re.sub(r'^\d{4,}', lambda found: f'{int(found[0]):,}',
                    row.get(column, ''))
             for column in (name, f'{name}.median', f'{name}.min',
                            f'{name}.max')]
    if texts[2]:
        return f'{texts[1]} ({texts[2]} to {texts[3]})'
    return texts[0] or texts[1]


def config_table(link: Callable) -> str:
    """A row for each encoder on each benchmark."""
    rows = []
    for data, benchmark in BENCHMARKS.items():
        for encoder, entry in ENCODERS.items():
            plain, stdcl = (find_config(encoder, data, which)
                            for which in (False, True))
            cfg = Config.fromfile(plain)
            gpus, batch, frames = re.search(
                r'_(\d+)xb(\d+)-.*-u(\d+)-', plain.name).groups()
            optimizer = cfg.optim_wrapper.optimizer
            passes = cfg.train_dataloader.dataset.get('times', 1)
            rows.append([
                benchmark.title, entry.title, link(plain, 'plain'),
                link(stdcl, 'STD-CL'), frames, f'{gpus} x {batch}',
                f'{cfg.train_cfg.max_epochs}'
                + (f' of {passes} passes' if passes > 1 else ''),
                f'{optimizer.type}, {optimizer.lr:g}, '
                f'{optimizer.weight_decay:g}', *model_cost(data, encoder)])
    return markdown(
        ['benchmark', 'encoder', 'config', 'with STD-CL', 'frames',
         'GPUs x batch', 'epochs', 'optimizer, lr, weight decay',
         'parameters', 'GFLOPs'], rows)


def model_table(report: StudyReport, link: Callable) -> str:
    """A row for each arm: what it reaches and costs."""
    rows = []
    for arm in report.study.arms:
        found = report.results[report.results.arm == arm]
        if found.empty:
            continue
        training, first = report.study.arm(arm)[0], found.iloc[0]
        rows.append([
            f'`{arm}`', ENCODERS[first.encoder].title, first.method,
            first.stream, str(first.epochs), spread(found.top1_last),
            str(len(found)), f'{found.minutes.median():.1f}',
            *model_cost(report.study.name, first.encoder),
            link(training.config, 'config')])
    return markdown(
        ['arm', 'encoder', 'training', 'stream', 'epochs', 'top-1, %',
         'seeds', 'minutes a training', 'parameters', 'GFLOPs', 'config'],
        rows) or 'No training has been run.'


def model_cost(model: str, encoder: str) -> List[str]:
    """Parameters and FLOPs from :data:`COSTS`, as two cells.

    ``model`` is a benchmark, whose missing costs are measured, or a study
    with narrower encoders.
    """
    costs = pd.read_csv(COSTS).set_index(['model', 'encoder'])
    if (model, encoder) in costs.index:
        row = costs.loc[model, encoder]
        return [f'{row.parameters / 1e6:.2f} M', f'{row.flops / 1e9:.2f}']
    if model not in BENCHMARKS:
        return ['', '']
    from ..evaluation.flops import analyse
    parameters, flops = analyse(Config.fromfile(find_config(
        encoder, model, False)), num_sequences=1)['costs']['test']
    records.append(COSTS, [dict(model=model, encoder=encoder, flops=flops,
                                parameters=parameters)], ('model', 'encoder'))
    return model_cost(model, encoder)
