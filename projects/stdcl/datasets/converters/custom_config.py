"""Generate a config for training on your own data."""
import os
from math import gcd
from pathlib import Path
from typing import Iterable, Optional, Tuple

from mmengine.config import Config

from ...catalogue import ENCODERS, find_config
from ...utils.clip_check import AXES
from ...utils.input_error import InputError
from ...utils.skeleton_layout import SkeletonLayout
from .custom_data import Conversion

BASE = 'nw-ucla-xview'  # benchmark whose recipe the config inherits


def make_config(ann_file: Path, data: Conversion, encoder: str,
                stdcl: bool = True, folder: Path = Path(),
                img_shape: Optional[Tuple[int, int]] = None,
                epochs: Optional[int] = None, width: float = 1) -> str:
    """Return the text of a config for an annotation file of your own data.

    The config inherits from the encoder's NW-UCLA config.

    Args:
        ann_file (Path): The annotation file.
        data (Conversion): Description of its content.
        encoder (str): A key of ``catalogue.ENCODERS``.
        stdcl (bool): Whether to train with STD-CL. Defaults to True.
        folder (Path): Folder of the config. Defaults to the current folder.
        img_shape (tuple[int, int], optional): Height and width of the images
            in pixels. If given, 2D joints are normalized by this size.
            Otherwise, ``Standardize`` normalizes joints.
        epochs (int, optional): Number of epochs. The warm-up and the steps of
            the learning rate are scaled. Defaults to that of the base config.
        width (float): Approximate factor of the number of channels. Defaults
            to 1.

    Raises:
        InputError: The text would contain "{{", which MMEngine replaces.
    """
    base, traits = find_config(encoder, BASE, stdcl), ENCODERS[encoder]
    cfg = Config.fromfile(base)
    definition, layout = repr(data.layout), 'layout=layout'
    if isinstance(data.layout, dict):
        definition = _call(data.layout, ',\n    ')
        # _delete_ prevents a merge with the layout of the base config
        layout = 'layout=dict(layout, _delete_=True)'
    outer, _, _ = traits.layout_field.rpartition('.')
    backbone = [f'{outer}=dict({layout})' if outer else layout]
    head = dict(num_classes=len(data.classes))
    if data.channels != 3:
        backbone.append(f'in_channels={data.channels}')
    if data.persons > 1 and traits.persons_field:
        backbone.append(f'{traits.persons_field}={data.persons}')
    if width != 1:
        # any config of the encoder tells how the two sizes are related
        narrow = Config.fromfile(find_config(
            encoder, 'synthetic', False)).model
        ratio = narrow.cls_head.in_channels // narrow.backbone.base_channels
        full = cfg.model.cls_head.get('in_channels', 256) // ratio
        # Hyperformer needs a multiple of 36, the others of 4
        unit = gcd(full, 36)
        channels = round(full * width / unit) * unit
        head['in_channels'] = ratio * channels
        backbone.append(f'base_channels={channels}')
    shape = (data.persons, cfg.clip_len,
             SkeletonLayout.get(data.layout).num_joints, data.channels)
    clip_shape = (f'    clip_shape={shape},  # {", ".join(AXES)}\n'
                  if stdcl else '')
    pipelines = ''.join(f'{name} = ' + _calls(_adapt(
        cfg[name], data, img_shape)) for name in ('train_pipeline',
                                                  'val_pipeline'))
    schedule = '' if epochs is None else (
        f'train_cfg = dict(max_epochs={epochs})\nparam_scheduler = ' + _calls(
            _scale(cfg.param_scheduler, epochs / cfg.train_cfg.max_epochs)))
    test = ("dict(dataset=dict(\n    ann_file=ann_file, split='test', "
            'pipeline=test_pipeline))' if 'test' in data.splits
            else 'val_dataloader')
    text = f'''_base_ = {os.path.relpath(base, folder)!r}

ann_file = {str(ann_file)!r}
layout = {definition}

{pipelines}test_pipeline = val_pipeline

train_dataloader = dict(dataset=dict(dataset=dict(
    ann_file=ann_file, split='train', pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(
    ann_file=ann_file, split='val', pipeline=val_pipeline))
test_dataloader = {test}

model = dict(
{clip_shape}    data_preprocessor=dict({layout}),
    backbone=dict({', '.join(backbone)}),
    cls_head={_call(head)})
{schedule}'''
    if '{{' in text:
        raise InputError(f'{ann_file}: the config would contain "{{{{", which '
                         'MMEngine replaces, expected names without it.')
    return text


def _call(entries: dict, separator: str = ', ') -> str:
    start = separator.lstrip(',') if '\n' in separator else ''
    return f'dict({start}' + separator.join(
        f'{name}={value!r}' for name, value in entries.items()) + ')'


def _calls(steps: Iterable[dict]) -> str:
    return '[\n' + ',\n'.join(f'    {_call(step)}' for step in steps) + '\n]\n'


def _adapt(steps: Iterable[dict], data: Conversion,
           img_shape: Optional[Tuple[int, int]]) -> Iterable[dict]:
    """Yield the steps of a pipeline of the base config, for other data."""
    dims = SkeletonLayout.get(data.layout).dims
    for step in steps:
        if step['type'] == 'FormatGCNInput':
            step = dict(step, num_person=data.persons)
        elif step['type'] == 'MinMaxNormalize':
            # MinMaxNormalize would change the aspect ratio
            step = dict(
                type='PreNormalize2D' if img_shape else 'Standardize')
        elif step['type'] == 'RandomView' and data.up != 'y':
            step = dict(step, up=data.up)
        if dims == 3 or step['type'] != 'RandomView':
            yield dict(step)


def _scale(schedulers: Iterable[dict], factor: float) -> Iterable[dict]:
    """Yield schedulers of the learning rate, for other numbers of epochs."""
    def scaled(epoch: int) -> int:
        return max(1, round(epoch * factor))

    for scheduler in schedulers:
        yield {name: scaled(value) if name == 'end' else
               list(map(scaled, value)) if name == 'milestones' else value
               for name, value in scheduler.items()}
