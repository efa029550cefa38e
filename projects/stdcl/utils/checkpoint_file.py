"""Checkpoint files: whether one is whole, and which is the latest."""
import zipfile
from pathlib import Path
from typing import List, NamedTuple, Optional

LAST = 'last_checkpoint'  # MMEngine's file with the path of the last one
# what a training can resume from; not the best one, which has no optimizer
PATTERNS = ('epoch_*.pth', 'iter_*.pth', 'interrupted.pth')

LEGACY = b'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'  # starts old checkpoints


def find_damage(path: str) -> Optional[str]:
    """Hold a checkpoint against the checksums in it.

    PyTorch writes them and does not look at them when it loads.

    Args:
        path (str): A file that ``torch.save`` wrote.

    Returns:
        str | None: What is wrong with it; None if it is whole, or of PyTorch
        before 1.6, which wrote no checksums.
    """
    try:
        with open(path, 'rb') as file:
            start = file.read(len(LEGACY))
        if start == LEGACY:
            return None
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

    That which ``last_checkpoint`` names, or, if that is not there any more,
    the one of its name in the work directory, which may have been moved. If
    there is none, or it is damaged, the newest of those beside it and in the
    work directory.

    Args:
        work_dir (str): The work directory of the training.

    Returns:
        Latest: Its path is None if there is no good one.
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
