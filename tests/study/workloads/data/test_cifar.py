"""CIFAR's official files, read as they were written; what is missing or damaged is one line with the layout."""

import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from official_files import Arrays, images, write_cifar_binary, write_cifar_python

from study.workloads import WorkloadError
from study.workloads.data.cifar import LAYOUTS, Layout, read_cifar
from study.workloads.data.image_set import image_set
from study.workloads.data.pickles import UnsafePickle, load_pickle

BY_FOLDER = {layout.folder: layout for layout in LAYOUTS}


def write(root: Path, layout: Layout, count: int = 30) -> tuple[Path, dict[str, Arrays]]:
    files = {name: images(count, layout.classes, seed=i) for i, name in enumerate(layout.files)}
    folder = root / layout.folder
    if layout.labels:
        return write_cifar_binary(folder, files, layout.labels), files
    return write_cifar_python(folder, files, bytes(layout.label)), files


@pytest.mark.parametrize("name", BY_FOLDER)
def test_what_was_written_is_read(name: str, tmp_path: Path) -> None:
    layout = BY_FOLDER[name]
    folder, files = write(tmp_path, layout)
    read = read_cifar(folder, layout, subset=True)
    np.testing.assert_array_equal(read.train[0], np.concatenate([files[each][0] for each in layout.train]))
    np.testing.assert_array_equal(read.train[1], np.concatenate([files[each][1] for each in layout.train]))
    np.testing.assert_array_equal(read.test[0], files[layout.test][0])
    np.testing.assert_array_equal(read.test[1], files[layout.test][1])
    for place in (tmp_path, folder):  # the folder above will do
        found = image_set(str(place), subset=True)
        assert found.classes == layout.classes
        np.testing.assert_array_equal(found.train[0].numpy(), read.train[0])


def test_the_formats_agree(tmp_path: Path) -> None:
    one = write_cifar_binary(tmp_path / "1", {"data_batch_1.bin": images(20), "test_batch.bin": images(10)})
    other = write_cifar_python(tmp_path / "2", {"data_batch_1": images(20), "test_batch": images(10)})
    assert image_set(str(one), subset=True).sha256 == image_set(str(other), subset=True).sha256


@pytest.mark.parametrize("protocol", range(5))
def test_protocols_up_to_4_are_read(protocol: int, tmp_path: Path) -> None:
    pixels, labels = images(5)
    layout = BY_FOLDER["cifar-10-batches-py"]
    files = {"data_batch_1": (pixels, labels), "test_batch": (pixels, labels)}
    write_cifar_python(tmp_path, files, protocol=protocol)
    np.testing.assert_array_equal(read_cifar(tmp_path, layout, subset=True).train[0], pixels)


def test_texts_and_arrays_as_python_2_wrote_them() -> None:
    """Protocol 2 with byte strings, NumPy's array of before 2.0, and a Fortran order."""
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    written = pickle.dumps({"a": array, "b": np.asfortranarray(array)}, 2).replace(
        b"numpy._core.multiarray", b"numpy.core.multiarray"
    )
    read = load_pickle(written)
    np.testing.assert_array_equal(read["a"], array)
    np.testing.assert_array_equal(read["b"], array)
    assert load_pickle(b"(dp0\nS'labels'\np1\n(lp2\nI3\nas.") == {b"labels": [3]}


class Harmful:
    def __init__(self, *call: object) -> None:
        self.call = call

    def __reduce__(self) -> object:
        return self.call[0], self.call[1:]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Harmful(os.mkdir, "made"), r"names (posix|nt)\.mkdir, which no data file needs"),
        ({b"data": Harmful(eval, "1")}, r"names __builtin__\.eval"),
        ({b"data": Harmful(np.load, "x")}, r"names numpy\.load"),
        ({b"data": np.zeros(2)}, "something else than unsigned bytes"),
        ({b"data": np.array([{}], object)}, "something else than unsigned bytes"),
        ([1], "holds a list where a dictionary is expected"),
    ],
)
def test_nothing_is_run(given: object, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnsafePickle, match=message):
        load_pickle(pickle.dumps(given, 2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no pickle",
        pickle.dumps({b"a": 1})[:-3],
        b"\x80\x02cnumpy\ndtype\nq\x00)\x81.",  # made without its name
        b"\x80\x02cnumpy\ndtype\nU\x02u1\x85R}U\x01xNsb.",  # a state that is no dictionary
        b"\x80\x02ccopyreg\n_reconstructor\n.",
    ],
)
def test_damaged_pickles(data: bytes) -> None:
    with pytest.raises(UnsafePickle):
        load_pickle(data)


def test_what_is_missing_or_damaged_is_one_line(tmp_path: Path) -> None:
    layout = BY_FOLDER["cifar-10-batches-bin"]
    expected = re.escape(
        "expected is cifar-10-batches-bin: data_batch_1.bin to data_batch_5.bin (10,000 images each) "
        "and test_batch.bin (10,000)"
    )
    folder, _ = write(tmp_path, layout)

    def refused(message: str, *, subset: bool = False) -> None:
        with pytest.raises(WorkloadError, match=message) as caught:
            read_cifar(folder, layout, subset=subset)
        assert "\n" not in str(caught.value)

    refused(
        rf"data_batch_1.bin is damaged \(it holds 30 images, not 10,000\): {expected}.*subset = true takes it"
    )
    (folder / "data_batch_3.bin").unlink()
    assert len(read_cifar(folder, layout, subset=True).train[1]) == 4 * 30
    path = folder / "data_batch_1.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    refused(rf"its 92,189 bytes are no whole number of records\): {expected}", subset=True)
    path.write_bytes(b"\x0a" + whole[1:])
    refused("labels beyond the 10 classes", subset=True)
    path.write_bytes(b"")
    refused("it is empty", subset=True)
    path.unlink()
    refused(rf"data_batch_1.bin is missing: {expected}")
    (folder / "test_batch.bin").unlink()
    refused("test_batch.bin is missing", subset=True)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({b"data": images(3)[0].reshape(3, -1)}, "no list of labels"),
        ({b"data": images(3)[0].reshape(3, -1), b"labels": [1, 2]}, "3 images and 2 labels"),
        ({b"data": images(3)[0].reshape(3, -1), b"labels": ["a", 1, 2]}, "no list of labels"),
        ({b"data": b"text", b"labels": [1]}, "no array 'data' of 3,072 columns"),
        ({b"data": Harmful(os.getcwd), b"labels": [1]}, "getcwd, which no data file needs"),
    ],
)
def test_damaged_python_files(batch: object, message: str, tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(batch, 2))
    with pytest.raises(WorkloadError, match=message) as caught:
        read_cifar(tmp_path, BY_FOLDER["cifar-10-batches-py"], subset=True)
    assert "expected is cifar-10-batches-py" in str(caught.value)
