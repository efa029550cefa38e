"""Unpickling data, and nothing that could run, hang or fill the memory.

A pickle is a program for a small machine. This is Python's own machine, which
is written in Python, with fewer instructions: those that make containers,
numbers and strings are as they are, those that call something know what they
may call, and those that fill a container know which. The one in C makes room
for 2**32 objects, 32 GiB, for a file of ten bytes that says its only object is
number 2**31 - 1.
"""
import math
import pickle
import sys
from collections import OrderedDict
from typing import Any, BinaryIO, Callable, Tuple

import numpy as np

MAX_DEPTH = 64  # of containers in containers
MAX_BITS = 2048  # of a whole number
# objects and bytes of a file's content, each counted wherever it is referred
# to: so many for each byte of the file, and for any file
MAX_GROWTH, MIN_GROWTH = 16, 2**20
# keys that cannot be made to collide by the thousands, or to nest
KEYS = (str, bytes, int, float, bool, type(None), np.integer, np.floating,
        np.bool_)
SMALL = frozenset((bool, float, complex, type(None)))

# instructions that call a class; data are made without them
CALLS = (pickle.INST + pickle.OBJ + pickle.NEWOBJ + pickle.NEWOBJ_EX
         + pickle.EXT1 + pickle.EXT2 + pickle.EXT4)


class RefusedError(pickle.UnpicklingError):
    """It holds something that is no data; the text says what."""


class Callee:
    """A function that a pickle may call, so that it can do nothing else."""
    __slots__ = ('name', 'function')

    def __init__(self, name: str, function: Callable) -> None:
        self.name, self.function = name, function


class DataUnpickler(pickle._Unpickler):
    """Reads one pickle.

    Args:
        file (BinaryIO): Open.
        num_bytes (int): Its size.

    Attributes:
        allowed (dict): (module, name) -> the function that takes the place of
            the one named so, or the object that does.
        sizes (dict): Type that may be in the result -> function that gives
            the bytes of an object of it.
    """
    dispatch = {code: method
                for code, method in pickle._Unpickler.dispatch.items()
                if code not in CALLS}
    allowed: dict = {}
    sizes: dict = {}

    def __init__(self, file: BinaryIO, num_bytes: int) -> None:
        super().__init__(file)
        self._file_read = self._read_what_is_there
        self.file, self.num_bytes = file, num_bytes
        self.empty_arrays: dict = {}  # id -> array that has no numbers yet

    def _read_what_is_there(self, size: int) -> bytes:
        if size > self.num_bytes:  # for which memory would be taken
            raise EOFError(f'{size:,} bytes in a file of {self.num_bytes:,}')
        return self.file.read(size)

    def read_all(self) -> Any:
        """Read the pickle, and check what came of it.

        Raises:
            RefusedError: It names a function, or holds an object, that is no
                data.
            Exception: It is damaged; which one depends on where.
        """
        content = self.load()
        self.memo.clear()  # this refers to itself: it would keep the content
        if self.empty_arrays:
            raise RefusedError('numpy.ndarray without numbers')
        size, _ = self._measure(content, {}, MAX_DEPTH)
        if size > MAX_GROWTH * self.num_bytes + MIN_GROWTH:
            raise ValueError(f'{self.num_bytes:,} bytes that would grow to '
                             f'{size:,} objects and bytes')
        return content

    def _measure(self, value: Any, known: dict, depth: int
                 ) -> Tuple[int, int]:
        """Objects and bytes in a value, and the depth of its containers."""
        kind = type(value)
        if kind in SMALL:
            return 1, 0
        if kind is int:
            if value.bit_length() > MAX_BITS:
                raise ValueError(f'a number of {value.bit_length():,} bits, '
                                 f'expected up to {MAX_BITS:,}')
            return 1, 0
        if kind is str:
            value.encode()  # a lone surrogate cannot be printed
            return 1 + len(value), 0
        if kind in (bytes, bytearray):
            return 1 + len(value), 0
        if kind in self.sizes:
            return 1 + self.sizes[kind](value), 0
        if kind is np.ndarray:
            check_text(value)
            return 1 + value.nbytes, 0
        if isinstance(value, np.generic):
            check_text(np.asarray(value))
            return 1 + value.nbytes, 0
        if kind in (list, tuple, set, frozenset):
            items = value
        elif kind in (dict, OrderedDict):
            items = [*value, *value.values()]
            items += vars(value).values() if kind is OrderedDict else ()
        else:
            raise RefusedError(value.name if kind is Callee else kind.__name__)
        if id(value) not in known:
            if not depth:
                raise ValueError(f'containers nested deeper than {MAX_DEPTH}')
            known[id(value)] = 1, 0  # if it comes to hold itself
            size = height = 0
            for item in items:
                more, below = self._measure(item, known, depth - 1)
                size, height = size + more, max(height, below)
            known[id(value)] = 1 + size, 1 + height
        if known[id(value)][1] > depth:
            raise ValueError(f'containers nested deeper than {MAX_DEPTH}')
        return known[id(value)]

    # what can be called

    def find_class(self, module: str, name: str) -> Any:
        """Look up a name among those that are allowed."""
        if (module, name) not in self.allowed:
            raise RefusedError(f'{module}.{name}')
        found = self.allowed[module, name]
        return Callee(f'{module}.{name}', found) if callable(found) else found

    def load_reduce(self) -> None:
        arguments, callee = self.stack.pop(), self.stack[-1]
        if type(callee) is not Callee or type(arguments) is not tuple:
            raise RefusedError(f'a call of a {type(callee).__name__}')
        made = self.stack[-1] = callee.function(*arguments)
        if callee.function is new_array:
            self.empty_arrays[id(made)] = made
    dispatch[pickle.REDUCE[0]] = load_reduce

    def load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) is Dtype:
            target.set_state(state)
        elif self.empty_arrays.pop(id(target), None) is not None:
            fill_array(target, state)
        else:
            self.set_state(target, state)
    dispatch[pickle.BUILD[0]] = load_build

    def set_state(self, target: Any, state: Any) -> None:
        """Give another object its state; there is none that has one."""
        raise RefusedError(f'the state of a {type(target).__name__}' if type(
            target) is not np.ndarray else
            'numpy.ndarray of anything but numbers')

    # what fills containers

    def _top(self, *kinds: type) -> Any:
        if type(self.stack[-1]) not in kinds:
            raise RefusedError(f'a {type(self.stack[-1]).__name__} filled as '
                               f'if it were a {kinds[0].__name__}')
        return self.stack[-1]

    def load_append(self) -> None:
        item = self.stack.pop()
        self._top(list).append(item)
    dispatch[pickle.APPEND[0]] = load_append

    def load_appends(self) -> None:
        items = self.pop_mark()
        self._top(list).extend(items)
    dispatch[pickle.APPENDS[0]] = load_appends

    def _set_items(self, items: list) -> None:
        keys, values = items[::2], items[1::2]
        self._top(dict, OrderedDict).update(
            zip(checked_keys(keys), values, strict=True))

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items([key, value])
    dispatch[pickle.SETITEM[0]] = load_setitem

    def load_setitems(self) -> None:
        self._set_items(self.pop_mark())
    dispatch[pickle.SETITEMS[0]] = load_setitems

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._set_items(items)
    dispatch[pickle.DICT[0]] = load_dict

    def load_additems(self) -> None:
        items = self.pop_mark()
        self._top(set).update(checked_keys(items))
    dispatch[pickle.ADDITEMS[0]] = load_additems

    def load_frozenset(self) -> None:
        items = self.pop_mark()
        self.append(frozenset(checked_keys(items)))
    dispatch[pickle.FROZENSET[0]] = load_frozenset

    def load_bytearray8(self) -> None:
        # Python makes it of the size that is said before it reads it
        size = int.from_bytes(self.read(8), 'little')
        self.append(bytearray(self.read(size)))
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


def checked_keys(keys: list) -> list:
    """Keys of a dict, or members of a set.

    Tuples are none: those that nest take for ever to be hashed, and those of
    numbers can be made to collide.
    """
    for key in keys:
        if not isinstance(key, KEYS) or (
                type(key) is int and key.bit_length() > 64):
            raise ValueError(f'a key of type {type(key).__name__}, expected a '
                             'string or a number of up to 64 bits')
    return keys


# what takes the place of functions that pickles name

def _encode_bytes(text: str, encoding: str) -> bytes:
    """For ``_codecs.encode``, which can look up any codec.

    Pickles of protocol 2, which MMEngine writes, hold bytes in this form.
    """
    if encoding != 'latin1':
        raise RefusedError(f'_codecs.encode to {encoding}')
    return str.encode(text, 'latin1')


def _bytes() -> bytes:
    """Empty; those that are not are ``_codecs.encode``."""
    return b''


def _bytearray(data='', encoding: str = 'latin-1') -> bytearray:
    """From bytes or text; a number would be a size."""
    if type(data) is bytes:
        return bytearray(data)
    return bytearray(str.encode(data, encoding if encoding == 'latin-1'
                                else 'ascii'))


def _set(items: list) -> set:
    return set(checked_keys(items))


def _frozenset(items: list) -> frozenset:
    return frozenset(checked_keys(items))


def _ordered_dict(pairs: list = ()) -> OrderedDict:
    keys, values = zip(*pairs) if pairs else ((), ())
    return OrderedDict(zip(checked_keys(keys), values))


def not_to_be_called(*args) -> None:
    """For what is only an argument."""
    raise RefusedError('a call of a class')


class Dtype:
    """For ``numpy.dtype``: numbers and strings of fixed size."""

    def __init__(self, text: str, align: bool = False,
                 copy: bool = True) -> None:
        self.dtype = np.dtype(text) if isinstance(text, str) else None
        if self.dtype is None or self.dtype.kind not in 'biufcSU' or (
                not self.dtype.itemsize):
            raise RefusedError(f'numpy.dtype of {text!r}')

    def set_state(self, state: tuple) -> None:
        """Take the byte order; the rest is for fields and objects."""
        if state[2:5] != (None, None, None):
            raise RefusedError('numpy.dtype with fields')
        self.dtype = self.dtype.newbyteorder(state[1])


def check_shape(shape: tuple, available: int, what: str) -> None:
    """Refuse sizes that are none, or too large.

    Args:
        shape (tuple[int]): The sizes.
        available (int): How many numbers there are.
        what (str): What has the shape, for the message.
    """
    if type(shape) is not tuple or any(type(size) is not int or size < 0
                                       for size in shape) or (
            # without numbers a size can be anything, such as a million
            # millions of empty rows
            math.prod(max(size, 1) for size in shape)
            > max(available, MIN_GROWTH)) or math.prod(shape) > available:
        raise RefusedError(f'{what} of shape {shape} in {available} numbers')


def check_text(array: np.ndarray) -> None:
    """Refuse an array of strings that cannot be printed, or even looked at.

    Raises:
        ValueError: It holds numbers that are no characters.
    """
    if array.dtype.kind == 'U' and array.size:
        codes = np.ascontiguousarray(array).view(f'{array.dtype.byteorder}u4')
        if ((codes > sys.maxunicode) | (codes >> 11 == 0xD800 >> 11)).any():
            raise ValueError('strings of numbers that are no characters')


def new_array(*args) -> np.ndarray:
    """For ``_reconstruct``; all that counts comes later."""
    return np.ndarray(0, np.int8)


def fill_array(array: np.ndarray, state: tuple) -> None:
    """Give a new array its numbers."""
    _, shape, kind, _, data = state
    if type(kind) is not Dtype or type(data) is not bytes:
        raise RefusedError('numpy.ndarray of anything but numbers')
    check_shape(shape, len(data) // kind.dtype.itemsize, 'numpy.ndarray')
    if math.prod(shape) * kind.dtype.itemsize != len(data):
        raise RefusedError(f'numpy.ndarray of shape {shape} in {len(data)} '
                           'bytes')
    array.__setstate__((*state[:2], kind.dtype, *state[3:]))


def _scalar(kind: Dtype, data: bytes) -> np.generic:
    """For ``scalar``."""
    if type(data) is not bytes:
        raise RefusedError('a number of anything but bytes')
    return np.frombuffer(data, kind.dtype, count=1)[0]


def _from_buffer(data, kind: Dtype, shape: tuple, order: str) -> np.ndarray:
    """For ``_frombuffer``, of pickles of protocol 5."""
    if type(data) not in (bytes, bytearray):
        raise RefusedError('numpy._frombuffer of anything but bytes')
    array = np.frombuffer(data, kind.dtype)
    check_shape(shape, array.size, 'numpy._frombuffer')
    return array.reshape(shape, order=order)


CONTAINERS = {('_codecs', 'encode'): _encode_bytes,
              ('collections', 'OrderedDict'): _ordered_dict}
for module in ('builtins', '__builtin__'):  # up to protocol 3
    CONTAINERS.update({
        (module, 'set'): _set, (module, 'frozenset'): _frozenset,
        (module, 'bytes'): _bytes, (module, 'bytearray'): _bytearray,
        (module, 'complex'): complex})
ARRAYS = {('numpy', 'ndarray'): not_to_be_called, ('numpy', 'dtype'): Dtype}
# numpy 2 renamed numpy.core; files of either version are read by either
for module in ('numpy.core', 'numpy._core'):
    ARRAYS[f'{module}.multiarray', '_reconstruct'] = new_array
    ARRAYS[f'{module}.multiarray', 'scalar'] = _scalar
    ARRAYS[f'{module}.numeric', '_frombuffer'] = _from_buffer
