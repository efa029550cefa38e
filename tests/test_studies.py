"""Tests of study files, their runner, records and statistics."""
import itertools
import json
import os
import re
import signal
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from projects.stdcl.catalogue import find_config
from projects.stdcl.studies import records, runner
from projects.stdcl.studies.report import StudyReport
from projects.stdcl.studies.statistics import compare, mean_of
from projects.stdcl.studies.study import read_study
from projects.stdcl.utils.config_check import load_config
from projects.stdcl.utils.input_error import InputError
from runs.gains import draw_gains, gains_table
from tests.commands import ROOT, hold_folder, interrupt

STUDIES = sorted((ROOT / 'runs/studies').glob('*.py'))
STUDY = '''
about = 'two arms'
arms = {
    'plain': dict(encoder='stgcn', stdcl=False, seeds=[1]),
    'stdcl': dict(encoder='stgcn', against='plain', seeds=[1],
                  options={'model.cls_head.decoupler.reduction': 2}),
}
'''
# options of a run that takes seconds
TINY = {'train_dataloader.batch_size': 8, 'train_cfg.max_epochs': 1,
        'param_scheduler.1.milestones': [1, 2],
        'train_dataloader.dataset.times': 1,
        'model.backbone.base_channels': 4, 'model.backbone.num_stages': 4,
        'model.backbone.inflate_stages': [],
        'model.backbone.down_stages': [3], 'model.cls_head.in_channels': 4,
        **{f'{loader}_dataloader.{name}': value
           for loader in ('train', 'val', 'test') for name, value in (
               ('num_workers', 0), ('persistent_workers', False))}}
# this fake tools/train.py records four epochs, and can stop and resume
TRAIN = '''
import json, signal, sys, time
from pathlib import Path
folder = Path(sys.argv[sys.argv.index('--work-dir') + 1])
assert '--seed 1 --resume' in ' '.join(sys.argv)
if (folder / 'break').exists():
    sys.exit('broken on purpose')
path, stop = folder / 'run.json', []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
run = json.loads(path.read_text()) if path.exists() else dict(
    commit='c' * 40, clean=False, versions=dict(torch='2'), epochs=[],
    machine=dict(processor='x86_64', cores=2, threads=1), starts=0,
    resumed=[dict(commit='c' * 40, clean=False), dict(
        commit='c' * 40, clean=False, versions=dict(torch='1'), machine=dict(
            processor='x86_64', gpu='A', cores=8, threads=1))])
run['starts'] += 1
while len(run['epochs']) < 4:
    time.sleep(0.2)
    number = len(run['epochs']) + 1
    run['epochs'].append(dict(
        epoch=number, seconds=3, val={'acc/top1': (0.5, 0.9, 0.8, 0.75)[
            number - 1]}, train=dict(
            top1_acc=number / 4 - 0.125, loss_cls=1 / number, gradient_cls=0.2,
            gradient_spatial=0.1, anchor_share=1)))
    path.write_text(json.dumps(run))
    if stop:
        sys.exit(143)
(folder / 'epoch_4.pth').write_bytes(b'\\x80\\x02\\x8a\\nl\\xfc\\x9cF\\xf9 '
                                     b'j\\xa8P\\x19.')
'''
TEST = '''
import sys

import numpy as np
labels = np.arange(4) // 3
other = sys.argv[4].endswith('train.npz')
logits = np.full((4, 2), sum(' '.join(sys.argv).encode()), np.float32)
logits[np.arange(4), labels] += [1, 1, 1, -1]
# with several clips, probabilities can be right where logits are wrong
np.savez(sys.argv[4], names=np.array(list('abcd')), labels=labels,
         logits=logits, classes=np.array(['x', 'y']), stream='joint',
         probabilities=0.1 + 0.8 * np.eye(2)[labels ^ other], config='',
         checkpoint=sys.argv[2].split('/')[-1])
'''


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a study file."""

    def write_study(text=STUDY, *change):
        path = tmp_path / 'tiny.py'
        path.write_text(text.replace(*change) if change else text)
        return path

    return write_study


@pytest.fixture
def make_runner(write, tmp_path, monkeypatch):
    """Return a function that makes a runner with fake tools."""
    monkeypatch.setattr(runner, 'TOOLS', tmp_path)
    (tmp_path / 'train.py').write_text(TRAIN)
    (tmp_path / 'test.py').write_text(TEST)

    def make(*change):
        study = read_study(write(STUDY, *change))
        return runner.StudyRunner(study, tmp_path, tmp_path / 'work')

    return make


@pytest.mark.parametrize('path', STUDIES, ids=lambda path: path.stem)
def test_studies_of_the_repository(path):
    """Options of unfinished studies fit the configs; all arms differ."""
    study = read_study(path)
    results = records.read(path.with_suffix('.csv'))
    assert results.commit.str.fullmatch('[0-9a-f]{40}(-dirty)?|unknown').all()
    finished = len(results) >= len(study.trainings)
    first = [item for item in {item.arm: item for item in reversed(
        study.trainings)}.values() if not item.fuse]
    for item in {(item.config, *item.options): item for item in first
                 if not finished}.values():
        load_config(str(item.config), item.options)
    assert len({f'{item.config} {item.options}' for item in first}
               ) == len(first)
    seeds = [item.seed for item in study.trainings]
    assert seeds == sorted(seeds)


FUSE = ("'plain': dict", "'both': dict(fuse=['plain', 'stdcl'], seeds=[1], "
        "against='plain'),\n    'plain': dict")


@pytest.mark.parametrize('change, message', [
    ((FUSE[0], FUSE[1].replace("n', 's", "n', 'both', 's")), "fuse is 'both'"),
    ((FUSE[0], FUSE[1].replace('[1]', '2')), 'both.seeds contains 0'),
    (('about =', 'abuot ='), 'tiny.py: abuot is not a field, expected one'),
    ((', seeds=[1])', ')'), 'arms.plain: seeds is missing, expected an integ'),
    (("dict(encoder='stgcn', stdcl=False, seeds=[1])", "3"),
     'tiny.py: arms.plain is 3, expected a dict'),
    (('about =', 'about = = '), 'cannot be read as a study'),
    (('about', "threads = '2'\nabout"), "threads is '2', expected an integer"),
    (("encoder='stgcn', against", "encoder='stgnc', against"),
     "encoder is 'stgnc', expected one of stgcn"),
    (("against='plain'", "against='pain'"),
     "against is 'pain', expected one of plain, stdcl"),
    (("seeds=[1])", "seeds=[1, 1])"), r'plain.seeds is \[1, 1\]'),
    (("seeds=[1])", "seeds=0)"), 'seeds is 0'),
    (("arms = ", "means = dict(m=['plain'])\narms = "), "means is 'plai"),
    (("seeds=[1]", "seeds=[1], stream='bones'"), "stream is 'bones'"),
    (('arms =', 'folds = 0\narms ='), 'folds is 0, expected'),
    (('arms =', 'tests = dict(last={})\narms ='), "tests contains 'last'"),
    (('arms =', 'encoders = dict(stgnc={})\narms ='), "encoders is 'stgnc'"),
    (("'plain':", "1:"), 'of an arm is 1, expected a non'),
    (("encoder='stgcn', stdcl", "fuse='a', stdcl"), "fuse is 'a', .* a list"),
    (('arms =', 'tests = dict(t=1)\narms ='), 'tests.t is 1, expected a dict'),
    (('seeds=[1])', 'seeds=[[1]])'), r'seeds is \[\[1\]\], expected'),
    (('seeds=[1])', 'seeds=[True])'), r'seeds is \[True\], expected'),
    (("'plain':", "'a/b':"), "of an arm is 'a/b', expected a non"),
    (("encoder='stgcn', stdcl", "stdcl"), 'plain sets 0 of .* exactly one'),
    (("encoder='stgcn', stdcl", "config='x.py', stdcl"),
     r"plain.config: /.*/x.py does not exist")])
def test_mistakes_in_a_study_are_one_line(write, change, message):
    path = write(STUDY, *change)
    with pytest.raises(InputError, match=message):
        read_study(path)


def test_fields_of_a_study(write):
    study = read_study(write('''
about = 'x'
folds = 3
options = {'test_dataloader.dataset.split': 'fold{fold}_val',
           'train_cfg.max_epochs': 5}
encoders = dict(hcn={'train_cfg.max_epochs': 9})
arms = dict(a=dict(encoder='hcn', stream='bone', seeds=4),
            own=dict(config='tiny.py', seeds=[1]))
'''))
    assert [item.fold for item in study.matching('a')] == [0, 1, 2, 0]
    assert study.matching('a')[1].options == {
        'test_dataloader.dataset.split': 'fold1_val',
        'train_cfg.max_epochs': 9, 'model.data_preprocessor.stream': 'bone'}
    own, = study.matching('own')
    assert (own.data, own.encoder, own.fold) == ('tiny', '', 1)
    assert study.matching('o*') == [own]
    with pytest.raises(InputError, match="'x' matches no arm .* a, own"):
        study.matching('x')
    study = read_study(write("""about = 'x'
options = {'model.data_preprocessor.stream': 'bone-motion'}
encoders = dict(hcn={'train_cfg': dict(max_epochs=2)})
arms = dict(a=dict(encoder='hcn', seeds=1, options={'train_cfg': {}}),
            b=dict(encoder='hcn', seeds=1, stream='joint'))"""))
    assert list(study.trainings[0].options)[-1] == 'train_cfg'
    assert [(item.stream, item.options['model.data_preprocessor.stream'])
            for item in study.trainings] == [
                ('bone-motion', ) * 2, ('joint', ) * 2]


def test_further_tests_of_a_study(make_runner, tmp_path):
    study = make_runner('arms =', """folds = ['split2', 'split3']
options = {'test_dataloader': dict(dataset=dict(split='{fold}_val'))}
tests = dict(train={'test_dataloader.dataset.split': '{fold}_train'})
arms =""")
    assert not study.run_all(study.missing('plain'))
    row, = records.read(tmp_path / 'tiny.csv').itertuples()
    assert (row.top1_train, row.nll_train) == (0, 2.30259)
    # the evaluator in the config may compute only other metrics, or none
    path = tmp_path / 'work/tiny/plain_seed-1/run.json'
    for old, new in ('acc/top1', 'acc/mean1'), ('"val"', '"none"'):
        path.write_text(path.read_text().replace(old, new))
        row = records.collect(study.study.trainings[0], path.parent)
        assert row['top1_last'] == 100
        assert np.isnan([row['top1_best'], row['best_epoch']]).all()
    record = json.loads(path.read_text())
    for epoch, message in (5, 'is epoch_4.pth, expected epoch_5'), (
            7, 'expected every epoch from 1'):
        record['epochs'].append({**record['epochs'][0], 'epoch': epoch})
        path.write_text(json.dumps(record))
        with pytest.raises(InputError, match=message):
            records.collect(study.study.trainings[0], path.parent)
    config, = (tmp_path / 'work/tiny/plain_seed-1/config_train').iterdir()
    assert "split='split3_train'" in config.read_text()


def test_a_fused_arm(make_runner, tmp_path, monkeypatch):
    study, draw, bars = make_runner(*FUSE), Axes.errorbar, []
    monkeypatch.setattr(Axes, 'errorbar', lambda self, *args, **options: (
        bars.append(args) or draw(self, *args, **options)))
    assert not study.run_all(study.missing('both'))
    assert len(study.missing()) == 3
    assert not study.run_all(study.missing(), jobs=2)
    assert study.missing() == []
    rows = records.read(tmp_path / 'tiny.csv').set_index('arm')
    assert rows.loc['both', ['top1_last', 'mean_class', 'stream']].tolist(
        ) == [75, 50, 'fused']
    rows = pd.read_csv(tmp_path / 'tiny.csv')
    rows[rows.arm != 'both'].to_csv(tmp_path / 'tiny.csv', index=False)
    scores = tmp_path / 'work/tiny/stdcl_seed-1/scores.npz'
    scores.rename(scores.with_suffix('.old'))
    assert study.run_all(study.missing()) == study.missing('both')
    scores.with_suffix('.old').rename(scores)
    assert not study.run_all(study.missing())
    page = tmp_path / 'page.md'
    study.study.means['m'] = ['both', 'stdcl']
    StudyReport(study.study, tmp_path).write_page(page)
    assert '| both | 1 | 75.00 |  | -25.00 ' in page.read_text()
    assert '| m | 1 |  |  | -12.50 |' in page.read_text()
    # from below; their differences are 0 and -25
    assert re.findall('>(both|stdcl)<', page.with_suffix('.svg').read_text()
                      ) == ['stdcl', 'both']
    assert bars == [(0, 0), (-25, 1)]
    page.with_suffix('.svg').touch()  # of an earlier state of the study
    StudyReport(study.study, tmp_path / 'none').write_page(page)
    assert '.svg' not in page.read_text()


def test_a_study_is_run_stopped_and_resumed(make_runner, capsys, tmp_path):
    study = make_runner()
    path = tmp_path / 'work/tiny/plain_seed-1/run.json'
    study.run_all(study.missing(), minutes=0)
    assert study.missing() and not path.is_file()
    study = make_runner()

    def stop_in_time():
        while not path.is_file():
            time.sleep(0.02)
        study.stop()

    threading.Thread(target=stop_in_time, daemon=True).start()
    assert not study.run_all(study.missing())
    assert len(study.missing()) == 2
    assert not (tmp_path / 'work/tiny/stdcl_seed-1').exists()
    study = make_runner()
    assert not study.run_all(study.missing(), 2, minutes=5)
    assert study.missing() == []
    assert 'stdcl_seed-1: top-1 100.00 after 4 epochs, 0.2' in (
        capsys.readouterr().out)
    run = json.loads(path.read_text())
    assert run['starts'] == 2 and len(run['epochs']) == 4
    row = records.read(tmp_path / 'tiny.csv').set_index('arm').loc['stdcl']
    assert (row.top1_last, row.top1_best, row.best_epoch) == (100, 90, 2)
    assert (row.method, row.data, row.mean_class) == (
        'STD-CL', 'nw-ucla-xview', 100)
    assert row.nll == pytest.approx(-np.log(0.9), abs=1e-5)
    assert (row.train_top1, row.commit) == (87.5, 'c' * 40 + '-dirty')
    assert (row.machine, row.versions) == (
        'A, 8 cores, threads: 1+x86_64 CPU, 2 cores, threads: 1',
        'torch=1+torch=2')
    # arm, fold and seed identify a record
    study = make_runner('seeds=[1]', 'seeds=[1, 2]')
    assert [item.name for item in study.missing()] == ['plain_seed-2',
                                                       'stdcl_seed-2']


def test_failed_run_does_not_stop_the_others(make_runner, capsys, tmp_path):
    study = make_runner()
    folder = tmp_path / 'work/tiny/stdcl_seed-1'
    folder.mkdir(parents=True)
    (folder / 'break').touch()
    assert study.run_all(study.missing(), 2) == study.missing()
    assert [item.name for item in study.missing()] == ['stdcl_seed-1']
    assert re.search('stdcl_seed-1 failed: .*log.txt: train.py exited with '
                     'status 1:\n  broken on purpose', capsys.readouterr().out)


def test_work_directory_of_a_different_config(make_runner):
    study = make_runner()
    study.run(study.missing('stdcl')[0])
    for change in ("'model.cls_head.decoupler.reduction': 2", ''), (
            "encoder='stgcn', against", "encoder='ctrgcn', against"):
        study = make_runner(*change)
        with pytest.raises(InputError, match='differs .*Delete .*stdcl_seed-'):
            study.run(study.study.matching('stdcl')[0])


def test_an_arm_with_a_yaml_config(make_runner, tmp_path):
    load_config(str(find_config('hcn', 'synthetic', False))).dump(
        tmp_path / 'mine.yaml')
    study = make_runner("encoder='stgcn', stdcl=F",
                        "config='mine.yaml', stdcl=F")
    assert not study.run_all(study.missing('plain'))
    path, = (tmp_path / 'work/tiny/plain_seed-1/config').iterdir()
    assert load_config(str(path)).train_cfg


def test_second_runner_raises(make_runner, tmp_path):
    study = make_runner()
    with hold_folder(study.work_dir) as process, pytest.raises(
            InputError, match=f'another run .*process {process.pid} '):
        study.run_all([])


def test_jobs_share_the_gpus(make_runner, tmp_path, monkeypatch):
    study = make_runner()
    (tmp_path / 'train.py').write_text(
        "import os\nprint(os.environ['CUDA_VISIBLE_DEVICES'])\n1 / 0")
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '5,3')
    assert len(study.run_all(study.missing(), jobs=2)) > 1
    assert {log.read_text()[0] for log in study.work_dir.glob(
        '*/log.txt')} == {'5', '3'}


def test_slurm_jobs(make_runner, tmp_path, monkeypatch):
    """The local executor of submitit replaces Slurm."""
    submitit = pytest.importorskip('submitit')

    class Executor(submitit.LocalExecutor):
        def update_parameters(self, timeout_min, slurm_partition, slurm_setup,
                              **kwargs):
            assert slurm_partition == 'gpu'
            assert kwargs['slurm_additional_parameters']['signal'] == 'TERM@90'
            assert str(ROOT) in slurm_setup[2]
            super().update_parameters(timeout_min=timeout_min)

    monkeypatch.setattr(submitit, 'AutoExecutor', Executor)
    study = make_runner()
    with monkeypatch.context() as patch:
        patch.setenv('PATH', str(tmp_path))
        with pytest.raises(InputError, match='srun was not found'):
            study.use_slurm('gpu', 5)
    (tmp_path / 'srun').touch(mode=0o755)
    monkeypatch.setenv('PATH', str(tmp_path), prepend=os.pathsep)
    study.use_slurm('gpu', 5)
    assert study.call([sys.executable, '-c', 'exit(3)'],
                      tmp_path / 'log.txt') == 3
    threading.Timer(1, study.stop).start()
    for _ in range(2):  # stopped during the job, and before it
        assert study.call(
            [sys.executable, '-c', 'import time; time.sleep(60)'],
            tmp_path / 'log.txt') == -signal.SIGTERM


def test_the_commands(write, tiny_annotations, warm, tmp_path):
    # several epochs, so that three signals leave something to do
    options = {**TINY, 'train_cfg.max_epochs': 3, **{
        f'{name}_dataloader.{dataset}.ann_file': tiny_annotations()
        for name, dataset in (('train', 'dataset.dataset'),
                              ('val', 'dataset'), ('test', 'dataset'))}}
    path = write(f'{STUDY}\noptions = {options}')

    def run(*arguments, status=0):
        return warm('tools/experiments/run_study.py', path, *arguments,
                    cwd=tmp_path, status=status)

    done = run('--only', 'stdcl')
    assert 'runs left: 0' in done.stdout
    work_dir = tmp_path / 'work_dirs/studies/tiny'
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        started = work_dir / 'plain_seed-1/log.txt'
        started.unlink(missing_ok=True)
        pid = warm.start('tools/experiments/run_study.py', path, cwd=tmp_path)
        interrupt(pid, tmp_path / 'stdout', started.is_file, number, os.kill)
        done = warm.wait()
        assert done.returncode == 128 + number, done
        assert 'runs left: 1' in done.stdout and not done.stderr
    assert '1 of 2 runs are already recorded' in run('--list').stdout
    # a repetition of the study does not find the work directories
    done = run('--list', '--records', 'again')
    assert '0 of 2 runs are already recorded' in done.stdout
    assert (tmp_path / 'again/tiny/report.md').is_file()
    report = work_dir / 'report.md'
    top1 = records.read(path.with_suffix('.csv')).top1_last
    assert f'| stdcl | 1 | {top1[0]:.2f} | ' in report.read_text()
    write(STUDY, 'about', 'abuot')
    assert run(status=1).stderr.splitlines()[-1].startswith(f'error: {path}: ')


@pytest.mark.parametrize('change, message', [
    (dict(top1_last=101.0), 'seed 0 has top1_last 101.0, expected 0 to 100'),
    (dict(top1_last=None), 'has top1_last nan, expected 0 to 100'),
    (dict(seed=1), 'seed 1 is recorded twice, expected one row'),
    *((change, 'cannot be read as') for change in (
        dict(seed=None), dict(seed=10**20), dict(top1_last='x'),
        dict(minutes='1,5'), dict(nll_train='?'))),
    ({}, r'cannot be read as .*fold')])
def test_inconsistent_results_raise(tmp_path, change, message):
    row, path = dict(arm='a', fold=0, top1_last=50.0, note='x'), (
        tmp_path / 'x.csv')
    assert records.read(path).empty
    rows = [dict(row, seed=0), dict(row, seed=1)]
    for one in (*rows, rows[0]):  # the last one replaces the first row
        records.append(path, one)
    assert len(records.read(path)) == 2
    assert 'note' in records.read(path)  # an unknown column is kept
    changed = pd.DataFrame([{**rows[0], **change}, rows[1]])
    changed.drop(columns=[] if change else 'fold').to_csv(path)
    with pytest.raises(InputError, match=f'x.csv.*{message}'):
        records.read(path)


def frame(**arms):
    return pd.DataFrame([dict(arm=arm, fold=0, seed=seed, top1_last=top1)
                         for arm, values in arms.items()
                         for seed, top1 in enumerate(values)])


def test_intervals_equal_the_textbook():
    """The deviation of 1, 2, 3 is 1, and the quantile of t(2) is 4.3027."""
    found = compare(frame(a=[11, 12, 13, 50], b=[10, 10, 10]), 'a', 'b')
    assert found.mean == 2 and found.finding == 'inconclusive'
    assert found.margin == pytest.approx(4.3027 / 3**0.5, abs=1e-4)
    for sign, finding in ((1, 'better'), (-1, 'worse')):
        values = [50 + sign * x for x in (1, 1.1, 1)]
        assert compare(frame(a=values, b=[50] * 3), 'a',
                       'b').finding == finding
    # one or two differences, even if they are equal
    for few in (1, 2):
        assert compare(frame(a=[1] * few, b=[0] * few), 'a', 'b'
                       ).finding == 'inconclusive'
    assert not len(compare(frame(a=[1]), 'a', 'b').seeds)


def test_means_are_those_of_the_seeds():
    """Differences that vary together have a wide interval."""
    one, same, opposite = (
        compare(frame(a=values, b=[0] * len(values)), 'a', 'b')
        for values in ([1, 3, 5], [2, 4, 6, 9], [5, 3, 1]))
    assert mean_of([one])[:2] == one[:2]
    mean = mean_of([one, same])  # 1.5, 3.5 and 5.5
    assert mean.mean == 3.5 and mean.margin == pytest.approx(one.margin)
    # equal differences do not show how much they vary
    rounded = compare(frame(a=[.8928, .8929, .8929], b=[0] * 3), 'a', 'b')
    for equal in mean_of([one, opposite]), rounded:
        assert np.isnan(equal.margin)
    alone = compare(frame(a=[1, 1], b=[0, 0]), 'a', 'b')
    assert mean_of([one, alone]).finding == 'inconclusive'


def test_names_of_missing_values_and_unplanned_rows(write, tmp_path):
    path = write(STUDY, 'arms = {', """
means = dict(one=['NA'])
arms = {'NA': dict(encoder='stgcn', against='plain', seeds=[1]),""")
    for seed, arm in itertools.product((1, 2), ('plain', 'NA')):
        records.append(path.with_suffix('.csv'), dict(
            arm=arm, fold=0, seed=seed, top1_last=80 + seed))
    report = StudyReport(read_study(path), tmp_path)
    assert '| NA | 1 | 81.00 |' in report.study()  # the plan has no seed 2
    assert '2 of 3 runs' in report.source()


def test_plot_of_gains(write, tmp_path):
    path = write(STUDY, '[1]', '[1, 2, 3, 4, 5]')
    for arm, method in ('plain', 'plain'), ('stdcl', 'STD-CL'):
        for seed in range(1, 6):
            records.append(path.with_suffix('.csv'), dict(
                arm=arm, fold=0, seed=seed, method=method,
                top1_last=80 + seed * (arm == 'stdcl'),
                train_top1=90, top1_train=95,
                mean_class=80 + 2 * seed * (arm == 'stdcl')))
    report = StudyReport(read_study(path), tmp_path)
    assert re.search(r'\| stdcl \| 5 \| 80.00 ± 0.00 \| 95.0 \| \+3.00 \|.*'
                     r'\|  \| \+6.00 ±', gains_table([report]))
    assert ('| stdcl | 5 | 83.00 ± 1.58 | 90.0 | +3.00 from plain | +1.04 to '
            '+4.96 |') in report.study()
    assert '| stdcl | 5 | +3.00 ± 1.96 |' in report.measures()
    draw_gains([report], tmp_path / 'gains.svg')
    text = (tmp_path / 'gains.svg').read_text()
    assert '>tiny</text>' in text
    assert text.count('>1</text>') == 2  # both axes; x is 100 - 90


def test_tables_of_a_study(write, tmp_path):
    path = write(STUDY, '[1]', '[1, 2]')
    key = [dict(arm=arm, fold=0, seed=1) for arm in ('plain', 'stdcl')]
    for row in (
            dict(key[0], top1_last=87.5, minutes=1, machine='C\nPU', nll=0.5),
            dict(key[1], top1_last=90.0, minutes=2, train_top1=97.5,
                 machine='C\nPU', nll=0.25),
            # recorded before the negative log-likelihood was
            *(dict(one, seed=2, top1_last=top1, train_top1=97.5)
              for one, top1 in zip(key, (87.5, 90)))):
        records.append(path.with_suffix('.csv'), row)
    report = StudyReport(read_study(path), tmp_path)
    assert '| stdcl | 2 | 90.00 ± 0.00 | 97.5 | +2.50 from plain |  | ' \
        'inconclusive | 2.0 |' in report.study()
    assert report.source().startswith(r'C\nPU; 4 of ')
    assert report.measures().splitlines()[2:] == [
        '| stdcl | 2 | +2.50 |  | -0.250 (pairs: 1) |']
