"""``import mmaction.models`` fails: ``mmaction.models.localizers.drn`` lacks.

The wheel and the source archive of MMAction2 1.2.0 leave that folder out
(https://github.com/open-mmlab/mmaction2/issues/2714). DRN localises actions
in video by text and has no part in skeleton recognition, so a placeholder
stands in for it.
"""
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

PACKAGE = 'mmaction.models.localizers.drn'


class DRN:
    """Placeholder of the missing localizer; it cannot be constructed."""

    def __init__(self, *args, **kwargs) -> None:
        raise ImportError(
            'DRN is missing from the installed mmaction2 (MMAction2 issue '
            '2714). Install MMAction2 from its repository to use it.')


def apply() -> None:
    """Put the placeholder in the place of the folder, if that is missing."""
    mmaction = Path(importlib.util.find_spec('mmaction').origin).parent
    if (mmaction / 'models' / 'localizers' / 'drn').is_dir():
        return
    package, module = ModuleType(PACKAGE), ModuleType(f'{PACKAGE}.drn')
    package.__path__ = []  # marks it as a package
    package.drn, module.DRN = module, DRN
    sys.modules.setdefault(package.__name__, package)
    sys.modules.setdefault(module.__name__, module)
