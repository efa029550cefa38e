"""Describe the training data of a model, for comparison with other data.

Checkpoints contain the description. Without it, the only sign of classes or
joints in a different order would be a low accuracy.
"""
import hashlib
from itertools import zip_longest
from typing import Iterable, Iterator

import torch
import torch.nn as nn
from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger

from ..utils.input_error import InputError
from .training_sequences import iter_leaf_datasets, names_and_labels

MOST = 2**20  # largest number of hashes; larger training sets are sampled


def describe(model: nn.Module, dataset, earlier: Iterable[int] = ()) -> dict:
    """Describe the layout of a model and its training set.

    Return ``classes``, ``joint_names``, ``edges`` and ``bones``, if known, and
    ``sequences``, the sorted hashes of names and labels. ``earlier`` contains
    the hashes of sequences that the model was trained on before.
    """
    codes = {*earlier, *(code for _, code in _hashes(dataset))}
    return {**traits(dataset), **layout_of(model), 'sequences': torch.tensor(
        sorted(codes)[:MOST], dtype=torch.int64)}


def description_in(checkpoint: dict, model: nn.Module) -> dict:
    """Return a checkpoint's description; early versions saved only classes."""
    meta = checkpoint.get('meta') or {}
    return {**layout_of(model), **(meta.get('dataset_meta') or {}),
            'sequences': torch.empty(0), **meta.get('trained_on', {})}


def layout_of(model: nn.Module) -> dict:
    """Return joint names, edges and bones of a model's layout, if any."""
    encoder = getattr(model, 'backbone', None)
    layout = next(filter(None, (
        getattr(getattr(model, 'data_preprocessor', None), 'layout', None),
        getattr(encoder, 'layout', None),
        # set by compat/named_layouts.py in MMAction2's Graph
        getattr(getattr(encoder, 'graph', None), 'skeleton', None))), None)
    return {field: getattr(layout, field) for field in (
        'joint_names', 'edges', 'bones')} if layout else {}


def traits(dataset) -> dict:
    """Return the names of a data set's classes and joints, if known."""
    classes = getattr(dataset, 'metainfo', {}).get('classes')
    layout = getattr(next(iter_leaf_datasets(dataset)), 'layout', None)
    return dict(classes=list(classes or ()),
                joint_names=getattr(layout, 'joint_names', ()))


def find_difference(description: dict, seen: dict) -> str:
    """Describe the first difference, or return ''; ignore empty lists."""
    for name, values in seen.items():
        expected = description.get(name)
        for index, (one, other) in enumerate(zip_longest(
                values, expected) if values and expected else ()):
            if one != other:
                return f'{name}[{index}] is {one!r}, expected {other!r}'
    return ''


def check_traits(description: dict, dataset, where: str = '',
                 source: str = 'the layout or training set of the model'
                 ) -> None:
    """Raise an ``InputError`` unless classes and joints match, in order.

    For the message, ``where`` is the name of the data set, and ``source`` is
    the origin of ``description``.
    """
    for part in iter_leaf_datasets(dataset):
        text = find_difference(description, traits(part))
        if text:
            raise InputError(': '.join(filter(None, (
                where, getattr(part, 'ann_file', ''),
                f'{text}, as in {source}.'))))


def check_data(description: dict, dataset, where: str) -> None:
    """Check a test set, and warn if it contains training sequences."""
    check_traits(description, dataset, where)
    trained = set(description['sequences'].tolist())
    known = [name for name, code in _hashes(dataset) if code in trained]
    if known:
        MMLogger.get_current_instance().warning(
            f'{where}: {len(known)} of {len(dataset)} sequences have the name '
            f'and label of a training sequence (such as {known[0]!r}). The '
            'accuracy on these sequences does not show how well the model '
            'recognizes new ones.')


def _hashes(dataset) -> Iterator[tuple]:
    """Yield the name and a hash of the name and label of each sequence."""
    for part in iter_leaf_datasets(dataset):
        for name, label in (names_and_labels(part) if isinstance(
                part, BaseDataset) else ()):
            if isinstance(name, str):
                code = hashlib.sha256(f'{name} {label}'.encode()).digest()
                yield name, int.from_bytes(code[:8], 'big', signed=True)
