"""Builders of encoders and their twins, for tests and benchmarks."""
from typing import NamedTuple

import torch
import torch.nn as nn
from mmaction.models.heads import GCNHead

from projects.stdcl.catalogue import ENCODERS
from projects.stdcl.deployment.authors_checkpoint import convert
from projects.stdcl.models import CTRGCN, HCN, HCNHead, Hyperformer
from projects.stdcl.utils.skeleton_layout import SkeletonLayout
from tests.twins.ctrgcn import CTRGCNTwin, adjacency_of
from tests.twins.hcn import HCNTwin
from tests.twins.hyperformer import HyperformerTwin

# name in the paper -> name in the catalogue
KEYS = {encoder.title: key for key, encoder in ENCODERS.items()}


class Size(NamedTuple):
    layout: str = 'nturgb+d'
    persons: int = 2
    frames: int = 64
    channels: int = 3
    classes: int = 60
    base_channels: int = None  # None is the published width

    def clips(self, num: int, **kwargs) -> torch.Tensor:
        """Make random clips, shape (N, M, T, V, C)."""
        return torch.randn(num, self.persons, self.frames, len(
            SkeletonLayout.get(self.layout).joint_names), self.channels,
            **kwargs)


class Recognizer(nn.ModuleDict):
    """Encoder and head, with the parameter names of checkpoints."""

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Map (N, M, T, V, C) to logits."""
        return self.cls_head(self.backbone(clips))


def width(size: Size) -> dict:
    return {} if size.base_channels is None else dict(
        base_channels=size.base_channels)


def ours(name: str, size: Size) -> Recognizer:
    kwargs = dict(layout=size.layout, in_channels=size.channels, **width(size))
    if name == 'HCN':
        backbone = HCN(num_frames=size.frames, **kwargs)
        head = HCNHead(size.classes, backbone.out_channels,
                       (size.frames // 16, ) * 2, hidden_channels=512,
                       dropout_ratio=0.5)
    else:
        if name == 'Hyperformer' and size.base_channels:
            kwargs.update(num_heads=size.base_channels // 24)
        encoder = CTRGCN if name == 'CTR-GCN' else Hyperformer
        backbone = encoder(num_person=size.persons, **kwargs)
        head = GCNHead(size.classes, backbone.out_channels)
    return Recognizer(dict(backbone=backbone, cls_head=head))


def twin(name: str, size: Size) -> nn.Module:
    """Build the twin with the authors' names; it takes (N, C, T, V, M)."""
    layout = SkeletonLayout.get(size.layout)
    kwargs = dict(num_classes=size.classes, num_person=size.persons,
                  in_channels=size.channels, **width(size))
    if name == 'HCN':
        return HCNTwin(num_joint=layout.num_joints, window_size=size.frames,
                       **kwargs)
    kwargs.update(num_point=layout.num_joints)
    if name == 'CTR-GCN':
        return CTRGCNTwin(adjacency=adjacency_of(
            layout.num_joints, layout.bones), **kwargs)
    if size.base_channels:
        kwargs.update(num_heads=size.base_channels // 24)
    return HyperformerTwin(hops=torch.tensor(layout.hops),
                           joint_label=list(layout.parts), **kwargs)


def converted(name: str, tensors: dict) -> dict:
    """Convert the authors' tensors or gradients to our names and shapes."""
    return convert(KEYS[name], tensors)


def for_twin(clips: torch.Tensor) -> torch.Tensor:
    """Map (N, M, T, V, C) to (N, C, T, V, M)."""
    return clips.permute(0, 4, 2, 3, 1)
