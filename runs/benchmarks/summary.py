"""Write the comparisons in the other tables of this folder to summary.csv.

    python -m runs.benchmarks.summary
"""
from pathlib import Path
from typing import Dict, Optional

import pandas as pd

from projects.stdcl.utils.atomic_write import atomic_write

FOLDER = Path(__file__).parent
# table -> name of each row, name of the alternative, columns: our time, the
# time of the alternative, their ratio, the limit
SOURCES = {
    'training_step': (
        'training step of {encoder}, {width}', 'twin',
        'ms, plain', 'ms, twin', 'twin : plain', 'products, % of plain'),
    'loss': (
        'loss with {slots} slots and {batch} anchors', 'published algorithm',
        'ms, ours', 'ms, published algorithm', 'published : ours',
        'ms, matrix product alone'),
    'pipeline': (
        'pipeline of {clips} clips', 'MMAction2', 'ms, ours',
        "ms, MMAction2's", "MMAction2's : ours", None),
    'loader': (
        'batch of {clips} clips from {workers} workers', 'MMEngine',
        'ms, ours', "ms, MMEngine's", "MMEngine's : ours", None),
}
COLUMNS = ('ms, ours', 'ms, alternative', 'times as long')


def summarize(source: str) -> pd.DataFrame:
    """Return one row for each comparison in a table."""
    name, other, *columns, limit = SOURCES[source]
    table = pd.read_csv(FOLDER / f'{source}.csv')
    table = table.dropna(subset=f'{columns[-1]}.median')
    return pd.DataFrame([{
        'what': name.format(**row), 'threads': row['threads'],
        'alternative': other, **_spread(row, columns),
        **_limit(row, limit, columns),
        'repeats': row['repeats'], 'command': row['command'],
        'commit': row['commit'], 'machine': row['machine'],
        'versions': row['versions']} for row in table.to_dict('records')])


def _spread(row: Dict, columns: list) -> Dict:
    """Return the median, minimum and maximum of each time and ratio."""
    return {f'{title}.{end}': f'{row[f"{column}.{end}"]:g}'
            for title, column in zip(COLUMNS, columns)
            for end in ('median', 'min', 'max')}


def _limit(row: Dict, limit: Optional[str], columns: list) -> Dict:
    """Return the share of the matrix products, and the ratio without the rest.

    The share is in % of our time. The ratio is that of an implementation that
    would take only the time of the products.
    """
    if limit is None:
        return {}
    share = (row[limit] if limit in row else
             100 * row[f'{limit}.median'] / row[f'{columns[0]}.median'])
    ratio = 100 * row[f'{columns[-1]}.median'] / share
    return {'limit, % of ours': f'{share:.0f}',
            'at most': f'{ratio:.2g}'}


if __name__ == '__main__':
    with atomic_write(FOLDER / 'summary.csv') as partial:
        pd.concat(map(summarize, SOURCES)).to_csv(partial, index=False)
