"""Errors in user input, and how commands report them."""
import pickle
import re
import sys
from contextlib import contextmanager
from numbers import Integral
from typing import Iterator

# package -> extra in pyproject.toml that installs it
EXTRAS = dict(
    pandas='analysis', sklearn='analysis', onnx='deploy', onnxruntime='deploy',
    onnxscript='deploy', submitit='slurm', tensorboard='tracking',
    wandb='tracking')


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
    writable or not trusted, to a loss that is not finite, and to a missing
    package of an extra. The exit status is 1. Any other exception keeps its
    traceback. The message starts with ``config``, the path of the config
    file, if there is one, unless a package is missing.
    """
    try:
        yield
    except ImportError as error:
        # MMEngine replaces the error that names the package
        missing = (error if isinstance(error, ModuleNotFoundError) else
                   error.__context__)
        name = getattr(missing, 'name', None)
        if name not in EXTRAS:
            raise
        sys.exit(f'error: {name} is missing; to install it, run pip install '
                 f'-e .[{EXTRAS[name]}]')
    except (InputError, OSError, FloatingPointError,
            pickle.UnpicklingError) as error:
        # a dataloader worker puts its traceback before the message
        text = re.sub(r'^Caught \w+ in .*\nOriginal Traceback .*\n[\w.]+: ',
                      '', str(error), flags=re.DOTALL).strip()
        prefix = f'{config}: ' if config else ''
        sys.exit(f'error: {prefix}{text.removeprefix(prefix)}')
