"""What is kept of trials in training, so that after a kill they go on where they were, to the bit.

Files, not Ray Tune's checkpoints: they are there for trials that are trained without a cluster, and after the driver
died as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from storage.records import cell_keys
from study.training.block import Block

SECONDS_BETWEEN = 30.0
"""Between two checkpoints of a trial: what a kill costs at most, and shorter trials keep none."""
DAYS_KEPT = 14.0
"""Of checkpoints that nobody came back to."""
SUFFIX = ".pt"
UNREADABLE = (OSError, EOFError, LookupError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError)
"""No file, none of ours, or what may not be read without running code."""
UNWRITABLE = (OSError, RuntimeError, TypeError, AttributeError, pickle.PicklingError)
"""A full disk, or an optimizer whose state holds what cannot be written."""
NOWHERE: Mapping[str, Path] = {}
"""No folders for checkpoints."""


class Checkpoint:
    """The file of the trials that are in training together; without a path nothing is kept."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._last = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether so much time has passed that it should be written again."""
        return self._path is not None and time.monotonic() - self._last >= SECONDS_BETWEEN

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """What was saved last, its tensors on `device`; None where nothing was, or nothing that can be read."""
        if self._path is None:
            return None
        try:
            found: dict[str, Any] = torch.load(self._path, map_location=device, weights_only=True)
        except UNREADABLE:
            return None
        return found

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep tensors, numbers and containers of them in the place of what was saved last. What fails is left."""
        if self._path is None:
            return
        half = self._path.with_suffix(f".{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            torch.save(dict(state), half)
            half.replace(self._path)
        except UNWRITABLE:
            with contextlib.suppress(OSError):
                half.unlink(missing_ok=True)
        self._last = time.monotonic()

    def forget(self) -> None:
        """Remove it."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)


class Checkpoints:
    """A folder for each optimizer, by what a study calls it; of one without a folder nothing is kept."""

    def __init__(self, folders: Mapping[str, Path] = NOWHERE) -> None:
        self._folders = folders

    def of(self, block: Block) -> Checkpoint:
        """The checkpoint of a block, or of a part of it. One by another recipe, torch or program is another one."""
        folder = self._folders.get(block.optimizer)
        if folder is None:
            return Checkpoint()
        key = (block.recipe, torch.__version__, block.seed, block.width, *cell_keys(block.hyperparameters))
        return Checkpoint(folder / (hashlib.sha256(repr(key).encode()).hexdigest()[:32] + SUFFIX))


def prune(folder: Path) -> None:
    """Remove the checkpoints in the folders of `folder` that are older than `DAYS_KEPT`."""
    with contextlib.suppress(OSError):
        for path in folder.glob(f"*/*{SUFFIX}"):
            if time.time() - path.stat().st_mtime > DAYS_KEPT * 86_400:
                path.unlink(missing_ok=True)
