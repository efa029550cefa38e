"""Reading pickles that hold data, and nothing that could run.

``pickle.load`` calls whatever functions a file names. The reader here knows
containers, numbers, strings, numpy arrays and CPU tensors (which
``tools/test.py --dump`` writes), and refuses a file that names anything else.
"""
import io
import pickle
import re
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray

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


ALLOWED = {
    ('_codecs', 'encode'): _encode_bytes,
    ('collections', 'OrderedDict'): OrderedDict,
    ('numpy', 'ndarray'): np.ndarray,
    ('numpy', 'dtype'): np.dtype,
    ('torch', 'Size'): torch.Size,
    ('torch._utils', '_rebuild_tensor_v2'): torch._utils._rebuild_tensor_v2,
    ('torch.storage', '_load_from_bytes'): _load_tensor_storage,
}
for module in ('builtins', '__builtin__'):  # up to protocol 3
    for kind in (set, frozenset, bytes, bytearray, complex):
        ALLOWED[module, kind.__name__] = kind
# numpy 2 renamed numpy.core; files of either version are read by either
for module in ('numpy.core', 'numpy._core'):
    ALLOWED[f'{module}.multiarray', '_reconstruct'] = multiarray._reconstruct
    ALLOWED[f'{module}.multiarray', 'scalar'] = multiarray.scalar
    ALLOWED[f'{module}.numeric', '_frombuffer'] = np._core.numeric._frombuffer


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
            return _DataUnpickler(file).load()
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
