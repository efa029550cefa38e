"""The reader of pickles: all data, nothing that runs or forges pointers."""
import pickle
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch
from numpy._core.multiarray import _reconstruct, scalar

from projects.stdcl.utils import safe_pickle

DATA = [
    np.arange(6.).reshape(2, 3), np.asfortranarray(np.ones((2, 3), '>f4')),
    np.arange(2000, dtype=np.float16).reshape(4, 500), np.zeros((0, 3)),
    np.array(['a', 'bcd']), np.array([b'a', b'bcd']), np.array(3),
    np.ones((2, 2), bool), np.array([1 + 2j]), np.arange(9)[::2],
    np.float32(3), np.int64(-7), np.str_('name'), np.bool_(True)]


@pytest.mark.parametrize('protocol', range(2, 6))
@pytest.mark.parametrize('value', DATA, ids=repr)
def test_reads_what_pickle_reads(tmp_path, value, protocol):
    path = tmp_path / 'data.pkl'
    path.write_bytes(pickle.dumps(value, protocol))
    read, expected = safe_pickle.load(str(path)), pickle.loads(
        path.read_bytes())
    assert type(read) is type(expected)
    assert read.dtype == expected.dtype
    np.testing.assert_array_equal(read, expected)
    if isinstance(read, np.ndarray):
        assert read.flags.writeable == expected.flags.writeable
        assert read.flags.f_contiguous == expected.flags.f_contiguous


@pytest.mark.parametrize('protocol', range(2, 6))
def test_reads_arrays_wherever_they_are(tmp_path, protocol):
    array = np.arange(3)
    value = dict(a=[array, (array, [array])], b=OrderedDict(c=array),
                 d={1, 2}, e=(1, 'x', None), f=torch.ones(2), g=3.5)
    value['itself'] = value
    path = tmp_path / 'data.pkl'
    path.write_bytes(pickle.dumps(value, protocol))
    read = safe_pickle.load(str(path))
    arrays = [read['a'][0], read['a'][1][0], read['a'][1][1][0],
              read['b']['c']]
    for found in arrays:
        assert type(found) is np.ndarray and found.tolist() == [0, 1, 2]
    assert read['itself'] is read and read['d'] == {1, 2}
    assert read['e'] == (1, 'x', None) and read['f'].tolist() == [1, 1]
    pickle.loads(pickle.dumps(arrays))  # as MMEngine does with annotations


class Call:
    """Pickled as a call of a function, and perhaps a state."""

    def __init__(self, function, *args, state=None):
        self.reduced = function, args, state

    def __reduce__(self):
        return self.reduced


POINTERS = bytes(range(65, 73)) * 4  # taken for pointers, these crash


def dtype_with_objects():
    """Eight bytes without a meaning that hide a field of objects."""
    return Call(np.dtype, 'V8', False, True, state=(
        3, '|', None, ('a', ), {'a': (np.dtype('O'), 0)}, 8, 1, 0))


ATTACKS = {
    'object array of bytes': lambda: Call(
        np.ndarray, (1, ), np.dtype('O'), bytearray(POINTERS)),
    'hidden field, scalar': lambda: Call(
        scalar, dtype_with_objects(), POINTERS[:8]),
    'hidden field, buffer': lambda: Call(
        np._core.numeric._frombuffer, bytearray(POINTERS[:8]),
        dtype_with_objects(), (1, ), 'C'),
    'hidden field, array': lambda: Call(
        _reconstruct, np.ndarray, (0, ), b'b',
        state=(1, (1, ), dtype_with_objects(), False, POINTERS[:8])),
    'flag for objects': lambda: Call(
        _reconstruct, np.ndarray, (0, ), b'b', state=(1, (4, ), Call(
            np.dtype, 'f8', False, True,
            state=(3, '<', None, None, None, -1, -1, 63)), False, POINTERS)),
    'array of objects': lambda: np.array([None, dict()], dtype=object),
    'fields': lambda: np.zeros(2, 'f4,i4'),
    'negative shape': lambda: Call(
        _reconstruct, np.ndarray, (0, ), b'b',
        state=(1, (-1, -4), np.dtype('f8'), False, POINTERS)),
    'more than there is': lambda: Call(
        _reconstruct, np.ndarray, (0, ), b'b',
        state=(1, (2**40, ), np.dtype('f8'), False, POINTERS)),
    'view of an array': lambda: Call(
        np._core.numeric._frombuffer, np.arange(8, dtype='u1'),
        np.dtype('f8'), (1, ), 'C')}
@pytest.fixture(scope='module')
def attacked(root, tmp_path_factory):
    """What becomes of each attack, each in a process of its own."""
    folder = tmp_path_factory.mktemp('attacks')
    paths = [folder / f'{number}.pkl' for number in range(len(ATTACKS))]
    for path, make in zip(paths, ATTACKS.values()):
        path.write_bytes(pickle.dumps(make(), 5))
    done = subprocess.run([sys.executable, '-c', FORKED, *map(str, paths)],
                          cwd=root, capture_output=True, text=True)
    return dict(zip(ATTACKS, done.stdout.split('=====\n')[1:]))


FORKED = '''
import os, sys
from projects.stdcl.utils import safe_pickle
for path in sys.argv[1:]:
    print('=====', flush=True)
    child = os.fork()  # without the seconds of importing PyTorch
    if not child:
        try:
            print('read', repr(safe_pickle.load(path)), flush=True)
        except safe_pickle.pickle.UnpicklingError as error:
            print('refused', error, flush=True)
        os._exit(0)
    print('status', os.waitpid(child, 0)[1], flush=True)
'''


@pytest.mark.skipif(sys.platform == 'win32', reason='forks')
@pytest.mark.parametrize('name', ATTACKS)
def test_forged_arrays_are_refused(attacked, name):
    if name == 'flag for objects':  # the flags are not taken
        assert attacked[name].startswith('read array([')
    else:
        assert attacked[name].startswith('refused '), attacked[name]
    assert attacked[name].endswith('status 0\n')


def test_numbers_are_taken_once(tmp_path):
    """Later ones would free what views look at."""
    data = pickle.dumps(np.arange(500.), 3)
    state = data.index(b'(K\x01')  # up to the code that sets it
    path = tmp_path / 'twice.pkl'
    path.write_bytes(data[:-1] + data[state:])
    assert pickle.loads(path.read_bytes()).size == 500
    with pytest.raises(pickle.UnpicklingError, match='anything but numbers'):
        safe_pickle.load(str(path))
