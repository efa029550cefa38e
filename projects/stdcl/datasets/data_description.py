"""Describe the training data of a model, for comparison with other data.

Checkpoints contain the description. Without it, the only sign of a different
normalization or order of classes or joints would be a low accuracy.
"""
import hashlib
import inspect
import json
from collections.abc import Iterable, Iterator
from itertools import zip_longest

import torch
import torch.nn as nn
from mmaction.datasets.transforms import FormatGCNInput
from mmengine.dataset import BaseDataset, Compose
from mmengine.logging import MMLogger

from ..utils.input_error import InputError
from ..utils.skeleton_layout import SkeletonLayout
from . import dataset_access
from .dataset_access import unwrap_datasets

MAX_HASHES = 2**20  # larger training sets are sampled
# transforms of MMAction2 that compute the input of a model
FEATURES = ('GenSkeFeat', 'JointToBone', 'MergeSkeFeat', 'ToMotion')


def feature_transforms(steps: Iterable) -> list[str]:
    """Return the transforms of a pipeline that compute bones or motion."""
    return [type(step).__name__ for step in steps
            if type(step).__name__ in FEATURES
            and list(getattr(step, 'feats', ())) != ['j']]


def describe(model: nn.Module, dataset, earlier: Iterable[int] = ()) -> dict:
    """Describe a model and its training set.

    Return the entries of :func:`traits` and :func:`input_of`, and
    ``sequences``, the sorted hashes of names and labels. ``earlier`` contains
    the hashes of sequences that the model was trained on before.
    """
    codes = {*earlier, *(code for _, code in _hashes(dataset))}
    return {**traits(dataset), **input_of(model), 'sequences': torch.tensor(
        sorted(codes)[:MAX_HASHES], dtype=torch.int64)}


def description_in(checkpoint: dict, model: nn.Module) -> dict:
    """Return a checkpoint's description; MMEngine's contain only classes."""
    meta = checkpoint.get('meta') or {}
    return {**input_of(model), 'sequences': torch.empty(0),
            'classes': (meta.get('dataset_meta') or {}).get('classes', ()),
            **(meta.get('trained_on') or {})}


def layouts_of(model: nn.Module) -> list[SkeletonLayout]:
    """Return the layouts of the data preprocessor and encoder, if known."""
    encoder = getattr(model, 'backbone', None)
    return [one for one in (
        getattr(getattr(model, 'data_preprocessor', None), 'layout', None),
        getattr(encoder, 'layout', None),
        # set by compat/named_layouts.py in MMAction2's Graph
        getattr(getattr(encoder, 'graph', None), 'skeleton', None))
        if isinstance(one, SkeletonLayout)]


def check_layouts(model: nn.Module) -> None:
    """Raise an ``InputError`` if encoder and preprocessor differ in layout."""
    for layout in layouts_of(model)[1:]:
        text = find_difference(input_of(model), dict(
            joint_names=layout.joint_names))
        if text and layout.hops != layouts_of(model)[0].hops:
            raise InputError(
                f'model.backbone has the layout "{layout.name}", whose {text},'
                ' as in model.data_preprocessor.layout.')


def input_of(model: nn.Module) -> dict:
    """Return what a model expects of its data, if known."""
    preprocessor = getattr(model, 'data_preprocessor', None)
    classes = getattr(getattr(model, 'cls_head', None), 'num_classes', None)
    layouts = layouts_of(model)
    found = dict(
        stream=[getattr(preprocessor, 'stream', 'joint')], contrast_block=[],
        center_relative=[getattr(preprocessor, 'center_relative', False)])
    if hasattr(model, 'contrast_block'):
        found['contrast_block'] = [model.contrast_block]
    if classes is not None:
        found['num_classes'] = [classes]
    if layouts:
        first, last = layouts[0], layouts[-1]  # the encoder may have its own
        found.update(
            joint_names=first.joint_names, edges=first.edges,
            bones=first.bones, center=[first.center],
            parts=first.parts if any(first.parts) else [],
            backbone_edges=last.edges,
            backbone_parts=last.parts if any(last.parts) else [])
    return found


def traits(dataset, wrappers: tuple = ()) -> dict:
    """Return a data set's classes, joint names and preprocessing, if known.

    The preprocessing omits transforms that augment, and sizes of images. Of
    concatenated data sets, the first that has a trait counts.
    """
    parts = [_traits_of(*part) for part in unwrap_datasets(dataset, wrappers)]
    return {name: next(filter(None, (part[name] for part in parts)), ())
            for name in parts[0]}


def _traits_of(part, wrappers: tuple) -> dict:
    # the config of a data set may name a file of classes
    classes = None if isinstance(part, dict) else getattr(
        part, 'metainfo', {}).get('classes')
    layout = getattr(part, 'layout', None)
    steps = Compose(
        dataset_access.transforms_of(part, *wrappers)).transforms
    fixed = [_describe(step) for step in steps
             if getattr(step, 'cacheable', False)
             or feature_transforms([step])]
    fixed = fixed or (['none'] if steps else [])
    return dict(
        num_classes=[len(classes)] if classes else [],
        classes=list(classes or ()),
        joint_names=getattr(layout, 'joint_names', ()), preprocessing=fixed,
        clip_len=[step.clip_len for step in steps
                  if hasattr(step, 'clip_len')][-1:],
        # most models average over all persons of a clip, also absent ones
        persons=[value for step in steps if isinstance(step, FormatGCNInput)
                 for value in (step.num_person, step.mode)])


def _describe(transform) -> str:
    parameters = inspect.signature(type(transform)).parameters
    values = {name: _plain(value) for name, value in vars(transform).items()
              if name != 'img_shape'}
    # other attributes count only if the transform renames an argument
    renames = not parameters.keys() <= vars(transform).keys()
    arguments = (f'{name}={value}' for name, value in values.items() if (
        value != _plain(parameters[name].default) if name in parameters
        else renames))
    return f'{type(transform).__name__}({", ".join(arguments)})'


def _plain(value):
    """Convert an argument so that its text is the same in all processes."""
    # JSON has no keys such as tuples
    return json.loads(json.dumps(value, skipkeys=True, default=lambda other: (
        sorted(map(str, other)) if isinstance(other, (set, frozenset))
        else other.tolist() if hasattr(other, 'tolist')
        else type(other).__name__)))


def find_difference(description: dict, seen: dict) -> str:
    """Describe the first difference, or return ''; ignore empty lists."""
    for name, values in seen.items():
        expected = description.get(name)
        pairs = zip_longest(values, expected) if values and expected else ()
        for index, (one, other) in enumerate(pairs):
            if one != other:
                single = len(values) == len(expected) == 1
                place = name if single else f'{name}[{index}]'
                return f'{place} is {one!r}, expected {other!r}'
    return ''


def check_traits(description: dict, dataset, where: str = '',
                 source: str = 'the layout or training set of the model'
                 ) -> None:
    """Raise an ``InputError`` unless the :func:`traits` are the same.

    A different ``clip_len`` causes only a warning, because most encoders
    accept clips of any length. ``dataset`` is a data set or, to compare only
    the pipelines, the config of a dataloader. In messages, ``where`` names it,
    and ``source`` names the origin of ``description``.
    """
    for part, wrappers in unwrap_datasets(dataset):
        seen = traits(part, wrappers)
        frames = dict(clip_len=seen.pop('clip_len'))
        names = where, getattr(part, 'ann_file', '')
        place = ''.join(f'{name}: ' for name in names if name)
        if text := find_difference(description, seen):
            raise InputError(f'{place}{text}, as in {source}.')
        if text := find_difference(description, frames):
            MMLogger.get_current_instance().warning(
                f'{place}{text}, as in {source}.')


def check_data(description: dict, dataset, where: str) -> None:
    """Check a test set, and warn if it contains training sequences."""
    check_traits(description, dataset, where)
    trained = set(description['sequences'].tolist())
    known = [name for name, code in _hashes(dataset) if code in trained]
    if known:
        MMLogger.get_current_instance().warning(
            f'{where}: {len(known)} of {len(dataset)} sequences have the name '
            f'and label of a training sequence (such as {known[0]!r}). Their '
            'accuracy does not show how well new sequences are recognized.')


def _hashes(dataset) -> Iterator[tuple]:
    """Yield the name and a hash of the name and label of each sequence."""
    for part, _ in unwrap_datasets(dataset):
        for name, label in (dataset_access.names_and_labels(part)
                            if isinstance(part, BaseDataset) else ()):
            if isinstance(name, str):
                code = hashlib.sha256(f'{name} {label}'.encode(
                    errors='backslashreplace')).digest()
                yield name, int.from_bytes(code[:8], 'big', signed=True)
