"""Write what a trained model makes of a data set: features and attention.

For each sequence: its global feature, the mean of the encoder's output over
persons, frames and joints; with STD-CL in the config and the checkpoint also
the spatial-specific and the temporal-specific vector, and of an attentive
decoupler the attention over joints and over frames.
"""
import argparse
import logging
import os.path as osp
import sys
from pathlib import Path
from typing import Dict

import numpy as np
import torch
import torch.nn as nn
from mmengine.runner import Runner
from rich.progress import track

sys.path.insert(0, osp.dirname(osp.dirname(osp.dirname(
    osp.abspath(__file__)))))

from projects.stdcl.apis import load_model
from projects.stdcl.engine.hooks.score_file_hook import (
    deliver_names,
)
from projects.stdcl.utils.atomic_write import atomic_write
from projects.stdcl.utils.config_check import (
    add_model_arguments,
    load_config,
)
from projects.stdcl.utils.input_error import end_cleanly

EXAMPLES = '''example:
  python tools/analysis/extract_features.py CONFIG CHECKPOINT features.npz

arrays, for N sequences, in the order of the data set:
  names, labels, predictions (N,)
  global_ (N, C), spatial and temporal (N, D)
  attention_joints (N, M, V') and attention_frames (N, M, T'), over the joints
  and frames of the encoder's output (HCN's has no joints, but channels); both
  sum to 1
  classes, their names, where the data set has them'''


@torch.inference_mode()
def extract(model: nn.Module, loader) -> Dict[str, np.ndarray]:
    """Features of all sequences of a loader.

    Args:
        model (nn.Module): A recognizer, in eval mode.
        loader (DataLoader): As a config's ``test_dataloader`` makes it. Of
            several clips of a sequence the mean is taken.

    Returns:
        dict[str, ndarray]: As ``--help`` lists them.
    """
    deliver_names(loader.dataset)
    batches = [_of_batch(model, batch)
               for batch in track(loader, description='features')]
    arrays = {name: np.concatenate([batch[name] for batch in batches])
              for name in batches[0]}
    classes = loader.dataset.metainfo.get('classes')
    return arrays if classes is None else dict(
        arrays, classes=np.array(classes))


def _of_batch(model: nn.Module, batch: dict) -> Dict[str, np.ndarray]:
    inputs = model.data_preprocessor(batch, training=False)['inputs']
    samples, (n, clips) = batch['data_samples'], inputs.shape[:2]
    feats = model.backbone(inputs.flatten(0, 1))  # (N * clips, M, C, T, V)
    scores = model.cls_head.average_clip(model.cls_head(feats), clips)
    found = dict(global_=feats.mean(dim=(1, 3, 4)),
                 **_decoupled(model.cls_head, feats))
    return dict(
        names=np.array([sample.metainfo.get('frame_dir', '')
                        for sample in samples]),
        labels=torch.cat([sample.gt_label for sample in samples]).numpy(),
        predictions=scores.argmax(dim=1).cpu().numpy(),
        **{name: array.unflatten(0, (n, clips)).mean(dim=1).cpu().numpy()
           for name, array in found.items()})


def _decoupled(head: nn.Module,
               feats: torch.Tensor) -> Dict[str, torch.Tensor]:
    """What the decoupler makes of feature maps (N, M, C, T, V), if any."""
    decoupler = getattr(head, 'decoupler', None)
    if decoupler is None:
        return {}
    spatial, temporal = decoupler(feats)  # (N, D)
    found = dict(spatial=spatial, temporal=temporal)
    if hasattr(decoupler.spatial, 'attention'):
        persons, maps = feats.shape[:2], feats.flatten(0, 1)  # (N M, C, T, V)
        for name, branch, dim in (
                ('attention_joints', decoupler.spatial, 2),
                ('attention_frames', decoupler.temporal, 3)):
            found[name] = branch.attention(
                maps.mean(dim=dim))[:, 0].unflatten(0, persons)
    return found


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_arguments(parser)
    parser.add_argument('out', type=Path, help='file to write (*.npz)')
    parser.add_argument('--device', default='cpu', help='default: cpu')
    args = parser.parse_args()
    if args.out.suffix != '.npz':
        parser.error(f'out is {args.out}, expected *.npz.')
    return args


def main() -> None:
    args = parse_args()
    logging.disable(logging.WARNING)  # MMEngine logs to stdout
    with end_cleanly(args.config):
        cfg = load_config(args.config, args.cfg_options)
        model = load_model(cfg, args.checkpoint, args.device)
        arrays = extract(model, Runner.build_dataloader(cfg.test_dataloader))
    with atomic_write(args.out) as partial, open(partial, 'wb') as file:
        np.savez(file, **arrays)
    shapes = ', '.join(f'{name} {array.shape}'
                       for name, array in arrays.items())
    print(f'{args.out}: {shapes}')


if __name__ == '__main__':
    main()
