"""Find the test set in a config, and the clip shape of its model."""
import torch.nn as nn
from mmengine.config import Config

from ..datasets.dataset_access import transforms_of, unwrap_datasets
from ..utils.clip_check import AXES, fitting_shape
from ..utils.input_error import InputError
from ..utils.model_parts import kind_of


def find_test_set(cfg: Config) -> dict:
    """Return the config of the test (or validation) set, without wrappers.

    Its pipeline contains all transforms, including those of the wrappers.
    """
    part, wrappers = next(unwrap_datasets(
        cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}))
    if not isinstance(part, dict):
        raise InputError(f'the test set is a {type(part).__name__}, expected '
                         'a dict, its config in test_dataloader.dataset.')
    return type(part)(part, pipeline=transforms_of(part, *wrappers))


def find_clip_shape(cfg: Config, model: nn.Module) -> tuple:
    """Infer the clip shape (M, T, V, C) from the test pipeline and the model.

    An ``InputError`` is raised if a size cannot be inferred.
    """
    steps = find_test_set(cfg)['pipeline']
    persons = next((step.get('num_person', 2) for step in steps
                    if kind_of(step) == 'FormatGCNInput'), None)
    frames = next((step['clip_len'] for step in reversed(steps)
                   if 'clip_len' in step), None)
    sizes = fitting_shape(model, (persons, frames, None, 3))
    for axis, size, place in zip(AXES, sizes, (
            'FormatGCNInput in the test pipeline',
            'clip_len in the test pipeline',
            'layout in model.data_preprocessor or model.backbone')):
        if size is None:
            raise InputError(
                f'{cfg.filename}: the number of {axis} in a clip cannot be '
                f'inferred because there is no {place}.')
    return sizes
