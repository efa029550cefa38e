"""Twin of HCN as published, slow but easy to verify.

"Co-occurrence Feature Learning from Skeleton Data for Action Recognition and
Detection with Hierarchical Aggregation", IJCAI 2018. The twin loops over
persons. Its parameters are named and shaped as in the public reproduction.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F


class HCNTwin(nn.Module):
    """HCN with its classifier.

    ``window_size`` is T, and also W, the channels of the temporal layer.
    """

    def __init__(self, num_classes=60, num_joint=25, num_person=2,
                 in_channels=3, base_channels=64, window_size=64):
        super().__init__()
        base, width = base_channels, window_size
        self.num_person = num_person

        for stream in ('', 'm'):  # of the joints, and of their motion
            self.add_module(f'conv1{stream}', nn.Sequential(
                nn.Conv2d(in_channels, base, 1), nn.ReLU()))
            self.add_module(f'conv2{stream}', nn.Conv2d(
                base, width, (3, 1), padding=(1, 0)))
            self.add_module(f'conv3{stream}', nn.Sequential(
                nn.Conv2d(num_joint, base // 2, 3, padding=1),
                nn.MaxPool2d(2)))
            self.add_module(f'conv4{stream}', nn.Sequential(
                nn.Conv2d(base // 2, base, 3, padding=1), nn.Dropout2d(0.5),
                nn.MaxPool2d(2)))

        # layers after the streams are concatenated
        self.conv5 = nn.Sequential(
            nn.Conv2d(2 * base, 2 * base, 3, padding=1), nn.ReLU(),
            nn.Dropout2d(0.5), nn.MaxPool2d(2))
        self.conv6 = nn.Sequential(
            nn.Conv2d(2 * base, 4 * base, 3, padding=1), nn.ReLU(),
            nn.Dropout2d(0.5), nn.MaxPool2d(2))

        self.fc7 = nn.Sequential(
            nn.Linear(4 * base * (window_size // 16) * (width // 16), 512),
            nn.ReLU(), nn.Dropout(0.5))
        self.fc8 = nn.Linear(512, num_classes)

    def extract(self, x):
        """Map (N, C, T, V, M) to (N, M, 4 * base, T / 16, W / 16)."""
        n, c, t, v, m = x.shape
        difference = x[:, :, 1:] - x[:, :, :-1]  # (N, C, T - 1, V, M)
        difference = difference.permute(0, 1, 4, 2, 3).reshape(
            n, c * m, t - 1, v)
        difference = F.interpolate(difference, size=(t, v), mode='bilinear',
                                   align_corners=False)
        difference = difference.view(n, c, m, t, v).permute(0, 1, 3, 4, 2)

        features = []
        for person in range(self.num_person):
            streams = []
            for data, stream in (x, ''), (difference, 'm'):
                conv1, conv2, conv3, conv4 = (self.get_submodule(
                    f'conv{number}{stream}') for number in (1, 2, 3, 4))
                out = conv2(conv1(data[..., person]))  # (N, W, T, V)
                out = conv3(out.permute(0, 3, 2, 1))  # (N, base / 2, T / 2,..)
                streams.append(conv4(out))  # (N, base, T / 4, W / 4)
            out = torch.cat(streams, dim=1)
            out = self.conv5(out)  # (N, 2 * base, T / 8, W / 8)
            out = self.conv6(out)  # (N, 4 * base, T / 16, W / 16)
            features.append(out)
        return torch.stack(features, dim=1)

    def forward(self, x):
        """Map (N, C, T, V, M) to logits (N, classes)."""
        out = self.extract(x).max(dim=1).values
        out = self.fc7(out.flatten(1))
        return self.fc8(out)
