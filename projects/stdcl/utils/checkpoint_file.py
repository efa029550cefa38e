"""Find damaged checkpoint files and the latest intact one."""
import re
import zipfile
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .input_error import printable

LAST = 'last_checkpoint'  # file that contains the path of the latest one
# training can resume from these; the best checkpoint has no optimizer state
PATTERNS = ('epoch_*.pth', 'iter_*.pth', 'interrupted.pth')

# the first bytes of a file in the format of PyTorch before 1.6
LEGACY = b'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'


def find_damage(source: str | Path | BinaryIO) -> str | None:
    """Verify the checksums of a checkpoint, because PyTorch does not.

    ``source`` is a path, or an open file, which is rewound if it is intact.
    Return a description of the damage, or None if there is none. Files from
    PyTorch before 1.6 contain no checksums and are not checked.
    """
    try:
        if isinstance(source, (str, Path)):
            with open(source, 'rb') as file:
                return find_damage(file)
        if source.read(len(LEGACY)) != LEGACY:
            with zipfile.ZipFile(source) as archive:
                member = archive.testzip()
            if member is not None:
                return f'the checksum of {member} is wrong'
        source.seek(0)
        return None
    except PermissionError:
        raise
    except Exception as error:  # the type depends on the damage
        return f'{type(error).__name__}: {error}'


class Latest(NamedTuple):
    """The latest intact checkpoint, and the damaged ones that were skipped."""
    path: str | None
    damaged: list[str]  # one clause per file


def find_latest(work_dir: str) -> Latest:
    """Find the checkpoint to resume from.

    The first choice is the file in ``work_dir`` that ``last_checkpoint``
    names; the second is the newest intact one. If ``work_dir`` contains no
    checkpoint, the folder that ``last_checkpoint`` names is searched: the
    ``out_dir`` of the checkpoint hook, or the original of a copied folder.
    An ``out_dir`` that contains the named file comes first.
    """
    folder, named = Path(work_dir), Path()
    if (folder / LAST).is_file():
        text = (folder / LAST).read_text(errors='replace').strip()
        if '://' in text:  # remote files are not checked
            return Latest(text, [])
        named = Path(text)
    damaged, places = [], [folder, named.parent if named.name else folder]
    if (not (folder / named.name).exists() and named.is_file()
            and not (named.parent / LAST).exists()):  # not a work directory
        places.reverse()
    own = re.sub(r'\d+', '*', named.name)  # if filename_tmpl is set
    for place in places:
        # published copies, epoch_N-HASH.pth, have no optimizer state
        others = sorted({path for pattern in (*PATTERNS, own or PATTERNS[0])
                         for path in place.glob(pattern)
                         if not re.search('-[0-9a-f]{8}$', path.stem)},
                        key=lambda path: path.stat().st_mtime, reverse=True)
        for path in dict.fromkeys([place / named.name, *others]):
            if not path.is_file():
                continue
            damage = find_damage(path)
            if damage is None:
                return Latest(str(path), damaged)
            damaged.append(printable(f'{path} is damaged ({damage})'))
        if damaged and place == folder:
            break
    return Latest(None, damaged)


def name_loaded(runner) -> str:
    """Return the name of the checkpoint that a Runner loads, for messages."""
    file = runner._load_from
    if file is None and runner._resume:
        file = find_latest(runner.work_dir).path
    return 'The checkpoint' if file is None else f'Checkpoint {file}'
