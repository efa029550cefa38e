"""Errors in the input, and how a command reports one."""
import pickle
import re
import sys
from contextlib import contextmanager
from numbers import Integral
from typing import Iterator


class InputError(ValueError):
    """A config, a file or an option is wrong.

    The message names it, the field, the value seen and the value expected, in
    one line.
    """


def require_positive(owner: str, **sizes: int) -> None:
    """Raise an ``InputError`` unless every size is a positive integer.

    ``owner`` is the class that takes them under these names.
    """
    for name, size in sizes.items():
        if not isinstance(size, Integral) or size < 1:
            raise InputError(
                f'{owner}: {name} is {size!r}, expected 1 or more.')


@contextmanager
def end_cleanly(config: str = '') -> Iterator[None]:
    """End the process with ``error: ...`` if the input is at fault.

    That is an :class:`InputError`, a file that is missing, not writable or
    not trusted, and a training whose loss is not finite. The exit status is
    1. Any other error keeps its traceback. The message starts with
    ``config``, a file.
    """
    try:
        yield
    except (InputError, OSError, FloatingPointError,
            pickle.UnpicklingError) as error:
        # a worker of a loader sends its traceback, which ends in the message
        text = re.sub(r'^Caught \w+ in .*\nOriginal Traceback .*\n[\w.]+: ',
                      '', str(error), flags=re.DOTALL).strip()
        prefix = f'{config}: ' if config else ''
        sys.exit(f'error: {prefix}{text.removeprefix(prefix)}')
