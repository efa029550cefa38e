"""Settings of glibc's memory allocator; other systems ignore them."""
import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # from glibc's malloc.h


def keep_freed_memory() -> None:
    """Reuse freed memory instead of returning it to the system.

    Otherwise, each training step on a CPU obtains its large tensors anew, and
    the system clears them first.
    """
    _call('mallopt', M_MMAP_MAX, 0)
    _call('mallopt', M_TRIM_THRESHOLD, -1)


def return_freed_memory() -> None:
    """Return freed memory to the system now."""
    _call('malloc_trim', 0)


def _call(name: str, *args: int) -> None:
    # Windows has no CDLL(None), and other systems lack these functions
    with suppress(TypeError, AttributeError):
        getattr(ctypes.CDLL(None), name)(*args)
