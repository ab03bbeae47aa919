"""Who trains what, where several drivers are at one study: each trains what the others do not."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass

import numpy as np

from storage.errors import StoreError
from storage.leases import RENEWED_EVERY, new_holder
from storage.records import cell_keys
from storage.store import Store
from study.training.block import Block


@dataclass(frozen=True)
class Claimed:
    """The trials of a block that are to be trained here, that another driver is training, and that are stored."""

    ours: Block | None
    others: Block | None
    stored: Block | None


class Claims:
    """Takes leases on blocks, and holds them while it is entered."""

    def __init__(self, store: Store, study: str) -> None:
        self._store, self._study, self._holder = store, study, new_holder()
        self._over = threading.Event()
        self._renewing = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> Claims:
        self._renewing.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._renewing.join()
        with contextlib.suppress(StoreError):  # else they end by themselves
            self._store.release_leases(self._holder)

    def take(self, block: Block) -> Claimed:
        """Take those trials of a block that nobody trains and that are not stored."""
        keys = cell_keys(block.cells)
        found = self._store.lease(self._study, block.optimizer, block.seed, keys, self._holder)
        if len(found.ours) == len(keys):
            return Claimed(block, None, None)

        def part(cells: frozenset[str]) -> Block | None:
            chosen = np.flatnonzero([key in cells for key in keys])
            return block.part(chosen) if len(chosen) else None

        return Claimed(part(found.ours), part(found.others), part(found.stored))

    def _renew(self) -> None:
        while not self._over.wait(RENEWED_EVERY):
            with contextlib.suppress(StoreError):  # whoever stores trials will say it
                self._store.renew_leases(self._holder)
