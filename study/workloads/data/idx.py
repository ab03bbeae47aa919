"""MNIST (LeCun et al., 1998) from its official idx files, as they are or compressed by gzip.

An idx file is a magic number (two zero bytes, the type 8 of unsigned bytes, the number of dimensions), each dimension
as a big-endian 32-bit number, then the bytes. Fashion-MNIST and others of the same form are read as well.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from study.workloads.module import WorkloadError

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]
MNIST = ((33.32,), (78.57,))
"""Mean and standard deviation of the training pixels, 0 to 255."""
LAYOUT = (
    "MNIST: train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, "
    "each as it is or as .gz"
)


def read_mnist(folder: Path) -> tuple[Arrays, Arrays]:
    """Training and test images (n, 1, height, width) with labels (n,). Raises WorkloadError, one line."""
    return split(folder, "train"), split(folder, "t10k")


def split(folder: Path, name: str) -> Arrays:
    pixels = read_idx(folder / f"{name}-images-idx3-ubyte", 3)
    labels = read_idx(folder / f"{name}-labels-idx1-ubyte", 1)
    if len(pixels) != len(labels) or not len(labels):
        raise WorkloadError(
            f"{folder} has {len(pixels):,} images and {len(labels):,} labels in {name}: expected is {LAYOUT}"
        )
    if labels.max() > 9:
        raise WorkloadError(f"{folder} has labels beyond 0 to 9 in {name}: expected is {LAYOUT}")
    return pixels[:, None], labels.astype(np.int64)


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array of unsigned bytes in an idx file, or in the same with .gz."""
    zipped = path.with_name(f"{path.name}.gz")
    try:
        data = path.read_bytes() if path.is_file() else gzip.decompress(zipped.read_bytes())
    except FileNotFoundError:
        raise WorkloadError(f"{path} is missing: expected is {LAYOUT}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise WorkloadError(
            f"{zipped if not path.is_file() else path} cannot be read ({error}): expected is {LAYOUT}"
        ) from error
    head = 4 + 4 * dimensions
    if len(data) < head or data[:4] != bytes([0, 0, 8, dimensions]):
        raise WorkloadError(
            f"{path} is damaged (it does not begin as an idx file of {dimensions} dimensions): expected is {LAYOUT}"
        )
    shape = np.frombuffer(data, ">u4", dimensions, 4).tolist()
    if len(data) - head != math.prod(shape):
        raise WorkloadError(
            f"{path} is damaged ({len(data) - head:,} bytes where {math.prod(shape):,} are announced): "
            f"expected is {LAYOUT}"
        )
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape).copy()
