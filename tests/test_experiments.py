"""Studies: declared, run, interrupted, carried, recorded, reported."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / 'tools' / 'analysis'),
                str(ROOT / 'tools' / 'experiments')]

import model_zoo
import parcel
import publish
import record
import run_study
import study_report
from mmengine.config import DictAction
from study import RECORDS, find_config, read_study

from projects.stdcl.utils.config_check import load_config
from tests.commands import accuracy

STUDIES = sorted((ROOT / 'tools/experiments/studies').glob('*.py'))
COMMIT = '0123456789' * 4

TINY = '''
about = 'two streams, tiny'
benchmark = 'nw-ucla-xview'
options = {{
    'train_dataloader.dataset.dataset.ann_file': '{data}',
    'val_dataloader.dataset.ann_file': '{data}',
    'test_dataloader.dataset.ann_file': '{data}',
    'train_dataloader.dataset.times': 1,
    'train_dataloader.batch_size': 8,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'val_dataloader.num_workers': 0,
    'val_dataloader.persistent_workers': False,
    'train_cfg.max_epochs': {epochs},
    'param_scheduler.1.milestones': [1, 2],
    'model.backbone.base_channels': 4,
    'model.backbone.num_stages': 4,
    'model.backbone.inflate_stages': [],
    'model.backbone.down_stages': [3],
    'model.cls_head.in_channels': 4,
    'default_hooks.checkpoint.max_keep_ckpts': 1,
}}
_stdcl = {{'model.cls_head.decoupler.reduction': 2}}
arms = {{
    'plain': dict(encoder='stgcn', stdcl=False, seeds=[1]),
    'stdcl': dict(encoder='stgcn', against='plain', seeds=[1],
                  options=_stdcl),
}}
ensembles = dict(both=['plain', 'stdcl'])
'''


@pytest.fixture
def write(tmp_path):
    """Write a study file; returns a function."""

    def write_study(text, name='tiny.py'):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write_study


@pytest.fixture
def copies(tmp_path):
    """Copies of the repository without .git; returns a function."""

    def copy(name):
        for part in ('projects', 'configs', 'tools'):
            shutil.copytree(ROOT / part, tmp_path / name / part,
                            ignore=shutil.ignore_patterns('__pycache__'))
        return tmp_path / name

    return copy


def start(copy, study, *options):
    return subprocess.Popen(
        [sys.executable, copy / 'tools/experiments/run_study.py', study,
         *map(str, options)], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
        env={**os.environ, 'STDCL_COMMIT': COMMIT})


def finish(process, status=0):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == status, output
    return output


def wait_for(condition):
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError('it did not happen within two minutes')


@pytest.mark.parametrize('path', STUDIES, ids=lambda path: path.stem)
def test_studies_of_the_repository(path):
    """Each is read, its configs take its options, its arms differ."""
    study = read_study(path)
    recipes = {arm: study.arm(arm)[0].recipe_sha256() for arm in study.arms}
    assert len(set(recipes.values())) == len(study.arms)
    assert [item.seed for item in study.trainings] == sorted(
        item.seed for item in study.trainings)
    for training in study.trainings:
        assert (ROOT / training.config).is_file()


def test_records_and_tables_are_up_to_date(warm, tmp_path):
    """Schema, hashes, and what the studies and configs say today."""
    done = warm('tools/experiments/study_report.py', '--check', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    known = {study.stem for study in STUDIES}
    for path in RECORDS.glob('*/*.json'):
        assert path.parent.name in known
        if not path.name.startswith('ensemble_'):
            seen = record.read_record(path)
            assert path == RECORDS / path.parent.name / (
                f'{seen["declared"]["arm"]}_seed-{seen["seed"]}.json')


@pytest.mark.parametrize('change, message', [
    (('about =', 'abuot ='), '"abuot" is not known; .* about, '),
    (('about =', '_about ='), 'no "about"'),
    (("encoder='stgcn', against", "encoder='stgnc', against"),
     "encoder is 'stgnc', expected one of .*stgcn"),
    (("against='plain'", "against='pain'"),
     "stdcl.against is 'pain', expected one of plain, stdcl"),
    (("seeds=[1],\n", "seeds=[1, 2],\n"), r'seeds \[1, 2\]'),
    (("seeds=[1],\n", "seeds=1.5,\n"), 'seeds is 1.5'),
    (("['plain', 'stdcl']", "['plain', 'x']"), "ensembles.both names 'x'"),
    (('arms =', 'amrs = 1\narms ='), '"amrs" is not known'),
    (("seeds=[1]", "seeds=[1], stream='joints'"), "stream is 'joints'"),
    (("nw-ucla-xview", "ntu60"),
     "benchmark is 'ntu60', expected one of .*ntu60-xsub, .*nw-ucla-xview"),
    (("seeds=[1])", "seeds=[1, 1])"), r'plain: seeds is \[1, 1\]'),
    (("seeds=[1])", "seeds=[True])"), r'seeds is \[True\]'),
    (("seeds=[1])", "seeds=[-1])"), r'seeds is \[-1\]'),
    (("seeds=[1])", "seeds=0)"), 'seeds is 0'),
    (("seeds=[1])", "seeds=True)"), 'seeds is True'),
    (('about', 'folds = 0\nabout'), 'folds is 0'),
    (("'plain':", "'a/b':"), "'a/b', expected"),
    (("stdcl=False, seeds=[1]", "stdcl=False, seeds=[1, 2]"),
     r"ensembles.both: the seeds are {'plain': \[1, 2\], 'stdcl': \[1\]}"),
    (("'plain': dict(encoder='stgcn', ", "'plain': dict("),
     'plain: has stdcl, seeds; expected either config, or encoder'),
    (("'plain': dict(", "'plain': dict(config='x.py', "),
     'plain: has config, encoder'),
    (("dict(encoder='stgcn', stdcl", "dict(config='x.py', stdcl"),
     r"plain.config is 'x.py', expected a file in /.* or /"),
    (("DATA", "a,b"), "ann_file is 'a,b', which a command line cannot say"),
    (("DATA", "a b"), "'a b', which"),
    (("DATA", "a(b,c"), r"'a\(b,c', which"),
    (("'DATA'", "'1'"), "'1', which"),
    (("'DATA'", "{'type': 'X'}"), 'say each field: ".*ann_file.type"')])
def test_mistakes_in_a_study_are_named(write, change, message):
    path = write(TINY.format(data='DATA', epochs=1).replace(*change))
    with pytest.raises(ValueError, match=message) as error:
        read_study(path)
    assert 'tiny.py' in str(error.value)


def test_options_reach_the_command_line(write):
    """Numbers, words and lists of them; a tuple is a list in a config."""
    options = {'model.a': [1, 2.5, None, [True, 'x']], 'model.b': 1e-5,
               'model.c': '../a/b.pkl', 'model.d': (1,), 'model.e': []}
    path = write(f"about = 'x'\noptions = {options}\n"
                 "arms = dict(a=dict(encoder='hcn', seeds=1))")
    flag, *texts = read_study(path).trainings[0].cfg_options()
    assert flag == '--cfg-options'
    seen = {}
    for text in texts:
        name, _, value = text.partition('=')
        seen[name] = DictAction._parse_iterable(value)
    assert seen == {**options, 'model.d': [1]}


def test_two_configs_of_a_pairing_are_told(copies, monkeypatch):
    """One that was added, with another number of epochs, say."""
    copy = copies('copy')
    monkeypatch.setattr('study.ROOT', copy)
    pairing = ('hcn', 'joint', 'nw-ucla-xview', False)
    one = copy / find_config(*pairing)
    two = one.with_name(one.name.replace('150e', '9e'))
    two.touch()
    with pytest.raises(ValueError, match=f'{one.name}, .*{two.name}; expect'):
        find_config(*pairing)


def test_a_study_of_own_configs(write, root):
    """Beside the study, as docs/custom_data.md makes them, or in the tree."""
    base = root / find_config('stgcn', 'joint', 'nw-ucla-xview', True)
    path = write("""
about = 'our gestures'
options = {'train_cfg.max_epochs': 3, 'model.cls_head.spatial_weight': 0.2}
arms = dict(
    plain=dict(config='configs/stgcn/stgcn_synthetic.py', stdcl=False,
               seeds=2),
    own=dict(config='own.py', against='plain', seeds=[1]))
""", 'own_study.py')
    own = write(f"_base_ = {str(base)!r}\n"
                'model = dict(cls_head=dict(num_classes=3))', 'own.py')
    study = read_study(path)
    plain, _, training = study.trainings
    assert training.config == str(own) and training.encoder is None
    assert training.declared()['config'] == 'own.py'  # no folder of a home
    assert plain.config == 'configs/stgcn/stgcn_synthetic.py'
    assert training.recipe_sha256() == record.recipe_of(
        load_config(str(own), training.options))
    assert publish.plain_config(plain, study).model.cls_head.type == 'GCNHead'
    assert publish.plain_config(training, study).model.cls_head.type == (
        'GCNHead')
    study.against.clear()
    with pytest.raises(ValueError, match='own.against is None, expected an'):
        publish.plain_config(training, study)


def test_patterns_that_match_nothing_are_told(write):
    study = read_study(write(TINY.format(data='x', epochs=1)))
    assert [item.arm for item in study.matching('p*')] == ['plain']
    with pytest.raises(ValueError, match="'x', which .* of plain, stdcl"):
        study.matching('x')


def test_folds_follow_the_seed(write):
    text = TINY.format(data='{fold}.pkl', epochs=1).replace(
        'seeds=[1]', 'seeds=4').replace('about', 'folds = 3\nabout', 1)
    study = read_study(write(text))
    assert [item.options['val_dataloader.dataset.ann_file']
            for item in study.arm('stdcl')] == [
                '0.pkl', '1.pkl', '2.pkl', '0.pkl']


def test_a_study_is_run_interrupted_carried_and_recorded(
        copies, write, tiny_annotations, tmp_path):
    """A second copy of the repository goes on where the first one stopped.

    That it then equals one that did not stop, test_resume.py proves.
    """
    path = write(TINY.format(data=tiny_annotations(), epochs=6))
    first, second = map(copies, ('first', 'second'))
    process = start(first, path, '--jobs', 2, '--parcel', tmp_path / 'box')
    folders = [first / f'work_dirs/studies/tiny/{arm}_seed-1'
               for arm in ('plain', 'stdcl')]
    wait_for(lambda: all((folder / 'last_checkpoint').is_file()
                         for folder in folders))
    with pytest.raises(ValueError, match='another process has the lock'), \
            run_study._locked(folders[0] / 'lock'):
        pass
    process.send_signal(signal.SIGTERM)
    assert '2 trainings are still to be run' in finish(process)
    parts = list((tmp_path / 'box').iterdir())
    assert parts and all(part.stat().st_size <= 15 * 2**20 for part in parts)

    output = finish(start(second, path, '--jobs', 2, '--parcel',
                          tmp_path / 'box'))
    assert '0 trainings are still to be run' in output
    assert 'ensemble_both_seed-1.json: fused' in output
    records = second / 'runs/studies'
    for arm in ('plain', 'stdcl'):
        seen = record.read_record(records / f'tiny/{arm}_seed-1.json')
        assert seen['resumed'][0]['epoch'] >= 1 and seen['epochs'] == 6
        assert seen['commit'] == COMMIT and seen['clean']
        assert len(seen['curves']['loss_cls']) == 6
    assert ('loss_spatial' in seen['curves']) and seen['declared']['stdcl']

    def missing():
        return run_study.StudyRunner(read_study(path), Path(), records
                                     ).missing()

    assert missing() == []
    text = path.read_text()
    path.write_text(text.replace('seeds=[1]', 'seeds=[1, 2]'))
    assert [item.name for item in missing()] == ['plain_seed-2',
                                                 'stdcl_seed-2']
    path.write_text(text.replace('[1, 2]', '[1, 3]'))
    with pytest.raises(ValueError, match='plain_seed-1.json: options is'):
        missing()


def test_a_config_that_changed_is_told(write, recorded, tmp_path):
    """The study says the same, but the config it names does not."""
    training = read_study(write(TINY.format(data='x', epochs=1))).trainings[0]
    seen = dict(recorded, declared=training.declared(),
                recipe_sha256=training.recipe_sha256())
    record.check_current(tmp_path, seen, training)
    with pytest.raises(ValueError, match='says something else today'):
        record.check_current(tmp_path, dict(seen, recipe_sha256='0'),
                             training)


def test_a_training_that_fails_is_told_and_the_others_go_on(
        copies, write, warm, tiny_annotations, tmp_path):
    text = TINY.format(data=tiny_annotations(), epochs=1).replace(
        "_stdcl = {", "_stdcl = {'optim_wrapper.optimizer.lr': 'x', ")
    copy = copies('copy')
    output = finish(start(copy, write(text), '--jobs', 2), 1)
    assert re.search(r'stdcl_seed-1: failed: .*log.txt: status 1', output)
    assert re.search(r'plain_seed-1: top-1 [\d.]+ after 1 epochs', output)
    listed = finish(start(copy, write(text), '--list'))
    assert 'plain: 1 of 1 recorded' in listed
    assert 'stdcl: 0 of 1 recorded' in listed
    check_published(warm, copy, tmp_path)


@pytest.fixture
def begun(write, tmp_path):
    """A training with the run.json of an earlier part: both, and its folder.

    Returns a function that takes changes to what is written.
    """
    training = read_study(write(TINY.format(data='x', epochs=1))).trainings[0]

    def begin(**changes):
        config = load_config(str(ROOT / training.config), training.options)
        (tmp_path / 'run.json').write_text(json.dumps({
            'config': config.pretty_text, 'clean': True, 'seed': 1,
            'epochs': [], **changes}))
        return training, tmp_path

    return begin


@pytest.mark.parametrize('changes, message', [
    (dict(config='model = 1'), 'the hash of its recipe is'),
    (dict(clean=False), 'clean is False'),
    (dict(resumed=[dict(seed=2)]), r'seed is \[1, 2\], expected \[1\]')])
def test_a_training_does_not_go_on_from_another(begun, changes, message):
    """Its work directory must be deleted, which the message names."""
    record.check_parts(*begun())
    training, folder = begun(**changes)
    message += f'.*Delete {folder}, and'
    with pytest.raises(ValueError, match=message):
        record.check_parts(training, folder)
    with pytest.raises(ValueError, match=message):
        record.make_record(training, folder)


def test_a_checkpoint_of_unknown_origin_is_refused(begun):
    training, folder = begun()
    (folder / 'run.json').unlink()
    record.check_parts(training, folder)
    torch.save({}, folder / 'epoch_1.pth')
    with pytest.raises(ValueError, match='run.json: is missing'):
        record.check_parts(training, folder)


def test_a_record_has_all_epochs(begun):
    training, folder = begun(epochs=[dict(epoch=2, val={})])
    np.savez(folder / 'scores.npz', names=['x'], labels=[0], classes=['x'],
             logits=np.zeros((1, 1), np.float32),
             probabilities=np.ones((1, 1), np.float32))
    with pytest.raises(ValueError, match=r'epochs are \[2\]'):
        record.make_record(training, folder)


@pytest.fixture
def runner(write, tmp_path, monkeypatch):
    """A runner of the tiny study, in a folder of its own."""
    monkeypatch.setattr(run_study, 'ROOT', tmp_path)
    study = read_study(write(TINY.format(data='x', epochs=1)))
    return run_study.StudyRunner(study, Path('work'), tmp_path / 'records')


def test_a_runner_checks_before_each_training(runner, monkeypatch):
    """That the tree is clean still, and what the work directory holds."""
    training = runner.study.trainings[0]
    monkeypatch.setattr(run_study, 'current_commit', lambda: dict(clean=False))
    with pytest.raises(ValueError, match='is not clean'):
        runner.run(training)
    monkeypatch.setattr(run_study, 'current_commit', lambda: dict(clean=True))
    folder = run_study.ROOT / runner.folder(training)
    folder.mkdir(parents=True)
    (folder / 'run.json').write_text(json.dumps(dict(
        config='model = 1', clean=True, seed=1)))
    with pytest.raises(ValueError, match='hash of its recipe'):
        runner.run(training)
    (folder / 'run.json').unlink()
    monkeypatch.setattr(runner, '_call', lambda *_: True)
    with pytest.raises(ValueError, match='no good checkpoint'):
        runner.run(training)


def test_ensembles_need_a_clean_tree(runner, monkeypatch):
    monkeypatch.setattr(runner, '_is_recorded', lambda _: True)
    monkeypatch.setattr(run_study, 'current_commit', lambda: dict(clean=False))
    for training in runner.study.trainings:
        folder = run_study.ROOT / runner.folder(training)
        folder.mkdir(parents=True)
        (folder / 'scores.npz').touch()
    with pytest.raises(ValueError, match='is not clean'):
        runner.fuse()


def test_a_signal_during_another_does_not_block(runner):
    """The handler runs in the thread that it interrupts."""
    with runner.lock:
        assert runner.lock.acquire(timeout=1)
        runner.lock.release()


def test_a_failure_while_stopping_is_one(runner, tmp_path):
    """And a training that ends by the signal has not failed."""
    def call(status):
        script = ('import signal, sys, time\n'
                  f'signal.signal(signal.SIGTERM, lambda *_: {status})\n'
                  'print("up", flush=True)\ntime.sleep(60)')
        with ThreadPoolExecutor() as pool, \
                open(tmp_path / 'lock', 'a') as lock:
            future = pool.submit(runner._call, ['-c', script], tmp_path,
                                 lock.fileno())
            wait_for(lambda: 'up' in log.read_text())
            runner.stop()
            return future.result()

    log = tmp_path / 'log.txt'
    log.touch()
    assert not call('sys.exit(143)')
    runner.stopping.clear()
    log.write_text('')
    with pytest.raises(ValueError, match='status 1, expected 0'):
        call('sys.exit(1)')


def test_failures_are_told_after_ctrl_c(runner, monkeypatch, capsys):
    """And the command knows of them."""
    def interrupted(_):
        raise KeyboardInterrupt

    def fail(training):
        assert runner.stopping.wait(60)
        if training.arm == 'stdcl':
            raise ValueError('of another kind [see]')

    monkeypatch.setattr(run_study, 'wait', interrupted)
    monkeypatch.setattr(signal, 'signal', lambda *_: None)
    monkeypatch.setattr(runner, 'run', fail)
    assert not run_study.run_all(runner, runner.study.trainings, 2, None)
    printed = capsys.readouterr().out
    assert 'Ctrl-C: trainings save' in printed
    assert 'stdcl_seed-1: failed: of another kind [see]' in printed
    assert 'plain_seed-1' not in printed


@pytest.mark.parametrize('option', ['--records', '--work-dir'])
def test_a_parcel_needs_folders_of_the_repository(option, monkeypatch, capsys,
                                                  tmp_path):
    monkeypatch.setattr(sys, 'argv', [
        'run_study.py', 'x.py', '--parcel', 'box', option, str(tmp_path)])
    with pytest.raises(SystemExit):
        run_study.parse_args()
    assert f'{option} is {tmp_path}, expected a folder' in (
        capsys.readouterr().err)


def check_published(warm, copy, folder):
    """The model of a recorded training, for others to use."""
    places = ['--work-dir', copy / 'work_dirs/studies', '--records',
              copy / 'runs/studies']
    done = warm('tools/experiments/publish.py', 'tiny.py', *places, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert '1 of 2 trainings; the others have no record' in done.stdout
    models = folder / 'work_dirs/models'
    checkpoint, = models.glob('plain_seed-1-????????.pth')
    done = warm('tools/test.py', models / 'plain_seed-1.py', checkpoint,
                cwd=folder)
    assert done.returncode == 0, done.stderr
    log = record.read_record(models / 'plain_seed-1.json')
    assert accuracy(done) == pytest.approx(log['top1_last'] / 100, abs=1e-4)

    # the copy's, as this repository may have changes
    done = subprocess.run(
        [sys.executable, copy / 'tools/experiments/study_features.py',
         folder / 'tiny.py', *places], capture_output=True, text=True,
        cwd=folder, env={**os.environ, 'STDCL_COMMIT': COMMIT})
    assert done.returncode == 0, done.stderr
    seen = json.loads((copy / 'runs/studies/features_tiny.json').read_text())
    measured, = seen.values()
    assert measured['record'] == log['sha256']
    assert -1 <= measured['global_']['silhouette'] <= 1

    done = warm('tools/experiments/study_report.py', 'tiny.py', *places[2:],
                cwd=folder)
    assert done.returncode == 0, done.stderr
    page = folder / 'work_dirs/reports/tiny.md'
    assert done.stdout.strip() == 'work_dirs/reports/tiny.md'
    assert f'| plain | 1 | {log["top1_last"]:.2f} |' in page.read_text()
    link, = re.findall(r'\[study\]\((.*?)\)', page.read_text())
    assert (page.parent / link).resolve() == (folder / 'tiny.py').resolve()
    assert 'Features of tiny' in page.read_text()
    for name in re.findall(r'!\[.*\]\((.*)\)', page.read_text()):
        assert '<svg' in (page.parent / name).read_text()

    done = warm('tools/experiments/publish.py', 'tiny.py', '--only', 'stdcl',
                *places, cwd=folder)
    assert done.returncode == 1
    assert 'none of 1 trainings has both a record' in done.stderr


def test_what_is_published_is_plain(write):
    """Of a training with STD-CL the config of the network alone."""
    study = read_study(write(TINY.format(data='x', epochs=1)))
    plain, stdcl = (publish.plain_config(training, study)
                    for training in study.trainings)
    assert stdcl.to_dict() == plain.to_dict()
    studies = ROOT / 'tools/experiments/studies'
    study = read_study(studies / 'nw_ucla_ablation.py')
    projection = publish.plain_config(study.arm('projection')[0], study)
    assert projection.model.type == 'RecognizerGCN'
    study = read_study(studies / 'nw_ucla_quarter.py')
    diagnosed = publish.plain_config(study.arm('stgcn')[0], study)
    assert 'diagnosis' not in diagnosed.default_hooks


def test_features_are_those_of_the_records(write, recorded, tmp_path):
    study = read_study(write(TINY.format(data='x', epochs=1)))
    records = dict(plain=[dict(recorded, seed=1)], stdcl=[])
    measures = dict.fromkeys(study_report.MEASURES, 0.5)
    path = tmp_path / 'features_tiny.json'

    def table(sha256):
        path.write_text(json.dumps({'plain_seed-1': dict(
            record=sha256, clean=True, global_=measures)}))
        return study_report.feature_table(study, records, tmp_path)

    assert table(recorded['sha256'])[2:] == [
        '| plain | global | 1 | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 | '
        '0.500 |', '']
    with pytest.raises(ValueError, match='run study_features.py again'):
        table('0')
    path.unlink()
    assert study_report.feature_table(study, records, tmp_path) == []


def test_model_zoo_is_up_to_date():
    assert model_zoo.PAGE.read_text() == model_zoo.make_page(), (
        'run python tools/experiments/model_zoo.py')


def test_a_tree_that_is_not_clean_is_refused(copies, write):
    copy = copies('copy')
    study = write(TINY.format(data='x', epochs=1))
    done = subprocess.run(
        [sys.executable, copy / 'tools/experiments/run_study.py', study],
        capture_output=True, text=True,
        env={name: value for name, value in os.environ.items()
             if name != 'STDCL_COMMIT'})
    assert done.returncode == 1 and 'is not clean' in done.stderr


@pytest.fixture
def recorded():
    """A record that is good, as a dict."""
    confusion = [[3, 1], [0, 4]]
    content = dict(
        declared=dict(study='s', arm='a', seed=0), recipe_sha256='0',
        config='x', config_sha256=record.hashlib.sha256(b'x').hexdigest(),
        commit='0' * 40, clean=True, versions={}, machine=dict(threads=1),
        seed=0, resumed=[], epochs=2, seconds=60.0, top1_last=87.5,
        top1_best=90.0, best_epoch=1, curves=dict(
            epoch=[1, 2], loss_cls=[2., 1.], val_epoch=[1, 2],
            val_top1=[90., 87.5]),
        classes=['x', 'y'], confusion=confusion)
    return dict(content, sha256=record.digest(content))


def test_records_that_were_changed_are_refused(recorded, tmp_path):
    path = tmp_path / 'a_seed-0.json'
    record.write_record(path, recorded)
    assert record.read_record(path) == recorded
    for change, message in (
            (dict(top1_last=97.5), 'sha256 is'), (dict(config='y'), 'sha256'),
            (dict(clean=1), 'clean is 1'), (dict(extra=1), 'fields')):
        record.write_record(path, {**recorded, **change})
        with pytest.raises(ValueError, match=message):
            record.read_record(path)
    # by someone who knows how to make the hash
    for change, message in (
            (dict(top1_last=97.5), 'top1_last is 97.5'),
            (dict(clean=False), 'clean'), (dict(epochs=3), 'epochs'),
            (dict(seed=1), 'seed is 1'), (dict(top1_best=1.), 'top1_best')):
        content = {**recorded, **change}
        del content['sha256']
        record.write_record(path, dict(content,
                                       sha256=record.digest(content)))
        with pytest.raises(ValueError, match=message):
            record.read_record(path)
    path.write_text('{')
    with pytest.raises(ValueError, match='not readable'):
        record.read_record(path)


def test_parcels_are_cut_and_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(parcel, 'PART_SIZE', 4096)
    root, box, there = (tmp_path / name for name in ('root', 'box', 'there'))
    (root / 'a').mkdir(parents=True)
    for name, size in (('a/x', 10000), ('y', 0)):
        (root / name).write_bytes(os.urandom(size))
    assert parcel.unpack(tmp_path, there) == 0
    parcel.pack([root / 'y'], root, box)
    parts = parcel.pack([root / 'a/x', root / 'y'], root, box)
    assert len(parts) > 2 and sorted(box.iterdir()) == parts
    assert parcel.unpack(box, there) == 2
    for name in ('a/x', 'y'):
        assert (there / name).read_bytes() == (root / name).read_bytes()
    content = bytearray(parts[0].read_bytes())
    content[700] ^= 1
    parts[0].write_bytes(content)
    with pytest.raises(ValueError, match='has the hash'):
        parcel.unpack(box, there)
    parts[1].unlink()
    with pytest.raises(ValueError, match='is missing'):
        parcel.unpack(box, there)


def test_the_newest_whole_parcel_counts(tmp_path):
    """A machine that is taken away while it packs leaves a part of one."""
    (tmp_path / 'x').write_text('whole')
    part, = parcel.pack([tmp_path / 'x'], tmp_path, tmp_path / 'box')
    os.utime(part, (1, 1))
    part.with_name(f'study-{"0" * 12}.001-of-002').touch()
    assert parcel.unpack(tmp_path / 'box', tmp_path / 'there') == 1
    assert (tmp_path / 'there/x').read_text() == 'whole'


def test_a_parcel_is_of_its_own_folder_alone(tmp_path):
    """Though last_checkpoint still names the one that it came from."""
    here, there = tmp_path / 'here', tmp_path / 'there'
    for folder in (here, there):
        folder.mkdir()
        torch.save({}, folder / 'epoch_1.pth')
        (folder / 'last_checkpoint').write_text(str(there / 'epoch_1.pth'))
    assert parcel.state_of(here, False) == [here / 'last_checkpoint',
                                            here / 'epoch_1.pth']


@pytest.mark.parametrize('name', ['../x', '/x', 'link'])
def test_a_parcel_stays_within_the_root(tmp_path, name):
    """By our own check too: Python before 3.11.4 has none."""
    member = tarfile.TarInfo(name)
    if name == 'link':
        member.type, member.linkname = tarfile.SYMTYPE, '/etc'
    root = tmp_path / 'root'
    with pytest.raises(ValueError, match=f'the parcel holds {name}'):
        parcel._require_inside(tmp_path / 'box', [member], root)
    parcel._require_inside(tmp_path / 'box', [tarfile.TarInfo('a/x')], root)


def test_unpacking_keeps_what_is_newer(tmp_path):
    """After a crash the folder is further on than its parcel."""
    for name in ('x', 'y'):
        (tmp_path / name).write_text('packed')
    parcel.pack([tmp_path / 'x', tmp_path / 'y'], tmp_path, tmp_path / 'box')
    for name, seconds in (('x', 1), ('y', -1)):
        packed = (tmp_path / name).stat().st_mtime
        (tmp_path / name).write_text('local')
        os.utime(tmp_path / name, (packed + seconds, packed + seconds))
    assert parcel.unpack(tmp_path / 'box', tmp_path) == 1
    assert (tmp_path / 'x').read_text() == 'local'
    assert (tmp_path / 'y').read_text() == 'packed'


def test_the_interval_is_that_of_the_textbook():
    """Differences 1, 2, 3: mean 2, deviation 1, t of 2 degrees 4.3027."""
    found = study_report.Comparison(np.array([11., 12, 13]), np.full(3, 10.))
    assert found.difference == 2 and found.finding == 'inconclusive'
    assert found.margin == pytest.approx(4.3027 / 3**0.5, abs=1e-4)
    found = study_report.Comparison(np.array([11., 11.1, 11]), np.full(3, 10))
    assert found.finding == 'better'
    found = study_report.Comparison(np.array([9., 9.1, 9]), np.full(3, 10))
    assert found.finding == 'worse'
    one = study_report.Comparison(np.array([11.]), np.array([10.]))
    assert one.finding == 'inconclusive' and one.margin == float('inf')


def test_the_mean_of_comparisons_is_that_of_the_textbook():
    """Welch's example in plain words: two arms, errors 1 and 0.5."""
    wide = study_report.Comparison(np.array([1., 3, 5]) * 3**0.5 / 2,
                                   np.zeros(3))  # deviation 3**0.5
    narrow = study_report.Comparison(np.array([1., 2, 3]) * 3**0.5 / 2,
                                     np.zeros(3))
    assert (wide.error, narrow.error) == pytest.approx((1, 0.5))
    mean = study_report.Mean([wide, narrow])
    assert mean.difference == pytest.approx(
        (wide.difference + narrow.difference) / 2)
    assert mean.error == pytest.approx(1.25**0.5 / 2)
    # (1 + 1/4)^2 / (1/2 + 1/16/2)
    assert mean.freedom == pytest.approx(1.5625 / 0.53125)
    alone = study_report.Comparison(np.ones(1), np.zeros(1))
    assert study_report.Mean([wide, alone]).margin == float('inf')
    # an arm alone is itself
    assert study_report.Mean([wide]).margin == pytest.approx(wide.margin)
    # whatever the number of its seeds, each counts the same
    many = study_report.Comparison(np.full(100, 4.), np.zeros(100))
    assert study_report.Mean([many, alone]).difference == 2.5
    assert study_report.Mean([many, many]).finding == 'better'


def test_means_are_declared(write, tmp_path):
    text = TINY.format(data='x', epochs=1).replace('seeds=[1]', 'seeds=2')
    study = read_study(write(text + "means = dict(both=['stdcl'])\n"))
    records = {arm: [dict(seed=seed, top1_last=top1, seconds=60, curves={},
                          machine=dict(threads=1))
                     for seed, top1 in enumerate(pair)]
               for arm, pair in dict(plain=[50, 60], stdcl=[51, 62]).items()}
    assert '| both |  |  |  | +1.50 | -4.85 to +7.85 | inconclusive |  |' in (
        study_report.table(study, records, tmp_path))
    assert study_report.mean_of(study, dict(records, stdcl=[]),
                                ['stdcl']) is None
    with pytest.raises(ValueError, match="means.both names 'plain'"):
        read_study(write(text + "means = dict(both=['plain'])\n"))


def test_tables_and_plots_are_made_of_the_records(write, recorded, tmp_path):
    study = read_study(write(TINY.format(data='x', epochs=1)))
    records = dict(plain=[dict(recorded, seed=1)],
                   stdcl=[dict(recorded, seed=1, top1_last=90., curves=dict(
                       recorded['curves'], top1_acc=[0.5, 0.975]))])
    lines = study_report.table(study, records, tmp_path)
    assert lines[0].startswith('Two streams, tiny (')
    assert ('| stdcl | 1 | 90.00 | 97.5 | +2.50 to plain |  | inconclusive | '
            '1.0 |') in lines
    curves = dict(anchor_share=[0.5, 1], gradient_cls=[1, 0.2],
                  gradient_spatial=[1, 0.1], gradient_temporal=[1, 0.02],
                  gradient_cosine=[0, -1], positive_spatial=[0, 0.5],
                  negative_spatial=[0, 0.25], staleness_spatial=[1, 0.75],
                  attention_spatial=[1, 1], attention_temporal=[1, 0.9])
    assert study_report.diagnosis_table(study, records) == []
    assert study_report.diagnosis_table(study, dict(records, stdcl=[
        dict(recorded, curves=curves)]))[2] == (
            '| stdcl | 1 | 1.00 | 0.50, 0.10 | -1.00 | 0.50, 0.25 | 0.75 | '
            '1.00, 0.90 |')
    del curves['staleness_spatial']  # another bank has none
    assert study_report.diagnosis_table(study, dict(records, stdcl=[
        dict(recorded, curves=curves)]))[2].endswith(' |  | 1.00, 0.90 |')
    better = dict(recorded, seed=1, confusion=[[4, 0], [1, 3]])
    assert study_report.class_table(study, dict(records, stdcl=[
        better, dict(better, seed=2)]))[2:4] == [
            '| x | +25.0 |', '| y | -25.0 |']
    for name, figure in study_report.figures(study, records).items():
        path, mark = tmp_path / name, study_report.fingerprint(records)
        assert study_report.is_stale(path, mark)
        study_report.save(figure, path, mark)
        assert not study_report.is_stale(path, mark)
        assert study_report.is_stale(path, study_report.fingerprint(
            dict(records, stdcl=[])))
        assert '<svg' in path.read_text()

    ensemble = dict(clean=True, fused=dict(top1=0.95), files=[
        dict(top1=0.875, weight=2), dict(top1=0.9, weight=1)])
    path = tmp_path / study.name / 'ensemble_both_seed-1.json'
    path.parent.mkdir()
    path.write_text(json.dumps(ensemble))
    assert '| both | 1 | 87.50, 90.00 | 2:1 | **95.00** |' in (
        study_report.ensemble_table(study, records, tmp_path))
    ensemble['files'][0]['top1'] = 0.7
    path.write_text(json.dumps(ensemble))
    with pytest.raises(ValueError, match='as recorded'):
        study_report.ensemble_table(study, records, tmp_path)
