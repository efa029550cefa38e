"""Generate a config for training on your own data."""
import os
from contextlib import suppress
from math import gcd
from pathlib import Path
from pprint import pformat

import numpy as np
from mmengine.config import Config

from ...catalogue import ENCODERS, find_config

BASE = 'nw-ucla-xview'  # benchmark whose settings the config inherits


def write(path: Path, ann_file: Path, content: dict, encoder: str, *,
          stdcl: bool = True, recommended: bool = False,
          epochs: int | None = None, width: float = 1,
          img_shape: tuple[int, int] | None = None) -> None:
    """Write a config that trains an encoder on your own data.

    It inherits from the encoder's NW-UCLA config. ``content`` is the first
    result of :func:`.custom_data.convert`. The other arguments are options of
    ``tools/data/custom.py``.
    """
    base, traits = find_config(encoder, BASE, stdcl), ENCODERS[encoder]
    if recommended:
        base = base.with_name(f'stdcl-recommended{base.name[5:]}')
    cfg, layout = Config.fromfile(base), content['layout']
    persons = max(len(item['keypoint']) for item in content['annotations'])
    joints, dims = content['annotations'][0]['keypoint'].shape[2:]
    channels = dims + ('keypoint_score' in content['annotations'][0])
    clip_shape = persons, cfg.clip_len, joints, channels

    full_epochs = cfg.train_cfg.max_epochs
    epochs = epochs or full_epochs
    schedulers = list(map(dict, cfg.param_scheduler))
    for scheduler in schedulers:  # stretch it to the number of epochs
        for field in {'end', 'milestones'} & scheduler.keys():
            ends = np.multiply(scheduler[field], epochs / full_epochs).round()
            scheduler[field] = np.maximum(1, ends).astype(int).tolist()
        if scheduler['type'] == 'ExponentialLR':
            scheduler['gamma'] **= full_epochs / epochs
    full_width = cfg.model.cls_head.get('in_channels', 256) // traits.expansion
    unit = gcd(full_width, 36)  # Hyperformer needs a multiple of 36
    base_channels = round(full_width * width / unit) * unit
    head = dict(num_classes=len(content['classes']),
                in_channels=base_channels * traits.expansion)
    contrasted = cfg.model.cls_head.get('decoupler', {}).get('in_channels')
    if contrasted:  # the channels of an earlier block
        head['decoupler'] = dict(
            in_channels=contrasted * base_channels // full_width)

    # _delete_ prevents a merge with the layout of the base config
    model_layout = ('layout=dict(layout, _delete_=True)'
                    if isinstance(layout, dict) else 'layout=layout')
    outer = traits.layout_field.rpartition('.')[0]
    backbone = f'{outer}=dict({model_layout})' if outer else model_layout
    if traits.persons_field:
        backbone += f', {traits.persons_field}={persons}'
    # MinMaxNormalize of the base config would change the aspect ratio
    normalize = 'PreNormalize2D' if img_shape else 'Standardize'
    augment = ("dict(type='RandomRotation'), dict(type='RandomScale')"
               if dims == 2 else
               f"dict(type='RandomView', up={content['up']!r})")
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(ValueError):  # on a different drive of Windows
        # MMEngine reads relative paths in linked folders in two ways
        if os.path.realpath(path.parent) == os.path.abspath(path.parent):
            base = os.path.relpath(base, path.parent)
    path.write_text(f'''_base_ = {Path(base).as_posix()!r}

ann_file = {ann_file.as_posix()!r}
layout = {pformat(layout, sort_dicts=False, compact=True)}

val_pipeline = [
    dict(type='DropEmptyFrames'),
    dict(type={normalize!r}),
    dict(type='RandomSampleFrames', clip_len={cfg.clip_len}, test_mode=True),
    dict(type='PoseDecode'),
    dict(type='FormatGCNInput', num_person={persons}),
    dict(type='PackActionInputs')
]
test_pipeline = val_pipeline
train_pipeline = [
    *val_pipeline[:2], {augment},
    dict(type='RandomSampleFrames', clip_len={cfg.clip_len}),
    *val_pipeline[3:]
]

train_dataloader = dict(dataset=dict(dataset=dict(
    ann_file=ann_file, split='train', pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(
    ann_file=ann_file, split='val', pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(
    ann_file=ann_file, pipeline=test_pipeline,
    split={'test' if 'test' in content['split'] else 'val'!r}))

model = dict({f'clip_shape={clip_shape},' if stdcl else ''}
    data_preprocessor=dict({model_layout}),
    backbone=dict(in_channels={channels}, base_channels={base_channels},
                  {backbone}),
    cls_head={head})

train_cfg = dict(max_epochs={epochs})
param_scheduler = {pformat(schedulers, sort_dicts=False)}
''', encoding='utf-8')
