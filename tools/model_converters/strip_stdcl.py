"""Make a checkpoint for inference of one of training with STD-CL.

The decoupler, the memory banks and the state of the training (optimizer,
schedulers, random numbers) go; the weights of encoder and classifier and the
metadata stay. What is left is a checkpoint of the plain network: it works with
the plain config, and with MMAction2 alone if that has the encoder (ST-GCN,
2S-AGCN), the layout and the stream.
"""
import argparse
import hashlib
import io
import os.path as osp
import pickle
import re
import sys
from pathlib import Path
from typing import Tuple

import torch

sys.path.insert(0, osp.dirname(osp.dirname(osp.dirname(
    osp.abspath(__file__)))))

from mmengine.runner.checkpoint import CheckpointLoader

import projects.stdcl  # noqa: F401  loads safely
from projects.stdcl.models.heads.stdcl_head import TRAINING_ONLY
from projects.stdcl.utils.atomic_write import atomic_write

OF_STDCL = re.compile(rf'(.*\.)?cls_head\.({"|".join(TRAINING_ONLY)})\.')
EXAMPLES = '''example:
  python tools/model_converters/strip_stdcl.py \\
      work_dirs/stdcl-stgcn_synthetic/epoch_10.pth stgcn_synthetic.pth

writes stgcn_synthetic-0123abcd.pth, where the letters and digits are the
first eight of the file's SHA-256, as in the names of OpenMMLab's models.'''


def strip(checkpoint: dict) -> dict:
    """The part of a checkpoint that inference takes.

    Args:
        checkpoint (dict): As a training leaves it.

    Returns:
        dict: ``meta``, all of it, and ``state_dict``, less the decoupler and
        the banks.

    Raises:
        ValueError: It has no ``state_dict``.
    """
    if not isinstance(checkpoint, dict) or 'state_dict' not in checkpoint:
        raise ValueError(
            'it has no state_dict; expected a checkpoint of a training, with '
            'meta and state_dict.')
    return dict(
        meta=checkpoint.get('meta', {}),
        state_dict={name: _alone(value) for name, value
                    in checkpoint['state_dict'].items()
                    if not OF_STDCL.match(name)})


def _alone(value):
    """A tensor without the rest of what it is a view of; else as it is."""
    return value.cpu().clone(memory_format=torch.contiguous_format
                             ) if isinstance(value, torch.Tensor) else value


def write(checkpoint: dict, out: Path) -> Path:
    """Save a checkpoint with its hash in its name.

    Args:
        checkpoint (dict): Tensors and plain containers.
        out (Path): ``NAME.pth``; its folder is made.

    Returns:
        Path: ``NAME-HASH.pth``, the file.
    """
    content = io.BytesIO()
    torch.save(checkpoint, content)
    digest = hashlib.sha256(content.getbuffer()).hexdigest()[:8]
    path = out.with_name(f'{out.stem}-{digest}.pth')
    with atomic_write(path) as partial:
        partial.write_bytes(content.getbuffer())
    return path


def convert(source: Path, out: Path) -> Tuple[Path, int]:
    """Strip a file.

    Returns:
        tuple[Path, int]: The file that was written, and how many tensors of
        STD-CL it has no more.
    """
    checkpoint = CheckpointLoader.load_checkpoint(
        str(source), map_location='cpu', logger='silent')
    stripped = strip(checkpoint)
    dropped = len(checkpoint['state_dict']) - len(stripped['state_dict'])
    return write(stripped, out), dropped


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path,
                        help='checkpoint of a training (*.pth)')
    parser.add_argument('out', type=Path,
                        help='file to write (*.pth); its name gets a hash')
    args = parser.parse_args()
    if args.out.suffix != '.pth':
        parser.error(f'out is {args.out}, expected *.pth.')
    try:
        path, dropped = convert(args.source, args.out)
    except (ValueError, OSError, pickle.UnpicklingError) as error:
        sys.exit(f'error: {args.source} was not stripped: {error}')
    print(f'{path}: {path.stat().st_size:,} bytes of '
          f'{args.source.stat().st_size:,}; '
          + (f'without {dropped} tensors of STD-CL' if dropped else
             'there was no STD-CL in it') + '.')


if __name__ == '__main__':
    main()
