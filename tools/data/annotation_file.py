"""Writing ``PoseDataset`` annotation files; the converters share it."""
import pickle
import sys
from pathlib import Path
from typing import Any, Iterable

# for the converters as well, which import this first. utils alone: the whole
# package imports PyTorch and MMAction2, for seconds
sys.path.insert(0, str(Path(__file__).resolve().parents[2]
                       / 'projects' / 'stdcl'))

from utils.complete_file import atomic_write


class DataError(ValueError):
    """The source is not what it should be; the text names the file."""


def write(destination: Path, annotations: Iterable[dict],
          **fields: Any) -> None:
    """Write a file that is complete or not there.

    The annotations are taken and written one by one, so that they never have
    to be in memory together. The file is a pickle of one dict, made of
    containers, numbers, strings and numpy arrays alone.

    Args:
        destination (Path): The file, ``*.pkl``.
        annotations (Iterable[dict]): ``frame_dir``, ``label``,
            ``total_frames`` and ``keypoint``, float32, (M, T, V, C).
        **fields: What stands beside them: ``split`` (name -> list of
            ``frame_dir``), ``classes`` (list of their names) and ``layout``
            (a name, or the arguments of ``SkeletonLayout`` as a dict).
    """
    with atomic_write(destination) as partial, open(partial, 'wb') as file:
        file.write(pickle.PROTO + b'\x03' + pickle.EMPTY_DICT + pickle.MARK)
        for name, value in fields.items():
            file.write(_body(name) + _body(value))
        file.write(_body('annotations') + pickle.EMPTY_LIST)
        for annotation in annotations:
            file.write(_body(annotation) + pickle.APPEND)
        file.write(pickle.SETITEMS + pickle.STOP)


def _body(value: Any) -> bytes:
    """A pickle of ``value`` less its first (protocol) and last (stop) code.

    Protocol 3 has no frames, and a body looks up only what itself has noted,
    so that bodies can follow one another.
    """
    return pickle.dumps(value, protocol=3)[2:-1]
