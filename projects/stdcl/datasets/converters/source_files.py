"""Find the raw files of a data set."""
import os
from collections.abc import Iterator
from pathlib import Path


def find_files(source: Path) -> Iterator[Path]:
    """Yield the files in a folder and its subfolders, but no hidden ones.

    Links to folders are followed. A folder with several links is read once.
    """
    seen = {source.resolve()}
    for folder, folders, names in os.walk(source, followlinks=True):
        # real folders before links to them
        found = sorted(folders, key=lambda name: (
            Path(folder, name).is_symlink(), name))
        folders.clear()  # os.walk enters the folders that remain in this list
        for name in found:
            real = Path(folder, name).resolve()
            if name[0] != '.' and real not in seen and (
                    not source.resolve().is_relative_to(real)):
                seen.add(real)
                folders.append(name)
        yield from (Path(folder, name) for name in sorted(names)
                    if name[0] != '.')
