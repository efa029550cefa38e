"""Whole commands with files that would run code, or lead out of a folder.

Each kind of file is given to each command that reads one of its kind. The
commands run in children of one process, which has imported PyTorch for all.
"""
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from projects.stdcl.evaluation.score_file import Scores, write
from tests.test_malicious_files import overlapping, zip_of

pytestmark = pytest.mark.skipif(sys.platform == 'win32', reason='forks')
ROOT = Path(__file__).parents[1]
SYNTHETIC = 'configs/stdcl/stdcl-stgcn_synthetic.py'
UCLA = 'configs/stdcl/stdcl-stgcn_1xb16-joint-u52-65e_nw-ucla-xview-' \
    'keypoint-3d.py'
TINY = ['--work-dir', 'work', '--cfg-options',
        'model.backbone.base_channels=4', 'model.cls_head.in_channels=16',
        'train_cfg.val_interval=9',
        'train_dataloader.dataset.num_sequences=32',
        'val_dataloader.dataset.num_sequences=32',
        'test_dataloader.dataset.num_sequences=32']
HAND = dict(joint_names=['wrist', 'thumb'], edges=[[1, 0]], center=0)


class Call:
    """Unpickles by a call."""

    def __init__(self, function, *arguments):
        self.called = function, arguments

    def __reduce__(self):
        return self.called

    def __call__(self):
        """So that what the call returns can be called in turn."""


# each makes the folder ``loot`` of the working directory
OBJECTS = {
    'call': Call(os.mkdir, 'loot'),
    'getattr': Call(Call(getattr, Path('loot'), 'mkdir')),
    'eval': Call(eval, '__import__("os").mkdir("loot")'),
    'objects': np.array([Call(os.mkdir, 'loot')], dtype=object)}
CODE = '__import__("os").mkdir("loot")\n'


def as_pickle(value):
    return lambda path: path.write_bytes(pickle.dumps(value, 4))


def as_checkpoint(value, **kwargs):
    return lambda path: torch.save(
        dict(state_dict={}, meta=dict(epoch=1, iter=1), extra=value), path,
        **kwargs)


def as_arrays(value):
    return lambda path: np.savez(path, keypoint=np.array([value], object))


def as_bytes(make, *args):
    return lambda path: path.write_bytes(make(*args))


PICKLES = {name: as_pickle(value) for name, value in OBJECTS.items()}
CHECKPOINTS = {
    'call': as_checkpoint(OBJECTS['call']),
    'old': as_checkpoint(OBJECTS['call'],
                         _use_new_zipfile_serialization=False),
    'getattr': as_checkpoint(OBJECTS['getattr']),
    'pickle': as_pickle(OBJECTS['eval']),
    'bomb': as_bytes(overlapping, 'a/data.pkl')}
ARRAYS = {'objects': as_arrays(OBJECTS['call']),
          'pickle': as_pickle(OBJECTS['call']),
          'bomb': as_bytes(overlapping, 'keypoint.npy'),
          'parent': as_bytes(zip_of, '../keypoint.npy')}


def some(of: dict, *names) -> dict:
    return {name: of[name] for name in names}


def archives(member):
    return {'bomb': as_bytes(overlapping, member),
            'parent': as_bytes(zip_of, f'../{member}'),
            'root': as_bytes(zip_of, f'/{member}')}


# command: (arguments, the file, what makes it)
COMMANDS = {
    'test.py': (['tools/test.py', SYNTHETIC, 'bad.pth', *TINY], 'bad.pth',
                some(CHECKPOINTS, 'call', 'bomb')),
    'train.py --resume': (
        ['tools/train.py', SYNTHETIC, '--resume', 'bad.pth', *TINY],
        'bad.pth', some(CHECKPOINTS, 'old', 'getattr')),
    'train.py load_from': (
        ['tools/train.py', SYNTHETIC, *TINY, 'load_from=bad.pth'], 'bad.pth',
        some(CHECKPOINTS, 'call')),
    'train.py ann_file': (
        ['tools/train.py', UCLA, *TINY[:5],
         'train_dataloader.dataset.dataset.ann_file=bad.pkl'], 'bad.pkl',
        some(PICKLES, 'call')),
    **{name: (['tools/model_converters/authors_checkpoint.py', name,
               'bad.pt', 'out.pth'], 'bad.pt', some(CHECKPOINTS, *kinds))
       for name, *kinds in (('ctrgcn', *CHECKPOINTS), ('hcn', 'call'),
                            ('hyperformer', 'old'))},
    'ensemble.py pickle': (['tools/ensemble.py', 'bad.pkl'], 'bad.pkl',
                           PICKLES),
    'ensemble.py arrays': (['tools/ensemble.py', 'bad.npz'], 'bad.npz',
                           ARRAYS),
    'ensemble.py --labels': (
        ['tools/ensemble.py', 'good.npz', '--labels', 'bad.pkl'], 'bad.pkl',
        PICKLES),
    'browse_dataset.py': (
        ['tools/visualization/browse_dataset.py', UCLA, '--cfg-options',
         'train_dataloader.dataset.dataset.ann_file=bad.pkl'], 'bad.pkl',
        some(PICKLES, 'objects')),
    'nw_ucla.py': (['tools/data/nw_ucla.py', 'bad.zip', 'out.pkl'], 'bad.zip',
                   archives('a01_s01_e00_v01.json')),
    'ntu_rgbd.py': (['tools/data/ntu_rgbd.py', 'bad.zip', 'out.pkl'],
                    'bad.zip', archives('S001C001P001R001A001.skeleton')),
    'custom.py': (['tools/data/custom.py', 'src', 'labels.csv', 'out.pkl',
                   '--layout', 'hand.json', '--val-ratio', '0.5'],
                  'src/bad.npz', ARRAYS)}
CASES = {f'{command}: {kind}': (arguments, file, make)
         for command, (arguments, file, kinds) in COMMANDS.items()
         for kind, make in kinds.items()}
# these have errors of Python
WITH_TRACEBACK = ('test.py', 'train.py')

# in the order in which they run; the second adds code to what the first made
CODE_IN_CONFIG = {
    'train': ['tools/train.py', SYNTHETIC, *TINY, 'train_cfg.max_epochs=1'],
    'add-code': [],
    'test': ['tools/test.py', SYNTHETIC, 'bad.pth', *TINY],
    'resume': ['tools/train.py', SYNTHETIC, '--resume', 'bad.pth', *TINY,
               'train_cfg.max_epochs=2']}

CHILDREN = '''
import json, os, runpy, sys, traceback
sys.path[:0] = [os.getcwd()]
import mmaction.registry, rich.progress, torch, projects.stdcl
CODE = sys.argv.pop()

def run(arguments):
    if not arguments:
        checkpoint = torch.load('work/epoch_1.pth', weights_only=True)
        checkpoint['meta'].update(config=CODE, cfg=CODE)
        torch.save(checkpoint, 'bad.pth')
        return
    sys.argv = arguments
    sys.path[0] = os.path.dirname(arguments[0])
    runpy.run_path(arguments[0], run_name='__main__')

for folder, arguments in json.loads(sys.stdin.read()):
    child = os.fork()
    if not child:
        status, output = 0, open(folder + '/log', 'w')
        for number in (1, 2):
            os.dup2(output.fileno(), number)
        os.chdir(folder)
        try:
            run(arguments)
        except SystemExit as stop:
            status = 1 if isinstance(stop.code, str) else stop.code or 0
            print(stop.code, file=sys.stderr)
        except BaseException:
            status = 1
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(status)
    print(json.dumps([folder, os.waitstatus_to_exitcode(
        os.waitpid(child, 0)[1])]), flush=True)
'''


def run(commands: dict) -> dict:
    """Folder -> arguments; returns folder -> exit status and output."""
    absolute = [(str(folder), [
        str(ROOT / argument) if argument.startswith(('tools/', 'configs/'))
        else argument for argument in arguments])
        for folder, arguments in commands.items()]
    done = subprocess.run(
        [sys.executable, '-c', CHILDREN, CODE], cwd=ROOT,
        input=json.dumps(absolute), capture_output=True, text=True,
        timeout=280, env={**os.environ, 'OMP_NUM_THREADS': '1'})
    assert not done.returncode, done.stderr
    return {Path(folder): (status, Path(folder, 'log').read_text())
            for folder, status in map(json.loads, done.stdout.splitlines())}


def prepare(folder: Path, file: str, make) -> None:
    """What the commands need, and the bad file."""
    (folder / 'src').mkdir(parents=True)
    write(Scores(folder / 'good.npz', names=np.array(['a', 'b']),
                 logits=np.eye(2, dtype='f4'),
                 probabilities=np.eye(2, dtype='f4')))
    (folder / 'labels.csv').write_text('name,label\nbad,x\n')
    (folder / 'hand.json').write_text(json.dumps(HAND))
    make(folder / file)


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """Name of a case -> its folder, exit status and output."""
    top = tmp_path_factory.mktemp('commands')
    folders = {name: top / str(number) for number, name in enumerate(CASES)}
    for name, folder in folders.items():
        _, file, make = CASES[name]
        prepare(folder, file, make)
    results = run({folder: CASES[name][0]
                   for name, folder in folders.items()})
    return {name: (folder, *results[folder])
            for name, folder in folders.items()}


@pytest.mark.parametrize('name', CASES)
def test_nothing_runs_and_the_file_is_named(finished, name):
    folder, status, output = finished[name]
    command, _, kind = name.partition(': ')
    assert not [*folder.rglob('loot')]
    assert status == 1, output[-2000:]
    assert Path(CASES[name][1]).name in output[-1500:], output[-2000:]
    if not command.startswith(WITH_TRACEBACK):
        assert 'error: ' in output and 'Traceback' not in output, output
    assert not [*folder.glob('out*')]
    # nothing was unpacked, here or above
    assert not [*folder.parent.glob('*.*')]


@pytest.mark.parametrize('kind', OBJECTS)
def test_the_attacks_are_real(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(OBJECTS[kind], 4))
    assert Path('loot').is_dir()


@pytest.fixture(scope='module')
def with_code(tmp_path_factory):
    """A folder after a training, and what is done with its checkpoint."""
    folder = tmp_path_factory.mktemp('config')
    # a name of it for each command
    links = {name: folder.with_name(f'{folder.name}-{name}')
             for name in CODE_IN_CONFIG}
    for link in links.values():
        link.symlink_to(folder)
    results = run({links[name]: arguments
                   for name, arguments in CODE_IN_CONFIG.items()})
    return folder, {name: results[link][0] for name, link in links.items()}


def test_code_in_the_config_of_a_checkpoint_does_not_run(with_code):
    folder, statuses = with_code
    assert statuses == dict.fromkeys(CODE_IN_CONFIG, 0), (
        (folder / 'log').read_text()[-3000:])
    assert not [*folder.rglob('loot')]
    assert torch.load(folder / 'bad.pth')['meta']['config'] == CODE
    assert 'resumed epoch: 1' in (folder / 'log').read_text()
    assert (folder / 'work/epoch_2.pth').is_file()
