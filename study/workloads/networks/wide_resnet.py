"""Wide ResNet (Zagoruyko & Komodakis, 2016), https://arxiv.org/abs/1605.07146

WRN-d-k: three groups of (d - 4) / 6 pre-activation blocks with 16k, 32k and 64k channels (Table 1), without dropout.
"""

from __future__ import annotations

import itertools

import torch.nn.functional as F
from torch import Tensor, nn

from study.workloads.module import WorkloadError
from study.workloads.networks.initial import he_normal


class Block(nn.Module):
    """BatchNorm, relu, convolution, twice (Figure 1b); where shapes change, the shortcut is a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        same = inputs == outputs and stride == 1
        self.shortcut = None if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.norm1(x))
        y: Tensor = self.conv2(F.relu(self.norm2(self.conv1(active))))
        return y + (x if self.shortcut is None else self.shortcut(active))


class WideResNet(nn.Module):
    """(batch, channels, height, width) -> (batch, classes). Raises WorkloadError when there is none of that depth."""

    def __init__(self, depth: int, width: int, classes: int = 10, channels: int = 3) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise WorkloadError(f"depth = {depth} is not allowed: give 10, 16, 22, 28, 34, 40, ..., 6n + 4")
        sizes = [16, 16 * width, 32 * width, 64 * width]
        self.stem = nn.Conv2d(channels, sizes[0], 3, 1, 1, bias=False)
        blocks = []
        for group, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
            blocks.append(Block(inputs, outputs, 1 if group == 0 else 2))
            blocks += [Block(outputs, outputs, 1) for _ in range((depth - 4) // 6 - 1)]
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(sizes[-1])
        self.output = nn.Linear(sizes[-1], classes)
        he_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = F.relu(self.norm(self.blocks(self.stem(images))))
        scores: Tensor = self.output(features.mean((2, 3)))
        return scores
