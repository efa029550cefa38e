"""Checkpoint files: whether one is intact, and which is the latest."""
import zipfile
from pathlib import Path
from typing import List, NamedTuple, Optional

LAST = 'last_checkpoint'  # MMEngine's file with the path of the last one
# what training can resume from; the best checkpoint has no optimizer
PATTERNS = ('epoch_*.pth', 'iter_*.pth', 'interrupted.pth')

# the first bytes of a checkpoint of PyTorch before 1.6
LEGACY = b'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'


def find_damage(path: str) -> Optional[str]:
    """Verify the checksums in a checkpoint, as PyTorch does not.

    Returns:
        str | None: What is wrong with it. None if it is intact, or written by
        PyTorch before 1.6, which has no checksums.
    """
    try:
        with open(path, 'rb') as file:
            start = file.read(len(LEGACY))
        if start == LEGACY:
            return None
        with zipfile.ZipFile(path) as archive:
            member = archive.testzip()
        return None if member is None else f'the checksum of {member} is wrong'
    except Exception as error:  # which one depends on the damage
        return f'{type(error).__name__}: {error}'


class Latest(NamedTuple):
    """The latest intact checkpoint, and damaged ones that are newer."""
    path: Optional[str]
    damaged: List[str]  # a sentence for each


def find_latest(work_dir: str) -> Latest:
    """Find the checkpoint to resume from.

    It is the one that ``last_checkpoint`` names, or the file of that name in
    the work directory, which may have been moved. If neither exists or both
    are damaged, it is the newest one beside it or in the work directory. The
    path is None if there is no intact one.
    """
    folder, named = Path(work_dir), []
    folders = {folder}
    if (folder / LAST).is_file():
        text = (folder / LAST).read_text(errors='replace').strip()
        if '://' in text:  # not on this machine
            return Latest(text, [])
        named = [Path(text), folder / Path(text).name] if text else []
        folders.update(path.parent for path in named)
    others = sorted({path for pattern in PATTERNS for place in folders
                     for path in place.glob(pattern)},
                    key=lambda path: path.stat().st_mtime, reverse=True)
    damaged = []
    for path in dict.fromkeys([*named, *others]):
        if not path.is_file():
            continue
        damage = find_damage(path)
        if damage is None:
            return Latest(str(path), damaged)
        damaged.append(f'{path} is damaged ({damage})')
    return Latest(None, damaged)


def name_loaded(runner) -> str:
    """Name the checkpoint that a ``Runner`` loads, for messages."""
    file = runner._load_from
    if file is None and runner._resume:
        file = find_latest(runner.work_dir).path
    return 'The checkpoint' if file is None else f'Checkpoint {file}'
