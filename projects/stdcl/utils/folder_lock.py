"""A lock that prevents two runs from writing to the same folder."""
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .input_error import InputError


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Reserve a folder for this process, and create it if it is missing.

    The system releases the lock when the process ends, even if it is killed.
    Loader workers, which outlive a killed process by seconds, do not inherit
    the lock. It works on NFS. A file system without locks causes a warning.
    An ``InputError`` is raised if another process has locked the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / 'lock', 'a+') as file:
        try:
            import fcntl  # not on Windows
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            raise InputError(
                f'{folder}: another run is writing to this folder '
                f'({file.read(200).strip()}). Wait for it to end, or choose '
                'a different folder (train.py: --work-dir).') from None
        except (ImportError, OSError) as error:
            warnings.warn(f'{folder} cannot be locked ({error}). Do not start '
                          'a second run in it.', stacklevel=3)
        else:
            file.truncate(0)
            file.write(f'process {os.getpid()} on {socket.gethostname()}\n')
            file.flush()
        yield
