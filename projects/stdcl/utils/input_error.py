"""Errors in user input, and how commands report them."""
import pickle
import re
import sys
from contextlib import contextmanager
from numbers import Integral
from typing import Iterator


class InputError(ValueError):
    """Error in a config, a file or an option.

    The message names the source, the field, the value seen and the value
    expected, in one line.
    """


def require_positive(owner: str, **sizes: int) -> None:
    """Raise an ``InputError`` unless every size is a positive integer.

    ``owner`` is the name of the class that takes the sizes, for the message.
    """
    for name, size in sizes.items():
        if not isinstance(size, Integral) or size < 1:
            raise InputError(
                f'{owner}: {name} is {size!r}, expected a positive integer.')


@contextmanager
def end_cleanly(config: str = '') -> Iterator[None]:
    """Exit with a one-line ``error: ...`` if the input is at fault.

    This applies to an :class:`InputError`, to a file that is missing, not
    writable or not trusted, and to a loss that is not finite. The exit status
    is 1. Any other exception keeps its traceback. The message starts with
    ``config``, the path of the config file, if there is one.
    """
    try:
        yield
    except (InputError, OSError, FloatingPointError,
            pickle.UnpicklingError) as error:
        # a dataloader worker puts its traceback before the message
        text = re.sub(r'^Caught \w+ in .*\nOriginal Traceback .*\n[\w.]+: ',
                      '', str(error), flags=re.DOTALL).strip()
        prefix = f'{config}: ' if config else ''
        sys.exit(f'error: {prefix}{text.removeprefix(prefix)}')
