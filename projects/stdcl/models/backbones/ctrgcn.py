"""CTR-GCN (ICCV 2021), which refines the skeleton graph per channel."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule

from ...utils.skeleton_layout import SkeletonLayout
from .pointwise_conv import PointwiseConv
from .spatial_temporal_encoder import SpatialTemporalEncoder, make_residual


def spatial_partition(layout: SkeletonLayout) -> torch.Tensor:
    """Build the adjacency matrices of the self, inward and outward edges.

    The result has the shape (3, V, V), with edges from column v to row u. Each
    column sums to 1, or to 0 if it has no edges.
    """
    num_joints = layout.num_joints
    # a layout may list the root as its own child
    child, parent = torch.tensor(
        [pair for pair in layout.bones if pair[0] != pair[1]],
        dtype=torch.long).view(-1, 2).T
    adjacency = torch.zeros(3, num_joints, num_joints)
    adjacency[0] = torch.eye(num_joints)
    adjacency[1, parent, child] = 1
    adjacency[2, child, parent] = 1
    return adjacency / adjacency.sum(dim=1, keepdim=True).clamp(min=1)


class CTRGC(BaseModule):
    """Channel-wise topology refinement graph convolution.

    See the section of that name in the paper of CTR-GCN. For each of K subsets
    k, with R relation channels and the mean of x over frames::

        q = tanh(conv1(mean x)[u] - conv2(mean x)[v])       (R, V, V)
        A = alpha * conv4(q) + topology[k]                  (C', V, V)
        y = sum over k and v of A[c, u, v] * conv3(x)[c, v, t]

    followed by batch norm, a residual connection and ReLU. One product sums
    over k and v. ``adjacency`` is the initial topology, (K, V, V).
    """

    def __init__(self, in_channels: int, out_channels: int,
                 adjacency: torch.Tensor, relation_channels: int) -> None:
        super().__init__()
        subsets = len(adjacency)
        self.topology = nn.Parameter(adjacency.clone())
        self.alpha = nn.Parameter(torch.zeros(1))
        # conv1 of each subset, then conv2 of each subset
        self.relation = PointwiseConv(
            in_channels, 2 * subsets * relation_channels, merged=2 * subsets)
        # conv3, with channels in the order (C', K)
        self.transform = PointwiseConv(
            in_channels, out_channels * subsets, merged=subsets)
        # conv4, with one row of weights per subset and channel
        self.refine = nn.Parameter(
            torch.empty(subsets, out_channels, relation_channels))
        self.refine_bias = nn.Parameter(torch.zeros(subsets, out_channels, 1))
        self.bn = nn.BatchNorm2d(out_channels)
        self.shortcut = make_residual(in_channels, out_channels)
        nn.init.normal_(self.refine, std=(2 / out_channels)**0.5)

    def init_weights(self) -> None:
        """Initialize the layers; the weight of batch norm starts near 0."""
        super().init_weights()
        nn.init.normal_(self.refine, std=(2 / self.refine.shape[1])**0.5)
        nn.init.constant_(self.bn.weight, 1e-6)

    def topologies(self, x: torch.Tensor) -> torch.Tensor:
        """Refine the topology: map (N, C, V, T) to (N * C', K V, V).

        Rows are the source joints of all subsets; columns are target joints.
        """
        n, _, v, _ = x.shape
        k, c, r = self.refine.shape
        # mean over time, (N, C, V, 1), then (N, 2, K, R, V)
        relation = self.relation(x.mean(dim=3, keepdim=True))
        to, origin = relation.view(n, 2, k, r, v).unbind(dim=1)
        q = torch.tanh(to[..., None, :] - origin[..., None])  # axes v, u
        rows = torch.cat([
            q.flatten(3), q.new_ones(n, k, 1, v * v),
            self.topology.transpose(1, 2).reshape(1, k, 1, v * v).expand(
                n, -1, -1, -1).to(q.dtype)], dim=2)  # (N, K, R + 2, V V)
        weight = torch.cat([
            self.alpha * self.refine, self.alpha * self.refine_bias,
            torch.ones_like(self.refine_bias)], dim=2)  # (K, C', R + 2)
        refined = [torch.bmm(weight[i].expand(n, -1, -1), rows[:, i])
                   for i in range(k)]  # (N, C', V V) each
        return torch.stack(refined, dim=2).view(n * c, k * v, v)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, V, T) to (N, C', V, T)."""
        n, _, v, t = x.shape
        values = self.transform(x).view(-1, len(self.topology) * v, t)
        y = torch.bmm(self.topologies(x).mT, values)  # (N * C', V, T)
        y = self.bn(y.view(n, -1, v, t))
        return F.relu(y + self.shortcut(x), inplace=True)


@MODELS.register_module()
class CTRGCN(SpatialTemporalEncoder):
    """Channel-wise topology refinement graph convolutional network (CTR-GCN).

    Y. Chen et al., ICCV 2021, arXiv 2107.12213. In feature maps, (N, C, V, T),
    joints precede frames, so one product sums over the joints of all subsets.

    Args:
        layout (str | dict): The skeleton layout, whose bones form the graph.
        **kwargs: See :class:`SpatialTemporalEncoder`, whose defaults are the
            paper's values.

    Raises:
        InputError: ``layout`` is unknown, or one of ``kwargs`` is invalid.
    """

    time_dim = 3
    first_residual = False  # as in the authors' code

    def __init__(self, layout: str | dict, **kwargs) -> None:
        adjacency = spatial_partition(SkeletonLayout.get(layout))

        def spatial(in_channels: int, out_channels: int) -> CTRGC:
            # an input of coordinates has too few channels to divide
            relation_channels = 8 if in_channels < 16 else in_channels // 8
            return CTRGC(in_channels, out_channels, adjacency,
                         relation_channels)

        super().__init__(layout, spatial, **kwargs)
