"""A trained model, outside of a Runner."""
import torch.nn as nn
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import CheckpointLoader

from ..engine.hooks.checkpoint_fit_hook import load_to_test
from ..utils.skeleton_layout import SkeletonLayout


def load_model(cfg: Config, checkpoint: str, device: str = 'cpu') -> nn.Module:
    """Build the model of a config and load its weights.

    A checkpoint of training with STD-CL fits the plain config as well, and one
    without the config with STD-CL; then there is no ``cls_head.decoupler``. A
    config that a checkpoint holds is never executed.

    Args:
        cfg (Config): The config.
        checkpoint (str): Path or URL of the checkpoint.
        device (str): Defaults to 'cpu'.

    Returns:
        nn.Module: The model in eval mode, with the metadata of the data set
        that it was trained on, such as ``classes``, in ``dataset_meta``.

    Raises:
        FileNotFoundError, pickle.UnpicklingError: The checkpoint is not there,
            or holds more than data.
        InputError: It cannot be read, or its encoder or classifier are not
            those of the config.
    """
    init_default_scope(cfg.get('default_scope') or 'mmaction')
    model = MODELS.build(cfg.model)
    loaded = CheckpointLoader.load_checkpoint(
        checkpoint, map_location='cpu', logger='silent')
    if load_to_test(model, loaded.get('state_dict', loaded),
                    f'Checkpoint {checkpoint}'):
        del model.cls_head.decoupler  # it has not been trained
    model.dataset_meta = loaded.get('meta', {}).get('dataset_meta') or {}
    return model.to(device).eval()


def layout_of(model: nn.Module, cfg: Config) -> SkeletonLayout:
    """The joints and bones that a model takes.

    Args:
        model (nn.Module): As :func:`load_model` returns.
        cfg (Config): Its config.
    """
    layout = getattr(model.data_preprocessor, 'layout', None)
    # the encoders of MMAction2 keep only a graph of theirs
    return layout or SkeletonLayout.get(cfg.model.backbone.graph_cfg.layout)
