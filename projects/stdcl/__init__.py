"""STD-CL: spatial-temporal decoupling contrastive learning for MMAction2.

Importing this package patches MMAction2 and MMEngine (:mod:`.compat`) and
registers its classes, so a config needs only one line:
``custom_imports = dict(imports=['projects.stdcl'])``.
"""
# compat must come first, because it makes mmaction.models importable
from . import compat, datasets, engine, models  # noqa: F401
