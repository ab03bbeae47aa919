"""A folder of image files, decoded once."""

import builtins
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from study.workloads import WORKLOADS, WorkloadError
from study.workloads.data import image_folder
from study.workloads.data.image_folder import read_image_folder
from study.workloads.data.image_set import image_set

COLORS = {"n01": (255, 0, 0), "n02": (0, 128, 0), "n03": (0, 0, 64)}


def write(root: Path, each: int = 2) -> Path:
    for split in ("train", "val"):
        for name, color in COLORS.items():
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(each):
                # a band of white at both ends, which the middle does not show
                picture = Image.new("RGB", (40 + 8 * i, 20), "white")
                picture.paste(color, (8, 0, 32 + 8 * i, 20))
                picture.save(folder / f"{i}.PNG")
    return root


def test_the_middle_of_each_image_is_kept_and_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNABILITY_CACHE", str(tmp_path / "cache"))
    read = read_image_folder(write(tmp_path / "images"), 14)
    pixels, labels = read.train
    assert labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert isinstance(pixels, np.memmap)
    assert pixels.shape == (6, 3, 14, 14)
    for image, label in zip(pixels, labels, strict=True):
        assert {tuple(color) for color in image.reshape(3, -1).T.tolist()} == {[*COLORS.values()][label]}
    # nothing is decoded again
    monkeypatch.setattr(image_folder, "pillow", None)
    again = read_image_folder(tmp_path / "images", 14)
    assert again.sha256 == read.sha256
    assert len(list((tmp_path / "cache" / "images").iterdir())) == 4


def test_it_trains_from_the_mapped_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNABILITY_CACHE", str(tmp_path / "cache"))
    folder = str(write(tmp_path / "images", each=4))
    settings: Mapping[str, Any] = {"depth": 10, "width": 2, "stem": "large", "side": 28, "batch": 4}
    workload = WORKLOADS["resnet"](data=folder, validation=0.25, **settings)
    assert workload.init(0)[0]["output.weight"].shape == (3, 16)
    assert next(workload.batches(0))[0].shape == (4, 3, 28, 28)
    assert workload.data_hash() == image_set(folder, side=28).sha256
    tests: Sequence[Any] = workload.evaluation(0, "test")
    assert [len(labels) for _, labels in tests] == [12]


def test_what_is_missing_or_damaged_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNABILITY_CACHE", str(tmp_path / "cache"))
    folder = write(tmp_path / "images")

    def refused(message: str) -> None:
        with pytest.raises(WorkloadError, match=message) as caught:
            read_image_folder(folder, 14)
        assert "\n" not in str(caught.value)

    picture = folder / "train" / "n02" / "1.PNG"
    whole = picture.read_bytes()
    picture.write_bytes(whole[:50])
    refused(r"1.PNG cannot be decoded \(.*expected is ImageNet: train/CLASS")
    assert not list((tmp_path / "cache" / "images").iterdir())  # nothing half done
    picture.write_bytes(whole)
    (folder / "val" / "n03").rename(folder / "val" / "n04")
    refused("3 folders of classes that are not the 3 of train")
    (folder / "val").rename(folder / "validation")
    refused("val is missing")


def test_without_pillow_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def none(name: str, *rest: Any) -> Any:
        if name == "PIL":
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", none)
    with pytest.raises(WorkloadError, match=r"pip install 'tunability\[images\]'"):
        image_folder.pillow()
