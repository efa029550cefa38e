"""Files that the user trusts.

A checkpoint or a pickle that holds more than data can run code when it is
read. It is refused unless its path is in the environment variable
``STDCL_TRUSTED_FILES``. There is no way to trust all files.
"""
import os

VARIABLE = 'STDCL_TRUSTED_FILES'


def is_trusted(path: str) -> bool:
    """Whether ``STDCL_TRUSTED_FILES`` names a file.

    Args:
        path (str): Path of the file to be read.

    Returns:
        bool: True if one of the paths in the variable, separated by
        ``os.pathsep``, is the same file.
    """
    named = os.environ.get(VARIABLE, '').split(os.pathsep)
    return os.path.realpath(path) in {
        os.path.realpath(name) for name in named if name}


def how_to_trust(path: str) -> str:
    """Say how to trust one file."""
    return (f'If you trust its author, set {VARIABLE}={path} in the '
            'environment to read it anyway.')
