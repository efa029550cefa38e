"""Silence two warnings that appear at every start and need no action.

- MMCV warns that mmcv-lite has no ``MultiScaleDeformableAttention``.
- Setuptools warns that ``pkg_resources`` is deprecated whenever MMEngine
  reloads it (https://github.com/open-mmlab/mmengine/pull/1676).
"""
import warnings

MESSAGES = ('Fail to import ``MultiScaleDeformableAttention``',
            'pkg_resources is deprecated as an API')


def apply() -> None:
    """Ignore warnings that start with one of :data:`MESSAGES`."""
    for message in MESSAGES:
        warnings.filterwarnings('ignore', message, UserWarning)
