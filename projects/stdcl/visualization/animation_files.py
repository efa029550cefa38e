"""Write animations to files: a page with a player, or GIFs."""
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..utils.atomic_write import atomic_write
from ..utils.skeleton_layout import SkeletonLayout
from .skeleton_animation import Animation
from .skeleton_player import player_page


def write_animations(animations: Sequence[Animation], layout: SkeletonLayout,
                     view: tuple[float, float], folder: Path, style: str,
                     title: str) -> Iterator[Path]:
    """Write animations to a folder, and yield the path of each file.

    ``style`` is 'gif' for one file per animation, or 'html' for one page named
    after ``title``. ``view`` is the azimuth and elevation in degrees.
    """
    if style == 'html':
        path = folder / f'{file_names([title])[0]}.html'
        with atomic_write(path) as partial:
            partial.write_text(player_page(title, animations, layout, view),
                               encoding='utf-8')
        yield path
        return
    from .skeleton_gif import write_gif  # matplotlib is slow to import
    names = file_names([animation.name for animation in animations])
    for name, animation in zip(names, animations):
        path = folder / f'{name}.gif'
        write_gif(path, animation, layout, view)
        yield path


def file_names(names: Sequence[str]) -> list[str]:
    """Turn names of sequences into distinct file names."""
    safe = [re.sub(r'[^\w.-]+', '_', name).encode()[:150].decode(
        errors='ignore') for name in names]
    distinct = {name.casefold() for name in safe}  # as on Windows and macOS
    return safe if len(distinct) == len(safe) else [
        f'{index}_{name}' for index, name in enumerate(safe)]
