"""Reading pickles that hold data, and nothing that could run.

``pickle.load`` calls whatever functions a file names. The reader here knows
containers, numbers, strings, numpy arrays and CPU tensors (which
``tools/test.py --dump`` writes), and refuses a file that names anything else.
"""
import io
import os
import pickle
from typing import Any

import torch

from . import torch_file
from .data_unpickler import (
    ARRAYS,
    CONTAINERS,
    DataUnpickler,
    RefusedError,
)
from .trusted_files import how_to_trust, is_trusted


def _load_storage(data: bytes) -> torch.storage.TypedStorage:
    """For ``torch.storage._load_from_bytes``, which is unsafe."""
    file = io.BytesIO(data)
    torch_file.check(file, 'a tensor')
    file.seek(0)
    storage = torch.load(file, weights_only=True)
    if type(storage) is not torch.storage.TypedStorage:
        raise RefusedError('torch.storage of anything but numbers')
    return storage


def _tensor(storage: torch.storage.TypedStorage, offset: int, size: tuple,
            stride: tuple, *_) -> torch.Tensor:
    """For ``_rebuild_tensor_v2``, which makes a storage as large as it takes.

    Gradients and hooks are for training.
    """
    if type(storage) is not torch.storage.TypedStorage:
        raise RefusedError('a tensor of anything but numbers')
    available = storage._untyped_storage.nbytes() // storage.dtype.itemsize
    torch_file.check_view(available, offset, size, stride)
    return torch._utils._rebuild_tensor(storage, offset, size, stride)


class _DataUnpickler(DataUnpickler):
    allowed = {
        **CONTAINERS, **ARRAYS,
        ('torch', 'Size'): torch.Size,
        ('torch._utils', '_rebuild_tensor_v2'): _tensor,
        ('torch.storage', '_load_from_bytes'): _load_storage}
    sizes = {torch.Tensor: lambda tensor: tensor.nbytes, torch.Size: len}


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
            return _DataUnpickler(file, os.path.getsize(path)).read_all()
        except RefusedError as error:
            raise pickle.UnpicklingError(
                f'{path} was not read: it holds "{error}", and only '
                'containers, numbers, strings, arrays and tensors are read, '
                'because anything else can run code. '
                + how_to_trust(path)) from None
        except Exception as error:
            raise pickle.UnpicklingError(
                f'{path} could not be read; it is damaged, or no pickle '
                f'({type(error).__name__}: {error}).') from error
