"""Writing files that are complete or not there.

Needs Python alone, for tools that start fast.
"""
import os
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

PARTIAL = '.partial'  # ends the names of files that are being written


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a name to write to, which becomes ``path`` if nothing fails.

    A crash leaves a file that ends in ``.partial``, an exception leaves none;
    what had the name before stays. Every writer has a name of its own, so that
    of several at the same time the last one to finish leaves its file, and
    whole.

    Args:
        path (Path): The file; its folder is made.

    Yields:
        Path: A name beside it, ``*.partial``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'{path.name}.{uuid.uuid4().hex[:8]}{PARTIAL}')
    try:
        yield partial
        with open(partial, 'rb+') as file:
            os.fsync(file.fileno())  # or a crash leaves the name without it
        os.replace(partial, path)
        _sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Bring the name to the disk as well, before anything older is deleted."""
    if hasattr(os, 'O_DIRECTORY'):  # not on Windows
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
