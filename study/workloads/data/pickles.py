"""Arrays out of Python pickles, such as CIFAR's official batches, without running anything that the file names.

A pickle may name any function and have it called. Here it gets bytes, texts, numbers, lists, dicts and unsigned-byte
arrays: NumPy's own reconstruction is not called either, stand-ins take what it would be given.
"""

from __future__ import annotations

import io
import math
import pickle
from typing import Any

import numpy as np


class UnsafePickle(ValueError):
    """A pickle that names what no data file needs, or is damaged; the message says what."""


class _Array:
    """What `numpy.ndarray.__setstate__` would be given: version, shape, dtype, Fortran order, raw bytes."""

    value: Any = None

    def __setstate__(self, state: Any) -> None:
        _version, shape, dtype, fortran, raw = state
        if not isinstance(dtype, _Dtype) or dtype.name not in ("u1", "|u1") or not isinstance(raw, bytes):
            raise UnsafePickle("it has an array of something else than unsigned bytes")
        if len(raw) != math.prod(shape):
            raise UnsafePickle("it has an array with more or fewer bytes than its shape says")
        self.value = np.frombuffer(raw, np.uint8).reshape(shape, order="F" if fortran else "C")


class _Dtype:
    def __init__(self, name: str, *_: Any) -> None:
        self.name = name

    def __setstate__(self, state: Any) -> None:
        """Byte order and the like, which unsigned bytes do not have."""


class _Reconstruct:
    __slots__ = ()

    def __call__(self, *_: Any) -> _Array:
        return _Array()


class _Encode:
    """`_codecs.encode`, by which Python 3 writes bytes in pickles for Python 2."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str) -> bytes:
        if encoding != "latin1":
            raise UnsafePickle(f"it has bytes in the encoding {encoding[:20]!r}")
        return text.encode("latin1")


ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Reconstruct(),
    ("numpy._core.multiarray", "_reconstruct"): _Reconstruct(),
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _Encode(),
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise UnsafePickle(f"it names {module[:40]}.{name[:40]}, which no data file needs")
        return ALLOWED[module, name]


def load_pickle(data: bytes) -> dict[Any, Any]:
    """The dictionary in a pickle, texts of Python 2 as bytes, arrays as NumPy's. Raises UnsafePickle."""
    try:
        given = _Reader(io.BytesIO(data), encoding="bytes").load()
    except UnsafePickle:
        raise
    except Exception as error:  # whatever a damaged file makes the unpickler raise
        raise UnsafePickle(f"it is no whole pickle ({type(error).__name__})") from error
    if not isinstance(given, dict):
        raise UnsafePickle(f"it holds a {type(given).__name__} where a dictionary is expected")
    return {key: value.value if isinstance(value, _Array) else value for key, value in given.items()}
