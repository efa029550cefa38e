"""Export models to ONNX files, and verify these files."""
import json
import os.path as osp
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
from mmaction.registry import DATASETS

from ..apis import layout_of, load_model
from ..apis.clip_shape import find_clip_shape, find_test_set
from ..utils.atomic_write import atomic_write
from ..utils.clip_check import try_zeros
from ..utils.config_check import load_config
from ..utils.input_error import InputError
from ..utils.model_parts import kind_of, make_stream
from ..utils.skeleton_layout import SkeletonLayout

TOLERANCE = 1e-4  # largest error of a logit, relative to the largest logit
BATCH_SIZES = (1, 2, 5)  # sizes of the batches that verify an exported file


class DeployedNetwork(nn.Module):
    """The deployed part of a recognizer: stream, encoder and classifier."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Map float32 clips (N, M, T, V, C) to logits (N, classes)."""
        clips = make_stream(self.model.data_preprocessor, clips)
        features, others = self.model.extract_feat(
            clips[:, None], test_mode=True)
        return self.model.cls_head(features, **others)


def export(model: nn.Module, clips: torch.Tensor, out: Path,
           metadata: dict[str, str]) -> float:
    """Export a recognizer on the CPU for any batch size N, and verify it.

    ``clips``, (N, M, T, V, C), serve to verify the file ``out``; their
    coordinates should be as large as in the data. The file contains
    ``metadata``. Return the result of :func:`compare`. If it exceeds
    :data:`TOLERANCE`, an ``InputError`` is raised and no file is written.
    """
    network, shape = DeployedNetwork(model).eval(), clips.shape[1:]
    with torch.no_grad():
        try_zeros(network, shape, 'the model')
    # with a batch of one, the batch size would be exported as a constant
    program = torch.onnx.export(
        network, (torch.zeros(2, *shape), ), input_names=['clips'],
        output_names=['logits'], dynamo=True, verbose=False,
        dynamic_shapes=({0: torch.export.Dim('batch')}, ))
    program.model.metadata_props.update(metadata)
    with atomic_write(out) as partial:
        program.save(str(partial), external_data=False)
        difference = compare(network, partial, clips)
        if not difference <= TOLERANCE:  # true for NaN, too
            raise InputError(
                f'{out} was not written, because its logits differ from those '
                f'of PyTorch by {difference:.1e} times the largest logit, '
                f'expected at most {TOLERANCE:.0e}.')
    return difference


def export_checkpoint(config: str, checkpoint: str, out: Path,
                      cfg_options: Sequence[str] | None = None) -> str:
    """Export the model of a config with weights from a checkpoint.

    ``cfg_options`` are KEY=VALUE strings. The metadata of the file describe
    the model's input and classes. Return a summary. Errors are those of
    :func:`load_config`, :func:`load_model`,
    :func:`~projects.stdcl.apis.clip_shape.find_clip_shape` and
    :func:`export`.
    """
    cfg = load_config(config, cfg_options)
    model = load_model(cfg, checkpoint)
    shape = find_clip_shape(cfg, model)
    layout, dataset = layout_of(cfg), find_test_set(cfg)
    steps = dataset['pipeline']
    clips = sample_clips(dataset, steps, layout, shape)
    difference = export(model, clips, out, dict(
        config=osp.basename(cfg.filename), clip_shape=json.dumps(shape),
        stream=getattr(model.data_preprocessor, 'stream', 'joint'),
        layout=layout.name, joints=json.dumps(layout.joint_names),
        dims=str(layout.dims), pipeline=json.dumps([
            {**step, 'type': kind_of(step)} for step in steps], default=str),
        classes=json.dumps(model.dataset_meta['classes'])))
    return (f'{out}: {out.stat().st_size:,} bytes, input clips (batch, '
            f'{", ".join(map(str, shape))}). Its logits differ from those of '
            f'PyTorch by at most {difference:.1e} times the largest logit.')


def sample_clips(dataset: dict, steps: Sequence[dict], layout: SkeletonLayout,
                 shape: tuple) -> torch.Tensor:
    """Return clips (N, M, T, V, C) of a data set, given its config.

    If the data set cannot be read, the clips are synthetic or, for layouts
    with too few limbs, normally distributed. ``steps`` are its transforms.
    """
    number = max(BATCH_SIZES)
    synthetic = dict(type='SyntheticSkeletonDataset', pipeline=steps,
                     layout=layout, split='test', num_sequences=number)
    for source in (dataset, synthetic) if steps else ():
        with suppress(FileNotFoundError, InputError):
            data = DATASETS.build(source)
            clips = torch.cat([data[index % len(data)]['inputs'].float()
                               for index in range(number)])[:number]
            for axis, size in enumerate(shape, 1):
                clips = clips.index_select(
                    axis, torch.arange(size) % clips.shape[axis])
            return clips
    return torch.randn(number, *shape)


@torch.no_grad()
def compare(network: nn.Module, path: Path, clips: torch.Tensor) -> float:
    """Compare the logits of a network and of an ONNX file on clips.

    Return the largest difference relative to the largest logit of a batch.
    """
    import onnxruntime  # requires the extra "deploy"
    session, differences = onnxruntime.InferenceSession(
        str(path), providers=['CPUExecutionProvider']), []
    for batch in BATCH_SIZES:
        expected = network(clips[:batch]).numpy()
        logits, = session.run(None, {'clips': clips[:batch].numpy()})
        differences.append(np.abs(logits - expected).max()
                           / np.abs(expected).max())
    return float(np.max(differences))
