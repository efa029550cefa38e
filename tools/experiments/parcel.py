"""Parcels: the state of a study in files of limited size, to be carried.

For machines that are lent for minutes and keep nothing. A parcel is a tar
archive, cut into parts, with what it takes to go on: records, scores of
finished trainings, and the last checkpoint and run.json of others.
"""
import hashlib
import re
import tarfile
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Dict, Iterable, List, Tuple

from projects.stdcl.utils.atomic_write import atomic_write
from projects.stdcl.utils.checkpoint_file import find_latest
from projects.stdcl.utils.input_error import InputError

PART_SIZE = 15 * 2**20  # bytes
PART = re.compile(r'study-([0-9a-f]{12})\.(\d{3})-of-(\d{3})')


def state_of(work_dir: Path, is_recorded: bool) -> List[Path]:
    """The files of a training that are worth carrying.

    Args:
        work_dir (Path): Its work directory.
        is_recorded (bool): Whether its record is there: then only its scores
            are of use.
    """
    names = [work_dir / 'scores.npz']
    if not is_recorded:
        latest = find_latest(str(work_dir)).path
        names = [work_dir / 'run.json', work_dir / 'last_checkpoint',
                 # last_checkpoint may name the folder that it came from
                 *([work_dir / Path(latest).name] if latest else [])]
    return [path for path in names if path.is_file()]


def pack(files: Iterable[Path], root: Path, folder: Path) -> List[Path]:
    """Write a parcel, then delete the ones before it.

    Args:
        files (Iterable[Path]): What goes into it, all below ``root``.
        root (Path): What paths in it are relative to.
        folder (Path): Where the parts go.

    Returns:
        list[Path]: The parts, of at most :data:`PART_SIZE` bytes each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    earlier = [path for path in folder.iterdir() if PART.fullmatch(path.name)]
    with TemporaryFile() as whole:
        with tarfile.open(fileobj=whole, mode='w') as archive:
            for path in files:
                archive.add(path, path.relative_to(root), recursive=False)
        parts = _cut(whole, folder)
    for path in set(earlier).difference(parts):
        path.unlink()
    return parts


def _cut(whole: IO[bytes], folder: Path) -> List[Path]:
    number = -(-whole.tell() // PART_SIZE)
    whole.seek(0)
    mark = hashlib.file_digest(whole, 'sha256').hexdigest()[:12]
    whole.seek(0)
    parts = [folder / f'study-{mark}.{part:03}-of-{number:03}'
             for part in range(number)]
    for path in parts:
        with atomic_write(path) as partial:
            partial.write_bytes(whole.read(PART_SIZE))
    return parts


def unpack(folder: Path, root: Path) -> int:
    """Put the newest whole parcel of a folder in its place.

    Files that are newer in their place stay: what crashes before it packs
    has gone further there than its parcel.

    Args:
        folder (Path): With the parts.
        root (Path): What paths in it are relative to.

    Returns:
        int: The number of files that were put there; 0 if there is no
        parcel.

    Raises:
        InputError: No parcel has all its parts, one has changed, or holds
            more than files within the root.
    """
    parcels = _parcels(folder)
    if not parcels:
        return 0
    mark, parts = next(filter(_is_whole, parcels), parcels[0])
    with TemporaryFile() as whole:
        for path in parts:
            if not path.is_file():
                raise InputError(f'{path}: is missing, expected all of the '
                                 f'{len(parts)} parts.')
            whole.write(path.read_bytes())
        whole.seek(0)
        seen = hashlib.file_digest(whole, 'sha256').hexdigest()[:12]
        if seen != mark:
            raise InputError(f'{folder}: the parcel study-{mark} has the hash '
                             f'{seen}; expected that of its name.')
        whole.seek(0)
        with tarfile.open(fileobj=whole) as archive:
            files = [file for file in archive
                     if not _is_newer(root / file.name, file.mtime)]
            _require_inside(folder, files, root)
            # Python before 3.11.4 has no filters, 3.14 wants none named
            archive.extraction_filter = getattr(tarfile, 'data_filter', None)
            archive.extractall(root, files)
    return len(files)


def _require_inside(folder: Path, files: List[tarfile.TarInfo],
                    root: Path) -> None:
    root = root.resolve()
    for file in files:
        if not (file.isfile()
                and (root / file.name).resolve().is_relative_to(root)):
            raise InputError(f'{folder}: the parcel holds {file.name}, '
                             f'expected nothing but files within {root}.')


def _parcels(folder: Path) -> List[Tuple[str, List[Path]]]:
    """Marks and parts, there or not, of all parcels; the newest first."""
    found: Dict[tuple, float] = {}
    for path in folder.glob('study-*'):
        name = PART.fullmatch(path.name)
        if name:
            mark, _, number = name.groups()
            found[mark, number] = max(path.stat().st_mtime,
                                      found.get((mark, number), 0))
    return [(mark, [folder / f'study-{mark}.{part:03}-of-{number}'
                    for part in range(int(number))])
            for mark, number in sorted(found, key=found.get, reverse=True)]


def _is_whole(found: Tuple[str, List[Path]]) -> bool:
    return all(path.is_file() for path in found[1])


def _is_newer(path: Path, than: float) -> bool:
    return path.is_file() and path.stat().st_mtime > than
