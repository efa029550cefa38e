"""Blocks of a page are filled with tables generated from CSV files."""
import pandas as pd

from runs import tables


def page(name):
    return f'x\n<!-- table: {name} -->\nold\n<!-- /table -->\nz\n'


def test_csv_file_becomes_a_table(tmp_path):
    path = tmp_path / 'benchmarks/speed.csv'
    path.parent.mkdir()
    row = {'encoder': 'A', 'bytes': 12345, 'ms.min': 1.0, 'ms.median': 2.5,
           'ms.max': 1004.6, 'commit': 'c' * 40, 'command': 'run it'}
    pd.DataFrame([row, dict(encoder='B')]).to_csv(path, index=False)
    text = tables.fill(page('speed A'), tmp_path / 'docs', tmp_path)
    assert text == (
        'x\n<!-- table: speed A -->\n\n| encoder | bytes | ms |\n'
        '| --- | --- | --- |\n| A | 12,345.0 | 2.5 (1.0 to 1,004.6) |\n\n'
        '[speed.csv](../benchmarks/speed.csv); ccccccc; `run it`.\n\n'
        '<!-- /table -->\nz\n')
    assert tables.fill(text, tmp_path / 'docs', tmp_path) == text
    assert '| B |  |  |' in tables.fill(page('speed'), tmp_path, tmp_path)
