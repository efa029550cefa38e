"""Confusion matrices, curves, and tools that replace those of MMAction2."""
import csv
import json
import re

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement

from projects.stdcl.evaluation.confusion import ClassReport, draw_confusion
from projects.stdcl.utils.input_error import InputError
from projects.stdcl.visualization.curves import describe_times, read_log
from tests.commands import CONFIG, ROOT, TINY


def sample(predicted, *labels):
    scores = torch.eye(3)[predicted]
    return BaseDataElement(pred_score=scores, gt_label=torch.tensor(labels))


@pytest.mark.parametrize('classes', [['$a', '=b', 'ç'], None])
def test_class_report(tmp_path, classes):
    """Two sequences of class 0 are misclassified; class 2 has no sequences."""
    evaluator = Evaluator([ClassReport(tmp_path / 'new' / 'epoch_1.5')])
    evaluator.dataset_meta = dict(classes=classes)
    names = classes or ['0', '1', '2']
    evaluator.process([sample(0, 0), sample(1, 0), sample(1, 0)])
    evaluator.process([sample(1, 1), sample(2, 0, 1),
                       BaseDataElement(pred_score=torch.eye(3)[2])])
    assert evaluator.evaluate(6) == {}
    table, matrix = ([*csv.reader((
        tmp_path / f'new/epoch_1.5_{name}.csv').read_text().splitlines())]
        for name in ('classes', 'confusion'))
    assert table == [
        ['name', 'sequences', 'accuracy', 'confused_with', 'confused'],
        [names[0], '3', str(1 / 3), names[1], '2'],
        [names[1], '1', '1.0', '', '0'], [names[2], '0', '', '', '0']]
    assert matrix == [['', *names], [names[0], '1', '2', '0'],
                      [names[1], '0', '1', '0'], [names[2], '0', '0', '0']]
    assert imread(tmp_path / 'new/epoch_1.5_confusion.png').ndim == 3


@pytest.mark.parametrize('k', [10, 150])
def test_confusion_is_drawn(tmp_path, k):
    draw_confusion(np.diag([3] + [0] * (k - 1)), ['x' * 60] * k,
                   tmp_path / 'confusion.png')
    picture = imread(tmp_path / 'confusion.png')[..., :3]
    assert min(picture.shape[:2]) > 300 and max(picture.shape[:2]) < 3200
    # apart from the color bar, only the first cell has the darkest blue
    dark = np.abs(picture - [0.031, 0.188, 0.42]).max(axis=2) < 0.02
    assert k == 150 or dark[:400, :600].any()


def write_log(work_dir, time, epochs, steps=10, offset=0):
    """Write a log as MMEngine does. The loss is the step plus ``offset``."""
    path = work_dir / time / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(''.join(
        json.dumps(row) + '\n' for epoch in epochs for row in (
            *(dict(loss=offset + step, time=epoch / 10, epoch=epoch, iter=step,
                   step=step)
              for step in range((epoch - 1) * steps + 5, epoch * steps + 1,
                                5)), {'acc/top1': epoch / 10, 'step': epoch})))


def test_logs_of_a_resumed_run_are_joined(tmp_path):
    write_log(tmp_path, '20260101_000000', [1, 2, 3])
    # the first run was killed while it wrote, the second before it wrote
    with open(tmp_path / '20260101_000000/vis_data/scalars.json', 'a') as file:
        file.write('{"loss": 1, "st')
    write_log(tmp_path, '20260101_120000', [])
    write_log(tmp_path, '20260102_000000', [3, 4], offset=100)
    log = read_log(tmp_path)
    loss = log['loss'].dropna()
    assert [*loss.index] == [0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4]
    assert [*loss] == [5, 10, 15, 20, 125, 130, 135, 140]
    assert log['acc/top1'].dropna().to_dict() == pytest.approx(
        {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4})
    assert describe_times(log) == (
        'mean 0.2500 s per step; slowest epoch 4 (0.4000 s), fastest epoch 1 '
        '(0.1000 s)')
    assert describe_times(log[['loss']]) == 'no training steps'
    # the first run stopped in the first epoch
    folder = tmp_path / 'early'
    write_log(folder, '1', [1], steps=20)
    write_log(folder, '2', [1, 2], steps=20)
    for number, keep in (1, slice(2)), (2, slice(2, None)):
        path = folder / f'{number}/vis_data/scalars.json'
        path.write_text('\n'.join(path.read_text().splitlines()[keep]) + '\n')
    assert [*read_log(folder)['loss'].dropna().index] == [
        0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2]
    write_log(tmp_path / 'large', '1', [1, 2], steps=20)
    write_log(tmp_path / 'large', '2', [3], steps=5)
    assert [*read_log(tmp_path / 'large')['loss'].dropna().index] == [
        0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 3]
    # after earlier epochs of fewer steps, whose log is not read
    (tmp_path / 'part').write_text('{"epoch": 3, "iter": 51, "step": 51}\n'
                                   '{"epoch": 3, "iter": 150, "step": 150}')
    assert [*read_log(tmp_path / 'part').index] == [1.02, 3]
    # a resumed run first repeats the validation
    write_log(tmp_path / 'again', '1', [1, 2], steps=5)
    write_log(tmp_path / 'again', '2', [3], steps=5)
    path = tmp_path / 'again/2/vis_data/scalars.json'
    path.write_text('{"acc/top1": 0.2, "step": 2}\n' + path.read_text())
    assert [*read_log(tmp_path / 'again')['loss'].dropna().index] == [1, 2, 3]
    # MMEngine counts no epochs in an IterBasedTrainLoop
    rows = [dict(loss=1, time=1, epoch=1, iter=5, step=5),
            {'acc/top1': 0.5, 'step': 0},
            dict(loss=1, time=3, epoch=1, iter=10, step=10)]
    (tmp_path / 'rows.json').write_text('\n'.join(map(json.dumps, rows)))
    log = read_log(tmp_path / 'rows.json')
    assert log['acc/top1'].dropna().to_dict() == {0.5: 0.5}
    del rows[0]['epoch'], rows[2]['epoch']  # LogProcessor(by_epoch=False)
    (tmp_path / 'rows.json').write_text('\n'.join(map(json.dumps, rows)))
    log = read_log(tmp_path / 'rows.json')
    assert log['loss'].dropna().index.tolist() == [5, 10]
    assert describe_times(log).startswith('mean 2.0000 s per step')
    # a new run without validation replaces all rows
    write_log(tmp_path / 'new', '1', [1])
    (tmp_path / 'new/2/vis_data').mkdir(parents=True)
    (tmp_path / 'new/2/vis_data/scalars.json').write_text(json.dumps(dict(
        loss=1, epoch=1, iter=1, step=1)))
    assert 'acc/top1' not in read_log(tmp_path / 'new')
    (tmp_path / 'text').write_text('epoch 1')
    (tmp_path / 'word').write_text('{"step": 1, "loss": "high"}')
    for path, message in (('text', 'one JSON object with "step"'),
                          ('word', "could not convert .*'high'"),
                          ('20260101_000000', 'no logged scalars')):
        with pytest.raises(InputError, match=message):
            read_log(tmp_path / path)


def test_commands(warm, tmp_path):
    def call(tool, *arguments, status=0):
        done = warm(f'tools/analysis/{tool}', *arguments, cwd=tmp_path,
                    status=status)
        return done.stdout + done.stderr

    write_log(tmp_path / 'run', 'TIME', [1, 2])
    call('analyze_logs.py', 'plot_curve', 'run', 'run', '--legend', '_a',
         r'$\frac{$')
    assert 'ensemble.py' in call('confusion_matrix.py', CONFIG, 'a.npz',
                                 status=2)
    assert imread(tmp_path / 'curves.png').ndim == 3
    assert 'mean 0.1500' in call('analyze_logs.py', 'cal_train_time', 'run')
    assert 'contains no scalar "lr", expected one of loss' in call(
        'analyze_logs.py', 'plot_curve', 'run', '--keys', 'lr', status=1)
    text = call('print_config.py', ROOT / CONFIG, '--cfg-options', *TINY)
    (tmp_path / 'printed.py').write_text(text)
    cfg = Config.fromfile(tmp_path / 'printed.py')
    assert cfg.train_cfg.max_epochs == 1
    assert re.search('^model ?=', text, re.M)
