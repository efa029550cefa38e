"""Start faster: postpone two imports, and cache results of MMEngine.

MMAction2 imports ``scipy.stats`` and ``wandb`` for one function each. This
patch does so on first use, and turns garbage collection off during imports.
MMEngine formats the config whenever it logs or saves the config, and reads all
metafiles of MMAction2 for each config; this patch caches both results.
"""
import functools
import gc
import importlib.util
import sys
from types import SimpleNamespace

from mmengine.config import config as mmengine_config

LAZY = {'scipy.stats': 'mode', 'wandb': 'Video'}


def apply() -> None:
    """Postpone the imports in ``LAZY``, and cache two MMEngine functions."""
    absent = [name for name in LAZY if name not in sys.modules
              and importlib.util.find_spec(name) is not None]
    for name in absent:
        sys.modules[name] = SimpleNamespace(**{
            LAZY[name]: lambda *args, name=name, **kwargs: getattr(
                importlib.import_module(name), LAZY[name])(*args, **kwargs)})
    collects = gc.isenabled()
    gc.disable()  # a collection would search all objects that are imported
    try:
        import mmaction.datasets.transforms  # noqa: F401
        import mmaction.visualization  # noqa: F401
    finally:
        for name in absent:  # later imports get the real modules
            del sys.modules[name]
        if collects:
            gc.enable()
    gc.freeze()
    gc.unfreeze()  # all objects are now in the oldest generation

    upstream_format = mmengine_config.FormatCode

    @functools.lru_cache(maxsize=8)
    def formatted(text, style):
        return upstream_format(text, style_config=dict(style))

    mmengine_config.FormatCode = lambda text, style_config: formatted(
        text, tuple(sorted(style_config.items())))
    config = mmengine_config.Config
    config._get_cfg_path = staticmethod(functools.cache(config._get_cfg_path))
