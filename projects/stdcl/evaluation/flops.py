"""Parameters and FLOPs of a network.

Only convolutions, linear layers and matrix products of the forward pass count.
A multiply-add is one FLOP, as in MMEngine and MMAction2.
"""
from collections.abc import Callable

import torch
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode, bmm_flop

from ..apis.clip_shape import find_clip_shape
from ..models.heads.stdcl_head import TRAINING_ONLY
from ..utils.clip_check import try_zeros
from ..utils.config_check import checked
from ..utils.model_parts import build_model, make_stream

# FlopCounterMode counts baddbmm, but not its in-place version
IN_PLACE = {torch.ops.aten.baddbmm_: lambda _, a_shape, b_shape, **kwargs:
            bmm_flop(a_shape, b_shape)}


def count_flops(function: Callable, *inputs) -> int:
    """Count the FLOPs of ``function(*inputs)``."""
    # FlopCounterMode misses the CPU's fused attention kernel, and the fast
    # path that nn.MultiheadAttention takes without gradients
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(
            display=False, custom_mapping=IN_PLACE) as counter:
        function(*inputs)
    return counter.get_total_flops() // 2


def analyze(cfg: Config) -> dict:
    """Count the parameters and FLOPs of the plain network of a config.

    Return a dict of ``shape``, (M, T, V, C), ``parameters`` and ``flops`` for
    one clip. STD-CL, which takes part in training only, does not count. An
    ``InputError`` is raised if ``shape`` cannot be inferred, or if the encoder
    fails on such a clip.
    """
    with checked(cfg, ('model', )):
        model = build_model(cfg).eval()
    shape = find_clip_shape(cfg, model)
    for part in TRAINING_ONLY:
        model.cls_head._modules.pop(part, None)
    try_zeros(lambda clips: model.backbone(make_stream(
        model.data_preprocessor, clips)), shape, type(model.backbone).__name__)
    clip = make_stream(model.data_preprocessor, torch.zeros(1, *shape))
    # also initializes lazy parameters
    flops = count_flops(model.predict, clip[None], [ActionDataSample()])
    return dict(shape=shape, flops=flops, parameters=sum(
        p.numel() for p in model.parameters()))
