"""Generate a config for training on your own data."""
import os
from pathlib import Path
from typing import List, Optional, Tuple

from mmengine.config import Config

from ...catalogue import ENCODERS, find_config
from ...utils.clip_check import AXES
from ...utils.skeleton_layout import SkeletonLayout
from .custom_data import Conversion

BASE = 'nw-ucla-xview'  # benchmark whose recipe the config inherits


def make_config(ann_file: Path, data: Conversion, encoder: str,
                stdcl: bool = True, folder: Path = Path(),
                img_shape: Optional[Tuple[int, int]] = None) -> str:
    """Return the text of a config for an annotation file of your own data.

    The config inherits from the encoder's NW-UCLA config.

    Args:
        ann_file (Path): The annotation file.
        data (Conversion): Description of its content.
        encoder (str): A key of ``catalogue.ENCODERS``.
        stdcl (bool): Whether to train with STD-CL. Defaults to True.
        folder (Path): Folder of the config. Defaults to the current folder.
        img_shape (tuple[int, int], optional): Height and width of the images
            in pixels. If given, 2D joints are normalized by this size,
            otherwise by ``Standardize``.
    """
    base, traits = find_config(encoder, BASE, stdcl), ENCODERS[encoder]
    definition, layout = repr(data.layout), 'layout=layout'
    if isinstance(data.layout, dict):
        definition = 'dict(\n    ' + ',\n    '.join(
            f'{name}={value!r}' for name, value in data.layout.items()) + ')'
        # _delete_ prevents a merge with the layout of the base config
        layout = 'layout=dict(layout, _delete_=True)'
    outer, _, _ = traits.layout_field.rpartition('.')
    backbone = f'{outer}=dict({layout})' if outer else layout
    if data.channels != 3:
        backbone += f', in_channels={data.channels}'
    if data.persons > 1 and traits.persons_field:
        backbone += f', {traits.persons_field}={data.persons}'
    joints = SkeletonLayout.get(data.layout).num_joints
    shape = (data.persons, Config.fromfile(base).clip_len, joints,
             data.channels)
    clip_shape = (f'    clip_shape={shape},  # {", ".join(AXES)}\n'
                  if stdcl else '')
    return f'''_base_ = {os.path.relpath(base, folder)!r}

ann_file = {str(ann_file)!r}
layout = {definition}

{_pipelines(base, data, img_shape)}test_pipeline = val_pipeline

train_dataloader = dict(dataset=dict(dataset=dict(
    ann_file=ann_file, split='train', pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(
    ann_file=ann_file, split='val', pipeline=val_pipeline))
test_dataloader = val_dataloader

model = dict(
{clip_shape}    data_preprocessor=dict({layout}),
    backbone=dict({backbone}),
    cls_head=dict(num_classes={len(data.classes)}))
'''


def _pipelines(base: Path, data: Conversion,
               img_shape: Optional[Tuple[int, int]]) -> str:
    """Return the pipelines of the base config, adapted to the data."""
    cfg, text = Config.fromfile(base), ''
    for part in ('train', 'val'):
        steps: List[dict] = [dict(step) for step in cfg[f'{part}_pipeline']]
        if SkeletonLayout.get(data.layout).dims == 2:
            steps = [step for step in steps if step['type'] != 'RandomView']
            # MinMaxNormalize of the base config would change the aspect ratio
            steps[0] = dict(
                type='PreNormalize2D' if img_shape else 'Standardize')
        for step in steps:
            if step['type'] == 'FormatGCNInput':
                step['num_person'] = data.persons
        lines = ',\n'.join('    dict(' + ', '.join(
            f'{name}={value!r}' for name, value in step.items()) + ')'
            for step in steps)
        text += f'{part}_pipeline = [\n{lines}\n]\n'
    return text
