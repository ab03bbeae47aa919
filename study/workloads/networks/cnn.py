"""Small convolutional nets: two 3x3 convolutions, the mean over the image, a linear layer."""

from __future__ import annotations

from torch import Tensor, nn


class Mean(nn.Module):
    """(batch, channels, height, width) -> (batch, channels)."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3))


def cnn(first: int = 8, second: int = 16, classes: int = 10, stride: int = 1) -> nn.Module:
    """(batch, 1, height, width) -> (batch, classes), without normalisation; the second convolution has stride 2."""
    return nn.Sequential(
        nn.Conv2d(1, first, 3, stride, 1),
        nn.ReLU(),
        nn.Conv2d(first, second, 3, 2, 1),
        nn.ReLU(),
        Mean(),
        nn.Linear(second, classes),
    )


def cnn_bn(first: int = 8, second: int = 16, classes: int = 10, stride: int = 1) -> nn.Module:
    """The same with BatchNorm after each convolution, which then needs no bias."""
    return nn.Sequential(
        nn.Conv2d(1, first, 3, stride, 1, bias=False),
        nn.BatchNorm2d(first),
        nn.ReLU(),
        nn.Conv2d(first, second, 3, 2, 1, bias=False),
        nn.BatchNorm2d(second),
        nn.ReLU(),
        Mean(),
        nn.Linear(second, classes),
    )
