"""Write annotation files; docs/annotation_format.md describes them."""
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...utils.atomic_write import atomic_write


def write_annotations(destination: Path, annotations: Iterable[dict],
                      **fields: Any) -> None:
    """Write an annotation file, completely or not at all.

    The annotations are generated and written one at a time, so they need not
    fit in memory together. ``fields`` are the entries ``split``, ``classes``
    and ``layout``, written last, so a generator of annotations may fill them.
    """
    with atomic_write(destination) as partial, open(partial, 'wb') as file:
        file.write(pickle.PROTO + b'\x03' + pickle.EMPTY_DICT + pickle.MARK)
        file.write(_body('annotations') + pickle.EMPTY_LIST)
        for annotation in annotations:
            file.write(_body(annotation) + pickle.APPEND)
        for name, value in fields.items():
            file.write(_body(name) + _body(value))
        file.write(pickle.SETITEMS + pickle.STOP)


def _body(value: Any) -> bytes:
    """Pickle ``value`` without the first (protocol) and the last opcode."""
    # such bodies can be concatenated: protocol 3 has no frames, and a body
    # refers only to its own memo
    return pickle.dumps(value, protocol=3)[2:-1]
