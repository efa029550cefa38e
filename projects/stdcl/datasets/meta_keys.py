"""What a data pipeline tells of each sequence, beside the clip itself."""
from mmengine.dataset import Compose

from ..utils.input_error import InputError


def add_meta_key(pipeline: Compose, key: str) -> None:
    """Make every sample carry an entry of its annotation in its metainfo.

    ``PackActionInputs`` drops what its ``meta_keys`` do not name.

    Args:
        pipeline (Compose): The pipeline of a data set.
        key (str): The entry, such as 'sample_idx' or 'frame_dir'.

    Raises:
        ValueError: The pipeline packs no inputs.
    """
    packers = [step for step in pipeline.transforms
               if hasattr(step, 'meta_keys')]
    if not packers:
        raise InputError('A pipeline ends without PackActionInputs, so '
                         f'{key} does not get through: {pipeline}.')
    for packer in packers:
        if key not in packer.meta_keys:
            packer.meta_keys = (*packer.meta_keys, key)
