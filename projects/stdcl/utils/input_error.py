"""Errors in the input, and how a command reports one."""
import pickle
import re
import sys
from contextlib import contextmanager
from typing import Iterator


class InputError(ValueError):
    """A config, a file or an option is wrong.

    The message names it, the field, the value seen and the value expected, in
    one line.
    """


@contextmanager
def end_cleanly(config: str = '') -> Iterator[None]:
    """End the process with ``error: ...`` if the input is at fault.

    That is an :class:`InputError`, a file that is missing, not writable or
    not trusted, and a training whose loss is not finite. The exit status is
    1. Any other error keeps its traceback.

    Args:
        config (str): The file that the message starts with, if any.
            Defaults to none.
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
