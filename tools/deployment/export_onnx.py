"""Write a trained encoder and classifier as an ONNX file.

The network takes clips as the data pipeline makes them, (batch, persons,
frames, joints, channels) in float32, makes the config's stream of them, and
gives a score (logit) for each class. Batches may be of any size. The file is
held against PyTorch before it is kept.
"""
import argparse
import json
import logging
import os.path as osp
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
from mmengine.config import Config

sys.path.insert(0, osp.dirname(osp.dirname(osp.dirname(
    osp.abspath(__file__)))))

from projects.stdcl.apis import load_model
from projects.stdcl.utils.atomic_write import atomic_write
from projects.stdcl.utils.config_check import (
    add_model_arguments,
    load_config,
)
from projects.stdcl.utils.input_error import (
    InputError,
    end_cleanly,
)
from tools.analysis.get_flops import find_clip_shape

TOLERANCE = 1e-4  # of the largest logit
BATCHES = (1, 2, 5)  # sizes that are tried
EXAMPLES = '''example:
  python tools/deployment/export_onnx.py CONFIG CHECKPOINT stgcn.onnx

then, where onnxruntime is:
  session = onnxruntime.InferenceSession('stgcn.onnx')
  logits, = session.run(None, {'clips': clips})

Classes, stream, layout and the shape of a clip are in the file's metadata:
session.get_modelmeta().custom_metadata_map. tools/deployment/test_onnx.py
tests it on the config's test set.'''


class Deployed(nn.Module):
    """What is deployed: stream, encoder, classifier.

    Args:
        model (nn.Module): A recognizer, in eval mode.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.preprocessor = model.data_preprocessor
        self.backbone = model.backbone
        self.cls_head = model.cls_head

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Map (N, M, T, V, C) to logits, (N, classes)."""
        # MMAction2's own preprocessor makes no stream
        if hasattr(self.preprocessor, 'make_stream'):
            clips = self.preprocessor.make_stream(clips)
        return self.cls_head(self.backbone(clips))


def export(model: nn.Module, shape: tuple, out: Path, metadata: dict) -> float:
    """Write a model, and hold what was written against it.

    Args:
        model (nn.Module): A recognizer, in eval mode, on the CPU.
        shape (tuple): (M, T, V, C) of a clip.
        out (Path): The file.
        metadata (dict[str, str]): To be stored in it.

    Returns:
        float: By how much the logits differ, as a part of the largest.

    Raises:
        InputError: They differ by more than :data:`TOLERANCE`, and no file is
            left; or the model does not take clips of this shape.
    """
    network = Deployed(model).eval()
    try:
        with torch.no_grad():
            network(torch.zeros(1, *shape))
    except Exception as error:
        raise InputError(
            f'the model fails on a clip of {shape} (persons, frames, joints, '
            f'channels), expected one that it takes ({error}).') from error
    # 1 is taken for a size that never changes
    program = torch.onnx.export(
        network, (torch.zeros(2, *shape), ), input_names=['clips'],
        output_names=['logits'], dynamo=True, verbose=False,
        dynamic_shapes=({0: torch.export.Dim('batch')}, ))
    program.model.metadata_props.update(metadata)
    with atomic_write(out) as partial:
        program.save(str(partial), external_data=False)
        difference = compare(network, partial, shape)
        if not difference <= TOLERANCE:  # nor NaN
            raise InputError(
                f'{out} was not written: its logits differ from those of '
                f'PyTorch by {difference:.1e} of the largest, expected at '
                f'most {TOLERANCE:.0e}.')
    return difference


@torch.no_grad()
def compare(network: nn.Module, path: Path, shape: tuple) -> float:
    """Largest difference of the logits on random clips, in batches.

    NaN if any of them is not finite.
    """
    session, worst = open_session(path), 0.0
    generator = torch.Generator().manual_seed(0)
    for batch in BATCHES:
        clips = torch.randn(batch, *shape, generator=generator)
        expected = network(clips).numpy()
        logits, = session.run(None, {'clips': clips.numpy()})
        worst = np.maximum(worst, np.abs(logits - expected).max()
                           / np.abs(expected).max())
    return float(worst)


def open_session(path: Path, threads: int = 0):
    """An onnxruntime session on the CPU; 0 threads are all cores.

    Raises:
        InputError: The file is no model of ONNX.
    """
    import onnxruntime  # not for those who only train
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(
            str(path), options, providers=['CPUExecutionProvider'])
    except Exception as error:  # its classes are not public
        raise InputError(f'{path} cannot be read, expected an ONNX file '
                         f'({error}).') from error


def describe(cfg: Config, model: nn.Module, shape: tuple) -> dict:
    """What the file says of itself."""
    layout = getattr(model.data_preprocessor, 'layout', None)
    return dict(
        config=osp.basename(cfg.filename), clip_shape=json.dumps(shape),
        stream=getattr(model.data_preprocessor, 'stream', 'joint'),
        layout=layout.name if layout else '',
        classes=json.dumps(list(model.dataset_meta.get('classes') or [])))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_arguments(parser)
    parser.add_argument('out', type=Path, help='file to write (*.onnx)')
    parser.add_argument(
        '--shape', nargs=4, type=int, metavar=('M', 'T', 'V', 'C'),
        help='persons, frames, joints, channels of a clip; default: what '
        'the config says')
    args = parser.parse_args()
    if args.out.suffix != '.onnx':
        parser.error(f'out is {args.out}, expected *.onnx.')
    return args


def run(args: argparse.Namespace) -> None:
    """The command."""
    cfg = load_config(args.config, args.cfg_options)
    model = load_model(cfg, args.checkpoint)
    shape = tuple(args.shape or find_clip_shape(cfg, model))
    difference = export(model, shape, args.out, describe(cfg, model, shape))
    print(f'{args.out}: {args.out.stat().st_size:,} bytes, clips (batch, '
          f'{", ".join(map(str, shape))}); its logits differ from those of '
          f'PyTorch by at most {difference:.1e} of the largest.')


def main() -> None:
    args = parse_args()
    logging.disable(logging.WARNING)  # of the exporter
    with end_cleanly(args.config):
        run(args)


if __name__ == '__main__':
    main()
