"""The benchmarks run, and measure what they say."""
import importlib
import sys

import pandas as pd
import pytest

from projects.stdcl.catalogue import find_config
from projects.stdcl.evaluation.flops import analyse
from projects.stdcl.utils.config_check import load_config
from tools.benchmark import encoders


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a benchmark once; returns its files as tables."""
    def run_benchmark(name, *arguments):
        monkeypatch.setattr(sys, 'argv', [
            f'{name}.py', *arguments, '--repeats', '1', '--out',
            str(tmp_path)])
        importlib.import_module(f'tools.benchmark.{name}').main()
        return {path.stem: pd.read_csv(path)
                for path in tmp_path.glob('*.csv')}
    return run_benchmark


def test_contrastive_loss(run):
    table = run('contrastive_loss')['contrastive_loss']
    assert table['slots'].tolist() == [5100, 40091]
    assert (table['times faster.median'] > 1).all()
    assert table['command'][0].startswith(
        'python -m tools.benchmark.contrastive_loss --repeats 1')


def test_encoders(run, monkeypatch):
    monkeypatch.setattr(encoders, 'CASES', dict(HCN=encoders.CASES['HCN']))
    table = run('encoders')['encoders']
    assert table['step'].tolist() == ['training', 'eval']
    assert (table['parameters'] == 2619338).all()
    assert (table['GFLOPs a clip'] > 0.1).all()
    assert (table[['ms, ours.min', 'ms, twin.min']] > 0).all(axis=None)
    assert (table[['MiB, ours', 'MiB, twin']].iloc[0] > 1).all()


def test_stdcl_costs_nothing_at_test_time():
    plain, stdcl = (analyse(load_config(str(
        find_config('hcn', 'nw-ucla-xview', method))))['costs']['test']
        for method in (False, True))
    assert plain == stdcl and min(plain) > 1e6
