"""The benchmarks run, and measure what they say."""
import importlib
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from tools.benchmark import encoders, inference_cost, memory_bank


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
    monkeypatch.setattr(encoders, 'peak_memory', encoders._peak_memory)
    table = run('encoders', '--encoders', 'HCN')['encoders']
    assert table['step'].tolist() == ['training', 'eval']
    assert (table['parameters'] == 2619338).all()
    assert (table['GFLOPs a clip'] > 0.1).all()
    assert (table[['ms, ours.min', 'ms, twin.min']] > 0).all(axis=None)
    if sys.platform == 'linux':
        assert (table[['MiB, ours', 'MiB, twin']].iloc[0] > 1).all()


def test_pipeline(run):
    tables = run('pipeline', '--sequences', '10', '--memory-sequences', '0')
    table = tables['pipeline']
    assert table['largest difference'][0] <= 1e-6
    assert table['times faster.median'][0] > 1
    assert tables['transforms']['runs'].tolist() == ['once'] + [
        'each epoch'] * 4


def test_memory_bank(run, monkeypatch):
    def run_here(processes, args):
        """One process, this one, takes the part of several."""
        results = []
        memory_bank.measure(0, 1, 0, args, SimpleNamespace(put=results.append))
        return dict(results)

    monkeypatch.setattr(memory_bank, 'run', run_here)
    tables = run('memory_bank', '--processes', '2', '--largest', '10000')
    for _, row in tables['memory_bank'].iterrows():
        half, bounded = '16' in row['bank'], 'class' in row['bank']
        assert row['slots'] == (60 * 256 if bounded else row['sequences'])
        # features; labels; and, where slots are shared, indices and ages
        assert row['one bank, MiB'] == pytest.approx(row['slots'] * (
            256 * (2 if half else 4) + (24 if bounded else 8)) / 2**20,
            abs=0.05)
    table = tables['memory_bank_processes']
    # 2 * 256 features, label and index of each sequence
    assert table['bytes that a process sends'].tolist() == (
        [32896, 131584] * 5)
    assert (table['ms, 2 processes.median'] > 0).all()


@pytest.mark.slow
def test_ntu_rgbd(run):
    table = run('ntu_rgbd', '--files', '4')['conversion']
    assert table['CPU seconds.median'][0] > 0 and table['MiB'][0] > 10


def test_stdcl_costs_nothing_at_test_time():
    row = inference_cost.run_encoder('hcn', repeats=1)
    for cost in ('parameters', 'MFLOPs'):
        assert row[f'{cost}, plain'] == row[f'{cost}, STD-CL'] > 10


def test_models_that_differ_are_not_timed(monkeypatch):
    scores = iter([torch.zeros(1), torch.ones(1)])
    monkeypatch.setattr(inference_cost, 'predict', lambda *_: next(scores))
    with pytest.raises(SystemExit, match='hcn: the scores.*differ'):
        inference_cost.run_encoder('hcn', repeats=1)
