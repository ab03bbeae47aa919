"""What is kept of trials in training, so that after a kill they go on where they were, to the bit.

Files, not Ray Tune's checkpoints: they are there for trials that are trained without a cluster, and after the driver
died as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import pickle
import re
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
SHARE = 0.05
"""Of the time that saving may take at most: where it takes long, checkpoints are rarer."""
OURS = re.compile(r"[0-9a-f]{32}\.\w+")
"""Names of our files, whole ones and halves, in folders whose names are hexadecimal, too."""
SUFFIX = ".pt"
UNREADABLE = (OSError, EOFError, LookupError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError)
"""No file, none of ours, or what may not be read without running code."""
UNWRITABLE = (OSError, RuntimeError, TypeError, AttributeError, pickle.PicklingError)
"""A full disk, or an optimizer whose state holds what cannot be written."""
NOWHERE: Mapping[str, Path] = {}
"""No folders for checkpoints."""


class Checkpoint:
    """The file of the trials that are in training together; without a path nothing is kept.

    Attributes:
        was_saved: whether it was, by this object.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._last, self._took = time.monotonic(), 0.0
        self.was_saved = False

    @property
    def is_due(self) -> bool:
        """Whether so much time has passed that it should be written again."""
        rest = max(SECONDS_BETWEEN, self._took / SHARE)
        return self._path is not None and time.monotonic() - self._last >= rest

    def load(self) -> dict[str, Any] | None:
        """What was saved last; None where nothing was, or nothing that can be read."""
        if self._path is None:
            return None
        try:
            found: dict[str, Any] = torch.load(self._path, weights_only=True)
        except UNREADABLE:
            return None
        return found

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep tensors, numbers and containers of them in the place of what was saved last. What fails is left."""
        if self._path is None:
            return
        started, half = time.monotonic(), self._path.with_suffix(f".{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            torch.save(dict(state), half)
            half.replace(self._path)
            self.was_saved = True
        except UNWRITABLE:
            pass
        finally:
            with contextlib.suppress(OSError):
                half.unlink(missing_ok=True)
        self._last = time.monotonic()
        self._took = self._last - started

    def forget(self) -> None:
        """Remove it."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)


class Checkpoints:
    """A folder for each optimizer, by what a study calls it; of one without a folder nothing is kept."""

    def __init__(self, folders: Mapping[str, Path] = NOWHERE, device: str = "cpu") -> None:
        self._folders = folders
        self._made_by = (device, torch.__version__, importlib.metadata.version("tunability"))

    def of(self, block: Block) -> Checkpoint:
        """The checkpoint of these trials together; by another recipe, device or version it is another one."""
        folder = self._folders.get(block.optimizer)
        if folder is None:
            return Checkpoint()
        key = (block.recipe, *self._made_by, block.seed, block.width, *cell_keys(block.hyperparameters))
        return Checkpoint(folder / (hashlib.sha256(repr(key).encode()).hexdigest()[:32] + SUFFIX))


def prune(folder: Path) -> None:
    """Remove our files in the folders of `folder` that are older than `DAYS_KEPT`, and folders that are then empty."""
    for each in folder.glob("*"):
        if not re.fullmatch(r"[0-9a-f]{16}", each.name):
            continue
        with contextlib.suppress(OSError):
            for path in each.iterdir():
                old = time.time() - path.stat().st_mtime > DAYS_KEPT * 86_400
                if old and OURS.fullmatch(path.name):
                    path.unlink(missing_ok=True)
            if time.time() - each.stat().st_mtime > DAYS_KEPT * 86_400:
                each.rmdir()  # fails unless it is empty
