"""Patches for MMAction2 1.2.0 and MMEngine 0.10.7 on current PyTorch.

Importing this package applies all patches. Each module describes its patches,
and cites the upstream issues, if any.
"""
import importlib
import importlib.util
import sys
from pathlib import Path

# The order matters, because each of the first three patches must precede an
# import: that of MMCV, mmaction and mmaction.models, respectively.
REPAIRS = ('quiet_imports', 'lazy_imports', 'mmaction_drn',
           'accuracy_on_device', 'activation_checkpointing', 'amp_on_cpu',
           'checkpoint', 'distributed_on_cpu', 'early_stopping',
           'ema_after_training', 'mean_class_accuracy', 'named_layouts')

if importlib.util.find_spec('mmcv') is None:
    _message = (
        'mmcv is missing: install the light version, which is sufficient (pip '
        'install mmcv-lite==2.1.0), or the full mmcv 2.1.0.')
    # a tool cannot catch this error: importing end_cleanly raises it, too
    _main = Path(getattr(sys.modules['__main__'], '__file__', __file__))
    if Path(__file__).parents[3] / 'tools' in _main.resolve().parents:
        sys.exit(f'error: {_message}')
    raise ModuleNotFoundError(_message, name='mmcv')

for _name in REPAIRS:
    importlib.import_module(f'{__name__}.{_name}').apply()
