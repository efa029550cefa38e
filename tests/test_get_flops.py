"""Counts of parameters and FLOPs, and the tool that prints them."""
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from torch import nn

from projects.stdcl.apis.clip_shape import find_clip_shape
from projects.stdcl.catalogue import find_config
from projects.stdcl.evaluation import flops
from projects.stdcl.models.backbones.ctrgcn import CTRGC, spatial_partition
from projects.stdcl.models.backbones.hyperformer import HypergraphAttention
from projects.stdcl.utils.input_error import InputError
from projects.stdcl.utils.skeleton_layout import SkeletonLayout

PLAIN, STDCL = (find_config('stgcn', 'nw-ucla-xview', stdcl)
                for stdcl in (False, True))
CLIP = tuple(Config.fromfile(STDCL).clip_shape)


def test_attention_is_counted():
    """PyTorch prefers a fused kernel, whose FLOPs would not be counted."""
    layer = nn.MultiheadAttention(16, 2, batch_first=True).eval()
    x = torch.zeros(1, 9, 16)
    with torch.no_grad():  # four linear layers and two products
        assert flops.count_flops(layer, x, x, x) == (
            9 * 16 * 64 + 2 * 9 * 9 * 16)


def test_spatial_parts_by_hand():
    """FLOPs of in-place products and custom functions count as well."""
    c, h, t, v = 24, 2, 5, 20
    layout = SkeletonLayout.get('nw-ucla')
    clip = torch.zeros(1, c, t, v)
    hops = torch.tensor(layout.hops)
    x = int(hops.max()) + 1 + 3  # one vector per number of hops and per part
    attention = HypergraphAttention(c, c, h, 6, torch.tensor(layout.parts),
                                    hops)
    parts = t * 3 * v * c + c * c + t * 3 * c * (c + h)
    logits = t * v * c * x + t * v * v * c + t * h * v * x * v
    assert flops.count_flops(attention, clip) == (
        t * v * c * 3 * c + parts + logits + t * v * v * c
        + t * v * c * c // 6)

    r, out = 3, 16
    convolution = CTRGC(c, out, spatial_partition(layout), r)
    topologies = v * c * 6 * r + 3 * out * (r + 2) * v * v
    assert flops.count_flops(convolution, clip.mT) == (
        topologies + t * v * c * 3 * out + out * v * 3 * v * t
        + t * v * c * out)  # the shortcut


def test_costs_of_stdcl():
    plain = flops.analyze(Config.fromfile(PLAIN))
    stdcl = flops.analyze(Config.fromfile(STDCL))
    assert plain == stdcl
    assert plain['shape'] == CLIP
    assert plain['parameters'] == sum(p.numel() for p in MODELS.build(
        Config.fromfile(PLAIN).model).parameters())


def test_the_command(tmp_path, warm):
    Config.fromfile(STDCL).dump(tmp_path / 'a.py')
    tool = ('tools/analysis/get_flops.py', 'a.py')
    out = warm(*tool, cwd=tmp_path).stdout
    assert f'joints, channels): {CLIP}' in out
    assert f'FLOPs: {flops.analyze(Config.fromfile(PLAIN))["flops"]:,}' in out
    failed = warm(*tool, '--cfg-options', 'model.data_preprocessor.layout='
                  'coco', cwd=tmp_path, status=1)
    assert f'error: a.py: model.clip_shape={CLIP}: ' in failed.stderr


def test_where_the_shape_comes_from():
    cfg = Config.fromfile(STDCL)
    for step in cfg.test_dataloader.dataset.pipeline:  # as new configs do
        step.type = f'a.module.{step.type}'
    model = MODELS.build(cfg.model)
    # the shape comes from the graph if the preprocessor has no layout
    model.data_preprocessor = MODELS.build(dict(type='ActionDataPreprocessor'))
    assert find_clip_shape(cfg, model) == CLIP
    pipeline = cfg.test_dataloader.dataset.pipeline
    pipeline.insert(0, dict(type='CropResize', clip_len=99))
    assert find_clip_shape(cfg, model) == CLIP  # the last step decides
    for step in pipeline:
        step.pop('num_person', None)  # MMAction2's default is 2
    assert find_clip_shape(cfg, model) == (2, *CLIP[1:])
    for step in pipeline:
        step.pop('clip_len', None)
    with pytest.raises(InputError, match='number of frames.*no '):
        find_clip_shape(cfg, model)
