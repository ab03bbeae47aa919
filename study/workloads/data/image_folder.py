"""ImageNet (Russakovsky et al., 2015), or any folder of one subfolder a class, decoded once by Pillow.

Decoded images are kept as a memory-mapped array, which all workers of a machine share, in the folder of what is kept
(`tunability` in the user's cache, or $TUNABILITY_CACHE). Of each image the shorter side is scaled to 8/7 of `side` and
the middle is kept, as ImageNet's images are evaluated: 256 and 224 pixels.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from study.workloads.module import WorkloadError

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]
FOLDER_LAYOUT = "ImageNet: train/CLASS/*.JPEG and val/CLASS/*.JPEG, one folder a class, the same in both"
ENDINGS = {".jpeg", ".jpg", ".png"}
MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of ImageNet's training pixels, per channel, 0 to 255 (torchvision's reference training)."""


@dataclass(frozen=True)
class Folder:
    """Pixels (n, 3, side, side), memory-mapped, and labels (n,): places of the classes in alphabetical order."""

    train: Arrays
    validation: Arrays
    classes: int
    sha256: str
    mean: tuple[float, ...] = MEAN
    deviation: tuple[float, ...] = DEVIATION


def read_image_folder(folder: Path, side: int) -> Folder:
    """The images of a folder, decoded unless they are kept already. Raises WorkloadError, one line."""
    classes = sorted(each.name for each in (folder / "train").iterdir() if each.is_dir())
    if not classes:
        raise WorkloadError(f"{folder}/train has no folders of classes: expected is {FOLDER_LAYOUT}")
    if not (folder / "val").is_dir():
        raise WorkloadError(f"{folder}/val is missing: expected is {FOLDER_LAYOUT}")
    others = sorted(each.name for each in (folder / "val").iterdir() if each.is_dir())
    if others != classes:
        raise WorkloadError(
            f"{folder}/val has {len(others)} folders of classes that are not the {len(classes)} of train: "
            f"expected is {FOLDER_LAYOUT}"
        )
    (train, one), (validation, other) = (kept(folder / name, classes, side) for name in ("train", "val"))
    return Folder(train, validation, len(classes), hashlib.sha256(f"{one}{other}".encode()).hexdigest())


def kept(split: Path, classes: list[str], side: int) -> tuple[Arrays, str]:
    """The decoded images of a split, and the SHA-256 of pixels and labels, made when they were decoded."""
    from analysis.cost.kept import folder

    files = [(path, i) for i, name in enumerate(classes) for path in sorted((split / name).iterdir())]
    files = [(path, label) for path, label in files if path.suffix.lower() in ENDINGS]
    if not files:
        raise WorkloadError(f"{split} has no images: expected is {FOLDER_LAYOUT}")
    labels = np.array([label for _, label in files], np.int64)
    cache = folder()
    if cache is None:
        raise WorkloadError(
            "decoded images cannot be kept: set TUNABILITY_CACHE to a folder with room for them"
        )
    told = [(str(path.relative_to(split)), path.stat().st_size, path.stat().st_mtime_ns) for path, _ in files]
    key = hashlib.sha256(json.dumps([str(split.resolve()), side, told]).encode()).hexdigest()[:32]
    place = cache / "images" / f"{key}.npy"
    record = place.with_suffix(".json")
    if not record.is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        record_text = json.dumps({"sha256": decode([path for path, _ in files], labels, side, place)})
        swap(record, record_text)
    sha256 = json.loads(record.read_text(encoding="utf-8"))["sha256"]
    # copy-on-write, since a tensor wants memory that may be written to; nothing writes
    return (np.load(place, mmap_mode="c"), labels), str(sha256)


def decode(paths: list[Path], labels: NDArray[np.int64], side: int, place: Path) -> str:
    """Write the decoded images to `place`, whole or not at all; gives the SHA-256 of pixels and labels."""
    draft = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        array = np.lib.format.open_memmap(draft, "w+", np.uint8, (len(paths), 3, side, side))
        digest = hashlib.sha256(labels.tobytes())
        for i, path in enumerate(paths):
            array[i] = pixels(path, side)
            digest.update(array[i].tobytes())
        array.flush()
        draft.replace(place)
    finally:
        draft.unlink(missing_ok=True)
    return digest.hexdigest()


def swap(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def pixels(path: Path, side: int) -> NDArray[np.uint8]:
    """The middle (3, side, side) of an image file. Raises WorkloadError when it cannot be decoded."""
    Image = pillow()
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise WorkloadError(f"{path} cannot be decoded ({error}): expected is {FOLDER_LAYOUT}") from error
    scale = side * 8 / 7 / min(image.size)
    width, height = (max(side, round(length * scale)) for length in image.size)
    left, top = (width - side) // 2, (height - side) // 2
    image = image.resize((width, height), Image.Resampling.BILINEAR).crop(
        (left, top, left + side, top + side)
    )
    return np.asarray(image).transpose(2, 0, 1)


def pillow() -> Any:
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise WorkloadError(
            "folders of images are decoded by Pillow: pip install 'tunability[images]'"
        ) from None
    return Image
