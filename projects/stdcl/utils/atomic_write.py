"""Write files that are either complete or absent."""
import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = '.partial'  # suffix of unfinished files


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path that is renamed to ``path`` on success.

    The temporary name ends in ``.partial``; only a crash leaves such a file
    behind. An existing file, or that of a link, is kept until the new one is
    complete. The last of several writers wins. Missing folders are created.
    """
    path = Path(os.path.realpath(path) if os.path.islink(path) else path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'{path.name}.{uuid.uuid4().hex[:8]}{PARTIAL}')
    try:
        yield partial
        with open(partial, 'rb+') as file:
            os.fsync(file.fileno())  # the content must be on disk first
        os.replace(partial, path)
        if hasattr(os, 'O_DIRECTORY'):  # not on Windows
            # flush the rename, before an older file can be deleted
            descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            except OSError as error:  # some file systems cannot do it
                if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                    raise
            finally:
                os.close(descriptor)
    except OSError as error:  # a failed write does not name the file
        error.filename = error.filename or (error.errno and str(path))
        raise
    finally:
        partial.unlink(missing_ok=True)
