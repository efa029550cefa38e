"""Reading pickles that hold data, and nothing that could run.

``pickle.load`` calls whatever functions a file names. The reader here knows
containers, numbers, strings, numpy arrays and CPU tensors (which
``tools/test.py --dump`` writes), and refuses a file that names anything else.
"""
import io
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray

from .trusted_files import how_to_trust, is_trusted


def _load_tensor_storage(data: bytes):
    """Stand-in for ``torch.storage._load_from_bytes``, which is unsafe."""
    return torch.load(io.BytesIO(data), weights_only=True)


ALLOWED = {
    ('collections', 'OrderedDict'): OrderedDict,
    ('numpy', 'ndarray'): np.ndarray,
    ('numpy', 'dtype'): np.dtype,
    ('torch', 'Size'): torch.Size,
    ('torch._utils', '_rebuild_tensor_v2'): torch._utils._rebuild_tensor_v2,
    ('torch.storage', '_load_from_bytes'): _load_tensor_storage,
}
# numpy 2 renamed numpy.core; files of either version are read by either
for module in ('numpy.core', 'numpy._core'):
    ALLOWED[f'{module}.multiarray', '_reconstruct'] = multiarray._reconstruct
    ALLOWED[f'{module}.multiarray', 'scalar'] = multiarray.scalar
    ALLOWED[f'{module}.numeric', '_frombuffer'] = np._core.numeric._frombuffer


class _DataUnpickler(pickle.Unpickler):

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f'{module}.{name}')
        return ALLOWED[module, name]


def load(path: str) -> Any:
    """Read a pickle that holds only data.

    Args:
        path (str): A ``.pkl`` file.

    Returns:
        Any: The containers, numbers, strings, arrays and tensors in it.

    Raises:
        pickle.UnpicklingError: The file names a function or class beyond
            those, and is not in ``STDCL_TRUSTED_FILES``.
    """
    with open(path, 'rb') as file:
        if is_trusted(path):
            return pickle.load(file)
        try:
            return _DataUnpickler(file).load()
        except pickle.UnpicklingError as error:
            raise pickle.UnpicklingError(
                f'{path} was not read: it holds "{error}", and only '
                'containers, numbers, strings, arrays and tensors are read, '
                'because anything else can run code. '
                + how_to_trust(path)) from None
