"""Checkpoint files: whether one is whole, and which is the latest."""
import zipfile
from pathlib import Path
from typing import List, NamedTuple, Optional

LAST = 'last_checkpoint'  # MMEngine's file with the path of the last one
# what a training can resume from; not the best one, which has no optimizer
PATTERNS = ('epoch_*.pth', 'iter_*.pth', 'interrupted.pth')


def find_damage(path: str) -> Optional[str]:
    """Hold a checkpoint against the checksums in it.

    PyTorch writes them and does not look at them when it loads.

    Args:
        path (str): A file that ``torch.save`` wrote.

    Returns:
        str | None: What is wrong with it; None if it is whole, or no zip
        archive (as those of PyTorch before 1.6), which has no checksums.
    """
    try:
        with open(path, 'rb') as file:
            if file.read(2) != b'PK':
                return None if file.read(1) else 'it is empty'
        with zipfile.ZipFile(path) as archive:
            member = archive.testzip()
        return None if member is None else f'the checksum of {member} is wrong'
    except Exception as error:  # what a damaged archive raises is many things
        return f'{type(error).__name__}: {error}'


class Latest(NamedTuple):
    """The latest good checkpoint, and damaged ones that are newer."""
    path: Optional[str]
    damaged: List[str]  # a sentence for each


def find_latest(work_dir: str) -> Latest:
    """Find the checkpoint to resume from.

    That which ``last_checkpoint`` names, in the work directory if it is there
    (which may have been moved). Else, or if it is damaged, the newest of the
    work directory.

    Args:
        work_dir (str): The work directory of the training.

    Returns:
        Latest: Its path is None if there is no good one.
    """
    folder, named = Path(work_dir), []
    if (folder / LAST).is_file():
        text = (folder / LAST).read_text(errors='replace').strip()
        here = folder / Path(text).name
        named = [str(here) if here.is_file() else text] if text else []
    others = sorted({path for pattern in PATTERNS
                     for path in folder.glob(pattern)},
                    key=lambda path: path.stat().st_mtime, reverse=True)
    damaged = []
    for path in dict.fromkeys([*named, *map(str, others)]):
        if '://' in path:  # not on this machine
            return Latest(path, damaged)
        damage = find_damage(path)
        if damage is None:
            return Latest(path, damaged)
        damaged.append(f'{path} is damaged ({damage})')
    return Latest(None, damaged)
