"""Checks of sizes that a config gives."""
from numbers import Integral

from .input_error import InputError


def require_positive(owner: str, **sizes: int) -> None:
    """Raise unless every size is a positive integer.

    Args:
        owner (str): The class that takes them, for the message.
        **sizes (int): The sizes, under their names in the config.

    Raises:
        InputError: One of them is not a positive integer.
    """
    for name, size in sizes.items():
        if not isinstance(size, Integral) or size < 1:
            raise InputError(
                f'{owner}: {name} is {size!r}, expected 1 or more.')
