"""Files of ``torch.save``, checked before ``torch.load`` reads them.

``torch.load(weights_only=True)`` runs no code, but believes the sizes that a
file gives, unpacks what is compressed, and hashes whatever is a key. Here the
pickle of a file is read once without its tensors, which are small pictures of
themselves, and held against the bytes that are there.
"""
import math
import os
import zipfile
from collections import OrderedDict
from typing import BinaryIO, NamedTuple, Optional

import torch

from .data_unpickler import (
    CONTAINERS,
    DataUnpickler,
    RefusedError,
    check_shape,
)
from .safe_zip import UnsafeZipError, check_zip

ZIP = b'PK\x03\x04'


class _Storage(NamedTuple):
    """Numbers in the file, without them."""
    size: int
    itemsize: int


class _StorageType:
    """Looked up as ``torch.FloatStorage`` and the like."""

    def __init__(self, name: str) -> None:
        self.itemsize = 1 if name == 'UntypedStorage' else (
            torch.serialization.StorageType(name).dtype.itemsize)


class _Tensor:
    """A tensor without its numbers."""

    def __init__(self, storage: _Storage, offset: int, size: tuple,
                 stride: tuple, *_) -> None:
        if type(storage) is not _Storage:
            raise RefusedError('a tensor of anything but numbers')
        check_view(storage.size, offset, size, stride)
        self.num_bytes = math.prod(size) * storage.itemsize


def check_view(available: int, offset: int, size: tuple,
               stride: tuple) -> None:
    """Refuse a tensor with more numbers than there are.

    Args:
        available (int): How many numbers its storage has.
        offset (int), size (tuple[int]), stride (tuple[int]): Which of them
            are the tensor's.
    """
    size, stride = tuple(size), tuple(stride)
    check_shape(size, available, 'a tensor')
    last = offset + sum((one - 1) * step
                        for one, step in zip(size, stride, strict=True))
    if min(offset, *stride, 0) < 0 or 0 not in size and last >= available:
        raise RefusedError(
            f'a tensor of shape {size}, with offset {offset} and strides '
            f'{stride}, in {available} numbers')


def _parameter(data: _Tensor, *_) -> _Tensor:
    return data


def _counter(counts: dict) -> dict:
    """Of PyTorch's schedulers."""
    if type(counts) is not dict:
        raise RefusedError('collections.Counter of anything but counts')
    return counts


class _Unpickler(DataUnpickler):
    """Reads a pickle of ``torch.save``; tensors are without numbers."""
    allowed = {
        **CONTAINERS, ('collections', 'Counter'): _counter,
        ('torch', 'Size'): torch.Size,
        ('torch', 'device'): torch.device,
        ('torch._utils', '_rebuild_tensor_v2'): _Tensor,
        ('torch._utils', '_rebuild_parameter'): _parameter}
    # weights_only would make it of any size
    allowed = {name: entry for name, entry in allowed.items()
               if name[1] != 'bytearray'}
    sizes = {_Tensor: lambda tensor: tensor.num_bytes,
             _Storage: lambda storage: storage.size * storage.itemsize,
             torch.Size: len, torch.device: lambda _: 8,
             torch.dtype: lambda _: 8}

    def __init__(self, file: BinaryIO, num_bytes: int,
                 sizes_of_storages: Optional[dict] = None) -> None:
        super().__init__(file, num_bytes)
        self.sizes_of_storages = sizes_of_storages  # None if they come later
        self.storages: dict = {}

    def find_class(self, module: str, name: str):
        if module in ('torch', 'torch.storage') and name.endswith('Storage'):
            return _StorageType(name)
        found = getattr(torch, name, None) if module == 'torch' else None
        if isinstance(found, torch.dtype):
            return found
        return super().find_class(module, name)

    def persistent_load(self, reference: tuple) -> _Storage:
        word, kind, key, _, size = reference[:5]
        if word != 'storage' or type(kind) is not _StorageType or (
                type(key) is not str or type(size) is not int or size < 0
                or any(view is not None for view in reference[5:])):
            raise RefusedError('something outside of it that is no tensor')
        storage = self.storages.setdefault(key, _Storage(size, kind.itemsize))
        known = self.sizes_of_storages
        if known is not None and size * kind.itemsize > known.get(key, -1):
            raise ValueError(f'the tensor {key!r} has {known.get(key)} bytes, '
                             f'expected {size * kind.itemsize}')
        return storage._replace(size=size, itemsize=kind.itemsize)

    def set_state(self, target, state) -> None:
        """An ``OrderedDict`` may have the versions of its modules."""
        if type(target) is not OrderedDict or type(state) is not dict or (
                set(state) != {'_metadata'}
                or type(state['_metadata']) not in (dict, OrderedDict)
                or any(type(one) is not dict
                       for one in state['_metadata'].values())):
            raise RefusedError(f'the state of a {type(target).__name__}')
        vars(target).update(state)


def check(file: BinaryIO, path: str) -> None:
    """Refuse a file that is not safe to read with ``weights_only=True``.

    Args:
        file (BinaryIO): It, open; its position is moved.
        path (str): Its name, for messages.

    Raises:
        RefusedError: It holds more than tensors and plain containers.
        Exception: It is damaged, or of another kind; which depends on where.
    """
    num_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(len(ZIP)) == ZIP:
        with zipfile.ZipFile(file) as archive:
            _check_archive(archive, num_bytes, path)
    else:
        _check_pickles(file, num_bytes)


def _check_archive(archive: zipfile.ZipFile, num_bytes: int,
                   path: str) -> None:
    check_zip(archive, path)
    members = archive.infolist()
    for member in members:
        if member.compress_type:  # PyTorch never does
            raise UnsafeZipError(f'{path}: {member.filename!r} is compressed, '
                                 'expected what torch.save writes')
    total = sum(member.file_size for member in members)
    if total > num_bytes:
        raise UnsafeZipError(f'{path}: {num_bytes:,} bytes with members of '
                             f'{total:,}')
    folder = members[0].filename.partition('/')[0]
    start = f'{folder}/data/'
    _Unpickler(archive.open(f'{folder}/data.pkl'), num_bytes, {
        member.filename.removeprefix(start): member.file_size
        for member in members if member.filename.startswith(start)
    }).read_all()


def _check_pickles(file: BinaryIO, num_bytes: int) -> None:
    """The same for what PyTorch wrote before 1.6, which is no zip.

    Five pickles, of which the fourth is the content, and the bytes of the
    tensors.
    """
    file.seek(0)
    for _ in range(3):  # magic number, version, system
        DataUnpickler(file, num_bytes).read_all()
    unpickler = _Unpickler(file, num_bytes)
    unpickler.read_all()
    needed = sum(storage.size * storage.itemsize
                 for storage in unpickler.storages.values())
    if needed > num_bytes:
        raise ValueError(f'tensors of {needed:,} bytes in a file of '
                         f'{num_bytes:,}')
    DataUnpickler(file, num_bytes).read_all()  # the keys of the tensors
