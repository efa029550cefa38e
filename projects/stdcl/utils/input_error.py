"""Errors in user input, and how commands report them."""
import os
import pickle
import re
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from numbers import Integral

# package -> extra in pyproject.toml that installs it
EXTRAS = dict(
    pandas='analysis', sklearn='analysis', onnx='deploy', onnxruntime='deploy',
    onnxscript='deploy', submitit='slurm', tensorboard='tracking',
    wandb='tracking')

JOINERS = '\u200c\u200d'  # parts of words in Persian, Hindi and others


def printable(text: object) -> str:
    """Return a text on one line, with unprintable characters escaped.

    A name from a file could otherwise move the cursor of a terminal, reverse
    the reading direction, or forge further lines of output.

    >>> print(printable('walk\\naccuracy: 100 %'))
    walk\\naccuracy: 100 %
    """
    return ''.join(
        letter if letter.isprintable() or letter in JOINERS else
        letter.encode('unicode_escape').decode() for letter in str(text))


class InputError(ValueError):
    """Error in a config, a file or an option.

    The message is one line that says what is wrong and what is expected; see
    :func:`printable`. Several arguments become several lines.
    """

    def __init__(self, *lines: object) -> None:
        # a dataloader worker puts its traceback before the message
        super().__init__(*(printable(re.sub(
            r'^Caught \w+ in .*\nOriginal Traceback .*\n[\w.]+: ', '',
            str(line), flags=re.DOTALL).strip()) for line in lines))

    def __str__(self) -> str:
        return '\n  '.join(self.args)


def require_positive(owner: str, **sizes: int | Sequence[int]) -> None:
    """Raise an ``InputError`` unless every size is a positive integer.

    If a size is a list or a tuple, this applies to each of its entries.
    ``owner`` starts the message; it is usually the name of a class.
    """
    for name, size in sizes.items():
        several = isinstance(size, (list, tuple))
        if not all(isinstance(entry, Integral) and entry >= 1
                   for entry in (size if several else [size])):
            expected = 'positive integers' if several else 'a positive integer'
            raise InputError(
                f'{owner}: {name} is {size!r}, expected {expected}.')


def require_multiple(owner: str, name: str, value: int, divisor: int,
                     why: str) -> None:
    """Raise an ``InputError`` unless a size is a positive multiple."""
    if value < divisor or value % divisor:
        raise InputError(f'{owner}: {name} is {value}, expected a positive '
                         f'multiple of {divisor}, {why}.')


def require_known(field: str, value: str, known) -> None:
    """Raise an InputError about ``field`` unless ``value`` is in ``known``."""
    if value not in known:
        raise InputError(
            f'{field} is {value!r}, expected one of {", ".join(known)}.')


def require_processes(name: str, number: int) -> None:
    """Raise an ``InputError`` unless 1 to 1024 processes are to be started."""
    if not 1 <= number <= 1024:
        raise InputError(f'{name} is {number}, expected 1 to 1024.')


def _describe(error: Exception, args: dict) -> object:
    """Name the path and the argument that an error of the system is about."""
    if getattr(error, 'filename', None) is None:
        return getattr(error, 'strerror', None) or error
    path = error.filename2 or error.filename
    # the path is an argument, or a folder in one
    names = {str(one): f'{name.replace("_", "-")}: '
             for name, value in args.items()
             for one in (value if isinstance(value, list) else [value])
             if f'{one}/'.startswith(f'{path}/')}
    name = names[min(names, key=len)] if names else ''
    return f'{name}{path}: {error.strerror}' + (
        ', expected a folder' if isinstance(error, FileExistsError) else '')


@contextmanager
def end_cleanly(config: object = '',
                args: Namespace | None = None) -> Iterator[None]:
    """Exit with ``error: ...`` if the user can fix the cause.

    This applies to an :class:`InputError`, an ``OSError``, a pickle that is
    damaged or not trusted, numbers that are not finite, a missing package of
    an extra, and a process that has ended. Other exceptions keep their
    traceback. The message starts with the path ``config``. For an ``OSError``,
    it also names the argument in ``args`` that contains the path.
    """
    with suppress(AttributeError):  # its encoding may lack letters
        sys.stdout.reconfigure(errors='backslashreplace')
    try:
        yield
        if sys.stdout is not None:  # an error at the exit cannot be caught
            sys.stdout.flush()
    except ImportError as error:
        # MMEngine replaces the error that names the package
        missing = (error if isinstance(error, ModuleNotFoundError) else
                   error.__context__)
        name = getattr(missing, 'name', None)
        if name not in EXTRAS:
            raise
        sys.exit(f'error: the package {name} is missing. To install it, run '
                 f'pip install -e ".[{EXTRAS[name]}]"')
    except RuntimeError as error:
        # closed or reset, from Gloo; or ended, from a pool of processes
        if not any(word in str(error) for word in ('by peer', 'abruptly')):
            raise
        sys.exit('error: the connection to another process was lost. If no '
                 'process reports a different error, a process was killed.')
    except BrokenPipeError:
        os._exit(141)  # 128 + SIGPIPE, as after "| head"
    except (InputError, OSError, FloatingPointError,
            pickle.UnpicklingError) as error:
        if not isinstance(error, InputError):
            error = InputError(_describe(error, vars(args) if args else {}))
        prefix = printable(f'{config}: ') if config else ''
        sys.exit(f'error: {prefix}{str(error).removeprefix(prefix)}')
