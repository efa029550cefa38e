"""Confusion matrices, curves, and tools that replace those of MMAction2."""
import csv
import json

import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement

from projects.stdcl.evaluation.confusion import ClassReport, draw_confusion
from projects.stdcl.utils.input_error import InputError
from projects.stdcl.visualization.curves import plot_curves, read_curves


def sample(predicted, *labels):
    scores = torch.eye(3)[predicted]
    return BaseDataElement(pred_score=scores, gt_label=torch.tensor(labels))


@pytest.mark.parametrize('classes', [['$a', '=b', 'ç'], None])
def test_class_report(tmp_path, classes, monkeypatch):
    """Two sequences of class 0 are misclassified; class 2 has no sequences."""
    evaluator = Evaluator([ClassReport(tmp_path / 'new' / 'epoch_1.5')])
    evaluator.dataset_meta = dict(classes=classes)
    names, text, cells = classes or ['0', '1', '2'], Axes.text, []
    monkeypatch.setattr(Axes, 'text', lambda self, *args, **options: (
        cells.append(args) or text(self, *args, **options)))
    evaluator.process([sample(0, 0), sample(1, 0), sample(1, 0)])
    evaluator.process([sample(1, 1), sample(2, 0, 1),
                       BaseDataElement(pred_score=torch.eye(3)[2])])
    assert evaluator.evaluate(6) == {}
    assert cells == [(0, 0, '33'), (1, 0, '67'), (1, 1, '100')]
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


def test_rows_of_the_picture_are_true_classes(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(Figure, 'savefig', lambda self, path, **options: (
        figures.append(self), path.touch()))
    draw_confusion([[3, 1], [0, 0]], ['a', 'b'], tmp_path / 'a.png')
    axes = figures[0].axes[0]
    assert axes.images[0].get_array().tolist() == [[75, 25], [0, 0]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        'predicted class', 'true class')


def write_record(work_dir, epochs):
    work_dir.mkdir()
    (work_dir / 'run.json').write_text(json.dumps(dict(
        machine={}, versions={}, commit='', clean=True, epochs=epochs)))


EPOCHS = [dict(epoch=1, train=dict(loss=2), seconds=3),
          dict(epoch=2, train=dict(loss=1), seconds=4, val={'acc/top1': .5})]


def test_curves(tmp_path, monkeypatch):
    write_record(tmp_path / 'run', EPOCHS)
    for path in (tmp_path / 'run', tmp_path / 'run/run.json'):
        curves = read_curves(path)
        assert {name: column.dropna().to_dict() for name, column
                in curves.items()} == {'seconds': {1: 3, 2: 4}, 'acc/top1':
                                       {2: .5}, 'loss': {1: 2, 2: 1}}
    plot, seen = Axes.plot, []
    monkeypatch.setattr(Axes, 'plot', lambda self, x, *args, **options: (
        seen.extend(x) or plot(self, x, *args, **options)))
    plot_curves([curves], ['acc/top1'], ['a'], tmp_path / 'a.png')
    assert seen == [2]  # the epoch
    write_record(tmp_path / 'empty', [])
    (tmp_path / 'text').write_text('epoch 1')
    for name, message in (('empty', 'contains no epochs'),
                          ('text', 'not the record of a run')):
        with pytest.raises(InputError, match=message):
            read_curves(tmp_path / name)


def test_commands(warm, tmp_path):
    def call(tool, *arguments, status=0):
        done = warm(f'tools/analysis/{tool}', *arguments, cwd=tmp_path,
                    status=status)
        return done.stdout + done.stderr

    write_record(tmp_path / 'run', EPOCHS)
    call('analyze_logs.py', 'plot_curve', 'run', 'run', '--legend', '_a',
         r'$\frac{$')
    assert imread(tmp_path / 'curves.png').ndim == 3
    assert 'contains no scalar "lr", expected one of seconds, loss' in call(
        'analyze_logs.py', 'plot_curve', 'run', '--keys', 'lr', status=1)
