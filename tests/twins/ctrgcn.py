"""Twin of CTR-GCN as published, slow but easy to verify.

Each block has separate small convolutions for each subset of edges, at full
temporal resolution, and separate temporal branches. The parameters have the
same names as in the encoder's published checkpoints.
"""
import math
from collections import OrderedDict

import torch
import torch.nn as nn


def adjacency_of(num_point, edges):
    """Return the self, inward and outward edges as matrices (3, V, V).

    ``edges`` are (child, parent) pairs of the V joints. A column sums to 1, or
    to 0 if it has no edges.
    """
    itself, inward, outward = matrices = torch.zeros(3, num_point, num_point)
    for joint in range(num_point):
        itself[joint, joint] = 1
    for child, parent in edges:
        inward[parent, child] = 1
        outward[child, parent] = 1
    for matrix in matrices:
        for column in range(num_point):
            total = matrix[:, column].sum()
            if total > 0:
                matrix[:, column] /= total
    return matrices


def init_conv(conv):
    """Initialize with Kaiming normal (fan out) and zero bias."""
    nn.init.kaiming_normal_(conv.weight, mode='fan_out')
    nn.init.zeros_(conv.bias)
    return conv


def conv_bn(in_channels, out_channels, kernel_size=1, stride=1, dilation=1):
    """Return a convolution over time of (N, C, T, V), then batch norm."""
    return nn.Sequential(OrderedDict(
        conv=init_conv(nn.Conv2d(
            in_channels, out_channels, (kernel_size, 1), (stride, 1),
            padding=(dilation * (kernel_size - 1) // 2, 0),
            dilation=(dilation, 1))),
        bn=nn.BatchNorm2d(out_channels)))


class MultiScaleTCN(nn.Module):
    """Four temporal branches with a quarter of the channels each.

    Maps (N, C, T, V) to (N, C, T / stride, V).
    """

    def __init__(self, channels, stride=1):
        super().__init__()
        width = channels // 4
        self.branches = nn.ModuleList([
            nn.Sequential(
                nn.Conv2d(channels, width, 1),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
                conv_bn(width, width, 5, stride, dilation))
            for dilation in (1, 2)])
        self.branches.append(nn.Sequential(
            nn.Conv2d(channels, width, 1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d((3, 1), (stride, 1), padding=(1, 0)),
            nn.BatchNorm2d(width)))
        self.branches.append(nn.Sequential(
            nn.Conv2d(channels, width, 1, (stride, 1)),
            nn.BatchNorm2d(width)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                init_conv(module)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1, 0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def outer_residual(in_channels, out_channels, stride):
    if in_channels == out_channels and stride == 1:
        return nn.Identity()
    return conv_bn(in_channels, out_channels, stride=stride)


class SubsetGC(nn.Module):
    """Graph convolution over one subset of edges, with a refined topology."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        hidden = 8 if in_channels < 16 else in_channels // 8  # R
        self.conv1 = init_conv(nn.Conv2d(in_channels, hidden, 1))
        self.conv2 = init_conv(nn.Conv2d(in_channels, hidden, 1))
        self.conv3 = init_conv(nn.Conv2d(in_channels, out_channels, 1))
        self.conv4 = init_conv(nn.Conv2d(hidden, out_channels, 1))

    def forward(self, x, topology, alpha):
        """Map x (N, C_in, T, V) and topology (V, V) to (N, C_out, T, V)."""
        one = self.conv1(x).mean(2)  # (N, R, V)
        two = self.conv2(x).mean(2)  # (N, R, V)
        values = self.conv3(x)  # (N, C_out, T, V)
        relation = torch.tanh(one[:, :, :, None] - two[:, :, None, :])
        refined = self.conv4(relation) * alpha + topology  # (N, C_out, V, V)
        return torch.einsum('ncuv,nctv->nctu', refined, values)


class SpatialGC(nn.Module):
    """Spatial part: sum over subsets, with a residual path."""

    def __init__(self, in_channels, out_channels, adjacency):
        super().__init__()
        self.PA = nn.Parameter(adjacency.detach().float().clone())
        self.alpha = nn.Parameter(torch.zeros(1))
        self.convs = nn.ModuleList(
            [SubsetGC(in_channels, out_channels) for _ in adjacency])
        self.down = nn.Identity()
        if in_channels != out_channels:
            self.down = nn.Sequential(
                init_conv(nn.Conv2d(in_channels, out_channels, 1)),
                nn.BatchNorm2d(out_channels))
        self.bn = nn.BatchNorm2d(out_channels)
        nn.init.constant_(self.bn.weight, 1e-6)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        """Map (N, C_in, T, V) to (N, C_out, T, V)."""
        total = sum(conv(x, topology, self.alpha)
                    for conv, topology in zip(self.convs, self.PA))
        return self.relu(self.bn(total) + self.down(x))


class Block(nn.Module):
    """Block with a spatial part, a temporal part and a residual path."""

    def __init__(self, in_channels, out_channels, adjacency, stride=1,
                 residual=True):
        super().__init__()
        self.gcn1 = SpatialGC(in_channels, out_channels, adjacency)
        self.tcn1 = MultiScaleTCN(out_channels, stride)
        self.residual = outer_residual(
            in_channels, out_channels, stride) if residual else None
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        """Map (N, C_in, T, V) to (N, C_out, T / stride, V)."""
        y = self.tcn1(self.gcn1(x))
        if self.residual is not None:
            y = y + self.residual(x)
        return self.relu(y)


class TenBlocks(nn.Module):
    """Parent of networks with the layers ``data_bn``, l1 to l10 and ``fc``."""

    def extract(self, x):
        """Map (N, C, T, V, M) to (N * M, C', T', V), before pooling."""
        n, c, t, v, m = x.shape
        # normalize each coordinate of each joint of each person
        x = x.permute(0, 4, 3, 1, 2).reshape(n, m * v * c, t)
        x = self.data_bn(x).view(n, m, v, c, t)
        x = x.permute(0, 1, 3, 4, 2).reshape(n * m, c, t, v)
        for number in range(1, 11):
            x = self.get_submodule(f'l{number}')(x)
        return x

    def forward(self, x):
        """Map (N, C, T, V, M) to logits (N, classes)."""
        x = self.extract(x)
        x = x.reshape(-1, self.num_person, x.shape[1], x[0, 0].numel())
        # mean over time and joints, then persons
        return self.fc(x.mean(3).mean(1))


class CTRGCNTwin(TenBlocks):
    """CTR-GCN with its classifier.

    ``adjacency`` is the result of :func:`adjacency_of`. The first four blocks
    have ``base_channels``, the next three twice, the last three four times as
    many.
    """

    def __init__(self, *, adjacency, num_classes=60, num_point=25,
                 num_person=2, in_channels=3, base_channels=64):
        super().__init__()
        self.data_bn = nn.BatchNorm1d(num_person * num_point * in_channels)
        widths = [in_channels] + [base_channels * times for times in (
            1, 1, 1, 1, 2, 2, 2, 4, 4, 4)]
        for number in range(1, 11):
            self.add_module(f'l{number}', Block(
                widths[number - 1], widths[number], adjacency,
                stride=2 if number in (5, 8) else 1, residual=number > 1))
        self.fc = nn.Linear(widths[-1], num_classes)
        self.num_person = num_person
        nn.init.normal_(self.fc.weight, 0, math.sqrt(2 / num_classes))
