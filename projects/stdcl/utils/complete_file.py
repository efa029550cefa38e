"""Files that are complete, or not there."""
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Union

PARTIAL = '.partial'  # ends the names of files that are being written


@contextmanager
def complete_file(path: Union[str, Path]) -> Iterator:
    """Open a file that takes its name when all of it is on the disk.

    A crash leaves a file that ends in ``.partial``, an exception leaves none;
    what had the name before stays.

    Args:
        path (str | Path): The file to write.

    Yields:
        BinaryIO: To be written to.

    Raises:
        OSError: It cannot be written, such as on a full disk.
    """
    path = Path(path)
    partial = path.with_name(f'{path.name}{PARTIAL}')
    try:
        with open(partial, 'wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
