"""Repairs of MMAction2 1.2.0 and MMEngine 0.10.7 on current PyTorch.

Each module repairs one fault and names the upstream issue; it changes nothing
where upstream works. Importing this package applies them all.
"""
import importlib
import importlib.util
import sys

# mmaction_drn first: the others import mmaction.models
REPAIRS = ('mmaction_drn', 'accuracy_on_device', 'amp_on_cpu', 'checkpoint',
           'distributed_on_cpu', 'named_layouts')

if importlib.util.find_spec('mmcv') is None:
    # the traceback would lead through a dozen files to this one line
    sys.tracebacklimit = 0
    raise ModuleNotFoundError(
        'mmcv is missing: install the light version that is enough here (pip '
        'install mmcv-lite==2.1.0), or the full mmcv 2.1.0.', name='mmcv')

for _name in REPAIRS:
    importlib.import_module(f'{__name__}.{_name}').apply()
