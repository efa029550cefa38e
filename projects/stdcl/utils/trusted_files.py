"""Which files the user vouches for.

Files that may run code when they are read (a checkpoint or a pickle that holds
more than tensors and plain containers) are refused unless they are named in
the environment variable ``STDCL_TRUSTED_FILES``. It takes paths, one by one;
there is no way to trust everything.
"""
import os

VARIABLE = 'STDCL_TRUSTED_FILES'


def is_trusted(path: str) -> bool:
    """Whether ``path`` is named in ``STDCL_TRUSTED_FILES``.

    Args:
        path (str): Path of the file about to be read.

    Returns:
        bool: True if one of the paths in the variable, which ``os.pathsep``
        separates, is the same file.
    """
    named = os.environ.get(VARIABLE, '').split(os.pathsep)
    return os.path.realpath(path) in {
        os.path.realpath(name) for name in named if name}


def how_to_trust(path: str) -> str:
    """The sentence that tells how to opt in for one file."""
    return ('If you trust whoever made it, read it all the same with '
            f'{VARIABLE}={path} in the environment.')
