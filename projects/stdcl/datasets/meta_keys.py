"""Metadata that samples carry through a data pipeline."""
from mmengine.dataset import Compose

from ..utils.input_error import InputError


def add_meta_key(pipeline: Compose, key: str) -> None:
    """Add an entry of the annotations to the metainfo of every sample.

    ``PackActionInputs``, which the pipeline must have, drops what its
    ``meta_keys`` do not name.
    """
    packers = [step for step in pipeline.transforms
               if hasattr(step, 'meta_keys')]
    if not packers:
        raise InputError('A pipeline ends without PackActionInputs, which '
                         f'would pass on {key}: {pipeline}.')
    for packer in packers:
        if key not in packer.meta_keys:
            packer.meta_keys = (*packer.meta_keys, key)
