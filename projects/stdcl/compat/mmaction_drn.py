"""Make ``import mmaction.models`` work although a package is missing.

The wheel and the source archive of MMAction2 1.2.0 do not contain
``mmaction.models.localizers.drn``, so the import fails
(https://github.com/open-mmlab/mmaction2/issues/2714). An empty module replaces
it, because skeletons do not need DRN. To use it, install MMAction2 from git.
The models of videos and texts, which MMAction2 imports if ``transformers`` is
installed, fail to import with its current versions. They are left out.
"""
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from mmaction.utils import dependency


def apply() -> None:
    """Register the empty module if the package is missing."""
    dependency.WITH_MULTIMODAL = False
    mmaction = Path(importlib.util.find_spec('mmaction').origin).parent
    if (mmaction / 'models' / 'localizers' / 'drn').is_dir():
        return
    module = ModuleType('mmaction.models.localizers.drn.drn')
    module.DRN = None
    sys.modules.setdefault(module.__name__, module)
