"""Files made to do harm: to run code, to hang, to fill the memory.

Each is given to the reader, or to the command, that it is made for, in a child
process with little memory and time. The bytes changed at random of
``test_fuzz.py`` seldom hit on these.
"""
import contextlib
import io
import json
import os
import pickle
import re
import resource
import signal
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from projects.stdcl.utils.safe_zip import HARMLESS_BYTES
from tests import test_fuzz as fuzz

pytestmark = pytest.mark.skipif(sys.platform != 'linux',
                                reason='bounds the memory by a limit')


# --- what is in them -------------------------------------------------------

def program(*instructions) -> bytes:
    return b''.join([pickle.PROTO + b'\x02', *instructions, pickle.STOP])


def value(obj) -> bytes:
    """Instructions that make an object."""
    return pickle.dumps(obj, 2)[2:-1]


def call(function: str, *arguments: bytes) -> bytes:
    """Instructions that call a function, such as ``'builtins bytes'``."""
    return b''.join([named(function), pickle.MARK, *arguments, pickle.TUPLE,
                     pickle.REDUCE])


def named(function: str) -> bytes:
    return pickle.GLOBAL + function.replace(' ', '\n').encode() + b'\n'


def doubled(join: bytes, times=40) -> bytes:
    """A container of twice the same, which is of twice the same, ..."""
    return b'N' + b''.join(pickle.BINPUT + b'\0' + pickle.BINGET + b'\0' + join
                           for _ in range(times))


PAIR = pickle.TUPLE2
ARRAY = 'numpy._core.multiarray _reconstruct'


def array(kind: str, shape: tuple, data: bytes) -> bytes:
    return (call(ARRAY, named('numpy ndarray'), value((0, )), value(b'b'))
            + b'(K\1' + value(shape)
            + call('numpy dtype', value(kind), b'\x89\x88') + b'\x89'
            + value(data) + b'tb')


class TensorOf:
    """A tensor with other arguments than its own."""

    def __init__(self, *view):
        self.view = view

    def __reduce__(self):
        storage = torch.ones(4).storage()
        return torch._utils._rebuild_tensor_v2, (
            storage, *self.view, False, OrderedDict())


TENSORS = {
    'repeated': TensorOf(0, (2**40, ), (0, )),
    'past the end': TensorOf(2, (4, ), (1, )),
    'larger': TensorOf(0, (2**40, ), (1, )),
    'before the start': TensorOf(0, (2, ), (-1, )),
    'rows of nothing': TensorOf(0, (2**40, 0), (1, 1))}
DAMAGED, REFUSED = 'could not be read', 'was not read'
DEEP = b'N' + pickle.TUPLE1 * 10**5
# the smallest numbers with the same hash
COLLIDING = [k * (2**61 - 1) for k in range(1, 2000)]
PICKLES = {
    # the machine in C makes place for 2**32 objects
    'a far place': (program(b'N' + pickle.LONG_BINPUT + b'\xff\xff\xff\x7f'),
                    'valid'),
    'bytes of a size': (program(call('builtins bytes', value(10**12))),
                        DAMAGED),
    'bytearray of a size': (
        program(call('builtins bytearray', value(10**12))), DAMAGED),
    'said to be long': (program(
        pickle.BINBYTES8 + (2**40).to_bytes(8, 'little')), DAMAGED),
    'bytearray said to be long': (program(
        pickle.BYTEARRAY8 + (2**33).to_bytes(8, 'little')), DAMAGED),
    'strings of nothing': (program(array('S0', (2**40, ), b'')), REFUSED),
    'array of nothing': (program(array('f4', (2**40, 0), b'')), REFUSED),
    'array of less': (program(array('f4', (2**40, ), b'1234')), REFUSED),
    'long strings': (program(array('U1000000000', (1, ), b'1234')), DAMAGED),
    'no characters': (program(array('U1', (1, ), b'\xff' * 4)), DAMAGED),
    'laughs': (program(doubled(PAIR)), 'would grow to'),
    'laughs of lists': (program(b']q\0' + b''.join(
        b']h' + bytes([i]) + b'ah' + bytes([i]) + b'aq' + bytes([i + 1])
        for i in range(40))), 'would grow to'),
    'many of a large array': (program(
        b'(', value(b'0' * 10**6), b'q\0', b'h\0' * 10**4, b'l'),
        'would grow to'),
    'laughs as a key': (program(b'}' + doubled(PAIR) + b'Ns'), 'a key of'),
    'laughs in a set': (program(call(
        'builtins set', b'](' + doubled(PAIR) + b'e')), 'a key of'),
    'a deep key': (program(b'}' + DEEP + b'Ns'), 'a key of'),
    'deep': (program(DEEP), 'nested deeper'),
    'deep lists': (program(b']' * 10**5 + b'a' * (10**5 - 1)),
                   'nested deeper'),
    'colliding keys': (program(b'}(' + b''.join(
        value(key) + b'N' for key in COLLIDING) + b'u'), 'a key of'),
    'a long number': (program(value(1 << 10**6)), 'bits, expected up to'),
    'a number of many digits': (program(b'L' + b'9' * 10**5 + b'L\n'),
                                DAMAGED),
    'half a character': (program(value('\ud800')), DAMAGED),
    'slow codec': (program(call('_codecs encode', value('ä' * 9),
                                value('punycode'))), REFUSED),
    'a function that changes': (program(
        named('_codecs encode'), b'N}' + value('__defaults__') + value(())
        + b's\x86b'), REFUSED),
    'a class': (program(named('collections OrderedDict')), REFUSED),
    'methods that are data': (program(
        call('collections OrderedDict'), b'}' + value('items') + b'Nsb'),
        REFUSED),
    'a call of a number': (program(b'K\1)R'), REFUSED),
    'a new object': (program(named('collections OrderedDict') + b')\x81'),
                     DAMAGED),
    **{f'tensor {name}': (pickle.dumps(tensor, 2), REFUSED)
       for name, tensor in TENSORS.items()}}


def zip_of(*names, content=b'', method=zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', method) as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()


def bomb(name: str) -> bytes:
    """A member of zeros, more than the memory of a child."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED,
                         compresslevel=1) as archive, archive.open(
                             name, 'w') as member:
        for _ in range(HARMLESS_BYTES // 2**24 + 1):
            member.write(bytes(2**24))
    return file.getvalue()


def overlapping(name: str) -> bytes:
    """A thousand members of the same bytes."""
    with zipfile.ZipFile(io.BytesIO(zip_of(
            name, content=bytes(2**20), method=zipfile.ZIP_DEFLATED))
            ) as archive:
        start, content = archive.start_dir, archive.fp.getvalue()
    entry = content[start:content.index(b'PK\5\6')]
    entries = b''.join(entry.replace(name.encode(), b'%03d' % i
                                     + name.encode()[3:])
                       for i in range(1000))
    end = bytearray(content[content.index(b'PK\5\6'):])
    end[8:12] = (1000).to_bytes(2, 'little') * 2
    end[12:16] = len(entries).to_bytes(4, 'little')
    return content[:start] + entries + bytes(end)


def said(content: bytes, size: int) -> bytes:
    """A zip of which the list says that the first member is packed large."""
    place = content.index(b'PK\1\2')
    return content[:place + 20] + size.to_bytes(4, 'little') + content[
        place + 24:]


def zips(name: str) -> dict:
    """Archives with a member of that name; what a message says of them."""
    return {
        'overlapping': (overlapping(name), 'that would unpack to'),
        'parent': (zip_of(f'../{name}'), "named '../"),
        'root': (zip_of(f'/{name}'), "named '/"),
        'drive': (zip_of(f'C:\\{name}'), 'named '),
        'windows': (zip_of(f'a\\..\\..\\{name}'), 'named '),
        'twice': (zip_of(name, name), 'more than once'),
        'bzip2': (zip_of(name, content=bytes(99), method=zipfile.ZIP_BZIP2),
                  'packed by method 12'),
        'said to be large': (said(zip_of(name), 2**31), 'bytes in a file of')}


ZIPS = {'score npz': 'logits.npy', 'custom npz': 'keypoint.npy',
        'NW-UCLA zip': 'a01_s01_e00_v01.json',
        'NTU zip': 'S001C001P001R001A001.skeleton',
        'checkpoint': 'a/data.pkl'}


def of_torch(**changes) -> bytes:
    return fuzz.in_memory(lambda file: torch.save(
        {**fuzz.checkpoint(), **changes}, file))


def legacy(size: int) -> bytes:
    """A checkpoint of the old format that says its tensor is so large."""
    content = fuzz.in_memory(lambda file: torch.save(
        dict(a=torch.ones(77)), file, _use_new_zipfile_serialization=False))
    assert content.count(b'KM') == 2  # of the storage and of the tensor
    return content.replace(b'KM', b'\x8a\5' + size.to_bytes(5, 'little'), 1)


CHECKPOINTS = {
    'bytearray of a size': (fuzz.checkpoint_with(program(
        call('builtins bytearray', value(10**10)))), 'bytearray'),
    'laughs as a key': (fuzz.checkpoint_with(
        program(b'}' + doubled(PAIR) + b'Ns')), 'a key of'),
    'a deep key': (fuzz.checkpoint_with(program(b'}' + DEEP + b'Ns')),
                   'a key of'),
    'slow codec': (fuzz.checkpoint_with(program(call(
        '_codecs encode', value('ä' * 9), value('punycode')))), 'punycode'),
    'a tensor of a size': (fuzz.checkpoint_with(program(call(
        'torch FloatTensor', value(10**11)))), 'FloatTensor'),
    'compressed': (fuzz.zipped(fuzz.WHOLE), 'is compressed'),
    'repeated tensor': (of_torch(state_dict=dict(
        a=torch.ones(1).expand(2**40))), 'a tensor of shape'),
    'a storage of a size': (fuzz.checkpoint_with(re.sub(
        b'(?s)(?<=cpuq.)K\x06', lambda _: b'J\xff\xff\xff\x7f',
        fuzz.WHOLE[fuzz.DATA], count=1)), "tensor '0' has 24 bytes"),
    'old, of a size': (legacy(2**35), 'tensors of'),
    'state dict is a list': (of_torch(state_dict=[1]), 'state_dict is a list'),
    'meta is a list': (of_torch(meta=[1]), 'meta is a list'),
    'epoch is a string': (of_torch(meta=dict(epoch='1', iter=1)),
                          'meta.epoch is a str'),
    'hub is a number': (of_torch(message_hub=1), 'message_hub is a int'),
    'methods that are data': (fuzz.checkpoint_with(program(
        call('collections OrderedDict'), b'}' + value('items') + b'Nsb')),
        'the state of a OrderedDict'),
    'sparse': (of_torch(state_dict=dict(a=torch.ones(2).to_sparse())),
               '_rebuild_sparse_tensor'),
    'meta tensor': (of_torch(state_dict=dict(a=torch.ones(2, device='meta'))),
                    '_rebuild_meta_tensor')}
TEXTS = {
    'NW-UCLA': {
        'deep': (b'[' * 10**6, 'not readable'),
        'infinite': (b'{"label": 1, "skeletons": ['
                     + json.dumps([[1] * 3] * 19 + [['X'] * 3]).replace(
                         '"X"', '1e999').encode() + b']}', 'not finite'),
        'long': (b'{"label": 1, "skeletons": [[[1' + b'0' * 400 + b']]]}',
                 'not readable'),
        'digits': (b'{"label": ' + b'9' * 10**6 + b'}', 'not readable')},
    'custom splits': {'deep': (b'{"a":' * 10**5, 'too many brackets')},
    'custom layout': {
        'deep': (b'[' * 10**5, 'too many brackets'),
        'far edges': (json.dumps(dict(
            fuzz.HAND, edges=[[1, 0], [2, 0], [2**62, 2]])).encode(),
            'a.json')},
    'custom csv': {
        'zeros': (b'\0' * 99, 'a.csv'),
        'a long cell': (b'1' * 10**6, 'a.csv'),
        'digits': (b','.join([b'9' * 5000] * 12), 'has inf'),
        'far frames': (b'frame' + b',x' * 12 + b'\n0' + b',0' * 12
                       + b'\n1e300' + b',0' * 12, '"frame" goes from')},
    'custom npy': {
        'a size': (fuzz.in_memory(np.save, np.zeros((3, 4, 3), 'f4')).replace(
            b"(3, 4, 3)", b"(3000000000000,4,3)").replace(b' ' * 10, b'', 1),
            'not readable')},
    'NTU': {
        'frames': (b'999999999999\n1\n', ''),
        'bodies': (b'1\n999999999999\n', ''),
        'joints': (b'1\n1\n1 2 3 4 5 6 7 8 9 0\n999999999999\n', '')}}

CASES = {
    'score npz: bomb': ('score npz', lambda: bomb('logits.npy'),
                        'that would unpack to'),
    **{f'pickle: {name}': ('pickle', *case)
       for name, case in PICKLES.items()},
    **{f'{parser}: {name}': (parser, *PICKLES[name])
       for parser in ('score pickle', 'annotations', 'labels')
       for name in ('laughs', 'half a character', 'tensor repeated')},
    **{f'{parser}: {name}': (parser, *case)
       for parser, member in ZIPS.items()
       for name, case in zips(member).items()},
    **{f'checkpoint: {name}': ('checkpoint', *case)
       for name, case in CHECKPOINTS.items()},
    **{f'{parser}: {name}': (parser, *case)
       for parser, cases in TEXTS.items() for name, case in cases.items()}}


# --- readers ---------------------------------------------------------------

def read(name: str, folder: Path) -> str:
    """What becomes of a case; in a child process."""
    parser_name, content, _ = CASES[name]
    parser = fuzz.PARSERS[parser_name]
    path = folder / parser.name
    path.write_bytes(content() if callable(content) else content)
    mapped = int(Path('/proc/self/statm').read_text().split()[0]) * 4096
    resource.setrlimit(resource.RLIMIT_AS, (mapped + HARMLESS_BYTES, ) * 2)
    signal.setitimer(signal.ITIMER_PROF, fuzz.SECONDS)  # ends it, also in C
    try:
        fuzz.walk(parser.read(path))
    except parser.errors as error:
        memory = fuzz.ran_out_of_memory(error)
        return 'out of memory' if memory else f'refused: {error}'
    return 'valid'


def main(folder: str) -> None:
    """All cases, a child process for each; prints what becomes of them."""
    for name in CASES:
        ours, theirs = os.pipe()
        child = os.fork()
        if not child:
            text = 'no error of ours'
            with contextlib.suppress(BaseException):
                text = read(name, Path(folder))
            os.write(theirs, text[:2000].encode(errors='replace'))
            os._exit(0)
        os.close(theirs)
        text = os.fdopen(ours, errors='replace').read()
        status = os.waitpid(child, 0)[1]
        print(json.dumps([name, text or f'ended with status {status}']))


@pytest.fixture(scope='module')
def outcomes(tmp_path_factory):
    done = subprocess.run(
        [sys.executable, __file__, tmp_path_factory.mktemp('readers')],
        capture_output=True, text=True, timeout=200,
        env={**os.environ, 'OMP_NUM_THREADS': '1'})
    assert not done.returncode, done.stderr
    return dict(map(json.loads, done.stdout.splitlines()))


@pytest.mark.parametrize('name', CASES)
def test_readers_refuse(outcomes, name):
    parser, _, message = CASES[name]
    if message == 'valid':
        assert outcomes[name] == 'valid'
        return
    assert outcomes[name].startswith('refused: '), outcomes[name]
    assert re.search(message, outcomes[name]), outcomes[name]
    if parser != 'NTU':  # its caller knows the file
        assert fuzz.PARSERS[parser].name.partition('.')[0] in outcomes[name]


if __name__ == '__main__':
    main(sys.argv[1])
