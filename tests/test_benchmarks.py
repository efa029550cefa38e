"""The benchmark on a CPU writes its tables, and skips recorded rows."""
import sys

import pandas as pd

from runs.benchmarks import cpu


def test_benchmark_on_a_cpu(tmp_path, monkeypatch):
    make_steps = cpu.make_steps
    # the published width and the published batch size take long
    monkeypatch.setattr(cpu, 'WIDTHS', {'narrow': 'synthetic'})
    monkeypatch.setattr(cpu, 'make_steps', lambda *args: make_steps(
        *args[:2], *(min(size, 8) for size in args[2:])))
    monkeypatch.setattr(sys, 'argv', [
        'cpu.py', '--parts', 'training_step', 'step_memory', '--encoders',
        'hcn', '--repeats', '1', '--out', str(tmp_path)])
    monkeypatch.setattr(cpu.environment, 'current_commit',
                        lambda: dict(commit='c'))
    contents = []
    for _ in range(2):
        cpu.main()
        contents.append({path.name: path.read_bytes()
                         for path in tmp_path.iterdir()})
    assert contents[0] == contents[1]

    step = pd.read_csv(tmp_path / 'training_step.csv').iloc[0]
    assert step.width == 'narrow'
    assert min(step['ms, plain.median'], step['ms, twin.median']) > 0
    assert 0 < step['products, % of plain'] < 100
    memory = pd.read_csv(tmp_path / 'step_memory.csv').iloc[0]
    assert 0 <= memory['added, %'] < 50
