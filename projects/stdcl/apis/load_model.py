"""Load a trained model without a Runner."""
import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader
from torch.utils.data import DataLoader

from ..datasets import data_description
from ..datasets.dataset_access import transforms_of, unwrap_datasets
from ..engine.hooks.checkpoint_fit_hook import load_to_test
from ..engine.hooks.skeleton_check_hook import check_loader
from ..utils.config_check import checked
from ..utils.input_error import InputError, printable
from ..utils.model_parts import build_model, kind_of
from ..utils.safe_files import PathLike
from ..utils.skeleton_layout import SkeletonLayout


def load_model(cfg: Config, checkpoint: PathLike,
               device: str = 'cpu') -> nn.Module:
    """Build the model of a config and load its weights.

    A checkpoint trained with STD-CL also fits the plain config. A plain
    checkpoint also fits the config with STD-CL; the model then has no
    ``cls_head.decoupler``. A config in a checkpoint is never executed.

    Args:
        cfg (Config): Config with a ``model``.
        checkpoint (str | Path): Path or URL of the checkpoint.
        device (str): Device of the model. Defaults to 'cpu'.

    Returns:
        nn.Module: The model in eval mode, with the ``dataset_meta`` and the
        ``trained_on`` (see :func:`.description_in`) of its training set.

    Raises:
        FileNotFoundError: ``checkpoint`` does not exist.
        InputError: ``cfg`` is invalid, ``checkpoint`` is damaged or does not
            fit ``cfg`` or its test pipeline, or ``device`` is not available.
        pickle.UnpicklingError: ``checkpoint`` could run code.
    """
    try:
        torch.zeros(1, device=device).item()
    except Exception as error:  # the type depends on the device
        raise InputError(
            f'device is {device!r}, expected cpu, or an accelerator that '
            'PyTorch can use on this machine, such as cuda.') from error
    with checked(cfg, ('model', )):
        model = build_model(cfg)
    loaded = CheckpointLoader.load_checkpoint(
        str(checkpoint), map_location='cpu', logger='silent')
    if load_to_test(model, loaded, f'Checkpoint {checkpoint}'):
        del model.cls_head.decoupler  # its weights are untrained
    head = model.cls_head  # None would not average the clips of a sequence
    head.average_clips = getattr(head, 'average_clips', None) or 'prob'
    meta = (loaded.get('meta') or {}).get('dataset_meta') or {}
    model.trained_on = data_description.description_in(loaded, model)
    model.dataset_meta = dict(meta, classes=[
        printable(name) for name in model.trained_on.get('classes')
        or meta.get('classes') or ()])
    data_description.check_traits(
        model.trained_on, cfg.get('test_dataloader') or cfg.get(
            'val_dataloader'), 'test_dataloader')
    return model.to(device).eval()


def build_test_loader(cfg: Config, model: nn.Module) -> DataLoader:
    """Build the loader of the test set for a model from :func:`load_model`.

    Data that do not fit the model raise an ``InputError``.
    """
    with checked(cfg, ('test_dataloader', )):
        loader = Runner.build_dataloader(dict(  # in the order of the data set
            cfg.test_dataloader, batch_sampler=None,
            sampler=dict(type='DefaultSampler', shuffle=False)))
    check_loader(model, loader, 'test_dataloader')
    data_description.check_data(model.trained_on, loader.dataset,
                                'test_dataloader')
    return loader


def layout_of(cfg: Config) -> SkeletonLayout:
    """Return the layout of a config's model, or raise an ``InputError``.

    It comes from the first of these that sets one: the data preprocessor, the
    backbone's ``graph_cfg`` (as in MMAction2's configs) or the backbone.
    """
    model = cfg.get('model') or {}
    backbone = model.get('backbone') or {}
    for place in (model.get('data_preprocessor')
                  or cfg.get('data_preprocessor') or {},
                  backbone.get('graph_cfg') or {}, backbone):
        layout = place.get('layout')  # or a dict in MMAction2's format
        if layout and not (isinstance(layout, dict) and 'num_node' in layout):
            return SkeletonLayout.get(layout)
    raise InputError('the config sets no layout with joint_names, expected '
                     'one in model.data_preprocessor, model.backbone or '
                     'model.backbone.graph_cfg.')


def find_vertical(cfg: Config) -> tuple[str, str]:
    """Return the vertical axes of a config's data and of its model's input.

    The axis of the data is ``up`` of ``RandomView`` in the training pipeline,
    or 'y'. That of the input is the same, or 'z' after ``PreNormalize3D``.
    """
    steps = [step for name in ('train', 'test')
             for part, wrappers in unwrap_datasets(
                 cfg.get(f'{name}_dataloader') or {})
             for step in transforms_of(part, *wrappers)]
    up = next((step.get('up', 'y') for step in steps
               if kind_of(step) == 'RandomView'), 'y')
    turned = any(kind_of(step).endswith('PreNormalize3D')
                 and step.get('align_spine', True) for step in steps)
    return up, 'z' if turned else up
