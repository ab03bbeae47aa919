"""The papers' image classifiers: each by default at a size that trains in seconds, on images that come inside packages.

All take the same settings beside their own: `data` ("digits", "mnist", or a folder as `study.workloads.data.image_set`
knows them), `subset`, `side`, `average` (pixels are averaged over squares of so many), `augment` (flips and crops),
`batch` and `validation`, the share of the training images that is held out, drawn by seed: 0.1 is 5,000 of CIFAR's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from study.workloads.augment import flip_and_crop
from study.workloads.data import data_name
from study.workloads.data.image_set import ImageSet, image_set
from study.workloads.module import ModuleWorkload, WorkloadError, error_rate
from study.workloads.networks.densenet import BLOCKS, DenseNet
from study.workloads.networks.resnet import cifar_resnet, resnet
from study.workloads.networks.wide_resnet import WideResNet
from study.workloads.workload import Batch

Stem = Literal["small", "large"]
STEMS = ("small", "large")


def wrn(
    data: str = "digits",
    depth: int = 10,
    width: int = 1,
    batch: int = 64,
    augment: bool = False,
    average: int = 1,
    validation: float = 0.1,
    subset: bool = False,
    side: int = 224,
) -> ModuleWorkload:
    """Wide ResNet of any depth and width, WRN-10-1 on the digits; the papers': 28-4 and 28-10 on CIFAR"""
    images = image_set(data, subset=subset, side=side)
    return classifier(
        f"WRN-{depth}-{width} on {data_name(data)}",
        images,
        lambda: WideResNet(depth, width, images.classes, images.channels),
        batch,
        augment,
        average,
        validation,
    )


def resnet_cifar(
    data: str = "digits",
    depth: int = 8,
    width: int = 16,
    batch: int = 64,
    augment: bool = False,
    average: int = 1,
    validation: float = 0.1,
    subset: bool = False,
    side: int = 224,
) -> ModuleWorkload:
    """ResNet in three stages for small images, ResNet-8 on the digits; the papers': depth 110 on CIFAR-10"""
    images = image_set(data, subset=subset, side=side)
    return classifier(
        f"ResNet-{depth} in three stages of {width} channels on {data_name(data)}",
        images,
        lambda: cifar_resnet(depth, width, images.classes, images.channels),
        batch,
        augment,
        average,
        validation,
    )


def resnet_four_stages(
    data: str = "digits",
    depth: int = 6,
    width: int = 16,
    stem: Stem = "small",
    batch: int = 64,
    augment: bool = False,
    average: int = 1,
    validation: float = 0.1,
    subset: bool = False,
    side: int = 224,
) -> ModuleWorkload:
    """ResNet in four stages, ResNet-6 (two) on the digits; the papers': 34 on CIFAR, 50 on ImageNet, width 64"""
    images, large = image_set(data, subset=subset, side=side), is_large(stem)
    return classifier(
        f"ResNet-{depth} of width {width} on {data_name(data)}",
        images,
        lambda: resnet(depth, width, images.classes, images.channels, large=large),
        batch,
        augment,
        average,
        validation,
    )


def resnext(
    data: str = "digits",
    depth: int = 8,
    width: int = 16,
    groups: int = 4,
    group_width: int = 4,
    stem: Stem = "small",
    batch: int = 64,
    augment: bool = False,
    average: int = 1,
    validation: float = 0.1,
    subset: bool = False,
    side: int = 224,
) -> ModuleWorkload:
    """ResNeXt, ResNeXt-8 (4x4d) on the digits; the papers': 50 (32x4d), width 64, on ImageNet"""
    images, large = image_set(data, subset=subset, side=side), is_large(stem)
    return classifier(
        f"ResNeXt-{depth} ({groups}x{group_width}d) on {data_name(data)}",
        images,
        lambda: resnet(
            depth, width, images.classes, images.channels, large=large, groups=groups, group_width=group_width
        ),
        batch,
        augment,
        average,
        validation,
    )


def densenet(
    data: str = "digits",
    blocks: Sequence[int] = (2, 2),
    growth: int = 8,
    stem: Stem = "small",
    batch: int = 64,
    augment: bool = False,
    average: int = 1,
    validation: float = 0.1,
    subset: bool = False,
    side: int = 224,
) -> ModuleWorkload:
    """DenseNet-BC, blocks [2, 2] on the digits; the papers': blocks [6, 12, 24, 16], growth 32, on CIFAR"""
    if not blocks or not all(type(layers) is int and layers > 0 for layers in blocks):
        raise WorkloadError(f"blocks = {blocks!r} is not allowed: give layers such as {list(BLOCKS[121])}")
    images, large = image_set(data, subset=subset, side=side), is_large(stem)
    return classifier(
        f"DenseNet of blocks {', '.join(map(str, blocks))} and growth {growth} on {data_name(data)}",
        images,
        lambda: DenseNet(blocks, growth, images.classes, images.channels, large=large),
        batch,
        augment,
        average,
        validation,
    )


def classifier(
    about: str,
    images: ImageSet,
    model: Callable[[], nn.Module],
    batch: int,
    augment: bool,
    average: int,
    validation: float,
) -> ModuleWorkload:
    """Cross-entropy training on standardised images."""
    height, width = images.train[0].shape[2:]
    if type(average) is not int or average < 1 or height % average or width % average:
        raise WorkloadError(
            f"average = {average!r} does not divide images of {height}x{width} pixels: give 1 or 2"
        )
    mean, deviation = (torch.tensor(each).view(1, -1, 1, 1) for each in (images.mean, images.deviation))

    def standardise(given: Batch) -> Batch:
        pixels, labels = given
        x = pixels.float()
        if average > 1:
            count, channels = x.shape[:2]
            x = x.view(count, channels, height // average, average, width // average, average).mean((3, 5))
        return (x - mean.to(x.device)) / deviation.to(x.device), labels

    return ModuleWorkload(
        model=model,
        train=images.train,
        validation=validation,
        test=images.test,
        prepare=standardise,
        augment=flip_and_crop if augment else None,
        loss=F.cross_entropy,
        metrics={"validation_error": error_rate},
        batch=batch,
        about=about,
        data_sha256=images.sha256,
    )


def is_large(stem: str) -> bool:
    if stem not in STEMS:
        raise WorkloadError(f"stem = {stem!r} is not allowed: give one of {', '.join(STEMS)}")
    return stem == "large"
