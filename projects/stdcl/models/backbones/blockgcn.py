"""BlockGCN (CVPR 2024), a graph encoder that is aware of the topology.

Y. Zhou et al., "BlockGCN: Redefine topology awareness for skeleton-based
action recognition", CVPR 2024.
"""
from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule

from ...utils.input_error import InputError, require_multiple, require_positive
from ...utils.skeleton_layout import SkeletonLayout
from .spatial_temporal_encoder import SpatialTemporalEncoder, make_residual

SUBSETS = 3  # sets of weights in a graph convolution
TOPOLOGY_CHANNELS = 64  # number E of topology features


@torch.no_grad()
def joint_distances(joints: torch.Tensor) -> torch.Tensor:
    """Compute relative distances between the mean positions of the joints.

    Maps coordinates (N, M, T, V, D) to float32 Euclidean distances (N, V, V),
    which are divided by the largest distance in the sequence (in the authors'
    code, in the batch). This cancels the shrinkage by absent persons.
    """
    mean = joints.float().mean(dim=(1, 2))  # (N, V, D)
    distances = (mean[:, :, None] - mean[:, None]).norm(dim=-1)  # (N, V, V)
    largest = distances.amax(dim=(1, 2), keepdim=True)
    return distances / torch.where(largest > 0, largest, 1)


@torch.no_grad()
def spanning_tree_lengths(points: torch.Tensor) -> torch.Tensor:
    """Compute the edge lengths of Euclidean minimum spanning trees.

    Maps N sets of V points, (N, V, D), to lengths (N, V - 1) in any order.
    They are the death times of zero-dimensional persistent homology.

    Repeated squaring in the (min, max) algebra computes the minimax distance
    of each pair of points: the smallest possible longest step of a path. The
    minimum spanning tree of these distances has the same edge lengths. The
    distances form an ultrametric, so points can join the tree in any order.
    """
    num_points = points.shape[1]
    paths = (points[:, :, None] - points[:, None]).norm(dim=-1)  # (N, V, V)
    for _ in range((num_points - 2).bit_length()):  # up to V - 1 steps
        # (N, V, 1, V) and (N, 1, V, V): the last axis is the point in between
        paths = torch.maximum(paths[:, :, None], paths[:, None]).amin(dim=-1)
    later = torch.ones(num_points, num_points, dtype=torch.bool,
                       device=points.device).triu()
    return paths.masked_fill(later, float('inf'))[:, 1:].amin(dim=-1)


class TopologyFeatures(nn.Module):
    """Topology features of a sequence, in float32 even under autocast.

    The features depend on the edge lengths d of a minimum spanning tree of the
    rows of :func:`joint_distances`::

        f[e] = sum over i of exp(-(s[e, 0] c[e, 0])^2
                                 - (s[e, 1] (c[e, 1] - d[i]))^2)

    with learnable centers c and sharpness s. ``out_channels`` is E.
    """

    def __init__(self, out_channels: int = 64) -> None:
        super().__init__()
        self.centers = nn.Parameter(torch.rand(out_channels, 2))
        self.sharpness = nn.Parameter(torch.full((out_channels, 2), 3.))

    def forward(self, joints: torch.Tensor) -> torch.Tensor:
        """Map coordinates (N, M, T, V, D) to features (N, E)."""
        with torch.autocast(joints.device.type, enabled=False):
            lengths = spanning_tree_lengths(joint_distances(joints))
            births = (self.sharpness[:, 0] * self.centers[:, 0])**2  # (E,)
            deaths = (self.sharpness[:, 1, None] * (
                self.centers[:, 1, None] - lengths[:, None]))**2  # (N, E, V-1)
            return torch.exp(-births[:, None] - deaths).sum(dim=-1)


class BlockGC(BaseModule):
    """Graph convolution with weights for each head and pair of joints.

    Each head h has C / H of the C channels. With three subsets k::

        W[k, h] = B[k, h] / (|B[k, h]| + 1e-4) + R[k, h] / (|R[k, h]| + 1e-4)
        z[k, h, c, w] = sum over v of x[h, c, v] W[k, h, v, w]
        y = sum over k of conv_k(z[k])            (1x1, H groups)

    followed by batch norm, a residual connection and ReLU. B has a learned
    weight for each pair of joints, and R has one for each number of hops
    between two joints. ``|.|`` is the norm of a column. ``hops``, (V, V), is
    the number of hops between each pair of joints.
    """

    def __init__(self, in_channels: int, out_channels: int, num_heads: int,
                 hops: torch.Tensor) -> None:
        super().__init__()
        num_joints = len(hops)
        self.register_buffer('hops', hops, persistent=False)
        self.weight = nn.Parameter(torch.eye(num_joints).repeat(
            SUBSETS, num_heads, 1, 1))
        self.hop_weight = nn.Parameter(torch.zeros(
            SUBSETS, num_heads, int(hops.max()) + 1))
        # the sum of three convolutions is one convolution of stacked channels
        self.conv = nn.Parameter(torch.empty(
            num_heads, SUBSETS, in_channels // num_heads,
            out_channels // num_heads))
        self.bias = nn.Parameter(torch.zeros(SUBSETS, out_channels))
        self.bn = nn.BatchNorm2d(out_channels)
        self.shortcut = make_residual(in_channels, out_channels)
        nn.init.normal_(self.conv, std=(2 / out_channels)**0.5)

    def init_weights(self) -> None:
        """Initialize the convolutions with Kaiming normal (fan out)."""
        super().init_weights()
        nn.init.normal_(self.conv, std=(2 / self.bias.shape[1])**0.5)

    def joint_weights(self) -> torch.Tensor:
        """Return W, shape (K, H, V, V), from joint v (row) to w (column)."""
        by_hop = self.hop_weight[:, :, self.hops]
        return sum(table / (table.norm(dim=2, keepdim=True) + 1e-4)
                   for table in (self.weight, by_hop))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, T, V) to (N, C', T, V)."""
        n, _, t, v = x.shape
        heads, subsets, channels, _ = self.conv.shape
        rows = x.reshape(n, heads, channels * t, v)
        z = torch.stack([rows @ weights for weights in self.joint_weights()],
                        dim=2)  # (N, H, K, C/H T, V)
        z = z.view(n, heads, subsets * channels, t * v)
        y = self.conv.flatten(1, 2).mT @ z  # (N, H, C'/H, T V)
        y = y.view(n, -1, t, v) + self.bias.sum(dim=0)[:, None, None]
        return F.relu(self.bn(y) + self.shortcut(x), inplace=True)


class TopologyNorm(nn.BatchNorm1d):
    """Batch norm of topology features that accepts a single sequence."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C) to (N, C)."""
        if self.training and len(x) == 1:
            # A single sequence has no variance over the batch, so PyTorch
            # would raise an error. Use the running statistics instead.
            return F.batch_norm(x, self.running_mean, self.running_var,
                                self.weight, self.bias, eps=self.eps)
        return super().forward(x)


@MODELS.register_module()
class BlockGCN(SpatialTemporalEncoder):
    """BlockGCN, a graph convolutional network aware of the topology.

    In every stream, the topology of a sequence is computed from its joints.
    The encoder therefore takes their coordinates as additional channels, which
    ``SkeletonDataPreprocessor`` appends if ``append_joints`` is True.

    Args:
        layout (str | dict): The skeleton layout, whose edges define the hops.
        base_channels (int): Channels of the first block. Defaults to 128.
        num_heads (int): Number of heads H. Defaults to 8.
        inflate_stages (sequence[int]): Blocks, counted from 1, that double the
            channels. Defaults to (5,).
        **kwargs: See :class:`SpatialTemporalEncoder`, whose defaults are the
            paper's. ``in_channels`` excludes the appended coordinates.

    Raises:
        InputError: ``layout`` is unknown, ``base_channels`` is not a positive
            multiple of ``num_heads``, or one of ``kwargs`` is invalid.
    """

    channels_last = False  # the products need joints as the last axis

    def __init__(self, layout: str | dict, base_channels: int = 128,
                 num_heads: int = 8,
                 inflate_stages: Sequence[int] = (5, ), **kwargs) -> None:
        layout = SkeletonLayout.get(layout)
        require_positive('BlockGCN', num_heads=num_heads,
                         base_channels=base_channels)
        require_multiple('BlockGCN', 'base_channels', base_channels, num_heads,
                         'which is num_heads')
        hops = torch.tensor(layout.hops)
        inputs = []  # number of input channels of each block

        def spatial(in_channels: int, out_channels: int) -> BlockGC:
            inputs.append(in_channels)
            return BlockGC(in_channels, out_channels, num_heads, hops)

        super().__init__(layout, spatial, base_channels=base_channels,
                         embed_channels=base_channels,
                         inflate_stages=inflate_stages, **kwargs)
        self.joint_embedding = nn.Linear(self.in_channels, base_channels)
        self.position_embedding = nn.Parameter(
            torch.randn(layout.num_joints, base_channels))
        self.topology = TopologyFeatures(TOPOLOGY_CHANNELS)
        self.topology_projections = nn.ModuleList(  # (N, E) to (N, C)
            nn.Sequential(OrderedDict(
                linear=nn.Linear(TOPOLOGY_CHANNELS, channels),
                bn=TopologyNorm(channels), relu=nn.ReLU()))
            for channels in inputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, M, T, V, C + D) to (N, M, C', T', V).

        The D coordinates of the joints follow the C channels of the stream. An
        ``InputError`` is raised if they are missing, or M, V or C differs.
        """
        if x.shape[-1] <= self.in_channels:
            raise InputError(
                f'BlockGCN got {x.shape[-1]} channels, expected the '
                f'{self.in_channels} channels of the stream, followed by the '
                'joints. Set model.data_preprocessor.append_joints=True.')
        stream, joints = x.tensor_split([self.in_channels], dim=-1)
        n, m = x.shape[:2]
        topology = self.topology(joints)  # (N, E)
        y = self.embed(stream)  # (N * M, C, T, V)
        for block, project in zip(self.blocks, self.topology_projections):
            offset = project(topology).repeat_interleave(m, dim=0)
            y = block(y + offset[:, :, None, None])
        return y.unflatten(0, (n, m))

    def embed_joints(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, M, T, V, C) to (N, M, T, V, C')."""
        return self.joint_embedding(x) + self.position_embedding
