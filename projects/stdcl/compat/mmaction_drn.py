"""Make ``import mmaction.models`` work although a package is missing.

The wheel and the source archive of MMAction2 1.2.0 do not contain
``mmaction.models.localizers.drn``, so the import fails
(https://github.com/open-mmlab/mmaction2/issues/2714). A placeholder replaces
it, because DRN is not used for skeletons.
"""
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

PACKAGE = 'mmaction.models.localizers.drn'


class DRN:
    """Placeholder for the missing localizer; it cannot be constructed."""

    def __init__(self, *args, **kwargs) -> None:
        raise ImportError(
            'DRN is missing from the installed mmaction2 (MMAction2 issue '
            '2714). To use DRN, install MMAction2 from its repository.')


def apply() -> None:
    """Register the placeholder if the package is missing."""
    mmaction = Path(importlib.util.find_spec('mmaction').origin).parent
    if (mmaction / 'models' / 'localizers' / 'drn').is_dir():
        return
    package, module = ModuleType(PACKAGE), ModuleType(f'{PACKAGE}.drn')
    package.__path__ = []  # marks it as a package
    package.drn, module.DRN = module, DRN
    sys.modules.setdefault(package.__name__, package)
    sys.modules.setdefault(module.__name__, module)
