"""MNIST's idx files."""

from pathlib import Path

import numpy as np
import pytest
from official_files import images, write_idx, write_mnist

from study.workloads import WorkloadError
from study.workloads.data.idx import read_mnist
from study.workloads.data.image_set import image_set

TRAIN, TEST = images(20, shape=(1, 28, 28)), images(10, shape=(1, 28, 28), seed=1)


@pytest.mark.parametrize("zipped", [False, True])
def test_what_was_written_is_read(zipped: bool, tmp_path: Path) -> None:
    write_mnist(tmp_path, TRAIN, TEST, zipped=zipped)
    for read, written in zip(read_mnist(tmp_path), (TRAIN, TEST), strict=True):
        np.testing.assert_array_equal(read[0], written[0])
        np.testing.assert_array_equal(read[1], written[1])
    found = image_set(str(tmp_path))
    assert found.channels == 1
    assert found.train[0].shape == (20, 1, 28, 28)


def test_what_is_missing_or_damaged_is_one_line(tmp_path: Path) -> None:
    write_mnist(tmp_path, TRAIN, TEST)
    labels, pixels = tmp_path / "train-labels-idx1-ubyte", tmp_path / "train-images-idx3-ubyte"
    whole = pixels.read_bytes()

    def refused(message: str) -> None:
        with pytest.raises(WorkloadError, match=message) as caught:
            read_mnist(tmp_path)
        assert "expected is MNIST: train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-im" in str(
            caught.value
        )
        assert "\n" not in str(caught.value)

    pixels.write_bytes(whole[:-1])
    refused("15,679 bytes where 15,680 are announced")
    pixels.write_bytes(b"\0\0\x0d" + whole[3:])
    refused("does not begin as an idx file of 3 dimensions")
    pixels.write_bytes(whole[:9])
    refused("does not begin as an idx file")
    pixels.write_bytes(whole)
    write_idx(labels, np.arange(19, dtype=np.uint8) % 10)
    refused("20 images and 19 labels in train")
    write_idx(labels, np.arange(20, dtype=np.uint8))
    refused("labels beyond 0 to 9")
    labels.unlink()
    refused("train-labels-idx1-ubyte is missing")
    labels.with_name(f"{labels.name}.gz").write_bytes(b"\x1f\x8b\x08nothing")
    refused("train-labels-idx1-ubyte.gz cannot be read")
