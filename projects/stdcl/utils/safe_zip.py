"""Zip archives of unknown origin, also those of numpy's arrays.

An archive's list says what its members would unpack to. The list is all that
is needed to refuse a name that leads out of the folder, and a bomb: a small
file that would fill the memory. Needs numpy alone, for tools that start fast.
"""
import math
import os
import re
import zipfile
from pathlib import PurePosixPath
from typing import BinaryIO, Dict, Union

import numpy as np

# Texts shrink to a tenth, arrays of zeros to a thousandth. What unpacks to
# this many bytes does no harm; a larger archive may unpack to so many times
# its size.
HARMLESS_BYTES, MAX_RATIO = 2**28, 50
# Python unpacks others in one go, whatever size the list gives
METHODS = {zipfile.ZIP_STORED: 'stored', zipfile.ZIP_DEFLATED: 'deflated'}


class UnsafeZipError(ValueError):
    """An archive is not to be read; the text names file and member."""


def check_zip(archive: zipfile.ZipFile, path: Union[str, os.PathLike]) -> None:
    """Refuse an archive that could do harm.

    Members that share their bytes need no look of their own: they are counted
    as often as they are listed.

    Args:
        archive (ZipFile): It, open; nothing but its list is looked at.
        path (str | PathLike): The file, for messages.

    Raises:
        UnsafeZipError: A name leads out of the folder or occurs twice, a
            member is packed by an unusual method, or all of them together
            are too large for the file.
    """
    seen, unpacked = set(), 0
    size = archive.fp.seek(0, os.SEEK_END)
    for member in archive.infolist():
        # a name ends at a zero byte, but not for everyone
        name = member.orig_filename.replace('\\', '/')
        if '\0' in name or '..' in PurePosixPath(name).parts or (
                re.match('/|[A-Za-z]:', name)):
            raise UnsafeZipError(
                f'{path}: a member is named {member.orig_filename!r}, '
                'expected a path inside the folder to unpack to')
        if name in seen:
            raise UnsafeZipError(f'{path}: {name!r} is in it more than once, '
                                 'expected every name once')
        if member.compress_type not in METHODS:
            raise UnsafeZipError(
                f'{path}: {name!r} is packed by method '
                f'{member.compress_type}, expected one of '
                + ', '.join(f'{number} ({method})'
                            for number, method in METHODS.items()))
        if member.compress_size > size:  # for which memory would be taken
            raise UnsafeZipError(f'{path}: {name!r} has '
                                 f'{member.compress_size:,} bytes in a file '
                                 f'of {size:,}')
        seen.add(name)
        unpacked += member.file_size
    if unpacked > max(HARMLESS_BYTES, MAX_RATIO * size):
        largest = max(archive.infolist(), key=lambda one: one.file_size)
        raise UnsafeZipError(
            f'{path}: {size:,} bytes that would unpack to {unpacked:,}, the '
            f'most of them in {largest.filename!r} ({largest.file_size:,}), '
            f'expected up to {MAX_RATIO} times the file, or '
            f'{HARMLESS_BYTES:,}')


def load_arrays(path: Union[str, os.PathLike]
                ) -> Union[np.ndarray, Dict[str, np.ndarray]]:
    """``np.load``, which takes memory for whatever a file says it has.

    Args:
        path (str | PathLike): A ``.npy`` or ``.npz`` file.

    Returns:
        ndarray | dict[str, ndarray]: Its array, or those of the archive.

    Raises:
        UnsafeZipError: See :func:`check_zip`.
        Exception: It is damaged, or holds objects; which depends on where.
    """
    with open(path, 'rb') as file:
        _check_header(file, os.path.getsize(path))
    loaded = np.load(path, allow_pickle=False)  # pickles could run code
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        check_zip(loaded.zip, path)
        for member in loaded.zip.infolist():
            with loaded.zip.open(member) as file:
                _check_header(file, member.file_size)
        return {name: np.asarray(loaded[name]) for name in loaded.files}


def _check_header(file: BinaryIO, num_bytes: int) -> None:
    """Refuse an array of more than the bytes that there are."""
    magic = file.read(8)
    if magic[:6] != b'\x93NUMPY':
        return
    # version 3 is for fields with names beyond ASCII
    read = {1: np.lib.format.read_array_header_1_0,
            2: np.lib.format.read_array_header_2_0}[magic[6]]
    shape, _, dtype = read(file)
    needed = math.prod(shape) * dtype.itemsize
    if needed > num_bytes and not dtype.hasobject:
        raise ValueError(f'an array of shape {shape} and type {dtype}, which '
                         f'are {needed:,} bytes, in {num_bytes:,}')
