"""Remove STD-CL from checkpoints, so that the plain network remains."""
import hashlib
import io
import re
from pathlib import Path

import torch
from mmengine.runner.checkpoint import CheckpointLoader

from ..models.heads.stdcl_head import TRAINING_ONLY
from ..utils.atomic_write import atomic_write
from ..utils.input_error import InputError

OF_STDCL = re.compile(rf'(.*\.)?cls_head\.({"|".join(TRAINING_ONLY)})\.')


def strip(checkpoint: dict) -> dict:
    """Return ``meta``, and ``state_dict`` without decoupler and memory banks.

    The config, which contains paths of a machine, is removed from ``meta``. An
    ``InputError`` is raised if the checkpoint contains no ``state_dict``.
    """
    if 'state_dict' not in checkpoint:
        raise InputError('state_dict is missing, expected a checkpoint.')
    meta = {name: value for name, value in (
        checkpoint.get('meta') or {}).items() if name != 'cfg'}
    if 'trained_on' in meta:  # the block does not matter any more
        meta['trained_on'] = {**meta['trained_on'], 'contrast_block': []}
    return dict(
        meta=meta,
        state_dict={
            # torch.save would write the whole storage of a view
            name: value.cpu().clone(memory_format=torch.contiguous_format)
            if isinstance(value, torch.Tensor) else value
            for name, value in checkpoint['state_dict'].items()
            if not OF_STDCL.match(name)})


def strip_file(source: Path, out: Path) -> tuple[Path, int]:
    """Remove STD-CL from a checkpoint file, as in :func:`strip`.

    As in OpenMMLab, ``NAME.pth`` becomes ``NAME-HASH.pth``, where HASH is the
    start of its SHA-256. Return the path and the number of removed tensors.
    """
    checkpoint = CheckpointLoader.load_checkpoint(
        str(source), map_location='cpu', logger='silent')
    stripped, content = strip(checkpoint), io.BytesIO()
    torch.save(stripped, content)
    digest = hashlib.sha256(content.getvalue()).hexdigest()[:8]
    path = out.with_name(f'{out.stem}-{digest}.pth')
    with atomic_write(path) as partial:
        partial.write_bytes(content.getvalue())
    return path, len(checkpoint['state_dict']) - len(stripped['state_dict'])
