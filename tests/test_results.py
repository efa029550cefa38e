"""Recorded runs, and the tables made of them."""
import copy
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUNS = sorted(path for path in (ROOT / 'runs').glob('*.json')
              if not path.name.startswith(('benchmark_', 'ensemble_')))
ENSEMBLES = sorted((ROOT / 'runs').glob('ensemble_*.json'))
sys.path.insert(0, str(ROOT / 'tools' / 'analysis'))

import results_table

RUN = dict(config_file='a.py', commit='0123456789', clean=True, seed=0,
           machine=dict(threads=2),
           epochs=[dict(epoch=1, seconds=7200, train=dict(loss=8.125),
                        val={'acc/top1': 0.876})])


@pytest.mark.parametrize('path', RUNS, ids=lambda path: path.stem)
def test_recorded_runs_are_whole(path):
    run = json.loads(path.read_text())
    assert run['clean'] is True and len(run['commit']) == 40
    digest = hashlib.sha256(run['config'].encode()).hexdigest()
    assert run['config_sha256'] == digest
    assert [epoch['epoch'] for epoch in run['epochs']] == list(
        range(1, len(run['epochs']) + 1))
    assert f'max_epochs={len(run["epochs"])}' in run['config']
    assert 'val' in run['epochs'][-1]


@pytest.mark.parametrize('path', ENSEMBLES, ids=lambda path: path.stem)
def test_recorded_ensembles_are_whole(path):
    record = json.loads(path.read_text())
    assert record['clean'] is True and len(record['commit']) == 40
    confusion = record['confusion']
    total = sum(map(sum, confusion))
    correct = sum(row[label] for label, row in enumerate(confusion))
    assert total == record['sequences'] == sum(
        row['sequences'] for row in record['classes'])
    assert record['fused']['top1'] == pytest.approx(correct / total)
    assert all(len(item['sha256']) == 64 for item in record['files'])
    # the trainings whose scores were fused are recorded too
    accuracies = {json.loads(run.read_text())['epochs'][-1]['val']['acc/top1']
                  for run in RUNS}
    for item in record['files']:
        assert any(abs(item['top1'] - known) < 1e-6 for known in accuracies)


def test_readme_is_up_to_date():
    done = subprocess.run(
        [sys.executable, ROOT / 'tools/analysis/results_table.py', '--check'],
        capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_table_is_made_of_the_runs(tmp_path):
    (tmp_path / 'a.json').write_text(json.dumps(RUN))
    readme = 'x\n<!-- results: y -->\nold\n<!-- end of results -->\nz\n'
    text = results_table.render(readme, tmp_path)
    assert '| 1 | 0 | 87.60 | 8.12, 8.12 | 2.0 h, CPU threads: 2' in text
    assert 'old' not in text and text.endswith('results -->\nz\n')
    assert results_table.render(text, tmp_path) == text


def test_ensembles_make_a_table(tmp_path):
    files = [dict(top1=0.5, weight=2), dict(top1=0.25, weight=1)]
    record = dict(clean=True, commit='0123456789', files=files,
                  scores='logits', fused=dict(
                      top1=0.75, top5=1, mean_class_accuracy=0.7))
    path = tmp_path / 'ensemble_a.json'
    path.write_text(json.dumps(record))
    readme = '<!-- results: y -->\n<!-- end of results -->\n'
    text = results_table.render(readme, tmp_path)
    assert ('| [ensemble_a](runs/ensemble_a.json) | 50.00, 25.00 | 2:1 '
            '| logits | **75.00** | 100.00 | 70.00 | 0123456 |') in text
    path.write_text(json.dumps(dict(record, clean=False)))
    with pytest.raises(SystemExit, match='ensemble_a.json: clean is false'):
        results_table.render(readme, tmp_path)


def test_benchmarks_make_tables(tmp_path):
    for path in (ROOT / 'runs').glob('benchmark_*.json'):
        (tmp_path / path.name).write_text(path.read_text())
    seconds = dict(min=0.001, median=0.002, max=0.004)
    step = dict(seconds=dict(ours=seconds, twin=seconds, compiled=seconds),
                times_faster=dict(min=1, median=1.5, max=2))
    record = dict(threads=2, gpu='GPU X', torch='2', repeats=3,
                  cases=dict(HCN=dict(
                      authors_seconds=dict(AGCN=0.003),
                      clips=[16, 1], parameters=1234, flops=5 * 10**8,
                      training=step, eval=step, peak_memory=dict(
                          ours=2**20, twin=None))))
    (tmp_path / 'benchmark_encoders_gpu.json').write_text(json.dumps(record))
    text = results_table.render(
        '<!-- performance: y -->\n<!-- end of performance -->', tmp_path)
    row = ('| HCN | (16, 1) | 1,234 | 0.50 | training | 2.0 (1.0 to 4.0) '
           '| 2.0 (1.0 to 4.0) | 1.50 (1.00 to 2.00) | 1 MiB | - '
           '| 2.0 (1.0 to 4.0) |')
    assert row in text and 'GPU X' in text and '3 ms: the twin is 1.50' in text


def test_benchmark_of_the_encoders(tmp_path):
    out = tmp_path / 'benchmark_encoders.json'
    done = subprocess.run(
        [sys.executable, ROOT / 'tools/benchmark/encoders.py', '--encoders',
         'HCN', '--repeats', '1', '--threads', '1', '--device', 'cpu',
         '--out', out], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    case = json.loads(out.read_text())['cases']['HCN']
    assert case['parameters'] == 2619338 and case['difference'] < 1e-5
    assert case['flops'] > 10**8
    if sys.platform == 'linux':
        assert min(case['peak_memory'].values()) > 2**20
    rows = [line for line in results_table.encoder_table(tmp_path)
            if line.startswith('| HCN')]
    assert len(rows) == 2 and '| 2,619,338 |' in rows[0]


def test_benchmark_of_the_pipeline(tmp_path):
    """It compares clips that are equal."""
    out = tmp_path / 'benchmark_pipeline.json'
    done = subprocess.run(
        [sys.executable, ROOT / 'tools/benchmark/pipeline.py', '--sequences',
         '40', '--repeats', '1', '--memory-sequences', '0', '--out', out],
        cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text())
    assert record['difference'] <= 1e-6
    assert record['times_faster']['median'] > 1
    assert 'sequences a second against' in (
        results_table.pipeline_table(tmp_path)[0])


def test_benchmark_of_the_memory_bank(tmp_path):
    out = tmp_path / 'benchmark_memory_bank.json'
    done = subprocess.run(
        [sys.executable, ROOT / 'tools/benchmark/memory_bank.py',
         '--processes', '1', '--largest', '10000', '--repeats', '1', '--out',
         out], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text())
    for case in record['cases']:  # 256 features and a label for each slot
        half, bounded = '16' in case['bank'], 'class' in case['bank']
        assert case['slots'] == (60 * 256 if bounded else case['sequences'])
        assert case['bank_bytes'] == case['slots'] * (
            256 * (2 if half else 4) + (24 if bounded else 8))
        assert 0 < case['checkpoint_bytes'] - case['bank_bytes'] < 4096
    assert 0 < record['half_precision']['NW-UCLA']['loss'] < 1e-4
    sizes = record['dataset_bytes']['NTU RGB+D 120 X-Sub']
    assert sizes['full'] == pytest.approx(
        2 * 63026 * (256 * 4 + 8), rel=1e-4)
    text = results_table.render((ROOT / 'docs/scaling.md').read_text(),
                                tmp_path)
    assert '| class-balanced | 10,000 | 15,360 |' in text
    # a process sends 2 * 256 features, label and index of each sequence
    assert f'| {64 * 2056:,} |' in text


@pytest.mark.parametrize('damage', [
    lambda run: run.update(clean=False),
    lambda run: run['epochs'][-1].pop('val')])
def test_runs_that_do_not_count_are_refused(tmp_path, damage):
    run = copy.deepcopy(RUN)
    damage(run)
    (tmp_path / 'a.json').write_text(json.dumps(run))
    with pytest.raises(SystemExit, match='a.json: clean is'):
        results_table.render('', tmp_path)
