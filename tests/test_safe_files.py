"""Files of unknown origin load without running code; writing is atomic."""
import functools
import io
import os
import pickle
import re
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from numpy._core.multiarray import _reconstruct, scalar

from projects.stdcl.utils import safe_files
from projects.stdcl.utils.atomic_write import atomic_write
from projects.stdcl.utils.input_error import InputError
from projects.stdcl.utils.safe_files import VARIABLE, is_trusted
from tests.attacks import Call

pytestmark = pytest.mark.usefixtures('nothing_trusted')

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
ARRAYS = [
    *(np.ones((2, 3), code) for code in '?bBhilLefdgFD'),
    np.asfortranarray(np.arange(6).reshape(2, 3)), np.arange(3, dtype='>f4'),
    np.arange(24.).reshape(2, 3, 4).transpose(1, 0, 2),
    np.arange(9)[::-2], np.zeros((0, 3)), np.array(3.5),
    np.arange(2000, dtype='f2').reshape(4, 500),
    np.array(['a', 'bcd']), np.array([b'a', b'bcd']),
    np.float32(3), np.int64(-7), np.bool_(True), np.str_('name'),
    np.str_(''), np.bytes_(b'')]


def write(folder, value, protocol=4):
    path = folder / 'data.pkl'
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_arrays_equal_those_of_pickle(tmp_path, protocol):
    path = write(tmp_path, ARRAYS, protocol)
    for read, expected in zip(safe_files.load(path),
                              pickle.loads(path.read_bytes())):
        assert type(read) is type(expected)
        assert read.dtype == expected.dtype
        np.testing.assert_array_equal(read, expected)
        for flag in ('writeable', 'f_contiguous', 'aligned'):
            assert getattr(read.flags, flag) == getattr(expected.flags, flag)


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_containers(tmp_path, protocol):
    array = np.arange(3)
    data = dict(
        split=OrderedDict(train=['a', 'b'], test=[]), empty=(),
        odd=[{1, 2}, frozenset('a'), b'\xff', b'', True, 2**70, None])
    arrays = dict(a=[array, (array, [array])], b=OrderedDict(c=(0, array)))
    arrays['itself'] = arrays
    read = safe_files.load(write(tmp_path, dict(data, **arrays), protocol))
    assert {name: read[name] for name in data} == data
    found = [read['a'][0], read['a'][1][0], read['a'][1][1][0],
             read['b']['c'][1]]
    assert all(one is found[0] for one in found)
    np.testing.assert_array_equal(found[0], array)
    assert read['itself']['itself'] is read['itself']


def test_files_of_numpy_1(tmp_path):
    """Pickles from NumPy 1 refer to numpy.core instead of numpy._core."""
    buffer = Call(np._core.numeric._frombuffer, b'ab', np.dtype('u1'), (2, ),
                  'C')
    path = write(tmp_path, [np.arange(3), np.float32(1), buffer], protocol=2)
    path.write_bytes(path.read_bytes().replace(b'numpy._core', b'numpy.core'))
    assert path.read_bytes().count(b'numpy.core') == 3
    array, number, characters = safe_files.load(path)
    assert array.tolist() == [0, 1, 2] and number == 1
    assert characters.tolist() == [97, 98]


ATTACKS = dict(
    call=lambda loot: Call(os.mkdir, str(loot)),
    nested=lambda loot: dict(annotations=[(Call(os.mkdir, str(loot)), )]),
    in_array=lambda loot: np.array([Call(os.mkdir, str(loot))], dtype=object),
    by_eval=lambda loot: Call(eval, f'__import__("os").mkdir("{loot}")'),
    by_getattr=lambda loot: Call(Call(getattr, Path(loot), 'mkdir')),
    by_partial=lambda loot: Call(functools.partial(os.mkdir, str(loot))))


@pytest.mark.parametrize('protocol', PROTOCOLS)
@pytest.mark.parametrize('attack', ATTACKS)
def test_code_does_not_run(tmp_path, loot, attack, protocol):
    path = write(tmp_path, ATTACKS[attack](loot), protocol)
    with pytest.raises(pickle.UnpicklingError) as caught:
        safe_files.load(path)
    assert not loot.exists()
    message = str(caught.value)
    assert f'{VARIABLE}={path}' in message and '\n' not in message
    pickle.loads(path.read_bytes())  # proves that the attack works
    assert loot.exists()


def test_list_that_contains_itself(tmp_path):
    items = []
    items.append((items, np.zeros(2)))
    found = safe_files.load(write(tmp_path, items))
    assert found[0][0] is found and found[0][1].shape == (2, )


NUMBERS_OF_EIGHT = bytes(range(65, 73)) * 4  # invalid as pointers


def dtype_of(*state):
    return Call(np.dtype, 'f8', False, True, state=state)


def array_of(shape, dtype, data=NUMBERS_OF_EIGHT):
    return Call(_reconstruct, np.ndarray, (0, ), b'b',
                state=(1, shape, dtype, False, data))


FIELDS = dtype_of(3, '|', None, ('a', ), {'a': (np.dtype('O'), 0)}, 8, 1, 0)
FORGED = {
    'object array of bytes': Call(np.ndarray, (1, ), np.dtype('O'),
                                  bytearray(NUMBERS_OF_EIGHT)),
    'dtype of objects': array_of((4, ), np.dtype('O')),
    'structured': np.zeros(2, 'f4,i4'),
    'subarray': np.dtype('(2,)f4'),
    'hidden field, scalar': Call(scalar, FIELDS, NUMBERS_OF_EIGHT[:8]),
    'hidden field, buffer': Call(
        np._core.numeric._frombuffer, bytearray(NUMBERS_OF_EIGHT[:8]), FIELDS,
        (1, ), 'C'),
    'hidden field, array': array_of((1, ), FIELDS),
    'negative shape': array_of((-1, -4), np.dtype('f8')),
    'larger than its data': array_of((2**40, ), np.dtype('f8')),
    'smaller than its data': array_of((3, ), np.dtype('f8')),
    'not characters': array_of((8, ), np.dtype('U1'), b'\xff' * 32),
    'array without numbers': Call(_reconstruct, np.ndarray, (0, ), b'b'),
    'state of a function': Call(Call(OrderedDict, state={'a': 1})),
    'attributes': Call(OrderedDict, state={'items': 1}),
    'size of bytes': Call(bytes, 9),
    'codec': Call(__import__('_codecs').encode, 'a', 'rot13'),
    'a function as data': [OrderedDict], 'a dtype as data': [np.dtype('f4')]}


@pytest.mark.parametrize('name', FORGED)
def test_forged_objects_raise(tmp_path, name):
    path = write(tmp_path, FORGED[name], 5)
    with pytest.raises(pickle.UnpicklingError, match=str(path)):
        safe_files.load(path)


def test_forged_flags_are_ignored(tmp_path):
    """Forged flags would make NumPy treat numbers as pointers to objects."""
    forged = array_of((4, ), dtype_of(3, '<', None, None, None, -1, -1, 63))
    read = safe_files.load(write(tmp_path, forged, 5))
    assert read.dtype == np.dtype('f8') and not read.dtype.hasobject
    np.testing.assert_array_equal(read, np.frombuffer(NUMBERS_OF_EIGHT))


def test_buffer_of_an_array_cannot_be_resized(tmp_path):
    """Appending to the buffer would free the memory of the array."""
    path = tmp_path / 'a.pkl'
    path.write_bytes(b''.join([
        pickle.PROTO + b'\5',
        pickle.BYTEARRAY8 + b'\x08' + bytes(7) + b'ab' * 4,
        pickle.BINPUT + b'\xff', b'cnumpy._core.numeric\n_frombuffer\n(h\xff',
        pickle.dumps(np.dtype('u1'), 2)[2:-1],
        pickle.BININT1 + b'\x08' + pickle.TUPLE1,
        pickle.BINUNICODE + b'\1\0\0\0C' + pickle.TUPLE + pickle.REDUCE,
        b'h\xff(' + b'K\1' * 9999 + pickle.APPENDS, pickle.STOP]))
    with pytest.raises(pickle.UnpicklingError, match='BufferError'):
        safe_files.load(path)


@pytest.mark.parametrize('array', [
    np.zeros(2, 'f4,i4'), np.zeros(2, 'M8[s]'), np.zeros(2, 'm8[s]')],
    ids=lambda array: str(array.dtype))
def test_other_dtypes_in_npy_and_npz_raise(tmp_path, array):
    for save in (np.save, np.savez):
        with open(tmp_path / 'a', 'wb') as file:
            save(file, array)
        with pytest.raises(InputError, match='more than numbers and strings'):
            safe_files.load_arrays(tmp_path / 'a')


class Harmless:
    """Class that is harmless, but not plain data."""


def test_a_trusted_file_is_read(tmp_path, monkeypatch):
    path = write(tmp_path, [Harmless()])
    with pytest.raises(pickle.UnpicklingError, match='Harmless'):
        safe_files.load(path)
    monkeypatch.setenv(VARIABLE, os.pathsep.join(['other', str(path)]))
    assert type(safe_files.load(path)[0]) is Harmless


@pytest.mark.parametrize('value', [
    '', '.', os.pathsep, '1', '*', '/', '{folder}', '{folder}/*', '{file}x'])
def test_only_the_path_of_the_file_trusts_it(tmp_path, monkeypatch, value):
    path, link = tmp_path / 'a.pth', tmp_path / 'link.pth'
    path.touch()
    link.symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, value.format(folder=tmp_path, file=path))
    with open('a.pth', 'rb') as file:
        assert not is_trusted(file)
    monkeypatch.setenv(VARIABLE, './a.pth')
    for name in ('a.pth', path, link):
        with open(name, 'rb') as file:
            assert is_trusted(file)


def damaged(content: bytes, at: int = 9) -> list:
    """Return truncated, altered, empty and unrelated versions of a file."""
    return [*(content[:keep] for keep in (0, 1, 5, len(content) // 2, -1)),
            content[:at] + b'\xff' * 9 + content[at + 9:],
            b'<html>404</html>', bytes(99)]


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_a_damaged_pickle_is_named(tmp_path, protocol):
    content = dict(a=np.ones(50), b=['x', ('x', 1)])
    path = write(tmp_path, content, protocol)
    for change in damaged(path.read_bytes()):
        path.write_bytes(change)
        with pytest.raises(pickle.UnpicklingError) as caught:
            safe_files.load(path)
        assert str(caught.value).startswith(f'{path} ')
    with pytest.raises(FileNotFoundError, match='none.pkl'):
        safe_files.load(tmp_path / 'none.pkl')


@pytest.mark.parametrize('save, at', [
    (np.save, 9), (np.savez, 999), (np.savez_compressed, 150)])
def test_a_damaged_npy_or_npz_is_named(tmp_path, save, at):
    content = io.BytesIO()
    save(content, np.arange(500.))
    path = tmp_path / 'a.npz'
    text = io.BytesIO()
    with zipfile.ZipFile(text, 'w') as file:
        file.writestr('x', 'no array')
    for change in [*damaged(content.getvalue(), at), text.getvalue()]:
        path.write_bytes(change)
        with pytest.raises(InputError, match=f'{path} could not be read'):
            safe_files.load_arrays(path)


def test_deeply_nested_pickle_is_named(tmp_path):
    path = tmp_path / 'a.pkl'
    path.write_bytes(b'\x80\x02' + b']' * 10**5 + b'a' * (10**5 - 1) + b'.')
    with pytest.raises(pickle.UnpicklingError, match='RecursionError'):
        safe_files.load(path)


def test_no_other_module_reads_files_that_can_contain_code(root):
    calls = re.compile(r'(torch|np|numpy|pickle|joblib|mmengine)\.load\(|'
                       r'Unpickler|read_pickle|fromstring|'
                       r'(?<![.\w])(eval|exec)\(')
    found = {path.name for folder in ('projects', 'tools')
             for path in (root / folder).rglob('*.py')
             if calls.search(path.read_text())}
    assert found == {'safe_files.py', 'checkpoint.py'}


def test_atomic_write(tmp_path):
    """A failure keeps the previous file; the last of two writers wins."""
    path = tmp_path / 'new' / 'a.txt'
    with atomic_write(path) as first:
        first.write_text('first')
        with atomic_write(path) as second:
            second.write_text('second')
        assert path.read_text() == 'second'
    with pytest.raises(KeyError), atomic_write(path) as partial:
        partial.write_text('half')
        raise KeyError
    assert path.read_text() == 'first'
    assert [*path.parent.iterdir()] == [path]
    link = tmp_path / 'link'
    link.symlink_to(path)
    with atomic_write(link) as partial:
        partial.write_text('third')
    assert link.is_symlink() and path.read_text() == 'third'
