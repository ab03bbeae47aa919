"""Data sets of random content, written in their official formats."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


def images(count: int, classes: int = 10, shape: tuple[int, ...] = (3, 32, 32), seed: int = 0) -> Arrays:
    """Random pixels (count, *shape), and labels of which each class has as many."""
    source = np.random.default_rng(seed)
    return source.integers(0, 256, (count, *shape), np.uint8), np.arange(count) % classes


def write_cifar_binary(folder: Path, files: dict[str, Arrays], labels: int = 1) -> Path:
    """One byte of labels a record, or two, of which the second counts, as CIFAR-100 has it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (pixels, classes) in files.items():
        columns = [np.zeros((len(classes), 1))] * (labels - 1) + [
            classes[:, None],
            pixels.reshape(len(pixels), -1),
        ]
        (folder / name).write_bytes(np.concatenate(columns, 1).astype(np.uint8).tobytes())
    return folder


def write_cifar_python(
    folder: Path, files: dict[str, Arrays], key: bytes = b"labels", protocol: int = 2
) -> Path:
    """Keys are bytes, as those of Python 2 read by Python 3."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (pixels, classes) in files.items():
        batch = {b"data": pixels.reshape(len(pixels), -1), key: classes.tolist(), b"batch_label": b"a batch"}
        (folder / name).write_bytes(pickle.dumps(batch, protocol))
    return folder


def write_idx(path: Path, array: NDArray[np.uint8], *, zipped: bool = False) -> None:
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    data = head + array.astype(np.uint8).tobytes()
    if zipped:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(data))
    else:
        path.write_bytes(data)


def write_mnist(folder: Path, train: Arrays, test: Arrays, *, zipped: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (pixels, labels) in (("train", train), ("t10k", test)):
        write_idx(folder / f"{name}-images-idx3-ubyte", pixels.squeeze(1), zipped=zipped)
        write_idx(folder / f"{name}-labels-idx1-ubyte", labels, zipped=zipped)
    return folder
