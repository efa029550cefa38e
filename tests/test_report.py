"""Tests of the report on STD-CL, some of them in a real browser."""
import html
import re

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config

from projects.stdcl.catalogue import find_config
from projects.stdcl.utils.input_error import InputError
from projects.stdcl.visualization import report
from projects.stdcl.visualization.colors import COLORS
from projects.stdcl.visualization.skeleton_player import render_page
from tests.browser import needs_browser, run_in_browser
from tests.commands import ATTENTIVE, TINY, attentive_config, train
from tests.test_visualization import data_of

TOOL = 'tools/analysis/report.py'
PLAIN = find_config('stgcn', 'synthetic', stdcl=False)
OPTIONS = ['--cfg-options', *(option for option in TINY
                              if 'train' not in option)]


def outputs(title, predictions, labels=(0, 0, 0, 1, 1, 1, 2, 2), **arrays):
    return report.Outputs(title, 'a.py', 'none/b.pth', dict(
        labels=np.array(labels), predictions=np.array(predictions),
        names=np.array([f's{index}' for index in range(len(labels))]),
        global_=np.eye(8), **arrays), list('abcd'), None, None)


BOTH = [outputs('plain', [0, 1, 1, 1, 0, 2, 2, 2]),
        outputs('STD-CL', [0, 0, 1, 1, 1, 2, 0, 2])]


@needs_browser
@pytest.mark.parametrize('number', [1, 2])
def test_tables_are_right(tmp_path, number):
    """STD-CL reduces the confusions of a and b from three to one.

    It adds a confusion of a and c, and keeps that of b and c.
    """
    models = [report.describe(model, np.arange(1, 8))
              for model in BOTH[:number]]
    assert models[0]['predictions'] == [1, 1, 1, 0, 2, 2, 2]
    (tmp_path / 'a.html').write_text(render_page('report', 'a', dict(
        models=models, classes=list('abcd'), colors=COLORS, edges=[],
        joints=[], names=['s'] * 8, labels=[0] * 8, opens=[None] * 8,
        poses=[]), player=''))
    (summary, _, classes, pairs, bars, cells,
     wrong) = run_in_browser(tmp_path / 'a.html', """
        const texts = Array.from(document.querySelectorAll('table'), table =>
          Array.from(table.rows, row => Array.from(
            row.cells, cell => cell.textContent).filter(Boolean)));
        return [...texts, Array.from(document.querySelectorAll('.bar rect'),
                                     bar => bar.getAttribute('class')),
          Array.from(document.querySelectorAll('.matrix title'),
                     cell => cell.textContent), count('.p.wrong')];""")
    assert wrong == [6, 11][number - 1]  # all labels on the page are 0
    assert ('c, classified as a: +50.0%' in cells) == (number == 2)
    assert summary[1:] == [
        ['plain', '8', '50.00', '55.56', 'a.py', 'b.pth'],
        ['STD-CL', '8', '62.50', '61.11', 'a.py', 'b.pth']][:number]
    if number == 1:
        assert classes[1:] == [['a', '3', '33.33'], ['b', '3', '33.33'],
                               ['c', '2', '100.00']]
        assert pairs[1:] == [['a / b', '3'], ['b / c', '1']]
        return
    assert classes[1:] == [
        ['a', '3', '33.33', '66.67', '+33.3 better'],
        ['b', '3', '33.33', '66.67', '+33.3 better'],
        ['c', '2', '100.00', '50.00', '-50.0 worse']]
    assert pairs[1:] == [['a / b', '3', '1', '-2 better'],
                         ['a / c', '0', '1', '+1 worse']]
    assert bars == ['better', 'better', 'worse', 'better', 'worse']


def test_different_test_sets_are_not_compared():
    labels = [0, 0, 0, 1, 1, 1, 2, 2]
    first, second = outputs('a', labels), outputs('b', labels, spatial=1)
    report.check([first, second])
    with pytest.raises(InputError, match='differ in their labels'):
        report.check([outputs('a', labels, labels[::-1]), second])
    first.arrays['names'] = second.arrays['names'][::-1]
    with pytest.raises(InputError, match='differ in their names'):
        report.check([first, second])
    joint, bone = ((Config(dict(model=dict(data_preprocessor=dict(
        stream=stream)))), '') for stream in ('joint', 'bone'))
    with pytest.raises(InputError, match="'bone'.*expected .*'joint'"):
        report.write_report(None, joint, bone)


def test_sequences_on_which_models_differ_come_first(monkeypatch):
    monkeypatch.setattr(report.Outputs, 'undrawn', ())
    monkeypatch.setattr(report.Outputs, 'clip',
                        lambda *_: np.zeros((1, 2, 20, 3)))
    drawn = report.animate(BOTH, 6)
    assert (drawn.class_name, drawn.note) == (
        'c', 'plain: c; STD-CL: a (wrong)')
    assert np.array_equal(report.embed(np.diag(2.**np.arange(8))),
                          report.embed(np.eye(8)))
    chosen = report.choose(BOTH, 5, None)
    assert set(chosen[:3]) == {1, 4, 6} and set(chosen[3:]) == {2, 5}
    assert report.choose(BOTH, 9, ['s7', 's0']) == [7, 0]
    with pytest.raises(InputError, match='sequences s9, .* like s0'):
        report.choose(BOTH, 9, ['s0', 's9'])


@pytest.fixture(scope='module')
def trained(warm, tmp_path_factory):
    """Return a folder with attentive.py and a checkpoint trained with it."""
    folder = tmp_path_factory.mktemp('trained')
    train(warm, folder, '--cfg-options', *TINY, ATTENTIVE)
    weights = torch.load(folder / 'epoch_1.pth')['state_dict']
    weights['backbone.data_bn.running_var'].fill_(-1)
    torch.save(weights, folder / 'nan.pth')
    attentive_config(folder)
    return folder


def read(path):
    """Return the data of a report and of the player inside it."""
    text = path.read_text()
    player = html.unescape(re.search('srcdoc="([^"]*)"', text)[1])
    return data_of(text), data_of(player)


def test_the_command(warm, trained):
    done = warm(TOOL, 'attentive.py', 'epoch_1.pth', 'report.html', '--plain',
                PLAIN, 'epoch_1.pth', '--num', 3, *OPTIONS, cwd=trained)
    data, player = read(trained / 'report.html')
    assert len(player['sequences']) == 3
    assert len(data['names']) == 32
    assert [[*model['features']] for model in data['models']] == [
        ['global'], ['global', 'spatial', 'temporal']]
    for model in data['models']:
        assert np.sum(model['confusion']) == 32
        assert model['curves']['acc/top1'][0] == [1]
    # both models have the same weights
    assert len(set(re.findall(r'[\d.]+ %', done.stdout))) == 1
    plain, stdcl = data['models']
    assert (plain['title'], stdcl['title']) == ('plain', 'STD-CL')
    for place, one in enumerate(player['sequences']):
        assert one['name'] == data['names'][data['opens'].index(place)]
    assert plain['features']['global'] == stdcl['features']['global']
    assert plain['confusion'] == stdcl['confusion']
    assert len({tuple(pose['frames']) for pose in data['poses']}) == 16
    for pose in data['poses']:
        assert sum(pose['shares']) == pytest.approx(1, abs=1e-5)
        assert sum(pose['frames']) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize('arguments, message', [
    ([PLAIN, 'epoch_1.pth', 'x.html', *OPTIONS],
     'the model has no trained decoupler, expected a config and a checkpoint'),
    (['attentive.py', 'epoch_1.pth', 'x.html', *OPTIONS,
      'test_dataloader.dataset.num_sequences=16'],
     'number of sequences: 16, of classes: 16'),
    (['attentive.py', 'epoch_1.pth', 'x.html', '--plain',
      find_config('hcn', 'synthetic', False), 'epoch_1.pth'],
     "are ('HCN', 'joint'), expected ('STGCN', 'joint')"),
    (['attentive.py', 'epoch_1.pth', 'x.html', '--num', -1],
     'num is -1, expected a positive integer'),
    (['attentive.py', 'nan.pth', 'x.html', *OPTIONS],
     'some outputs of the model are NaN or infinite'),
])
def test_invalid_arguments_raise(warm, trained, arguments, message):
    done = warm(TOOL, *arguments, cwd=trained, status=1)
    assert message in done.stderr
    assert not (trained / 'x.html').exists()


DECOUPLER = {'model.cls_head.decoupler.type': 'AttentiveDecoupler'}
COCO = {**DECOUPLER,
        'model.data_preprocessor.layout': 'coco',
        'model.clip_shape': (2, 32, 17, 3),
        'model.backbone.base_channels': 16, 'model.cls_head.in_channels': 64,
        'model.backbone.graph_cfg.layout': 'coco',
        'test_dataloader.dataset.layout': 'coco',
        'test_dataloader.dataset.pipeline.3.num_person': 2}


@pytest.mark.parametrize('encoder, changes, of_joints, of_frames', [
    ('stgcn', COCO, True, True),
    # the output of HCN has channels instead of joints
    ('hcn', DECOUPLER, False, True),
    ('stgcn', {}, False, False)], ids=['2D', 'hcn', 'projection'])
def test_other_models(tmp_path, encoder, changes, of_joints, of_frames,
                      monkeypatch):
    monkeypatch.setattr('projects.stdcl.evaluation.features.MAX_MEASURED', 20)
    cfg = Config.fromfile(find_config(encoder, 'synthetic', stdcl=True))
    cfg.merge_from_dict({'test_dataloader.dataset.num_sequences': 32,
                         **changes})
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()),
               tmp_path / 'weights.pth')
    report.write_report(tmp_path / 'x.html',
                        (cfg, str(tmp_path / 'weights.pth')), num=2)
    data, player = read(tmp_path / 'x.html')
    assert [model['title'] for model in data['models']] == ['STD-CL']
    assert bool(data['poses']) == of_frames
    assert len(data['labels']) == len(data['names']) == 20
    assert all(bool(pose['shares']) == of_joints for pose in data['poses'])
    for sequence in player['sequences']:
        radii = sequence['panels'][0]['radii']
        assert len(radii) == (2 if changes is COCO else 1)
        assert all((set(person) != {1}) == of_joints for person in radii)
        assert [part[1] for part in sequence['timeline']][-1:] == (
            [sequence['steps']] * of_frames)


@needs_browser
def test_report_in_a_browser(warm, trained):
    names = ['--num', 3, *OPTIONS, 'test_dataloader.dataset.metainfo.classes='
             f'[{",".join(f"<b>{label}" for label in range(16))}]']
    weights = torch.load(trained / 'epoch_1.pth')['state_dict']
    torch.save(weights, trained / 'weights.pth')  # without class names
    warm(TOOL, 'attentive.py', 'weights.pth', 'seen.html', *names, cwd=trained)
    page = run_in_browser(trained / 'seen.html', '''
        const done = {}, button = query('#classes button:nth-child(2)');
        done.drawn = [count('svg.tsne'), count('svg.attention'), count('.p'),
                      count('table'), count('.curve .line'),
                      count('.curve .dot')];
        done.marks = new Set(Array.from(
          document.querySelectorAll('.p'), point =>
          point.getAttribute('fill') + point.getAttribute('d'))).size;
        done.tops = new Set(Array.from(document.querySelectorAll('.tsne'),
          plot => plot.getBoundingClientRect().top)).size;
        done.confused = Array.from(
          document.querySelectorAll('.matrix title'), title => Number(
            title.textContent.match(/: (\\d+) /)[1])).reduce((a, b) => a + b);
        done.names = [button.textContent, count('section b')];
        button.click();
        done.dim = count('.p.dim');
        button.click();
        done.bright = count('.p.dim');
        const player = query('#player').contentWindow.document;
        const list = player.getElementById('list');
        query('.opens[data-opens="2"]').dispatchEvent(new Event('click'));
        done.opened = [list.children.length,
                       list.children[2].getAttribute('aria-current')];
        return done;''')
    assert page == dict(
        drawn=[3, 16, 3 * 32, 4, 2, 2], marks=16, tops=1, confused=32,
        dim=3 * 30, bright=0,
        names=['<b>1', 0],
        opened=[3, 'true'])
