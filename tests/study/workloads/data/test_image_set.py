"""Where images come from."""

from pathlib import Path

import pytest
import torch
from official_files import images, write_cifar_binary, write_mnist

from study.data_folder import DATA
from study.workloads import WorkloadError
from study.workloads.data.image_set import image_set


@pytest.mark.parametrize("name", ["digits", "mnist"])
def test_packaged_images_are_standardised_by_what_they_are(name: str) -> None:
    found = image_set(name)
    pixels = found.train[0].double()
    assert found.test is None
    assert pixels.mean().item() == pytest.approx(found.mean[0], rel=0.01)
    assert pixels.std().item() == pytest.approx(found.deviation[0], rel=0.01)
    assert found.train[0].dtype == torch.uint8


def test_a_folder_must_tell_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="'nowhere' is no folder: give one by its absolute path or below --data-dir"
    ):
        image_set("nowhere")
    with pytest.raises(
        WorkloadError, match="holds no images that are known: give a folder with cifar-10-batches-bin"
    ):
        image_set(str(tmp_path))
    write_mnist(tmp_path, *[images(5, shape=(1, 28, 28))] * 2)
    write_cifar_binary(tmp_path / "cifar-100-binary", {"train.bin": images(5), "test.bin": images(5)}, 2)
    with pytest.raises(WorkloadError, match=r"holds several sets: give one of .*cifar-100-binary, "):
        image_set(str(tmp_path))


def test_data_may_be_named_below_a_folder_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sets" / "mnist-files").mkdir(parents=True)
    write_mnist(tmp_path / "sets" / "mnist-files", *[images(5, shape=(1, 28, 28))] * 2)
    whole = image_set(str(tmp_path / "sets" / "mnist-files"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WorkloadError, match="'mnist-files' is no folder: give"):
        image_set("mnist-files")
    monkeypatch.setenv(DATA, "sets")
    assert image_set("mnist-files").sha256 == whole.sha256
    assert image_set(str(tmp_path / "sets" / "mnist-files")).sha256 == whole.sha256
    with pytest.raises(WorkloadError, match="'mnist-file' is no folder in sets: give"):
        image_set("mnist-file")


def test_the_hash_is_of_pixels_and_labels(tmp_path: Path) -> None:
    pixels, labels = images(5)
    hashes = set()
    for i, train in enumerate(
        [(pixels, labels), (pixels, labels), (pixels[::-1], labels), (pixels, labels[::-1])]
    ):
        folder = write_cifar_binary(
            tmp_path / str(i), {"data_batch_1.bin": train, "test_batch.bin": (pixels, labels)}
        )
        hashes.add(image_set(str(folder), subset=True).sha256)
    assert len(hashes) == 3
