"""Sizes that a config may give."""
from numbers import Integral

from .input_error import InputError


def require_positive(owner: str, **sizes: int) -> None:
    """Refuse sizes below 1, and what is no whole number.

    Args:
        owner (str): Who has them, for the message.
        **sizes (int): The sizes, under their names in the config.

    Raises:
        ValueError: One of them is below 1.
    """
    for name, size in sizes.items():
        if not isinstance(size, Integral) or size < 1:
            raise InputError(
                f'{owner}: {name} is {size!r}, expected 1 or more.')
