"""Metadata that samples carry through a data pipeline."""
from mmengine.dataset import Compose

from ..utils.input_error import InputError


def add_meta_key(pipeline: Compose, key: str) -> None:
    """Make a pipeline keep an entry of the annotations as metainfo.

    ``PackActionInputs`` keeps only the entries that its ``meta_keys`` list. An
    ``InputError`` is raised if the pipeline contains no ``PackActionInputs``.
    """
    packers = [step for step in pipeline.transforms
               if hasattr(step, 'meta_keys')]
    if not packers:
        names = ', '.join(type(step).__name__ for step in pipeline.transforms)
        raise InputError(f'The pipeline [{names}] has no PackActionInputs, '
                         f'expected it as the last step, to keep {key}.')
    for packer in packers:
        if key not in packer.meta_keys:
            packer.meta_keys = (*packer.meta_keys, key)
