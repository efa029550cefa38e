"""The report of what contrast did, and its player in a real browser."""
import html
import json
import re

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from PIL import ImageChops

from projects.stdcl.deployment.strip import strip
from projects.stdcl.utils.skeleton_layout import LAYOUTS
from projects.stdcl.visualization.draw_skeleton import (
    Animation,
    Panel,
    Segment,
    draw_frames,
    to_points,
    write_html,
)
from tests.browser import Browser, needs_browser
from tests.commands import CONFIG, ROOT, TINY, train
from tests.test_browse_dataset import read_page
from tools.analysis import report, report_page

TOOL = 'tools/analysis/report.py'
PLAIN = ROOT / 'configs/stgcn/stgcn_synthetic.py'


def seen(title, labels, predictions):
    return report.Seen(title, dict(
        labels=np.array(labels), predictions=np.array(predictions),
        names=np.array([f's{index}' for index in range(len(labels))])))


LABELS = [0, 0, 0, 1, 1, 1, 2, 2]
BOTH = [seen('plain', LABELS, [0, 1, 1, 1, 0, 2, 2, 2]),
        seen('STD-CL', LABELS, [0, 0, 1, 1, 1, 2, 0, 2])]


def test_pairs_are_counted_in_both_directions():
    # 0 and 1: three mistakes become one; 0 and 2: none becomes one; 1 and
    # 2: one stays
    assert report.changed_pairs(*BOTH) == [(0, 1, 3, 1, -2), (0, 2, 0, 1, 1)]


def test_accuracy_of_classes():
    np.testing.assert_allclose(BOTH[0].class_accuracy(4),
                               [100 / 3, 100 / 3, 100, np.nan])


def test_test_sets_that_differ_are_not_compared():
    first, second = (seen(title, LABELS, LABELS) for title in 'ab')
    second.arrays['spatial'] = np.eye(len(LABELS))
    report.check([first, second])
    first.arrays['names'] = second.arrays['names'][::-1]
    with pytest.raises(report.InputError, match='differ in their names'):
        report.check([first, second])
    first.arrays['labels'] = np.arange(5)
    with pytest.raises(report.InputError, match='8 sequences, and 5 of --pl'):
        report.check([first, second])


def test_sequences_on_which_models_differ_come_first():
    chosen = report.choose(BOTH, 5, None)
    assert set(chosen[:3]) == {1, 4, 6}
    assert set(chosen[3:]) == {2, 5}  # both are wrong
    assert report.choose(BOTH, 9, ['s7', 's0']) == [7, 0]
    with pytest.raises(report.InputError, match='no sequence s9.* is s0'):
        report.choose(BOTH, 9, ['s0', 's9'])


def test_no_more_sequences_than_can_be_drawn(monkeypatch):
    monkeypatch.setitem(report.subset.__globals__, 'MOST', 10)
    kept = report.subset(100)
    assert len(set(kept.tolist())) == 10 and (np.diff(kept) > 0).all()
    np.testing.assert_array_equal(report.subset(7), range(7))


def test_a_person_stands_whatever_the_axes():
    """The spine is along y in NW-UCLA's pipeline, along z in that of NTU."""
    body = np.random.default_rng(0).random((1, 5, 20, 3)) * (0.4, 1.7, 0.3)
    body[0, 1, 2] = np.nan
    assert report.upright(body) == (0, 0)
    assert report.upright(body[..., [0, 2, 1]]) == (0, 90)


def test_names_of_classes_cannot_become_markup():
    name = '<b>"&'
    pose = np.random.default_rng(0).random((20, 3))
    layout = LAYOUTS['nw-ucla']
    for text in (
            report_page.page(name, '', {}, ['a'], ''),
            report_page.page('', name, {}, ['a'], ''),
            report_page.page('', '', {name: ''}, ['a'], ''),
            report_page.page('', '', {}, ['a'], name),
            report_page.legend([name]), report_page.table([name], [['a']]),
            report_page.table(['a'], [[name]]),
            report_page.change_table(['a', name], [('a', 1)]),
            report_page.change_table(['a', 'b'], [(name, 1)]),
            report_page.figure('', name),
            report_page.scatter(np.eye(2), np.arange(2), np.ones(2),
                                [name] * 2, {}),
            report_page.attention_figure(name, pose, None, np.ones(3), layout,
                                         (0, 0))):
        assert name not in text and '&lt;b&gt;&quot;&amp;' in text
    page = report_page.page('', '', {}, ['a'], '')
    assert not re.search('@[A-Z]', page)


@pytest.mark.parametrize('number', [2, 12, 13, 120])
def test_every_class_has_a_colour_of_its_own(number):
    assert len(set(report_page.class_colors(number))) == number


def test_a_joint_is_as_large_as_the_attention_to_it():
    layout = LAYOUTS['nw-ucla']
    points = to_points(np.random.default_rng(0).random((1, 2, 20, 3)), layout)
    weights = np.zeros((1, 20))
    weights[0, 3] = 20
    plain, attentive = (
        next(draw_frames(Animation('a', 'b', [Panel('c', points, chosen)]),
                         layout, (0, 0)))
        for chosen in (None, weights))
    changed = np.array(ImageChops.difference(plain, attentive)).any(axis=2)
    assert 0.001 < changed.mean() < 0.05
    assert Panel('c', points, weights).radii[0, 3] == 20**0.5


@pytest.fixture(scope='module')
def trained(warm, tmp_path_factory):
    """A folder with the checkpoint of a training of seconds."""
    folder = tmp_path_factory.mktemp('trained')
    train(warm, folder, '--cfg-options', *TINY)
    torch.save(strip(torch.load(folder / 'epoch_1.pth')),
               folder / 'stripped.pth')
    return folder


OPTIONS = ['--cfg-options', *(option for option in TINY
                              if 'train' not in option)]


def test_the_command(warm, trained):
    done = warm(TOOL, ROOT / CONFIG, 'epoch_1.pth', 'report.html', '--plain',
                PLAIN, 'epoch_1.pth', '--num', 3, '--record', 'report.json',
                *OPTIONS, cwd=trained)
    assert done.returncode == 0, done.stderr
    text = (trained / 'report.html').read_text()
    assert 'src=' not in text and 'http' not in text
    assert text.count('<svg class="tsne"') == 4  # global twice, and branches
    assert text.count('<svg class="attention"') == 16
    assert text.count('class="p ') == 4 * 32
    record = json.loads((trained / 'report.json').read_text())
    # the same weights with a decoupler and without
    assert record['top1']['plain'] == record['top1']['STD-CL']
    assert record['measures']['global, plain'] == pytest.approx(
        record['measures']['global, STD-CL'])
    assert len(record['measures']) == 4
    assert not list(trained.glob('*.partial'))


def test_one_model_alone(warm, trained):
    done = warm(TOOL, ROOT / CONFIG, 'epoch_1.pth', 'one.html', *OPTIONS,
                cwd=trained)
    assert done.returncode == 0, done.stderr
    assert 'plain' not in (trained / 'one.html').read_text()


@pytest.mark.parametrize('arguments, message', [
    ([PLAIN, 'epoch_1.pth', 'x.html', *OPTIONS],
     'the model has no trained decoupler, expected a config with STD-CL'),
    ([ROOT / CONFIG, 'stripped.pth', 'x.html', *OPTIONS],
     'the model has no trained decoupler, expected a config with STD-CL'),
    ([ROOT / CONFIG, 'epoch_1.pth', 'x.html', *OPTIONS,
      'test_dataloader.dataset.num_sequences=16'],
     'There are 16 sequences of 16 classes'),
    ([ROOT / CONFIG, 'epoch_1.pth', 'x.html', *OPTIONS,
      'test_dataloader.dataset.num_sequences=4'], 'expected 8 or more'),
    ([ROOT / CONFIG, 'epoch_1.pth', 'x.html', '--plain',
      ROOT / 'configs/hcn/hcn_synthetic.py', 'epoch_1.pth'],
     'the encoder is STGCN, and that of --plain HCN; expected the same'),
    ([ROOT / CONFIG, 'epoch_1.pth', 'x.pdf'], r'out is x.pdf, expected'),
    ([ROOT / CONFIG, 'epoch_1.pth', 'x.html', '--num', '0'], '--num is 0'),
    ([ROOT / CONFIG, 'epoch_2.pth', 'x.html'], 'epoch_2.pth'),
])
def test_what_cannot_be_shown(warm, trained, arguments, message):
    done = warm(TOOL, *arguments, cwd=trained)
    assert done.returncode and message in done.stderr
    assert 'Traceback' not in done.stderr
    assert not (trained / 'x.html').exists()


def untrained(folder, name, **changes):
    """A config on the synthetic set, and a checkpoint of random weights."""
    cfg = Config.fromfile(ROOT / f'configs/stdcl/{name}_synthetic.py')
    cfg.merge_from_dict({'test_dataloader.dataset.num_sequences': 32,
                         **changes})
    cfg.dump(folder / 'config.py')
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()),
               folder / 'weights.pth')


def players_data(path):
    """What the player on a report is given."""
    inside = html.unescape(
        re.search('srcdoc="([^"]*)"', path.read_text())[1])
    return json.loads(re.search('id="data">(.*?)</script>', inside)[1])


COCO = {'model.data_preprocessor.layout': 'coco',
        'model.backbone.graph_cfg.layout': 'coco',
        'test_dataloader.dataset.layout': 'coco'}


@pytest.mark.parametrize('name, changes, of_joints, of_frames', [
    ('stdcl-stgcn', {**COCO, 'test_dataloader.dataset.pipeline.3.num_person':
                     2}, True, True),
    # its output has channels in the place of joints
    ('stdcl-hcn', {}, False, True),
    ('stdcl-stgcn', {'model.cls_head.decoupler': dict(
        _delete_=True, type='ProjectionDecoupler', num_frames=8,
        num_joints=20)}, False, False)], ids=['2D', 'hcn', 'projection'])
def test_other_models(warm, tmp_path, name, changes, of_joints, of_frames):
    untrained(tmp_path, name, **changes)
    done = warm(TOOL, 'config.py', 'weights.pth', 'x.html', '--num', 2,
                cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / 'x.html').read_text()
    assert ('<h2>Attention</h2>' in text) == of_frames
    assert ('there is no attention to single ones' in text) == (
        of_frames and not of_joints)
    data = players_data(tmp_path / 'x.html')
    for sequence in data['sequences']:
        for radii in sequence['panels'][0]['radii']:
            assert len(radii) == len(data['names'])
            assert (set(radii) != {1}) == of_joints
        assert bool(sequence['timeline']) == of_frames
    assert len(data['sequences'][0]['panels'][0]['radii']) == (
        2 if 'coco' in changes.values() else 1)


@pytest.fixture
def player(tmp_path):
    """A page with two sequences, and a browser that shows it."""
    layout = LAYOUTS['nw-ucla']
    generator = np.random.default_rng(0)
    weights = np.ones((1, 20))
    weights[0, 0] = 9
    animations = [Animation(
        name, 'wave', [Panel('10 frames', to_points(
            generator.random((1, 10, 20, 3)), layout), weights)],
        note='plain: throw (wrong); STD-CL: wave',
        timeline=[Segment(0, 5, 'first', 0.5), Segment(5, 10, 'second')])
        for name in ('one', 'two')]
    path = tmp_path / 'player.html'
    write_html(path, 'title', animations, layout, (0, 0))
    page, _ = read_page(path)
    assert page['sequences'][0]['panels'][0]['radii'][0][:2] == [3, 1]
    with Browser(path, tmp_path / 'profile') as browser:
        yield browser


@needs_browser
def test_player_in_a_browser(player):
    assert player.run('find("note").textContent').startswith('plain: throw')
    player.click('#play')
    assert player.run('[playing, find("play").textContent]') == [False, 'Play']
    stands = player.screenshot()
    step = player.run('step')
    assert player.screenshot() == stands  # it has stopped

    player.click('#scrub', across=0.99)
    assert player.run('step') == 9 != step
    player.run('document.activeElement.blur()')
    scrubbed = player.screenshot()
    assert scrubbed != stands
    player.click('#timeline div', down=0.9)  # the first band
    assert player.run('step') == 0

    canvas = player.place('canvas')
    before = player.screenshot()
    player.drag(canvas, (canvas[0] + 80, canvas[1] + 30))
    assert player.run('view') == [-40, 15]
    assert player.screenshot() != before

    player.click('#list button:nth-child(2)')
    assert player.run('find("title").textContent') == 'twowave'
    player.click('#play')
    player.wait('step > 2')
    assert not player.errors


@needs_browser
def test_report_in_a_browser(warm, trained, tmp_path):
    done = warm(TOOL, ROOT / CONFIG, 'epoch_1.pth', 'seen.html', '--num', 3,
                *OPTIONS, cwd=trained)
    assert done.returncode == 0, done.stderr
    with Browser(trained / 'seen.html', tmp_path / 'profile') as browser:
        whole = browser.screenshot()
        browser.click('#classes button:nth-child(2)')
        dim = browser.run('document.querySelectorAll(".p.dim").length')
        assert dim == 3 * 30  # but two sequences in each of three plots
        assert browser.screenshot() != whole
        browser.click('#classes button:nth-child(2)')
        assert browser.run('document.querySelectorAll(".p.dim").length') == 0

        inside = 'document.getElementById("player").contentWindow'
        browser.wait(f'{inside}.document.readyState === "complete"')
        names = browser.run(
            f'Array.from({inside}.document.querySelectorAll("#list button"), '
            'button => button.firstChild.textContent)')
        assert len(names) == 3
        browser.click('.opens[data-opens="2"]')
        assert browser.run(f'{inside}.document.getElementById("title")'
                           '.firstChild.textContent') == names[2]
        assert not browser.errors
