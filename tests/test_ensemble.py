"""Fusion of score files equals a twin; mismatched files raise errors."""
import json
import pickle
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread
from mmaction.evaluation import AccMetric

from projects.stdcl.evaluation import fusion
from projects.stdcl.evaluation.score_file import Scores, read, write
from projects.stdcl.utils.input_error import InputError
from tests.test_score_file import dump, some_scores

STREAMS = ('joint', 'bone', 'joint-motion', 'bone-motion')


def make(path, n=40, k=7, **changes):
    """Write a score file of this project."""
    write(some_scores(path, n=n, k=k, **changes))
    return read(path)


def shuffled(scores, path, seed=0):
    order = np.random.default_rng(seed).permutation(len(scores.labels))
    write(Scores(path, classes=scores.classes, **{
        field: getattr(scores, field)[order]
        for field in ('names', 'labels', 'logits', 'probabilities')}))
    return read(path)


def table(scores, path, kind='logits'):
    """Write a score file in the format of CTR-GCN."""
    return dump(path, dict(zip(scores.names.tolist(), getattr(scores, kind))))


def annotations(scores, path, **fields):
    return dump(path, dict(annotations=[
        dict(frame_dir=str(name), label=int(label))
        for name, label in zip(scores.names, scores.labels)] + [
            dict(frame_dir='of another split', label=0)], **fields))


# --- numbers ---------------------------------------------------------------

def twin(files, weights, kind):
    """Fuse scores by name, in loops over sequences and classes."""
    num_classes = files[0].shape[1]
    by_name = [dict(zip(file.names.tolist(), getattr(file, kind).tolist()))
               for file in files]
    labels = dict(zip(files[0].names.tolist(), files[0].labels.tolist()))
    top1, top5, seen, taken_for = Counter(), Counter(), Counter(), Counter()
    for name, label in labels.items():
        fused = [sum(weight * scores[name][c]
                     for weight, scores in zip(weights, by_name))
                 for c in range(num_classes)]
        ranking = sorted(range(num_classes), key=lambda c: -fused[c])
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


def test_classes_without_sequences_do_not_count():
    scores, labels = np.eye(3)[[0, 0, 2]], [0, 0, 1]  # no sequence of class 2
    assert fusion.evaluate(scores, labels)['mean_class_accuracy'] == 0.5
    assert AccMetric().calculate([*scores], labels)['mean1'] == 0.5
    with pytest.raises(ValueError, match='reshape'):  # several labels each
        AccMetric().calculate([*scores], [*np.eye(3)])


@pytest.mark.parametrize('dtype', ['float32', 'uint8'])
def test_the_first_of_tied_scores_wins(tmp_path, dtype):
    scores = np.array([[3, 3, 0], [0, 3, 3], [3, 3, 3]], dtype)
    labels = np.array([0, 2, 0])
    path = make(tmp_path / 'a.npz', n=3, k=3).path
    with np.load(path) as arrays:
        np.savez(path, **{**arrays, 'logits': scores,
                          'labels': labels.astype('uint64')})
    result = fusion.fuse_files([path])
    assert result['fused']['top1'] == pytest.approx(2 / 3)
    assert np.trace(result['confusion']) == 2
    assert AccMetric().calculate([*scores], labels)['top1'] == pytest.approx(
        2 / 3)


@pytest.mark.parametrize('kind', ['logits', 'probabilities'])
@pytest.mark.parametrize('seed', range(4))
def test_equals_the_twin(tmp_path, kind, seed):
    files = [make(tmp_path / 'a.npz', seed=seed)] + [shuffled(
        make(tmp_path / f'x{i}.npz', seed=10 * i + seed),
        tmp_path / f'{i}.npz', i) for i in (1, 2)]
    weights = [1.5, 0.25, -1]
    result = fusion.fuse_files([file.path for file in files], weights, kind)
    expected, taken_for, seen = twin(files, weights, kind)
    assert result['fused'] == pytest.approx(expected)
    for file, item in zip(files, result['files']):
        single, _, _ = twin([file], [1], kind)
        assert {key: item[key] for key in single} == pytest.approx(single)
    assert result['confusion'] == [
        [taken_for[row, column] for column in range(7)] for row in range(7)]
    for label, row in enumerate(result['classes']):
        wrong = [(taken_for[label, c], -c) for c in range(7) if c != label]
        count, other = max(wrong)
        assert row == dict(
            name=f'class {label}', sequences=seen[label], confused=count,
            accuracy=pytest.approx(taken_for[label, label] / seen[label]),
            confused_with=f'class {-other}' if count else None)


@pytest.mark.parametrize('streams, expected, origin', [
    (STREAMS[::-1], [1, 1, 2, 2], 'by stream'),
    (STREAMS, [2, 2, 1, 1], 'by stream'),
    (('joint', ) * 4, [1, 1, 1, 1], 'equal'),
    (STREAMS[:2], [1, 1], 'equal'),
    (('', ) * 4, [1] * 4, 'equal')])
def test_weights_by_default(tmp_path, streams, expected, origin, monkeypatch):
    monkeypatch.setitem(fusion.STREAMS, 'new', 3)
    files = [make(tmp_path / f'{i}.npz', seed=i, stream=stream)
             for i, stream in enumerate(streams)]
    result = fusion.fuse_files([file.path for file in files])
    assert [item['weight'] for item in result['files']] == expected
    assert result['weights'] == origin
    assert ('4 files of the stream joint' in fusion.describe(result)) == (
        streams == ('joint', ) * 4)
    assert result['fused'] == pytest.approx(twin(files, expected, 'logits')[0])


@pytest.mark.parametrize('kind', ['logits', 'probabilities'])
def test_every_format_gives_the_same(tmp_path, kind):
    a, b = make(tmp_path / 'a.npz'), make(tmp_path / 'b.npz', seed=1)
    other = shuffled(b, tmp_path / 'shuffled.npz')
    expected = fusion.fuse_files([a.path, b.path], kind=kind)['fused']
    for path, matched in (
            (other.path, 'name'),
            (table(other, tmp_path / 't.pkl', kind), 'name'),
            (dump(tmp_path / 'list.pkl', list(getattr(b, kind))), 'order'),
            (dump(tmp_path / 'array.pkl', getattr(b, kind)), 'order')):
        # the fusion sums the scores that both files contain, and takes the
        # labels from file a
        for order in ([a.path, path], [path, a.path]):
            result = fusion.fuse_files(
                order, kind=kind if path == other.path else None)
            assert result['fused'] == pytest.approx(expected)
        assert [item['matched_by'] for item in result['files']] == [
            matched, 'name']
        assert f'{path.name} (unknown stream, weight 1, matched by ' \
            f'{matched})' in fusion.describe(result)


def test_labels_and_class_names_from_annotations(tmp_path):
    a, b = make(tmp_path / 'a.npz'), make(tmp_path / 'b.npz', seed=1)
    tables = [table(file, file.path.with_suffix('.pkl')) for file in (a, b)]
    with pytest.raises(InputError, match='40 of 40 sequences have no label'):
        fusion.fuse_files(tables)
    result = fusion.fuse_files(tables, labels=[annotations(
        a, tmp_path / 'labels.pkl', classes=list('abcdefg'))])
    assert result['fused'] == fusion.fuse_files([a.path, b.path])['fused']
    assert [row['name'] for row in result['classes']] == list('abcdefg')
    content = pickle.loads((tmp_path / 'labels.pkl').read_bytes())
    (tmp_path / 'list.pkl').write_bytes(pickle.dumps(content['annotations']))
    assert fusion.fuse_files(tables, labels=[tmp_path / 'list.pkl'])[
        'fused'] == result['fused']


def write_list(kind, scores, folder):
    """Write names or labels in the order of a score file."""
    names, labels = scores.names.tolist(), scores.labels.tolist()
    path = folder / f'list.{kind[-3:]}'
    if kind == 'npy':
        np.save(path, scores.labels.astype('u1'))
    else:
        path.write_text({
            'labels.txt': '\n'.join(map(str, labels)),
            'header.csv': '\n'.join(['label', *map(str, labels), '']),
            'names.txt': '\n'.join(names),
            'numbers.csv': '\n'.join(f'{index},{labels[index]}' for index
                                     in reversed(range(len(labels)))),
            'both.csv': '\ufeffname,label\r\n' + ''.join(
                f'"{name}", {label}\r\n' for name, label
                in zip(names, labels))}[kind], encoding='utf-8')
    return path


@pytest.mark.parametrize('kind', ['npy', 'labels.txt', 'header.csv',
                                  'both.csv', 'names.txt', 'numbers.csv'])
@pytest.mark.parametrize('prefix', ['', 'test_'])
def test_numbered_sequences(tmp_path, kind, prefix):
    """CTR-GCN and FR-Head number the sequences instead of naming them."""
    named = make(tmp_path / 'named.npz')
    order = np.random.default_rng(3).permutation(40).tolist()
    path = dump(tmp_path / 'numbered.pkl', {
        f'test_{index}' if prefix else index: 3 * named.logits[index]
        for index in order})
    expected = fusion.fuse_files([named.path])['fused']
    bare = dump(tmp_path / 'bare.pkl', list(2 * named.logits))
    known = [write_list(kind, named, tmp_path)]
    if kind == 'names.txt':  # the annotation file contains the labels
        known.append(annotations(shuffled(named, tmp_path / 's.npz'),
                                 tmp_path / 'labels.pkl'))
    for files in ([path], [bare], [path, bare]):
        result = fusion.fuse_files(files, labels=known)
        assert result['fused'] == pytest.approx(expected)
        assert {item['matched_by'] for item in result['files']} == {'order'}
    other = shuffled(named, tmp_path / 'other.npz')
    if kind in ('both.csv', 'names.txt'):
        assert fusion.fuse_files([other.path, path], labels=known)[
            'fused'] == pytest.approx(expected)
        return
    with pytest.raises(InputError, match='pass a list of their names'):
        fusion.fuse_files([other.path, path], labels=known)
    with pytest.raises(InputError, match='contains none of the sequences'):
        fusion.fuse_files([other.path], labels=known)


def test_names_of_other_code(tmp_path):
    """2s-AGCN names files; CTR-GCN numbers sequences."""
    a = make(tmp_path / 'a.npz')
    expected = fusion.fuse_files([a.path])['fused']
    files = [f'{name}.skeleton' for name in a.names]
    dump(tmp_path / 'agcn.pkl', dict(zip(files, a.logits)))
    dump(tmp_path / 'val_label.pkl', (files, a.labels.tolist()))
    dump(tmp_path / 'ctr.pkl', {
        f'test_{i}': row for i, row in enumerate(a.logits)})
    dump(tmp_path / 'list.pkl', [*2 * a.logits])
    (tmp_path / 'names.csv').write_text('\n'.join(a.names))
    annotations(replace(a, names=np.array(files)), tmp_path / 'long.pkl')
    for name in ('val_label.pkl', 'long.pkl'):
        assert fusion.fuse_files([tmp_path / 'agcn.pkl'], labels=[
            tmp_path / name])['fused'] == expected
    paths = [tmp_path / name for name in ('a.npz', 'ctr.pkl', 'list.pkl')]
    with pytest.raises(InputError, match='names.csv cannot name the'):
        fusion.fuse_files(paths, labels=[tmp_path / 'names.csv'])


def test_softmax_of_logits(tmp_path):
    a = make(tmp_path / 'a.npz')
    b = make(tmp_path / 'b.npz', seed=1, logits=np.ones((40, 7)))
    logits = table(a, tmp_path / 'logits.pkl')
    expected = fusion.fuse_files([a.path, b.path], kind='probabilities')
    found = fusion.fuse_files([logits, b.path], kind='softmax')
    assert found['fused'] == pytest.approx(expected['fused'])
    assert found['fused'] != fusion.fuse_files([a.path, b.path])['fused']
    with pytest.raises(InputError, match='only logits, .*--scores softmax'):
        fusion.fuse_files([logits, b.path], kind='probabilities')


# --- the command -----------------------------------------------------------

def test_the_command(warm, tmp_path):
    make(tmp_path / 'a.npz', n=5, k=3, labels=np.array([0, 0, 0, 1, 1]),
         stream='bone',
         logits=np.float32([[1, 0, .5], [0, 1, .5], [0, 2, 3], [0, 1, .5],
                            [0, 1, .5]]))
    done = warm('tools/ensemble.py', 'a.npz', '--out', 'new/out.json',
                '--confusion', 'new/confusion.png', cwd=tmp_path)
    assert done.stdout == '''\
5 sequences, 3 classes; sum of logits, weights equal
a.npz (bone, weight 1, matched by name): top-1 60.00, top-5 100.00, \
mean class 66.67
fused: top-1 60.00, top-5 100.00, mean class 66.67

sequences  accuracy  class, most often confused with
        3     33.33  class 0, class 1 (1)
        2    100.00  class 1
        0         -  class 2
'''
    record = json.loads((tmp_path / 'new/out.json').read_text())
    file, = record['files']
    assert (file['stream'], file['config'], file['checkpoint']) == (
        'bone', 'a.py', 'b.pth')
    assert record['classes'][2] == dict(
        name='class 2', sequences=0, accuracy=None,
        confused_with=None, confused=0)
    assert record['confusion'] == [[1, 1, 1], [0, 2, 0], [0, 0, 0]]
    assert set(record) >= {'scores', 'sequences', 'fused', 'commit', 'clean'}
    assert imread(tmp_path / 'new/confusion.png').ndim == 3

    for arguments, status, message in (
            (['a.npz', '--weights', 2, 1], 1, r'error: The weights are \[2.0, '
             r'1.0\], expected a finite'),
            (['a.npz', '--out', 'a.npz'], 2, r'--out is a.npz, expected a \*'),
            (['a.npz', '--confusion', 'a.txt'], 2, r'expected a \*.png')):
        done = warm('tools/ensemble.py', *arguments, cwd=tmp_path,
                    status=status)
        assert re.search(message, done.stderr), done.stderr


# --- errors ----------------------------------------------------------------

@pytest.fixture
def folder(tmp_path):
    """Write ``a.npz`` and files that do not match it."""
    a = make(tmp_path / 'a.npz')
    write(Scores(tmp_path / 'fewer.npz', **{
        field: getattr(a, field)[:30]
        for field in ('names', 'labels', 'logits', 'probabilities')}))
    make(tmp_path / 'renamed.npz', names=np.array([
        f'x{name}' if i < 6 else name for i, name in enumerate(a.names)]))
    make(tmp_path / 'labels.npz', labels=np.where(
        np.arange(40) == 3, (a.labels + 1) % 7, a.labels))
    make(tmp_path / 'classes.npz', classes=['g', *'abcdef'])
    table(replace(a, logits=a.logits * np.float32(1.000001)),
          tmp_path / 'table.pkl')
    table(a, tmp_path / 'probabilities.pkl', 'probabilities')
    dump(tmp_path / 'fewer.pkl', list(a.logits[:30]))
    dump(tmp_path / 'list.pkl', list(a.logits))
    dump(tmp_path / 'numbered.pkl', dict(enumerate(a.logits)))
    annotations(a, tmp_path / 'annotations.pkl', classes=['a', 'b'])
    annotations(read(tmp_path / 'labels.npz'), tmp_path / 'other_labels.pkl')
    annotations(read(tmp_path / 'fewer.npz'), tmp_path / 'fewer_labels.pkl')
    for name, text in {'short': '0\n1\n', 'mixed': '0\nwalk\n2\n',
                       'wide': 'a,b,0\nc,d,1\n', 'empty': '\n',
                       'twice': 'a,0\na,1\n',
                       # to_csv of pandas writes the header 0
                       'pandas': '\n'.join(map(str, [0, *a.labels]))}.items():
        (tmp_path / f'{name}.csv').write_text(text)
    np.save(tmp_path / 'float.npy', np.zeros(40))
    return tmp_path


@pytest.mark.parametrize('files, options, message', [
    ('a.npz fewer.npz', {}, 'fewer.npz contains 30 sequences and 7 classes'),
    ('a.npz renamed.npz', {}, 'renamed.npz does not contain 6 .*a.npz, such '
     'as "s000é"'),
    ('a.npz labels.npz', {}, r'labels.npz: 1 of 40 labels differ'),
    ('a.npz classes.npz', {}, "classes.npz: the classes are .'g', 'a', 'b'"),
    ('fewer.pkl list.pkl', {}, r'list.pkl contains 40 sequences'),
    ('table.pkl', dict(labels='fewer_labels.pkl'), '10 of 40 sequences have'),
    ('a.npz', dict(labels='other_labels.pkl'), '1 of 40 labels differ'),
    ('table.pkl', dict(labels='annotations.pkl'), '"classes" has length 2'),
    ('a.npz', dict(labels='table.pkl'), 'table.pkl .* expected "annotations"'),
    ('list.pkl', dict(labels='annotations.pkl'), 'no score file contains'),
    ('a.npz', dict(labels='twice.csv'), 'twice.csv: the name "a" occurs 2'),
    ('list.pkl', dict(labels='short.csv'), 'short.csv contains 2 sequences'),
    ('numbered.pkl', dict(labels='pandas.csv'), 'pandas.csv contains 41 seq'),
    *[('list.pkl', dict(labels=name), f'{name} .*expected "annotations".*list')
      for name in ('mixed.csv', 'wide.csv', 'empty.csv', 'float.npy')],
    ('a.npz probabilities.pkl', dict(kind='logits'),
     'probabilities.pkl contains only probabilities, expected logits'),
    ('table.pkl probabilities.pkl', dict(labels='other_labels.pkl'),
     'table.pkl contains only logits, expected probabilities'),
    ('a.npz a.npz', dict(weights=[1]), r'weights are \[1\], expected a fin'),
    ('a.npz a.npz', dict(weights=[0, 0]), r'not all 0'),
    ('table.pkl a.npz', {}, 'a.npz contains the same scores as .*table.pkl'),
])
def test_mismatched_files_raise(folder, files, options, message):
    if 'labels' in options:
        options = dict(options, labels=[folder / options['labels']])
    with pytest.raises(InputError) as caught:
        fusion.fuse_files([folder / file for file in files.split()], **options)
    assert re.search(message, str(caught.value)), caught.value
    assert '\n' not in str(caught.value)
