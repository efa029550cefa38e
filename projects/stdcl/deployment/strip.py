"""Checkpoints of the plain network, from trainings with STD-CL."""
import hashlib
import io
import re
from pathlib import Path
from typing import Tuple

import torch
from mmengine.runner.checkpoint import CheckpointLoader

from ..models.heads.stdcl_head import TRAINING_ONLY
from ..utils.atomic_write import atomic_write
from ..utils.input_error import InputError

OF_STDCL = re.compile(rf'(.*\.)?cls_head\.({"|".join(TRAINING_ONLY)})\.')


def strip(checkpoint: dict) -> dict:
    """Keep ``meta``, and ``state_dict`` without decoupler and memory banks.

    Raises:
        InputError: There is no ``state_dict``.
    """
    if 'state_dict' not in checkpoint:
        raise InputError('there is no state_dict in it, expected a checkpoint '
                         'of a training, with meta and state_dict.')
    return dict(
        meta=checkpoint.get('meta', {}),
        state_dict={name: _without_storage(value) for name, value
                    in checkpoint['state_dict'].items()
                    if not OF_STDCL.match(name)})


def _without_storage(value):
    """Copy a tensor, because torch.save writes all that it is a view of."""
    return value.cpu().clone(memory_format=torch.contiguous_format
                             ) if isinstance(value, torch.Tensor) else value


def strip_file(source: Path, out: Path) -> Tuple[Path, int]:
    """Strip a checkpoint file.

    Args:
        source (Path): Checkpoint of a training.
        out (Path): ``NAME.pth``. Its folder is created.

    Returns:
        tuple[Path, int]: The new file, ``NAME-HASH.pth`` with the first eight
        digits of its SHA-256 like OpenMMLab's models, and the number of
        tensors removed.
    """
    checkpoint = CheckpointLoader.load_checkpoint(
        str(source), map_location='cpu', logger='silent')
    stripped, content = strip(checkpoint), io.BytesIO()
    torch.save(stripped, content)
    digest = hashlib.sha256(content.getbuffer()).hexdigest()[:8]
    path = out.with_name(f'{out.stem}-{digest}.pth')
    with atomic_write(path) as partial:
        partial.write_bytes(content.getbuffer())
    return path, len(checkpoint['state_dict']) - len(stripped['state_dict'])
