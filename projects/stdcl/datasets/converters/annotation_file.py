"""Write annotation files; docs/annotation_format.md describes them."""
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...utils.atomic_write import atomic_write


def write_annotations(destination: Path, annotations: Iterable[dict],
                      **fields: Any) -> None:
    """Write an annotation file, completely or not at all.

    ``fields`` are the other entries: ``split``, ``classes`` and ``layout``. A
    generator of ``annotations`` may fill them.
    """
    with atomic_write(destination) as partial, open(partial, 'wb') as file:
        content = dict(annotations=list(annotations), **fields)
        pickle.dump(content, file, protocol=4)
