"""Commands do not run code that files contain."""
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from projects.stdcl.evaluation.score_file import Scores, write
from tests.attacks import Call
from tests.commands import CONFIG, ROOT, TINY

SYNTHETIC = ROOT / CONFIG
UCLA = ROOT / 'configs/stdcl/stdcl-stgcn_1xb16-joint-u52-65e_nw-ucla-xview-' \
    'keypoint-3d.py'
OPTIONS = ['--work-dir', 'work', '--cfg-options', *TINY]
ANN_FILE = 'train_dataloader.dataset.dataset.ann_file=bad.pkl'
HAND = dict(joint_names=['wrist', 'thumb'], edges=[[1, 0]], center=0)

# each attack creates the folder ``loot`` in the working directory
CODE = '__import__("os").mkdir("loot")\n'
OBJECTS = {
    'call': Call(os.mkdir, 'loot'),
    'getattr': Call(Call(getattr, Path('loot'), 'mkdir')),
    'eval': Call(eval, CODE.strip()),
    'objects': np.array([Call(os.mkdir, 'loot')], dtype=object)}


def make_pickle(path, kind):
    path.write_bytes(pickle.dumps(OBJECTS[kind], 4))


def make_checkpoint(path, kind):
    torch.save(dict(state_dict={}, meta=dict(epoch=1, iter=1),
                    extra=OBJECTS[kind]), path,
               _use_new_zipfile_serialization=kind != 'eval')


def make_arrays(path, kind):
    np.savez(path, keypoint=np.array([OBJECTS[kind]], object))


# name -> (command, file, function that writes the file, kind of content)
CASES = {
    'test': (['tools/test.py', SYNTHETIC, 'bad.pth', *OPTIONS],
             'bad.pth', make_checkpoint, 'eval'),
    'resume': (['tools/train.py', SYNTHETIC, '--resume', 'bad.pth', *OPTIONS],
               'bad.pth', make_checkpoint, 'getattr'),
    'demo': (['tools/demo.py', SYNTHETIC, 'bad.pth', 'good.npz'],
             'bad.pth', make_checkpoint, 'call'),
    'authors': (['tools/model_converters/authors_checkpoint.py', 'ctrgcn',
                 'bad.pt', 'out.pth'], 'bad.pt', make_checkpoint,
                'objects'),
    'strip': (['tools/model_converters/strip_stdcl.py', 'bad.pth', 'out.pth'],
              'bad.pth', make_checkpoint, 'call'),
    'ann_file': (['tools/train.py', UCLA, *OPTIONS[:3], ANN_FILE],
                 'bad.pkl', make_pickle, 'call'),
    'browse': (['tools/visualization/browse_dataset.py', UCLA,
                '--cfg-options', ANN_FILE], 'bad.pkl', make_pickle,
               'objects'),
    'ensemble': (['tools/ensemble.py', 'bad.pkl'], 'bad.pkl', make_pickle,
                 'call'),
    'scores': (['tools/ensemble.py', 'bad.npz'], 'bad.npz', make_arrays,
               'call'),
    'custom': (['tools/data/custom.py', 'src', 'labels.csv', 'out.pkl',
                '--layout', 'hand.json', '--val-ratio', '0.5'], 'src/bad.npz',
               make_arrays, 'call')}


@pytest.mark.parametrize('arguments, file, make, kind', CASES.values(),
                         ids=CASES)
def test_nothing_runs_and_the_file_is_named(
        warm, tmp_path, arguments, file, make, kind):
    folder = tmp_path / 'here'
    (folder / 'src').mkdir(parents=True)
    write(Scores(folder / 'good.npz', names=np.array(['a', 'b']),
                 logits=np.eye(2, dtype='f4'),
                 probabilities=np.eye(2, dtype='f4')))
    (folder / 'labels.csv').write_text('name,label\nbad,x\nno,y\n')
    (folder / 'hand.json').write_text(json.dumps(HAND))
    make(folder / file, kind)
    done = warm(*arguments, cwd=folder, status=1)
    assert Path(file).name in done.stderr.splitlines()[-1]
    assert not [*folder.rglob('loot')] and not [*folder.glob('out*')]
    assert [*tmp_path.iterdir()] == [folder]
