"""Metadata that samples carry through a data pipeline."""
from mmengine.dataset import Compose

from ..utils.input_error import InputError


def add_meta_key(pipeline: Compose, key: str) -> None:
    """Add an entry of the annotations to the metainfo of every sample.

    ``PackActionInputs`` drops all entries that its ``meta_keys`` do not list.
    A pipeline without it raises an ``InputError``.
    """
    packers = [step for step in pipeline.transforms
               if hasattr(step, 'meta_keys')]
    if not packers:
        raise InputError(f'A pipeline has no PackActionInputs, expected one '
                         f'to pass {key} to the samples: {pipeline}.')
    for packer in packers:
        if key not in packer.meta_keys:
            packer.meta_keys = (*packer.meta_keys, key)
