"""Parameters and FLOPs: what is counted, and what the tool says."""
import copy
import json

import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.analysis import get_model_complexity_info
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
CLIP = (1, 52, 20, 3)


@pytest.fixture
def cfg(tmp_path):
    """STD-CL on a narrow ST-GCN, without data."""
    cfg = Config.fromfile(STDCL)
    cfg.model.backbone.update(base_channels=4, num_stages=3)
    cfg.model.cls_head.in_channels = 4
    cfg.model.cls_head.decoupler.reduction = 2
    cfg.train_dataloader.dataset.dataset.ann_file = str(tmp_path / 'no.pkl')
    return cfg


def test_counting_by_hand():
    net = nn.Sequential(nn.Conv1d(3, 8, 5, padding=2), nn.BatchNorm1d(8),
                        nn.ReLU(), nn.Flatten(), nn.Linear(8 * 10, 7))
    parameters, counted = flops.count(net.eval(), torch.zeros(1, 3, 10))
    assert parameters == (3 * 5 + 1) * 8 + 2 * 8 + (8 * 10 + 1) * 7
    assert counted == 10 * 3 * 5 * 8 + 8 * 10 * 7


def test_attention_is_counted():
    """Also where PyTorch would take a fused kernel."""
    layer = nn.MultiheadAttention(16, 2, batch_first=True).eval()
    x = torch.zeros(1, 9, 16)
    products = 9 * 16 * 64 + 2 * 9 * 9 * 16  # q, k, v, out; scores, values
    with torch.no_grad():
        assert flops.count(layer, x, x, x)[1] == products
    q = torch.zeros(1, 2, 9, 8)
    assert flops.count_flops(
        F.scaled_dot_product_attention, q, q, q) == 2 * 9 * 9 * 16


def test_spatial_parts_by_hand():
    """Also what is multiplied in place, or in a function of our own."""
    c, h, t, v = 24, 2, 5, 20
    layout = SkeletonLayout.get('nw-ucla')
    clip = torch.zeros(1, c, t, v)
    hops = torch.tensor(layout.hops)
    x = int(hops.max()) + 1 + 3  # the hops, and three parts
    attention = HypergraphAttention(c, c, h, 6, torch.tensor(layout.parts),
                                    hops)
    parts = t * 3 * v * c + c * c + t * 3 * c * (c + h)
    logits = t * v * c * x + t * v * v * c + t * h * v * x * v
    assert flops.count(attention, clip)[1] == (
        t * v * c * 3 * c + parts + logits + t * v * v * c
        + t * v * c * c // 6)

    r, out = 3, 16
    convolution = CTRGC(c, out, spatial_partition(layout), r)
    topologies = v * c * 6 * r + 3 * out * (r + 2) * v * v
    assert flops.count(convolution, clip.mT)[1] == (
        topologies + t * v * c * 3 * out + out * v * 3 * v * t
        + t * v * c * out)  # the shortcut


def test_lazy_sizes():
    assert flops.count(nn.LazyLinear(3), torch.zeros(1, 4)) == (15, 12)


def test_near_to_mmengine():
    """MMEngine counts batch norm besides."""
    encoder = MODELS.build(Config.fromfile(PLAIN).model).backbone.eval()
    theirs = get_model_complexity_info(
        encoder, inputs=(torch.zeros(1, *CLIP), ), show_table=False,
        show_arch=False)
    parameters, counted = flops.count(encoder, torch.zeros(1, *CLIP))
    assert parameters == theirs['params']
    assert counted == pytest.approx(theirs['flops'], rel=0.1)


def test_stdcl_costs_nothing_at_test(cfg):
    plain = flops.analyse(Config.fromfile(PLAIN))
    cfg = Config.fromfile(STDCL)
    stdcl = flops.analyse(cfg, num_sequences=1020)
    assert plain['shape'] == stdcl['shape'] == CLIP
    assert plain['costs']['training'] == plain['costs']['test']
    costs = stdcl['costs']
    for part in ('encoder', 'classifier', 'test'):
        assert costs[part] == plain['costs'][part]
    for unit in (0, 1):
        assert costs['encoder'][unit] + costs['classifier'][unit] == (
            costs['test'][unit])
        assert sum(costs[part][unit] for part in (
            'test', 'decoupler', 'contrast')) == costs['training'][unit]
    size = MODELS.build(cfg.model).cls_head.decoupler.out_channels
    assert costs['contrast'] == (0, 2 * 1020 * size)


def test_a_bank_of_another_kind_is_counted_as_it_is(cfg):
    cfg.model.cls_head.memory_bank = dict(
        type='ClassBalancedMemoryBank', dtype='float16', slots_per_class=3)
    result = flops.analyse(cfg, num_sequences=10**9)
    slots = 10 * 3
    assert result['slots'] == slots
    assert result['costs']['contrast'] == (0, 2 * slots * 256)
    assert result['bank_bytes'] == 2 * slots * (256 * 2 + 3 * 8)


def test_products_with_the_banks_are_those_of_the_loss(cfg):
    loss = MODELS.build(cfg.model.cls_head.loss_contrast)
    anchors, labels = torch.rand(3, 256), torch.tensor([0, 1, 2])
    bank, bank_labels = torch.rand(40, 256), torch.arange(40) % 4
    products = flops.count_flops(loss, anchors, labels, labels, bank,
                                 bank_labels)
    contrast = flops.analyse(cfg, num_sequences=40)['costs']['contrast']
    assert 2 * products == 3 * contrast[1]  # two banks, three anchors


def test_a_projection_without_sizes(cfg):
    cfg.model.cls_head.decoupler.type = 'ProjectionDecoupler'
    costs = flops.analyse(cfg, num_sequences=5)['costs']
    # per branch: 1x1 convolution 4 -> 2, linear layer to 256
    assert costs['decoupler'] == (
        2 * (4 + 1) * 2 + (2 * 20 + 1) * 256 + (2 * 52 + 1) * 256,
        4 * 2 * (20 + 52) + 2 * 20 * 256 + 2 * 52 * 256)
    assert costs['classifier'] == (50, 40)


def test_the_number_of_sequences(cfg, tiny_annotations, tmp_path, warm):
    path = tmp_path / 'config.py'

    def command(*args):
        cfg.dump(path)
        return warm('tools/analysis/get_flops.py', path, *args, cwd=tmp_path)

    out = command().stdout
    assert 'give --num-sequences' in out
    assert 'total at test' in out and 'A batch of' not in out
    cfg.train_dataloader.dataset.dataset.ann_file = tiny_annotations(num=12)
    out = command().stdout
    assert '12 slots each' in out
    assert '1 persons, 52 frames, 20 joints, 3 channels' in out
    assert json.loads(command('--json').stdout)['num_sequences'] == 12
    failed = command('--shape', 1, 52, 17, 3)
    assert failed.returncode == 1
    assert (f'error: {path}: STGCN fails on a clip of shape (1, 52, 17, 3)'
            in failed.stderr)


class Encoder(nn.Module):
    """Has no graph."""
    in_channels = 2

    def forward(self, x):
        return x.permute(0, 1, 4, 2, 3)


def test_where_the_shape_comes_from(cfg, tmp_path):
    model = MODELS.build(cfg.model)
    broken = copy.deepcopy(cfg)
    del broken.test_dataloader.dataset.pipeline[0]['clip_len']
    with pytest.raises(InputError, match='number of frames.*--shape PERSONS '
                       'FRAMES JOINTS CHANNELS'):
        find_clip_shape(broken, model)
    wrapped = cfg.test_dataloader.dataset
    cfg.test_dataloader.dataset = dict(type='ConcatDataset', datasets=[
        dict(type='RepeatDataset', times=2, dataset=wrapped)])
    assert find_clip_shape(cfg, model) == CLIP
    layout = model.data_preprocessor.layout
    # of an encoder with a graph under MMAction2's own preprocessor
    model.data_preprocessor = MODELS.build(dict(type='ActionDataPreprocessor'))
    assert find_clip_shape(cfg, model) == CLIP
    model.backbone = Encoder()
    with pytest.raises(ValueError, match='number of joints.*--shape'):
        find_clip_shape(cfg, model)
    model.backbone.layout = layout
    assert find_clip_shape(cfg, model) == (1, 52, 20, 2)


def test_on_a_config_of_mmaction2(tmp_path):
    path = tmp_path / 'user.py'
    path.write_text(
        "_base_ = 'mmaction::skeleton/stgcn/stgcn_8xb16-joint-u100-80e_ntu60-"
        "xsub-keypoint-2d.py'\nmodel = dict(backbone=dict(base_channels=4), "
        'cls_head=dict(in_channels=16))\n')
    result = flops.analyse(Config.fromfile(path))
    assert result['shape'] == (2, 100, 17, 3)
    assert result['costs']['classifier'] == (16 * 60 + 60, 16 * 60)
