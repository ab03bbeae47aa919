"""DenseNet (Huang et al., 2017), https://arxiv.org/abs/1608.06993

DenseNet-BC: bottleneck layers whose outputs, `growth` channels each, are joined to their inputs, and transitions that
halve the channels and the image (Table 1). On small images it begins with a 3x3 convolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from study.workloads.networks.initial import he_normal

BLOCKS: dict[int, tuple[int, ...]] = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}
"""Depth -> layers of each dense block (Table 1)."""
BOTTLENECK = 4
"""Channels of a layer's 1x1 convolution, in growths."""
COMPRESSION = 0.5


class Layer(nn.Module):
    """BatchNorm, relu, 1x1 convolution, BatchNorm, relu, 3x3 convolution; the result beside the input."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, BOTTLENECK * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(BOTTLENECK * growth)
        self.conv2 = nn.Conv2d(BOTTLENECK * growth, growth, 3, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(F.relu(self.norm2(y)))], 1)


class Transition(nn.Module):
    """BatchNorm, relu, 1x1 convolution, the mean of 2x2 pixels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2)


class DenseNet(nn.Module):
    """(batch, channels, height, width) -> (batch, classes)."""

    def __init__(
        self, blocks: Sequence[int], growth: int, classes: int = 10, channels: int = 3, *, large: bool = True
    ) -> None:
        super().__init__()
        size = 2 * growth
        if large:
            self.stem = nn.Sequential(
                nn.Conv2d(channels, size, 7, 2, 3, bias=False),
                nn.BatchNorm2d(size),
                nn.ReLU(),
                nn.MaxPool2d(3, 2, 1),
            )
        else:
            self.stem = nn.Sequential(nn.Conv2d(channels, size, 3, 1, 1, bias=False))
        parts: list[nn.Module] = []
        for i, layers in enumerate(blocks):
            if i:
                parts.append(Transition(size, int(size * COMPRESSION)))
                size = int(size * COMPRESSION)
            for _ in range(layers):
                parts.append(Layer(size, growth))
                size += growth
        self.blocks = nn.Sequential(*parts)
        self.norm = nn.BatchNorm2d(size)
        self.output = nn.Linear(size, classes)
        he_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = F.relu(self.norm(self.blocks(self.stem(images))))
        scores: Tensor = self.output(features.mean((2, 3)))
        return scores
