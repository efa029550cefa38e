"""Patches for MMAction2 1.2.0 and MMEngine 0.10.7 on current PyTorch.

Each module fixes one fault and cites the upstream issue, if there is one.
Importing this package applies all patches.
"""
import importlib
import importlib.util
import sys

# mmaction_drn comes first: the others import mmaction.models
REPAIRS = ('mmaction_drn', 'accuracy_on_device', 'amp_on_cpu', 'checkpoint',
           'distributed_on_cpu', 'named_layouts')

if importlib.util.find_spec('mmcv') is None:
    # a traceback through a dozen files would hide the message
    sys.tracebacklimit = 0
    raise ModuleNotFoundError(
        'mmcv is missing: install the light version, which is sufficient (pip '
        'install mmcv-lite==2.1.0), or the full mmcv 2.1.0.', name='mmcv')

for _name in REPAIRS:
    importlib.import_module(f'{__name__}.{_name}').apply()
