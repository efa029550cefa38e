"""Generate a config for training on your own data."""
import os
from math import gcd
from pathlib import Path
from pprint import pformat
from typing import List, Optional, Tuple

from mmengine.config import Config

from ...catalogue import ENCODERS, find_config
from ...utils.input_error import InputError
from ...utils.skeleton_layout import SkeletonLayout
from .custom_data import Conversion

BASE = 'nw-ucla-xview'  # benchmark whose recipe the config inherits


def make_config(ann_file: Path, data: Conversion, encoder: str,
                stdcl: bool = True, folder: Path = Path(),
                epochs: Optional[int] = None, width: float = 1) -> str:
    """Return the text of a config for an annotation file of your own data.

    The config inherits from the encoder's NW-UCLA config.

    Args:
        ann_file (Path): The annotation file, which ``data`` describes.
        folder (Path): Folder of the config. Defaults to the current folder.
        encoder, stdcl, epochs, width: Options of ``tools/data/custom.py``.

    Raises:
        InputError: The text would contain "{{", which MMEngine replaces.
    """
    base, traits = find_config(encoder, BASE, stdcl), ENCODERS[encoder]
    cfg = Config.fromfile(base)
    # _delete_ prevents a merge with the layout of the base config
    layout = ('layout=dict(layout, _delete_=True)'
              if isinstance(data.layout, dict) else 'layout=layout')
    outer, _, _ = traits.layout_field.rpartition('.')
    backbone = [f'{outer}=dict({layout})' if outer else layout]
    head = f'num_classes={len(data.classes)}'
    if data.channels != 3:
        backbone.append(f'in_channels={data.channels}')
    if data.persons > 1 and traits.persons_field:
        backbone.append(f'{traits.persons_field}={data.persons}')
    if width != 1:
        channels, out_channels = _scale_channels(encoder, cfg, width)
        head += f', in_channels={out_channels}'
        backbone.append(f'base_channels={channels}')
    shape = (data.persons, cfg.clip_len,
             SkeletonLayout.get(data.layout).num_joints, data.channels)
    clip_shape = f'clip_shape={shape},\n    ' if stdcl else ''
    schedule = '' if epochs is None else (
        f'train_cfg = dict(max_epochs={epochs})\nparam_scheduler = ' + _lines(
            _scale(cfg.param_scheduler, epochs / cfg.train_cfg.max_epochs)))
    test = ("dict(dataset=dict(\n    ann_file=ann_file, split='test', "
            'pipeline=test_pipeline))' if 'test' in data.splits
            else 'val_dataloader')
    text = f'''_base_ = {os.path.relpath(base, folder)!r}

ann_file = {str(ann_file)!r}
layout = {pformat(data.layout, sort_dicts=False, compact=True)}

train_pipeline = {_lines(_adapt(cfg.train_pipeline, data))}
val_pipeline = {_lines(_adapt(cfg.val_pipeline, data))}
test_pipeline = val_pipeline

train_dataloader = dict(dataset=dict(dataset=dict(
    ann_file=ann_file, split='train', pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(
    ann_file=ann_file, split='val', pipeline=val_pipeline))
test_dataloader = {test}

model = dict(
    {clip_shape}data_preprocessor=dict({layout}),
    backbone=dict({', '.join(backbone)}),
    cls_head=dict({head}))
{schedule}
'''
    if '{{' in text:
        raise InputError(
            f'{ann_file}: a name in the config would contain "{{{{", which '
            'starts a placeholder in MMEngine; expected names without it.')
    return text


def _lines(steps: List[dict]) -> str:
    return '[\n    ' + ',\n    '.join(map(repr, steps)) + '\n]'


def _scale_channels(encoder: str, cfg: Config, width: float
                    ) -> Tuple[int, int]:
    """Return the scaled numbers of channels of the first and last block."""
    # the ratio of the two numbers is the same in all configs of the encoder
    narrow = Config.fromfile(find_config(encoder, 'synthetic', False)).model
    ratio = narrow.cls_head.in_channels // narrow.backbone.base_channels
    full = cfg.model.cls_head.get('in_channels', 256) // ratio
    unit = gcd(full, 36)  # Hyperformer needs a multiple of 36, the others of 4
    channels = round(full * width / unit) * unit
    return channels, ratio * channels


def _adapt(steps: List[dict], data: Conversion) -> List[dict]:
    """Return a pipeline of the base config, adapted to other data."""
    dims = SkeletonLayout.get(data.layout).dims
    # MinMaxNormalize would change the aspect ratio
    normalize = 'PreNormalize2D' if data.img_shape else 'Standardize'
    changes = dict(FormatGCNInput=dict(num_person=data.persons),
                   MinMaxNormalize=dict(type=normalize),
                   RandomView=dict(up=data.up))
    steps = [{**step, **changes.get(step['type'], {})} for step in steps]
    if dims == 2 and steps[0]['type'] == 'RandomView':  # for training
        steps[:2] = [steps[1], dict(type='RandomRotation'),
                     dict(type='RandomScale')]
    return steps


def _scale(schedulers: List[dict], factor: float) -> List[dict]:
    """Stretch learning rate schedulers by a factor."""
    def scaled(epoch: int) -> int:
        return max(1, round(epoch * factor))

    stretched = []
    for scheduler in map(dict, schedulers):
        if 'end' in scheduler:
            scheduler['end'] = scaled(scheduler['end'])
        if 'milestones' in scheduler:
            scheduler['milestones'] = [*map(scaled, scheduler['milestones'])]
        if scheduler['type'] == 'ExponentialLR':
            scheduler['gamma'] **= 1 / factor
        stretched.append(scheduler)
    return stretched
