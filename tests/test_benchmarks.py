"""The benchmark on a CPU writes its tables, and skips recorded rows."""
import runpy
import sys

import pandas as pd

from tests.commands import ROOT


def test_benchmark_on_a_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'argv', [
        'cpu.py', '--parts', 'training_step', 'step_memory', '--encoders',
        'hcn', '--repeats', '1', '--out', str(tmp_path)])
    contents = []
    for _ in range(2):
        runpy.run_path(str(ROOT / 'runs/benchmarks/cpu.py'),
                       run_name='__main__')
        contents.append({path.name: path.read_bytes()
                         for path in tmp_path.iterdir()})
    assert contents[0] == contents[1]

    steps = pd.read_csv(tmp_path / 'training_step.csv')
    assert steps.width.tolist() == ['published', 'narrow']
    assert (steps[['ms, plain.median', 'ms, twin.median']] > 0).all(axis=None)
    assert steps['products, % of plain'].between(10, 100).all()
    memory = pd.read_csv(tmp_path / 'step_memory.csv').iloc[0]
    assert 0 <= memory['added, %'] < 50
