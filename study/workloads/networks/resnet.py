"""ResNet (He et al., 2016), https://arxiv.org/abs/1512.03385, and ResNeXt (Xie et al., 2017), https://arxiv.org/abs/1611.05431

Two designs: three stages for CIFAR's small images (section 4.2; 20, 32, 44, 56, 110 layers), and four stages (Table 1;
18, 34, 50, 101, 152 layers), which on small images begin with a 3x3 convolution instead of a 7x7 one and a pooling.
ResNeXt is the second with grouped convolutions in its bottlenecks.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from study.workloads.module import WorkloadError
from study.workloads.networks.initial import he_normal

STAGES: dict[int, tuple[int, ...]] = {
    6: (1, 1),
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
}
"""Depth -> basic blocks of each stage (Table 1; 6 and 10 are ours, for small studies)."""
BOTTLENECK_STAGES: dict[int, tuple[int, ...]] = {
    8: (1, 1),
    14: (1, 1, 1, 1),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
"""Depth -> bottleneck blocks of each stage (Table 1; 8 and 14 are ours)."""
EXPANSION = 4


class Subsampled(nn.Module):
    """The shortcut without weights (option A): every stride-th pixel, further channels zero."""

    def __init__(self, more: int, stride: int) -> None:
        super().__init__()
        self.more, self.stride = more, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))


def projected(inputs: int, outputs: int, stride: int) -> nn.Module:
    """The shortcut with weights (option B), none where shapes stay."""
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class Basic(nn.Module):
    """Two 3x3 convolutions (Figure 5, left)."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions (Figure 5, right); the 3x3 one has the stride, as in every release since 2016."""

    def __init__(self, inputs: int, middle: int, outputs: int, stride: int, groups: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, middle, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, stride, 1, groups=groups, bias=False)
        self.norm2 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, outputs, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(outputs)
        self.shortcut = projected(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = F.relu(self.norm2(self.conv2(y)))
        return F.relu(self.norm3(self.conv3(y)) + self.shortcut(x))


class Residual(nn.Module):
    """A stem, blocks, the mean over the image, a linear layer: (batch, channels, height, width) -> (batch, classes)."""

    def __init__(self, stem: nn.Module, blocks: list[nn.Module], features: int, classes: int) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.Sequential(*blocks)
        self.output = nn.Linear(features, classes)
        he_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.output(self.blocks(self.stem(images)).mean((2, 3)))
        return scores


def stem_of(channels: int, outputs: int, large: bool) -> nn.Module:
    """The first convolution; for large images with stride 2, and a pooling: a quarter of height and width is left."""
    if not large:
        conv = nn.Conv2d(channels, outputs, 3, 1, 1, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())
    conv = nn.Conv2d(channels, outputs, 7, 2, 3, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(3, 2, 1))


def cifar_resnet(depth: int, width: int = 16, classes: int = 10, channels: int = 3) -> nn.Module:
    """6n + 2 layers in three stages of `width`, twice and four times that many channels (section 4.2), option A."""
    if depth < 8 or (depth - 2) % 6:
        raise WorkloadError(f"depth = {depth} is not allowed: give 8, 14, 20, 32, 44, 56, 110, ..., 6n + 2")
    blocks: list[nn.Module] = []
    before = width
    for stage in range(3):
        size = width * 2**stage
        for i in range((depth - 2) // 6):
            stride = 2 if stage and not i else 1
            shortcut = nn.Identity() if size == before else Subsampled(size - before, stride)
            blocks.append(Basic(before, size, stride, shortcut))
            before = size
    return Residual(stem_of(channels, width, False), blocks, before, classes)


def resnet(
    depth: int,
    width: int = 64,
    classes: int = 10,
    channels: int = 3,
    *,
    large: bool = True,
    groups: int = 1,
    group_width: int | None = None,
) -> nn.Module:
    """Stages of `width`, twice, four and eight times that many channels, option B; `large` says which stem.

    ResNeXt's bottlenecks have `groups` groups of `group_width` channels in the first stage: 32 and 4 in its Table 1.
    Raises WorkloadError when there is none of that depth, or groups are asked of basic blocks.
    """
    if depth not in STAGES | BOTTLENECK_STAGES:
        allowed = ", ".join(map(str, sorted(STAGES | BOTTLENECK_STAGES)))
        raise WorkloadError(f"depth = {depth} is not allowed: give one of {allowed}")
    if groups > 1 and depth in STAGES:
        raise WorkloadError(
            f"depth = {depth} has no bottlenecks, which ResNeXt's groups are of: give 14, 50, ..."
        )
    blocks: list[nn.Module] = []
    before = width
    for stage, count in enumerate((STAGES | BOTTLENECK_STAGES)[depth]):
        size = width * 2**stage
        for i in range(count):
            stride = 2 if stage and not i else 1
            if depth in STAGES:
                blocks.append(Basic(before, size, stride, projected(before, size, stride)))
                before = size
            else:
                middle = size if group_width is None else groups * group_width * 2**stage
                blocks.append(Bottleneck(before, middle, EXPANSION * size, stride, groups))
                before = EXPANSION * size
    return Residual(stem_of(channels, width, large), blocks, before, classes)
