"""Errors of the user's making, and how a command ends with one."""
import pickle
import re
import sys
from contextlib import contextmanager
from typing import Iterator


class InputError(ValueError):
    """A config, a file or an option is not what it should be.

    The text says which, the field, the value seen and the value expected.
    """


@contextmanager
def end_cleanly(config: str = '') -> Iterator[None]:
    """End the process with ``error: ...`` where the code is not at fault.

    That is an :class:`InputError`, a file that is not there, that cannot be
    written or is refused, and a training that has gone astray; the exit status
    is 1. Any other error keeps its traceback.

    Args:
        config (str): The config file, which the message names. Defaults to
            none.
    """
    try:
        yield
    except (InputError, OSError, FloatingPointError,
            pickle.UnpicklingError) as error:
        # a loader's worker sends its traceback along, the message at its end
        text = re.sub(r'^Caught \w+ in .*\nOriginal Traceback .*\n[\w.]+: ',
                      '', str(error), flags=re.DOTALL).strip()
        prefix = f'{config}: ' if config else ''
        sys.exit(f'error: {prefix}{text.removeprefix(prefix)}')
