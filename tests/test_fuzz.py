"""Damaged files: each of our parsers against bytes changed at random.

A parser must return something whole, or raise an error of its own. A child
process runs the cases, so that a crash, a hang or a blow-up fails a test and
no more: it may take so much memory and time, and each case lies in a file
before it is read. Cases follow from their number alone. More of them:
``python tests/test_fuzz.py ROUNDS [PARSER ...]``.
"""
import contextlib
import faulthandler
import functools
import gc
import io
import json
import logging
import os
import pickle
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path
from typing import Callable, List, NamedTuple

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'tools/data'),
                str(ROOT / 'tools/visualization')]
sys.path.append(str(ROOT / 'tools'))  # last: its test.py hides no module

import annotation_file
import browse_dataset
import custom
import ensemble
import ntu_rgbd
import nw_ucla
from mmengine.runner.checkpoint import CheckpointLoader

from projects.stdcl.datasets import SkeletonDataset
from projects.stdcl.deployment.authors_checkpoint import (
    TABLES,
    convert_file,
)
from projects.stdcl.utils import safe_pickle, score_file
from tests.twins import ntu_skeleton

MEMORY, SECONDS = 2**29, 5  # of computing, that a case may take
HAND = dict(name='hand', joint_names=['wrist', 'thumb', 'index', 'tip'],
            edges=[[1, 0], [2, 0], [3, 2]], center=0)
LAYOUT = custom.SkeletonLayout.get(HAND)


class Parser(NamedTuple):
    """What is fuzzed."""
    name: str  # of the file that it reads
    seeds: Callable[[], List[bytes]]
    read: Callable[[Path], object]
    errors: tuple  # its own
    # makes the file of what is changed, to get behind check sums
    pack: Callable[[bytes], bytes] = bytes


# ------------------------------------------------------------- whole files

def in_memory(save, *args, **kwargs) -> bytes:
    file = io.BytesIO()
    save(file, *args, **kwargs)
    return file.getvalue()


def zipped(members: dict, method=zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def written(write, *args, **kwargs) -> bytes:
    """What a function writes to a path."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'a')
        write(path, *args, **kwargs)
        return path.read_bytes()


def annotations(num=3, **fields) -> dict:
    rng = np.random.default_rng(num)
    names = [f'a{i}' for i in range(num)]
    return dict(split=dict(train=names), **fields, annotations=[
        dict(frame_dir=name, label=i, total_frames=4 + i,
             keypoint=rng.normal(size=(1, 4 + i, 4, 3)).astype(np.float32))
        for i, name in enumerate(names)])


def pickles() -> List[bytes]:
    content = annotations(classes=['x', 'y', 'z'])
    ours = written(annotation_file.write, content['annotations'],
                   split=content['split'], classes=content['classes'],
                   layout=HAND)
    odd = [OrderedDict(a={1, 2}, b=frozenset('a')), b'\xff', bytearray(b'1'),
           1j, 2**70, np.float32(1), np.array(['a', 'bc']), np.str_('x'),
           np.asfortranarray(np.ones((2, 3), '>f4')), (1, (2, (3, ))),
           torch.ones(2, 3), torch.Size([2])]
    return [ours, *(pickle.dumps(value, protocol)
                    for value in (content, odd) for protocol in range(6))]


def annotation_files() -> List[bytes]:
    return pickles()[:7]


def score_pickles() -> List[bytes]:
    rows = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    table = dict(zip('abcd', rows))
    samples = [dict(pred_score=torch.from_numpy(row), frame_dir=name,
                    gt_label=torch.tensor([1])) for name, row in table.items()]
    return [pickle.dumps(value, protocol) for value in (table, samples)
            for protocol in (2, 3, 4, 5)]


def score_arrays() -> dict:
    rows = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    return dict(names=np.array(list('abcd')), labels=np.arange(4) % 3,
                logits=rows, probabilities=np.full((4, 3), 1 / 3, 'f4'),
                classes=np.array(['x', 'y', 'z']), config=np.array('c.py'),
                checkpoint=np.array('d.pth'))


def score_archives() -> List[bytes]:
    return [in_memory(np.savez, **score_arrays()),
            in_memory(np.savez_compressed, **score_arrays()),
            in_memory(np.savez, a=np.ones(3), b=np.zeros(3))]


def arrays_of(*arrays) -> Callable[[], List[bytes]]:
    return lambda: [in_memory(np.save, array) for array in arrays]


def scores_with(field: str, content: bytes) -> bytes:
    """A score file of which one array is what it is."""
    members = {f'{name}.npy': in_memory(np.save, array)
               for name, array in score_arrays().items()}
    return zipped({**members, f'{field}.npy': content})


def checkpoint() -> dict:
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    history = dict(log_history=torch.ones(3), count_history=torch.ones(3),
                   max_length=9)
    return dict(meta=dict(epoch=1, iter=2, cfg='x = 1', seed=0),
                state_dict=model.state_dict(),
                optimizer=dict(state={0: dict(step=torch.tensor(1.))},
                               param_groups=[dict(lr=0.1, params=[0])]),
                message_hub=dict(log_scalars=dict(loss=history),
                                 runtime_info=dict(epoch=1),
                                 resumed_keys=dict(loss=True)))


def checkpoints() -> List[bytes]:
    return [in_memory(lambda file, **kw: torch.save(checkpoint(), file, **kw)),
            in_memory(lambda file: torch.save(
                checkpoint(), file, _use_new_zipfile_serialization=False))]


def members_of(content: bytes) -> dict:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


WHOLE = members_of(checkpoints()[0])
DATA, = (name for name in WHOLE if name.endswith('/data.pkl'))


def checkpoint_with(content: bytes) -> bytes:
    """A checkpoint of which the pickle is what it is."""
    return zipped({**WHOLE, DATA: content}, zipfile.ZIP_STORED)


def hcn_tensors() -> List[bytes]:
    names = [*TABLES['hcn']({}).values()]
    tensors = {name: torch.ones(2, 2) for used, _ in names for name in used}
    return [in_memory(lambda file: torch.save(tensors, file)),
            in_memory(lambda file: torch.save(
                dict(state_dict=tensors), file,
                _use_new_zipfile_serialization=False))]


def skeletons() -> List[bytes]:
    rng = np.random.default_rng(0)
    return [ntu_skeleton.write_skeleton(ntu_skeleton.make_frames(
        rng, 3, persons)) for persons in (1, 2)]


def json_of_ucla() -> List[bytes]:
    rows = np.random.default_rng(0).normal(size=(2, 20, 3)).round(3).tolist()
    return [json.dumps(dict(file_name='a01', skeletons=rows, label=1)
                       ).encode()]


def csv_of_joints() -> List[bytes]:
    row = ','.join(['0.5'] * 12)
    header = 'frame,person,' + ','.join(f'v{i}' for i in range(12))
    return [f'{row}\n{row}\n'.encode(),
            f'{header}\n1,0,{row}\n1,1,{row}\n2,0,{row}\n'.encode()]


TABLE = [b'name,label,subject,split\na/0.npy,wave,s1,train\nb,clap,s2,val\n',
         'name,label\nä,ö\n"a,""b",2\n'.encode()]


# ----------------------------------------------------------------- reading

def read_checkpoint(path: Path) -> object:
    loaded = CheckpointLoader.load_checkpoint(str(path), 'cpu', 'silent')
    walk(loaded)
    return loaded


def read_data_set(path: Path) -> list:
    data = SkeletonDataset(str(path), pipeline=[], split='train')
    return [data.get_data_info(index) for index in range(len(data))]


def read_ucla_zip(path: Path) -> list:
    return [nw_ucla.parse(*file) for file in nw_ucla.read_source(path)]


def read_ntu(path: Path) -> tuple:
    return ntu_rgbd.clean(ntu_rgbd.parse(path.read_bytes())[0])


def read_ntu_zip(path: Path) -> list:
    ntu_rgbd._open_zip.cache_clear()
    return [ntu_rgbd.parse(ntu_rgbd.read(source))
            for source in ntu_rgbd.find_sources([path])]


def read_labels(path: Path) -> tuple:
    names = np.array(['a0', 'a1'])
    return ensemble.read_labels(path, score_file.Scores(
        path, names=names, logits=np.zeros((2, 3), np.float32)))


def convert(path: Path) -> None:
    convert_file('hcn', path, path.with_name('out.pth'))


def walk(value: object, budget: int = 10**6) -> None:
    """Look at everything, as whoever gets it may."""
    repr(value)
    stack = [value]
    while stack:
        budget -= 1
        assert budget, 'it does not end'
        value = stack.pop()
        if isinstance(value, dict):
            stack += [*value, *value.values()]
        elif isinstance(value, (list, tuple, set, frozenset)):
            stack += value
        elif isinstance(value, (np.ndarray, torch.Tensor)):
            value.tolist()


DAMAGED = (pickle.UnpicklingError, )
DATA_ERROR = (custom.DataError, )
SCORE_ERROR = (score_file.ScoreFileError, )
# load_from_local says which: code, damage, another form
CHECKPOINT_ERROR = (pickle.UnpicklingError, ValueError)
PROBLEMS = defaultdict(list)
JOINTS = np.zeros((3, 4, 3), np.float32)
PARSERS = {
    'pickle': Parser('a.pkl', pickles,
                     lambda path: safe_pickle.load(str(path)), DAMAGED),
    'annotations': Parser('a.pkl', annotation_files, read_data_set,
                          (pickle.UnpicklingError, ValueError)),
    'labels': Parser('a.pkl', annotation_files, read_labels, SCORE_ERROR),
    'score pickle': Parser('a.pkl', score_pickles, score_file.read,
                           SCORE_ERROR),
    'score npz': Parser('a.npz', score_archives, score_file.read,
                        SCORE_ERROR),
    **{f'{field} in score npz': Parser(
        'a.npz', arrays_of(array), score_file.read, SCORE_ERROR,
        functools.partial(scores_with, field))
       for field, array in score_arrays().items()},
    'checkpoint': Parser('a.pth', checkpoints, read_checkpoint,
                         CHECKPOINT_ERROR),
    'pickle of a checkpoint': Parser(
        'a.pth', lambda: [WHOLE[DATA]], read_checkpoint, CHECKPOINT_ERROR,
        checkpoint_with),
    'converter': Parser('a.pt', hcn_tensors, convert, (
        ValueError, OSError, pickle.UnpicklingError)),
    'NW-UCLA': Parser(
        'a01_s01_e00_v01.json', json_of_ucla,
        lambda path: nw_ucla.parse(path.name, path.read_bytes()), DATA_ERROR),
    'NW-UCLA zip': Parser(
        'a.zip', lambda: [zipped({'b/a01_s01_e00_v01.json':
                                  json_of_ucla()[0]})],
        read_ucla_zip, DATA_ERROR),
    'NTU': Parser('a.skeleton', skeletons, read_ntu,
                  (ntu_rgbd.UnusableError, )),
    'NTU zip': Parser(
        'a.zip', lambda: [zipped({f'b/S001C001P001R001A00{i}.skeleton': text
                                  for i, text in enumerate(skeletons())})],
        read_ntu_zip, (*DATA_ERROR, ntu_rgbd.UnusableError)),
    'custom npy': Parser(
        'a.npy', arrays_of(JOINTS, JOINTS.astype('>f8')),
        lambda path: custom.read_sequence(path, LAYOUT), DATA_ERROR),
    'custom npz': Parser(
        'a.npz', lambda: [in_memory(np.savez, a=JOINTS),
                          in_memory(np.savez_compressed, keypoint=JOINTS)],
        lambda path: custom.read_sequence(path, LAYOUT), DATA_ERROR),
    'custom array in npz': Parser(
        'a.npz', arrays_of(JOINTS),
        lambda path: custom.read_sequence(path, LAYOUT), DATA_ERROR,
        lambda content: zipped({'a.npy': content})),
    'custom csv': Parser('a.csv', csv_of_joints,
                         lambda path: custom.read_sequence(path, LAYOUT),
                         DATA_ERROR),
    'custom table': Parser(
        'a.csv', lambda: TABLE,
        lambda path: custom.read_table(path, 'label', PROBLEMS), DATA_ERROR),
    'custom splits': Parser(
        'a.json', lambda: [b'{"a/0": "train", "b.npy": "val"}'],
        lambda path: custom.read_splits(path, PROBLEMS), DATA_ERROR),
    'custom classes': Parser('a.txt', lambda: [b'a\nb\n\xc3\xb6\n'],
                             custom.read_classes, DATA_ERROR),
    'custom layout': Parser(
        'a.json', lambda: [json.dumps(dict(HAND, dims=2, parts=[
            0, 0, 1, 1])).encode()],
        lambda path: custom.read_layout(str(path)), DATA_ERROR),
    'layout to draw': Parser(
        'a.json', lambda: [json.dumps(HAND).encode()],
        lambda path: browse_dataset.read_layout(str(path)), (ValueError, )),
}


# ------------------------------------------------------------------ changes

TOKENS = [b'\xff' * 4, b'\xff\xff\xff\x7f', b'\xff' * 8, bytes(8),
          b'\xff' * 7 + b'\x7f', b'\x00\x00\x00\x40', b'\x01', b'.', b'0',
          b'1e999', b'-1', b'NaN', b'9' * 5000, b'[' * 3000, b'{"a":' * 2000,
          b'"', b',', b'\n', b'\0', b'\xed\xa0\x80', b'(', b'l', b't' * 9,
          b'\x85' * 200, b']' * 99, b'R', b'b', b'u', b'h\x01', b'r\xff\xff'
          b'\xff\xff', b'\x96' + bytes(4) + b'\x40' + bytes(3),
          b'cbuiltins\nbytearray\n', b'c_codecs\nencode\n', b"(999999999,)",
          b"'<U9'", b'S0', b'99999999']


def change(rng: np.random.Generator, content: bytes, other: bytes) -> bytes:
    """One change."""
    start = int(rng.integers(len(content) + 1))
    length = int(rng.integers(1, 33))
    end = min(start + length, len(content))
    kind = rng.integers(8)
    if kind == 0:  # another byte
        return content[:start] + rng.bytes(1) + content[start + 1:]
    if kind == 1:  # a bit
        if not content:
            return content
        start = min(start, len(content) - 1)
        flipped = content[start] ^ 1 << int(rng.integers(8))
        return content[:start] + bytes([flipped]) + content[start + 1:]
    if kind == 2:
        return content[:start]
    if kind == 3:  # twice
        return content[:end] + content[start:]
    if kind == 4:
        return content[:start] + content[end:]
    if kind == 5:  # the start of one and the end of the other
        return content[:start] + other[rng.integers(len(other) + 1):]
    token = TOKENS[rng.integers(len(TOKENS))]
    if kind == 6:
        return content[:start] + token + content[start:]
    if rng.random() < 0.5:  # a size
        token = struct.pack('<I', int(2**rng.uniform(0, 32)) - 1)
    return content[:start] + token + content[start + len(token):]


def make_case(seeds: List[bytes], number: int) -> bytes:
    rng = np.random.default_rng(number)
    content, other = (seeds[i] for i in rng.integers(len(seeds), size=2))
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        content = change(rng, content, other)
    return content


# ------------------------------------------------------------ child process

class Hang(BaseException):
    """No parser takes it for damage."""


def raise_hang(*_) -> None:
    raise Hang(f'more than {SECONDS} s')


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, also if the parser made something of it."""
    while error is not None:
        if isinstance(error, MemoryError) or 'allocate memory' in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def run_case(parser: Parser, path: Path) -> str:
    """Read a file; what came of it, or AssertionError."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        walk(parser.read(path))
    except parser.errors as error:
        assert not ran_out_of_memory(error), f'out of memory: {error!r}'
        return type(error).__name__
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return 'valid'


def run_cases(parser: Parser, folder: Path, rounds: int) -> dict:
    """Read so many files; in a child process, which this bounds."""
    mapped = int(Path('/proc/self/statm').read_text().split()[0]) * 4096
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, ) * 2)
    signal.signal(signal.SIGPROF, raise_hang)
    gc.freeze()  # a data set collects garbage, not that of the imports
    found, failures = Counter(), []
    seeds, path = parser.seeds(), folder / parser.name
    for number in range(rounds):
        path.write_bytes(parser.pack(
            make_case(seeds, number - len(seeds)) if number >= len(seeds)
            else seeds[number]))
        (folder / 'number').write_text(str(number))
        try:
            outcome = run_case(parser, path)
            assert number >= len(seeds) or outcome == 'valid', outcome
        except BaseException:
            failures.append(f'case {number}:\n{traceback.format_exc(-6)}')
            if len(failures) == 5:
                break
        else:
            found[outcome] += 1
    return dict(outcomes=found, failures=failures)


def fuzz(name: str, rounds: int, folder: Path) -> dict:
    """Run the cases of a parser in a child process."""
    folder.mkdir()
    started, result = time.monotonic(), folder / 'result'
    child = os.fork()
    if not child:
        faulthandler.disable()  # pytest's, for its own log
        with open(folder / 'output', 'w') as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        with contextlib.suppress(BaseException):
            result.write_text(json.dumps(
                run_cases(PARSERS[name], folder, rounds)))
        os._exit(0)
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        # code in C hears no alarm: a case that never ends ends here
        number = folder / 'number'
        if number.exists() and time.time() - number.stat().st_mtime > (
                20 * SECONDS):
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)
    if not result.exists():
        path, number = folder / PARSERS[name].name, folder / 'number'
        return dict(outcomes={}, failures=[
            f'case {number.read_text()} ended the process; it is {path}, '
            f'{path.read_bytes()[:200]!r}\n'
            + (folder / 'output').read_text()[-2000:]])
    seconds = time.monotonic() - started
    return dict(json.loads(result.read_text()), seconds=round(seconds, 1))


def main(rounds: int, folder: Path, names: List[str]) -> None:
    logging.disable(logging.CRITICAL)
    for name in names or PARSERS:
        result = fuzz(name, rounds, folder / name.replace(' ', '-'))
        print(json.dumps(dict(parser=name, rounds=rounds, **result)),
              flush=True)


# -------------------------------------------------------------------- tests

ROUNDS, MANY = 100, 20_000


def run(rounds: int, folder: Path, timeout: int) -> dict:
    """All parsers in one process of its own, which forks for each."""
    done = subprocess.run(
        [sys.executable, __file__, str(rounds), '--folder', str(folder)],
        capture_output=True, text=True, timeout=timeout,
        env={**os.environ, 'OMP_NUM_THREADS': '1'})
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == len(PARSERS), done.stderr
    return {result['parser']: result for result in results}


linux = pytest.mark.skipif(sys.platform != 'linux',
                           reason='bounds the memory by /proc and a limit')


@pytest.fixture(scope='module')
def results(tmp_path_factory):
    return run(ROUNDS, tmp_path_factory.mktemp('fuzz'), 300)


@linux
@pytest.mark.parametrize('name', PARSERS)
def test_changed_bytes_are_an_error_of_ours_or_harmless(results, name):
    assert not results[name]['failures'], '\n'.join(results[name]['failures'])
    assert sum(results[name]['outcomes'].values()) == ROUNDS
    # neither is all refused, nor nothing
    assert len(results[name]['outcomes']) > 1


@linux
@pytest.mark.slow
def test_many_changed_bytes(tmp_path):
    for name, result in run(MANY, tmp_path, 3 * 3600).items():
        assert not result['failures'], name + '\n'.join(result['failures'])


def spin() -> None:
    while True:
        pass


BAD = {
    'hang': lambda path: spin(),
    'sleep': lambda path: time.sleep(60), 'memory': lambda path: bytes(2**40),
    'crash': lambda path: os.kill(os.getpid(), signal.SIGKILL),
    'error': lambda path: None.x}


@linux
@pytest.mark.parametrize('name', BAD)
def test_what_the_harness_finds(monkeypatch, tmp_path, name):
    monkeypatch.setitem(globals(), 'SECONDS', 0.1)
    monkeypatch.setitem(PARSERS, name, Parser(
        'a', lambda: [b'x'], BAD[name], ()))
    failure, = fuzz(name, 1, tmp_path / name)['failures']
    assert dict(hang='Hang', memory='MemoryError', error='AttributeError',
                crash='case 0 ended the process; it is ',
                sleep='case 0 ended the process')[name] in failure


if __name__ == '__main__':
    arguments = sys.argv[2:]
    where = Path(arguments[1]) if arguments[:1] == ['--folder'] else None
    with tempfile.TemporaryDirectory() as temporary:
        main(int(sys.argv[1]), where or Path(temporary),
             [] if where else arguments)
