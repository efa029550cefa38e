"""Find the test set in a config, and the clip shape of its model."""
import torch.nn as nn
from mmengine.config import Config

from ..datasets.training_sequences import transforms_of, unwrap_datasets
from ..utils.clip_check import AXES
from ..utils.input_error import InputError


def find_test_set(cfg: Config) -> dict:
    """Return the config of the test (or validation) set, without wrappers.

    Its pipeline contains all transforms, also those of the wrappers.
    """
    part, wrappers = next(unwrap_datasets(
        cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}))
    if not isinstance(part, dict):
        raise InputError(f'the test set is a {type(part).__name__}, expected '
                         'a dict, its config in test_dataloader.dataset.')
    part = type(part)(part, pipeline=transforms_of(part, *wrappers))
    part.pop('prepare', None)
    return part


def find_clip_shape(cfg: Config, model: nn.Module) -> tuple:
    """Infer the clip shape (M, T, V, C) from the test pipeline and the model.

    An ``InputError`` is raised if a size cannot be inferred.
    """
    steps, encoder = find_test_set(cfg)['pipeline'], model.backbone
    layout = getattr(model.data_preprocessor, 'layout',
                     getattr(encoder, 'layout', None))
    graph = getattr(encoder, 'graph', None)
    sizes = (
        next((step.get('num_person', 2) for step in steps
              if step['type'] == 'FormatGCNInput'), None),
        next((step['clip_len'] for step in steps if 'clip_len' in step), None),
        getattr(layout, 'num_joints', getattr(graph, 'num_node', None)),
        getattr(encoder, 'in_channels', 3))
    places = ('FormatGCNInput in the test pipeline',
              'clip_len in the test pipeline',
              'layout in model.data_preprocessor and no layout or graph in '
              f'{type(encoder).__name__}')
    for axis, size, place in zip(AXES, sizes, places):
        if size is None:
            raise InputError(
                f'{cfg.filename}: the number of {axis} in a clip cannot be '
                f'inferred because there is no {place}. Add one, or pass the '
                'shape (get_flops.py, export_onnx.py: --shape M T V C).')
    return sizes
