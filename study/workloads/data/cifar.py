"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009), from the official files, binary or Python's.

https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from study.workloads.data.pickles import UnsafePickle, load_pickle
from study.workloads.module import WorkloadError

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]
SIDE = 32
PIXELS = 3 * SIDE * SIDE
TEN = {"mean": (125.3, 123.0, 113.9), "deviation": (63.0, 62.1, 66.7)}
HUNDRED = {"mean": (129.3, 124.1, 112.4), "deviation": (68.2, 65.4, 70.4)}
"""Of the training pixels, per channel, from 0 to 255 (Zagoruyko & Komodakis, 2016, their code)."""


@dataclass(frozen=True)
class Layout:
    """One of the four official forms."""

    folder: str
    train: tuple[str, ...]
    test: str
    classes: int
    records: int
    """In each training file."""
    label: int | bytes
    """Of a binary record, the byte that holds the label; of a Python file, the key."""
    labels: int
    """Bytes of labels before the pixels of a binary record."""
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @property
    def files(self) -> tuple[str, ...]:
        return *self.train, self.test

    @property
    def text(self) -> str:
        """What is expected, for people."""
        files = f"{self.train[0]} to {self.train[-1]}" if len(self.train) > 1 else self.train[0]
        size = f", records of {self.labels + PIXELS:,} bytes" if self.labels else ", pickled by Python"
        return f"{self.folder}: {files} ({self.records:,} images each) and {self.test} (10,000){size}"


FIVE = tuple(f"data_batch_{i}" for i in range(1, 6))
LAYOUTS = (
    Layout(
        "cifar-10-batches-bin",
        tuple(f"{name}.bin" for name in FIVE),
        "test_batch.bin",
        10,
        10_000,
        0,
        1,
        **TEN,
    ),
    Layout("cifar-10-batches-py", FIVE, "test_batch", 10, 10_000, b"labels", 0, **TEN),
    Layout("cifar-100-binary", ("train.bin",), "test.bin", 100, 50_000, 1, 2, **HUNDRED),
    Layout("cifar-100-python", ("train",), "test", 100, 50_000, b"fine_labels", 0, **HUNDRED),
)


@dataclass(frozen=True)
class Cifar:
    """Pixels (n, 3, 32, 32) and labels (n,), CIFAR-100's the fine ones."""

    train: Arrays
    test: Arrays
    classes: int
    layout: Layout


def read_cifar(folder: Path, layout: Layout, *, subset: bool = False) -> Cifar:
    """The images of a folder. With `subset`, what is there of the training files is enough, whatever their sizes.

    Raises WorkloadError, one line with the expected layout, when a file is missing or damaged.
    """
    there = [name for name in layout.train if (folder / name).is_file()]
    names = there if subset and there else layout.train
    parts = [read_file(folder / name, layout, None if subset else layout.records) for name in names]
    train = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    test = read_file(folder / layout.test, layout, None if subset else 10_000)
    return Cifar(train, test, layout.classes, layout)


def read_file(path: Path, layout: Layout, records: int | None) -> Arrays:
    """One file; of exactly so many images, if told."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise WorkloadError(
            f"{path} is missing: expected is {layout.text}; subset = true takes fewer"
        ) from None
    except OSError as error:
        raise WorkloadError(f"{path} cannot be read ({error.strerror}): expected is {layout.text}") from error
    pixels, labels = from_binary(path, data, layout) if layout.labels else from_pickle(path, data, layout)
    if records is not None and len(labels) != records:
        raise damaged(
            path, f"it holds {len(labels):,} images, not {records:,}", layout, "; subset = true takes it"
        )
    if not len(labels):
        raise damaged(path, "it is empty", layout)
    if labels.min() < 0 or labels.max() >= layout.classes:
        raise damaged(path, f"it has labels beyond the {layout.classes} classes", layout)
    return pixels.reshape(-1, 3, SIDE, SIDE), labels.astype(np.int64)


def from_binary(path: Path, data: bytes, layout: Layout) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    record = layout.labels + PIXELS
    if len(data) % record:
        raise damaged(path, f"its {len(data):,} bytes are no whole number of records", layout)
    table = np.frombuffer(data, np.uint8).reshape(-1, record)
    # copies: a tensor wants memory that may be written to
    return table[:, layout.labels :].copy(), table[:, int(layout.label)].astype(np.int64)


def from_pickle(path: Path, data: bytes, layout: Layout) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    try:
        given = load_pickle(data)
    except UnsafePickle as error:
        raise damaged(path, str(error), layout) from error
    pixels, labels = (given.get(key, given.get(key.decode())) for key in (b"data", bytes(layout.label)))
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != PIXELS:
        raise damaged(path, "it has no array 'data' of 3,072 columns", layout)
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise damaged(path, f"it has no list of labels {layout.label!r}", layout)
    if len(labels) != len(pixels):
        raise damaged(path, f"it has {len(pixels):,} images and {len(labels):,} labels", layout)
    return pixels.copy(), np.array(labels, np.int64)


def damaged(path: Path, why: str, layout: Layout, more: str = "") -> WorkloadError:
    return WorkloadError(f"{path} is damaged ({why}): expected is {layout.text}{more}")
