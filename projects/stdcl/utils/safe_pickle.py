"""Reading pickles that hold data, and nothing that could run.

``pickle.load`` calls whatever functions a file names. The reader here knows
containers, numbers, strings, numpy arrays and CPU tensors (which
``tools/test.py --dump`` writes), and refuses a file that names anything else.
NumPy's own functions trust what they are given, down to pointers to objects,
so arrays are built by stand-ins that check it.
"""
import io
import math
import pickle
import re
from collections import OrderedDict
from typing import Any

import numpy as np
import torch

from .trusted_files import how_to_trust, is_trusted


class _RefusedError(pickle.UnpicklingError):
    pass


def _load_tensor_storage(data: bytes):
    """Stand-in for ``torch.storage._load_from_bytes``, which is unsafe."""
    try:
        return torch.load(io.BytesIO(data), weights_only=True)
    except pickle.UnpicklingError as error:
        names = re.findall(r'GLOBAL (\S+)', str(error))
        raise _RefusedError(', '.join(names) or error) from None


def _encode_bytes(text: str, encoding: str) -> bytes:
    """Stand-in for ``_codecs.encode``, which can look up any codec.

    Pickles of protocol 2, which MMEngine writes, hold bytes in this form.
    """
    if encoding != 'latin1':
        raise _RefusedError(f'_codecs.encode to {encoding}')
    return text.encode('latin1')


class _Dtype:
    """Stand-in for ``numpy.dtype``: numbers and strings of fixed size."""

    def __init__(self, text: str, align: bool = False,
                 copy: bool = True) -> None:
        self.dtype = np.dtype(text) if isinstance(text, str) else None
        if self.dtype is None or self.dtype.kind not in 'biufcSU':
            raise _RefusedError(f'numpy.dtype of {text!r}')

    def __setstate__(self, state: tuple) -> None:
        """Take the byte order; the rest is for fields and objects."""
        if state[2:5] != (None, None, None):
            raise _RefusedError('numpy.dtype with fields')
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """Stand-in for an array while it is read."""

    def __setstate__(self, state: tuple) -> None:
        """Take the numbers, once: there may be views of them."""
        _, shape, kind, _, data = state
        if (not isinstance(kind, _Dtype) or type(data) is not bytes
                or hasattr(self, 'complete')):
            raise _RefusedError('numpy.ndarray of anything but numbers')
        if min(shape, default=0) < 0 or (
                math.prod(shape) * kind.dtype.itemsize != len(data)):
            raise _RefusedError(f'numpy.ndarray of shape {shape} in '
                                f'{len(data)} bytes')
        super().__setstate__((*state[:2], kind.dtype, *state[3:]))
        self.complete = True


def _new_array(*args) -> _Array:
    """Stand-in for ``_reconstruct``; all that counts comes later."""
    return _Array(0, np.int8)


def _scalar(kind: _Dtype, data: bytes) -> np.generic:
    """Stand-in for ``scalar``."""
    return np.frombuffer(data, kind.dtype, count=1)[0]


def _from_buffer(data, kind: _Dtype, shape: tuple, order: str) -> np.ndarray:
    """Stand-in for ``_frombuffer``, of pickles of protocol 5."""
    if type(data) not in (bytes, bytearray):
        raise _RefusedError('numpy._frombuffer of anything but bytes')
    return np.frombuffer(data, kind.dtype).reshape(shape, order=order)


def _unwrap(value: Any, seen: set) -> Any:
    """Turn stand-ins for arrays into arrays, in place in lists and dicts."""
    if isinstance(value, _Array):
        return value.view(np.ndarray)
    if type(value) is tuple:
        return tuple(_unwrap(item, seen) for item in value)
    if isinstance(value, (list, dict)) and id(value) not in seen:
        seen.add(id(value))
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in list(items):
            if isinstance(item, (list, dict, tuple, np.ndarray)):
                value[key] = _unwrap(item, seen)
    return value


ALLOWED = {
    ('_codecs', 'encode'): _encode_bytes,
    ('collections', 'OrderedDict'): OrderedDict,
    ('numpy', 'ndarray'): None,  # an argument of _reconstruct, not to be used
    ('numpy', 'dtype'): _Dtype,
    ('torch', 'Size'): torch.Size,
    ('torch._utils', '_rebuild_tensor_v2'): torch._utils._rebuild_tensor_v2,
    ('torch.storage', '_load_from_bytes'): _load_tensor_storage,
}
for module in ('builtins', '__builtin__'):  # up to protocol 3
    for kind in (set, frozenset, bytes, bytearray, complex):
        ALLOWED[module, kind.__name__] = kind
# numpy 2 renamed numpy.core; files of either version are read by either
for module in ('numpy.core', 'numpy._core'):
    ALLOWED[f'{module}.multiarray', '_reconstruct'] = _new_array
    ALLOWED[f'{module}.multiarray', 'scalar'] = _scalar
    ALLOWED[f'{module}.numeric', '_frombuffer'] = _from_buffer


class _DataUnpickler(pickle.Unpickler):

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise _RefusedError(f'{module}.{name}')
        return ALLOWED[module, name]


def load(path: str) -> Any:
    """Read a pickle that holds only data.

    Args:
        path (str): A ``.pkl`` file.

    Returns:
        Any: The containers, numbers, strings, arrays and tensors in it.

    Raises:
        pickle.UnpicklingError: The file names a function or class beyond
            those, and is not in ``STDCL_TRUSTED_FILES``; or it is no pickle.
    """
    with open(path, 'rb') as file:
        if is_trusted(path):
            return pickle.load(file)
        try:
            return _unwrap(_DataUnpickler(file).load(), set())
        except _RefusedError as error:
            raise pickle.UnpicklingError(
                f'{path} was not read: it holds "{error}", and only '
                'containers, numbers, strings, arrays and tensors are read, '
                'because anything else can run code. '
                + how_to_trust(path)) from None
        except Exception as error:
            raise pickle.UnpicklingError(
                f'{path} could not be read; it is damaged, or no pickle '
                f'({type(error).__name__}: {error}).') from error
