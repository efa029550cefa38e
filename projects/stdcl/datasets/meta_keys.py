"""Metadata that samples carry through a data pipeline."""
from mmengine.dataset import Compose

from ..utils.input_error import InputError


def add_meta_key(pipeline: Compose, key: str) -> None:
    """Make a pipeline keep an entry of the annotations as metainfo.

    ``PackActionInputs`` adds to the metainfo of a sample only the entries that
    its ``meta_keys`` list. A pipeline without it raises an ``InputError``.
    """
    packers = [step for step in pipeline.transforms
               if hasattr(step, 'meta_keys')]
    if not packers:
        names = ', '.join(type(step).__name__ for step in pipeline.transforms)
        raise InputError(f'The pipeline [{names}] has no PackActionInputs, '
                         f'expected one that passes {key} to the samples.')
    for packer in packers:
        if key not in packer.meta_keys:
            packer.meta_keys = (*packer.meta_keys, key)
