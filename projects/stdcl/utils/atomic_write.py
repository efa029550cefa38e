"""Write files that are complete or not there."""
import os
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

PARTIAL = '.partial'  # suffix of files that are being written


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a name to write to, which becomes ``path`` if nothing fails.

    The name ends in ``.partial``; only a crash leaves such a file. An existing
    file stays until the new one is complete. Of several writers, the last to
    finish leaves its complete file. The folder of ``path`` is created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'{path.name}.{uuid.uuid4().hex[:8]}{PARTIAL}')
    try:
        yield partial
        with open(partial, 'rb+') as file:
            os.fsync(file.fileno())  # or a crash may leave the name alone
        os.replace(partial, path)
        _sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Store the new name before an older file is deleted."""
    if hasattr(os, 'O_DIRECTORY'):  # not on Windows
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
