"""Read untrusted files without running code from them.

``pickle.load`` calls any function that a file names. This module looks up each
name in :data:`FUNCTIONS`, which maps it to a function that only returns data.
Any other name raises an error. While a file is read, placeholders represent
functions, dtypes and arrays, so that the file cannot tamper with their state.

Files listed in the environment variable ``STDCL_TRUSTED_FILES`` are read
without these restrictions. No setting trusts all files.
"""
import os
import pickle
import re
from collections import OrderedDict
from typing import Any, BinaryIO, Union

import numpy as np

from .input_error import InputError, printable

VARIABLE = 'STDCL_TRUSTED_FILES'
ATOMS = frozenset((str, bytes, bool, int, float, type(None)))
PathLike = Union[str, os.PathLike]


def is_trusted(file: BinaryIO) -> bool:
    """Return whether ``STDCL_TRUSTED_FILES`` lists an open file.

    A path alone could refer to a different file by the time it is opened.
    """
    named = os.environ.get(VARIABLE, '').split(os.pathsep)
    opened = os.fstat(file.fileno())
    return any(os.path.samestat(opened, os.stat(name))
               for name in named if os.path.exists(name))


def how_to_trust(path: PathLike) -> str:
    """Return a sentence that tells the user how to trust a file."""
    return (f'If you trust its author, set {VARIABLE}={path} in the '
            'environment to read it anyway.')


class RefusedError(pickle.UnpicklingError):
    """Error for an object that is not plain data; the message names it."""


class _Placeholder:
    """Unhashable placeholder whose attributes a file cannot change."""
    __slots__ = ('value', )
    __hash__ = None

    def __init__(self, value: Any = None) -> None:
        self.value = value

    def __setstate__(self, state: Any) -> None:
        raise RefusedError('the state of an object that is not an array')


class _Function(_Placeholder):
    """Placeholder for a function that a file may call."""
    __slots__ = ()

    def __call__(self, *args: Any) -> Any:
        return self.value(*args)


class _Dtype(_Placeholder):
    """Placeholder for a dtype of numbers, booleans or strings."""
    __slots__ = ()

    def __init__(self, code: str, align: bool = False,
                 copy: bool = True) -> None:
        if not re.fullmatch('[biufcSU][1-9][0-9]*|[SU]0', code):
            raise RefusedError(f'numpy.dtype {code}')
        super().__init__(np.dtype(code))

    def __setstate__(self, state: tuple) -> None:
        _, byte_order, *structure = state[:5]
        if structure != [None, None, None]:
            raise RefusedError('numpy.dtype with fields')
        self.value = self.value.newbyteorder(byte_order)


class _Array(_Placeholder):
    """Placeholder for a ``numpy.ndarray``."""
    __slots__ = ()

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        if type(data) is not bytes:
            raise RefusedError('numpy.ndarray of objects')
        array = _make_array(bytearray(data), dtype, shape,
                            'F' if is_fortran else 'C')
        # in native byte order, as pickle.load returns it
        self.value = array.astype(array.dtype.newbyteorder('='), copy=False)


def _make_array(data: bytes | bytearray, dtype: _Dtype, shape: tuple,
                order: str, axes: tuple = ()) -> np.ndarray:
    # unlike np.ndarray(buffer=data), this keeps a bytearray from being resized
    # NumPy 2.3 saves a transposed array as its base, of order 'K', and axes
    array = np.frombuffer(data, dtype.value).reshape(
        shape, order='C' if axes else order)
    if array.shape != shape:  # shape contains -1
        raise ValueError(f'invalid array shape {shape}')
    return _checked(array.transpose(axes) if axes else array)


def _checked(array: Any) -> np.ndarray:
    if not (isinstance(array, np.ndarray) and array.dtype.kind in 'biufcSU'):
        raise ValueError('it contains more than numbers and strings')
    if array.dtype.kind == 'U':
        array.tolist()  # raises ValueError for an invalid character
    return array


def _encode(text: str, encoding: str) -> bytes:
    """Replace ``_codecs.encode``, with which protocols 0 to 2 store bytes."""
    if encoding not in ('latin1', 'latin-1'):  # other encodings import modules
        raise RefusedError(f'_codecs.encode to {encoding!r}')
    return str.encode(text, 'latin-1')


def _scalar(dtype: _Dtype, data: bytes) -> np.generic:
    if dtype.value.itemsize == 0:  # an empty string; frombuffer rejects it
        return dtype.value.type()
    return np.frombuffer(data, dtype.value, count=1)[0]


FUNCTIONS = {('_codecs', 'encode'): _encode,
             ('collections', 'OrderedDict'): OrderedDict,
             # files pass ndarray to _reconstruct; calling it raises an error
             ('numpy', 'ndarray'): None,
             ('numpy', 'dtype'): _Dtype}
for _module in ('builtins', '__builtin__'):  # protocols 3 to 5, 0 to 2
    FUNCTIONS.update({
        (_module, 'set'): set, (_module, 'frozenset'): frozenset,
        (_module, 'bytes'): lambda: b''})
for _module in ('numpy._core', 'numpy.core'):  # NumPy 2, NumPy 1
    FUNCTIONS.update({
        (f'{_module}.multiarray', '_reconstruct'): lambda *_: _Array(),
        (f'{_module}.multiarray', 'scalar'): _scalar,
        (f'{_module}.numeric', '_frombuffer'):
            lambda *args: _Placeholder(_make_array(*args))})


class _Unpickler(pickle.Unpickler):

    def find_class(self, module: str, name: str) -> _Function:
        if (module, name) not in FUNCTIONS:
            raise RefusedError(f'{module}.{name}')
        return _Function(FUNCTIONS[module, name])


def _resolve(value: Any, known: dict) -> Any:
    """Replace placeholders with their arrays, in place where possible.

    ``known`` maps the id of a container to the container and its replacement.
    """
    kind = type(value)
    if kind in ATOMS or isinstance(value, np.generic):
        return value
    if isinstance(value, _Placeholder):
        if not isinstance(value.value, np.ndarray):
            raise RefusedError('a function, a dtype or an array without data')
        return value.value
    if id(value) in known:
        return known[id(value)][1]
    if kind is not tuple:  # a container may contain itself
        known[id(value)] = value, value
    if kind is list:
        value[:] = [_resolve(item, known) for item in value]
    elif kind is dict or kind is OrderedDict and not vars(value):
        for key, item in value.items():  # a placeholder cannot be a key
            value[key] = _resolve(item, known)
    elif kind is tuple:
        known[id(value)] = value, tuple(
            [_resolve(item, known) for item in value])
    elif kind not in (set, frozenset):
        raise RefusedError('an OrderedDict with attributes'
                           if kind is OrderedDict else f'a {kind.__name__}')
    return known[id(value)][1]


def load(path: PathLike) -> Any:
    """Read a pickle of containers, numbers, strings and arrays.

    The pickle may have any protocol, and arrays of NumPy 1 or 2.

    Raises:
        FileNotFoundError: ``path`` does not exist.
        pickle.UnpicklingError: ``path`` is damaged, or contains other objects
            and is not listed in ``STDCL_TRUSTED_FILES``.
    """
    with open(path, 'rb') as file:
        if is_trusted(file):
            return pickle.load(file)
        try:
            return _resolve(_Unpickler(file).load(), {})
        except RefusedError as error:
            raise pickle.UnpicklingError(printable(
                f'{path} was not read: it contains {error}, expected only '
                'containers, numbers, strings and arrays, because others can '
                f'run code. {how_to_trust(path)}')) from None
        except Exception as error:  # the type depends on the damage
            reason = ' '.join(str(error).split())
            raise pickle.UnpicklingError(printable(
                f'{path} could not be read: it is damaged or not a pickle '
                f'({type(error).__name__}: {reason}).')) from error


def load_arrays(path: PathLike) -> np.ndarray | dict[str, np.ndarray]:
    """Read the array of a ``.npy`` file or the arrays of a ``.npz`` file.

    Raises:
        FileNotFoundError: ``path`` does not exist.
        InputError: ``path`` is damaged or does not contain plain arrays.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return _checked(loaded)
        with loaded:
            return {name: _checked(loaded[name]) for name in loaded.files}
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception as error:
        # NumPy mistakes any unknown content for a pickle
        reason = ('it contains objects or no array' if 'pickle' in str(error)
                  else error)
        raise InputError(
            f'{path} could not be read: it is damaged or not a .npy or .npz '
            f'file of plain arrays ({reason}).') from error
