"""Fusing score files: against an obvious twin, and what is refused."""
import hashlib
import json
import pickle
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from projects.stdcl.evaluation.score_file import Scores, read, write

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / 'tools'))  # last: its test.py hides no module

import ensemble


def softmax(logits):
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def make(path, seed=0, n=40, k=7, ties=False, **changes):
    """Write a file of ours; sequences and labels are those of all seeds."""
    fixed, rng = np.random.default_rng(n), np.random.default_rng(seed)
    logits = rng.normal(size=(n, k)).astype(np.float32)
    if ties:
        logits = np.round(logits)
    fields = dict(names=np.array([f's{i:03d}' for i in range(n)]),
                  labels=fixed.integers(0, k, n), logits=logits,
                  probabilities=softmax(logits),
                  classes=[f'class {i}' for i in range(k)],
                  config='a.py', checkpoint='b.pth')
    scores = Scores(path, **{**fields, **changes})
    write(scores)
    return read(path)


def shuffled(scores, path, seed=0, **changes):
    order = np.random.default_rng(seed).permutation(len(scores.labels))
    fields = {field: getattr(scores, field)[order] for field in (
        'names', 'labels', 'logits', 'probabilities')}
    write(Scores(path, classes=scores.classes, **{**fields, **changes}))
    return read(path)


def dump(path, value):
    path.write_bytes(pickle.dumps(value))
    return path


def table(scores, path, kind='logits'):
    """As CTR-GCN writes it."""
    return dump(path, dict(zip(scores.names.tolist(), getattr(scores, kind))))


def samples(scores, path, names=False):
    """As MMEngine's DumpResults writes it."""
    return dump(path, [
        dict(pred_score=row, gt_label=np.array([label]),
             **(dict(frame_dir=str(name)) if names else {}))
        for row, label, name in zip(scores.probabilities, scores.labels,
                                    scores.names)])


def annotations(scores, path, **fields):
    return dump(path, dict(annotations=[
        dict(frame_dir=str(name), label=int(label))
        for name, label in zip(scores.names, scores.labels)] + [
            dict(frame_dir='of another split', label=0)], **fields))


def command(monkeypatch, capsys, *args):
    """Run the tool in this process; what it prints."""
    monkeypatch.setattr(sys, 'argv', ['ensemble.py', *map(str, args)])
    ensemble.main()
    return capsys.readouterr().out


def refused(monkeypatch, capsys, *args):
    with pytest.raises(SystemExit) as caught:
        command(monkeypatch, capsys, *args)
    if caught.value.code == 2:
        return capsys.readouterr().err
    return str(caught.value)


# --- numbers ---------------------------------------------------------------


def twin(files, weights, kind):
    """By name, sequence by sequence, class by class."""
    num_classes = files[0].shape[1]
    by_name = [dict(zip(file.names.tolist(), getattr(file, kind).tolist()))
               for file in files]
    labels = dict(zip(files[0].names.tolist(), files[0].labels.tolist()))
    top1, top5, seen, taken_for = Counter(), Counter(), Counter(), Counter()
    for name, label in labels.items():
        fused = [sum(weight * scores[name][c]
                     for weight, scores in zip(weights, by_name))
                 for c in range(num_classes)]
        ranking = sorted(range(num_classes), key=lambda c: (-fused[c], c))
        seen[label] += 1
        top1[label] += ranking[0] == label
        top5[label] += label in ranking[:5]
        taken_for[label, ranking[0]] += 1
    return dict(
        top1=sum(top1.values()) / len(labels),
        top5=sum(top5.values()) / len(labels),
        mean_class_accuracy=sum(
            top1[label] / seen[label] for label in seen) / len(seen)
    ), taken_for, seen


@pytest.mark.parametrize('ties', [False, True])
@pytest.mark.parametrize('kind', ['logits', 'probabilities'])
@pytest.mark.parametrize('seed', range(4))
def test_equals_the_twin(tmp_path, monkeypatch, capsys, kind, ties, seed):
    first = make(tmp_path / 'a.npz', seed=seed, ties=ties)
    files = [first] + [shuffled(
        make(tmp_path / f'x{i}.npz', seed=10 * i + seed, ties=ties),
        tmp_path / f'{i}.npz', i) for i in (1, 2)]
    weights = [1.5, 0.25, -1]
    command(monkeypatch, capsys, *[file.path for file in files],
            '--scores', kind, '--out', tmp_path / 'out.json',
            '--weights', *weights)
    result = json.loads((tmp_path / 'out.json').read_text())
    expected, taken_for, seen = twin(files, weights, kind)
    assert result['fused'] == pytest.approx(expected)
    for file, item in zip(files, result['files']):
        single, _, _ = twin([file], [1], kind)
        assert {key: item[key] for key in single} == pytest.approx(single)
    assert result['confusion'] == [
        [taken_for[row, column] for column in range(7)] for row in range(7)]
    for label, row in enumerate(result['classes']):
        assert row['name'] == f'class {label}'
        assert row['sequences'] == seen[label]
        assert row['correct'] == taken_for[label, label]
        wrong = [(taken_for[label, c], -c) for c in range(7) if c != label]
        count, other = max(wrong)
        assert row['confused'] == count
        assert row['confused_with'] == (
            f'class {-other}' if count else None)


def test_ties_go_to_the_lower_class():
    scores = np.array([[1, 1, 1, 1, 1, 1, 1, 0], [0, 2, 2, 1, 1, 1, 1, 1]])
    for labels, expected in (((0, 1), [0, 0]), ((4, 2), [4, 1]),
                             ((5, 7), [5, 6]), ((7, 0), [7, 7])):
        assert ensemble.rank_of_label(
            scores, np.array(labels)).tolist() == expected
    metrics = ensemble.evaluate(scores, np.array([4, 7]))
    assert (metrics['top1'], metrics['top5']) == (0, 0.5)
    assert ensemble.confusion_matrix(scores, np.array([4, 7]))[4, 0] == 1


def test_mean_class_accuracy_is_over_classes_that_occur():
    scores = np.eye(5)[[0, 0, 0, 3]]
    metrics = ensemble.evaluate(scores, np.array([0, 0, 1, 3]))
    assert metrics['top1'] == 0.75
    assert metrics['mean_class_accuracy'] == pytest.approx(2 / 3)


def test_fewer_than_five_classes():
    assert ensemble.evaluate(np.eye(3), np.array([2, 0, 1]))['top5'] == 1


def test_logits_and_probabilities_can_differ(tmp_path, monkeypatch, capsys):
    # A is sure of class 0 and B very sure of class 1; as a probability both
    # are about 1, and A weighs more
    for name, logits in dict(a=[10, 0, 0], b=[0, 30, 0]).items():
        logits = np.float32([logits])
        make(tmp_path / f'{name}.npz', n=1, k=3, logits=logits,
             probabilities=softmax(logits), labels=np.array([0]))
    top1 = []
    for kind in ('logits', 'probabilities'):
        printed = command(
            monkeypatch, capsys, tmp_path / 'a.npz', tmp_path / 'b.npz',
            '--weights', 2, 1, '--scores', kind)
        assert f'summed: {kind}, weights as given\n' in printed
        top1 += re.findall(r'fused: top-1 ([\d.]+)', printed)
    assert top1 == ['0.00', '100.00']


@pytest.mark.parametrize('count, weights', [
    (1, [1]), (2, [1, 1]), (3, [1, 1, 1]), (4, [2, 2, 1, 1]), (5, [1] * 5)])
def test_weights_by_default(tmp_path, monkeypatch, capsys, count, weights):
    paths = [make(tmp_path / f'{i}.npz', seed=i).path for i in range(count)]
    printed = command(monkeypatch, capsys, *paths)
    assert [int(w) for w in re.findall(r'weight (\S+)\)', printed)] == weights
    expected, _, _ = twin(list(map(read, paths)), weights, 'logits')
    assert f'fused: top-1 {100 * expected["top1"]:.2f}, top-5 ' \
        f'{100 * expected["top5"]:.2f}, mean class ' \
        f'{100 * expected["mean_class_accuracy"]:.2f}\n' in printed


# --- formats ---------------------------------------------------------------


def fused(monkeypatch, capsys, *args):
    return re.findall('fused: (.*)', command(monkeypatch, capsys, *args))[0]


@pytest.mark.parametrize('kind', ['logits', 'probabilities'])
def test_every_format_gives_the_same(tmp_path, monkeypatch, capsys, kind):
    a = make(tmp_path / 'a.npz')
    b = make(tmp_path / 'b.npz', seed=1)
    expected = fused(monkeypatch, capsys, a.path, b.path, '--scores', kind)
    other = shuffled(b, tmp_path / 'shuffled.npz')
    np.savez(tmp_path / 'npz_table.npz', **dict(zip(
        other.names.tolist(), getattr(other, kind))))
    paths = [tmp_path / 'npz_table.npz', table(other, tmp_path / 't.pkl', kind)
             ]
    if kind == 'probabilities':
        paths += [samples(b, tmp_path / 'no_names.pkl'),
                  samples(other, tmp_path / 'names.pkl', names=True)]
    for path in paths:
        # the kind is the one that both have, and labels are those of a
        assert fused(monkeypatch, capsys, a.path, path) == expected
        assert fused(monkeypatch, capsys, path, a.path) == expected


def test_matching_by_order_is_told(tmp_path, monkeypatch, capsys):
    a = make(tmp_path / 'a.npz')
    path = samples(a, tmp_path / 'b.pkl')
    printed = command(monkeypatch, capsys, a.path, path)
    assert f'{path} has no names: matched by order' in printed
    assert 'summed: probabilities' in printed
    assert 'matched' not in command(monkeypatch, capsys, path, path)
    assert 'matched' not in command(monkeypatch, capsys, a.path, samples(
        a, tmp_path / 'c.pkl', names=True))


def test_labels_and_class_names_from_annotations(tmp_path, monkeypatch,
                                                 capsys):
    a, b = make(tmp_path / 'a.npz'), make(tmp_path / 'b.npz', seed=1)
    tables = [table(file, file.path.with_suffix('.pkl')) for file in (a, b)]
    message = refused(monkeypatch, capsys, *tables)
    assert '40 of 40 sequences have no label in any file: s000, s001, s002,' \
        ' s003, s004, ... (40). Give an annotation file' in message
    labels = annotations(a, tmp_path / 'labels.pkl', classes=list('abcdefg'))
    printed = command(monkeypatch, capsys, *tables, '--labels', labels,
                      '--out', tmp_path / 'out.json')
    expected = command(monkeypatch, capsys, a.path, b.path)
    assert re.findall('fused.*', printed) == re.findall('fused.*', expected)
    record = json.loads((tmp_path / 'out.json').read_text())
    assert [row['name'] for row in record['classes']] == list('abcdefg')
    assert record['labels'] == dict(
        file='labels.pkl',
        sha256=hashlib.sha256(labels.read_bytes()).hexdigest())
    # a file without names cannot bring them
    message = refused(monkeypatch, capsys, *tables,
                      samples(a, tmp_path / 'c.pkl'))
    assert '40 of 40 sequences have no label' in message
    mixed = command(monkeypatch, capsys, tables[1],
                    samples(a, tmp_path / 'c.pkl'), '--labels', labels,
                    '--treat-as', 'logits')
    assert 'c.pkl has no names: matched by order' in mixed


def test_treat_as_is_for_files_that_do_not_say(tmp_path, monkeypatch, capsys):
    a = make(tmp_path / 'a.npz')
    path = table(a, tmp_path / 'b.pkl', 'probabilities')
    assert 'summed: probabilities' in command(
        monkeypatch, capsys, a.path, path)
    printed = command(monkeypatch, capsys, a.path, path, '--treat-as',
                      'logits')
    assert 'summed: logits' in printed
    expected = 100 * ensemble.evaluate(
        a.logits + a.probabilities, a.labels)['top1']
    assert f'fused: top-1 {expected:.2f}' in printed


# --- results ---------------------------------------------------------------


def test_record_and_table(tmp_path, monkeypatch, capsys):
    a = make(tmp_path / 'a.npz', n=5, k=3, labels=np.array([0, 0, 0, 1, 1]),
             logits=np.float32([[1, 0, 0], [0, 1, 0], [0, 2, 3], [0, 1, 0],
                                [0, 1, 0]]))
    out = tmp_path / 'new' / 'out.json'
    printed = command(monkeypatch, capsys, a.path, '--out', out)
    assert '5 sequences, 3 classes, summed: logits' in printed
    assert printed.endswith('''
class    sequences  correct  accuracy  most confused with
class 0          3        1     33.33  class 1 (1)
class 1          2        2    100.00  -
class 2          0        0         -  -
''')
    record = json.loads(out.read_text())
    file, = record['files']
    assert file['file'] == 'a.npz' and file['weight'] == 1
    assert (file['config'], file['checkpoint']) == ('a.py', 'b.pth')
    assert file['sha256'] == hashlib.sha256(a.path.read_bytes()).hexdigest()
    assert record['classes'][2] == dict(
        name='class 2', sequences=0, correct=0, accuracy=None,
        confused_with=None, confused=0)
    assert record['confusion'] == [[1, 1, 1], [0, 2, 0], [0, 0, 0]]
    assert record['scores'] == 'logits' and record['sequences'] == 5
    assert set(record) >= {'commit', 'clean'} and 'labels' not in record
    assert [path.name for path in out.parent.iterdir()] == ['out.json']


def test_classes_without_names_are_numbers(tmp_path, monkeypatch, capsys):
    a = make(tmp_path / 'a.npz', classes=())
    b = make(tmp_path / 'b.npz')
    assert '\n6 ' in command(monkeypatch, capsys, a.path)
    for paths in ((a.path, b.path), (b.path, a.path)):
        assert '\nclass 6 ' in command(monkeypatch, capsys, *paths)


@pytest.mark.parametrize('k', [10, 120, 400])
def test_confusion_is_drawn(tmp_path, k):
    path = tmp_path / 'new' / 'confusion.png'
    confusion = np.zeros((k, k), int)
    confusion[0, 0] = 3
    ensemble.draw_confusion(confusion, ['x' * 60] * k, path)
    picture = imread(path)
    height, width = picture.shape[:2]
    assert 300 < height < 3000 and 300 < width < 3000
    # the darkest blue, in the upper left corner, of the size of a cell
    cell = min(60 if k <= 20 else 22, 2400 / k)
    dark = np.abs(picture[..., :3] - [0.031, 0.188, 0.42]).max(axis=2) < 0.02
    dark[:, int(0.8 * width):] = False  # colour bar
    if k < 400:
        assert 0.4 * cell**2 < dark.sum() < 12 * cell**2
    rows, columns = np.nonzero(dark)
    assert rows.max() < height / 2


def test_picture_of_a_run(tmp_path, monkeypatch, capsys):
    a = make(tmp_path / 'a.npz')
    command(monkeypatch, capsys, a.path, '--confusion', tmp_path / 'c.png')
    assert imread(tmp_path / 'c.png').ndim == 3


# --- what is refused -------------------------------------------------------


def others(a, folder):
    """File names -> files that do not go with ``a``."""
    names, labels = a.names, a.labels
    fewer = {field: getattr(a, field)[:30] for field in (
        'names', 'labels', 'logits', 'probabilities')}
    write(Scores(folder / 'fewer.npz', **fewer))
    make(folder / 'renamed.npz', names=np.array([
        f'x{name}' if i < 6 else name for i, name in enumerate(names)]))
    make(folder / 'classes.npz', k=6, labels=labels % 6)
    make(folder / 'class_names.npz', classes=[*a.classes[:5], 'y', 'z'])
    make(folder / 'labels.npz', labels=np.where(
        np.arange(40) == 3, (labels + 1) % 7, labels))
    shuffled(a, folder / 'shuffled.npz')
    table(a, folder / 'table.pkl')
    samples(a, folder / 'samples.pkl')
    samples(shuffled(a, folder / 'x.npz'), folder / 'shuffled.pkl')
    content = pickle.loads((folder / 'samples.pkl').read_bytes())
    dump(folder / 'fewer.pkl', content[:30])
    for sample in content:
        del sample['gt_label']
    dump(folder / 'unlabelled.pkl', content)
    annotations(a, folder / 'annotations.pkl', classes=['a', 'b'])
    annotations(read(folder / 'labels.npz'), folder / 'other_labels.pkl')
    annotations(read(folder / 'fewer.npz'), folder / 'fewer_labels.pkl')
    large = annotations(a, folder / 'large.pkl')
    content = pickle.loads(large.read_bytes())
    content['annotations'][5]['label'] = 7
    dump(large, content)
    dump(folder / 'no_annotations.pkl', dict(split={}))
    (folder / 'text.pkl').write_text('no pickle')


@pytest.mark.parametrize('args, message', [
    ('a.npz fewer.npz', r'fewer.npz has 30 sequences, \S*a.npz 40, and they '
     r'are not the same.\s+only in \S*fewer.npz: none\s+only in \S*a.npz: '
     r's030, s031, s032, s033, s034, \.\.\. \(10\)'),
    ('a.npz renamed.npz', r'renamed.npz has 40 sequences.*only in '
     r'\S*renamed.npz: xs000, .*\(6\)\s+only in \S*a.npz: s000, .*\(6\)'),
    ('a.npz classes.npz', r'classes.npz has scores of 6 classes, \S*a.npz '
     'of 7'),
    ('a.npz class_names.npz', r'class_names.npz: class 5 is "y", but "class '
     '5" elsewhere'),
    ('a.npz labels.npz', r'labels.npz: 1 labels differ from those of '
     r'\S*a.npz, the first that of s003: \d, not \d'),
    ('a.npz fewer.pkl', r'fewer.pkl has 30 sequences, \S*a.npz 40'),
    ('samples.pkl fewer.pkl', r'fewer.pkl has 30 sequences, \S*samples.pkl '
     '40'),
    ('a.npz shuffled.pkl', r'shuffled.pkl: \d+ labels differ from those of '
     r'\S*a.npz'),
    ('samples.pkl shuffled.pkl', r'shuffled.pkl: \d+ labels differ'),
    ('a.npz unlabelled.pkl', 'unlabelled.pkl has neither names nor labels'),
    ('unlabelled.pkl', '40 of 40 sequences have no label'),
    ('a.npz shuffled.npz samples.pkl', r'samples.pkl has no names, and '
     r'\S*shuffled.npz is in another order than \S*a.npz'),
    ('table.pkl', '40 of 40 sequences have no label.*--labels'),
    ('table.pkl --labels fewer_labels.pkl', '10 of 40 sequences have no '
     r'label in any file: s030, .*\S*fewer_labels.pkl does not have them'),
    ('a.npz --labels other_labels.pkl', 'other_labels.pkl: 1 labels differ'),
    ('a.npz --labels annotations.pkl', r'annotations.pkl names 2 classes, '
     r'and \S*a.npz has scores of 7'),
    ('table.pkl --labels large.pkl', 'label of s005 is 7, but .* 7 classes'),
    ('a.npz --labels no_annotations.pkl', 'no_annotations.pkl: expected an '
     'annotation file'),
    ('a.npz --labels table.pkl', 'table.pkl: expected an annotation file'),
    ('a.npz --labels text.pkl', 'text.pkl could not be read'),
    ('samples.pkl --labels annotations.pkl', 'no score file has names'),
    ('a.npz samples.pkl --scores logits', r'samples.pkl has no logits. Use '
     r'--scores probabilities. There are:\s+\S*a.npz: logits, probabilities'),
    ('a.npz table.pkl --scores probabilities', 'table.pkl has no '
     'probabilities. Use --scores logits'),
    ('table.pkl samples.pkl --labels other_classes.pkl',
     "No such file or directory: '.*other_classes.pkl'"),
    ('a.npz table.pkl samples.pkl', r'table.pkl has no probabilities. '
     r'tools/test.py --dump SCORES.npz writes both'),
    ('a.npz none.npz', 'none.npz could not be read; it is not there'),
    ('a.npz a.npz --weights 1', '--weights has 1 numbers for 2 files'),
    ('a.npz --weights 2 1', '--weights has 2 numbers for 1 files'),
    ('a.npz --weights nan', r'--weights is \[nan\], expected finite'),
    ('a.npz a.npz --weights 0 0', r'not all 0'),
    ('a.npz --confusion c.txt', r'c.txt, expected \*.png'),
    ('a.npz --out a.npz/x.json', 'a.npz'),
])
def test_what_does_not_fit_is_refused(tmp_path, monkeypatch, capsys, args,
                                      message):
    others(make(tmp_path / 'a.npz'), tmp_path)
    args = [tmp_path / arg if '.' in arg else arg for arg in args.split()]
    text = refused(monkeypatch, capsys, *args)
    assert re.search(message, text, re.DOTALL), text
    assert 'error: ' in text


def test_nothing_is_written_on_an_error(tmp_path, monkeypatch, capsys):
    others(make(tmp_path / 'a.npz'), tmp_path)
    refused(monkeypatch, capsys, tmp_path / 'a.npz', tmp_path / 'fewer.npz',
            '--out', tmp_path / 'out.json', '--confusion',
            tmp_path / 'out.png')
    assert not list(tmp_path.glob('out*'))


def test_malicious_labels_run_nothing(tmp_path, monkeypatch, capsys):
    class Attack:
        def __reduce__(self):
            return Path.touch, (tmp_path / 'loot', )

    a = make(tmp_path / 'a.npz')
    for path in (dump(tmp_path / 'labels.pkl', dict(annotations=[Attack()])),
                 dump(tmp_path / 'scores.pkl', dict(s000=Attack()))):
        option = ['--labels'] if path.name == 'labels.pkl' else []
        text = refused(monkeypatch, capsys, a.path, *option, path)
        assert f'{path} was not read' in text
    assert not (tmp_path / 'loot').exists()
    pickle.loads(path.read_bytes())  # the attack is real
    assert (tmp_path / 'loot').exists()


CONFIG = 'stdcl-ctrgcn_1xb16-{}-u52-65e_nw-ucla-xview-keypoint-3d.py'


@pytest.mark.parametrize('streams, expected, why', [
    (('bone-motion', 'joint-motion', 'bone', 'joint'), [1, 1, 2, 2],
     'by stream'),
    (('joint', 'bone', 'joint-motion', 'bone-motion'), [2, 2, 1, 1],
     'by stream'),
    (('joint', ) * 4, [1, 1, 1, 1], 'all weights 1'),
    (('joint', 'bone'), [1, 1], 'all weights 1'),
    ((None, ) * 4, [2, 2, 1, 1], 'by position')])
def test_default_weights(streams, expected, why):
    files = [ensemble.Scores(
        Path('a.npz'), logits=np.zeros((1, 2)),
        config=CONFIG.format(stream) if stream else '')
        for stream in streams]
    weights, reason = ensemble.default_weights(files)
    assert weights == expected and why in reason


def test_labels_of_a_table(tmp_path):
    """Name -> label, for sequences that others named in their own way."""
    path = tmp_path / 'labels.pkl'
    path.write_bytes(pickle.dumps({'test_0': 1, 'test_1': 0}))
    scores = ensemble.Scores(
        Path('a.pkl'), names=np.array(['test_1', 'test_0', 'test_2']),
        logits=np.zeros((3, 2)))
    labels, classes = ensemble.read_labels(path, scores)
    assert labels.tolist() == [0, 1, -1] and classes == []


def test_out_is_json(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / 'tools/ensemble.py', 'a.npz', '--out',
         'a.npz'], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert '--out is a.npz, expected *.json.' in done.stderr
