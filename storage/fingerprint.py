"""What tells whether trials were read as they were stored elsewhere: their number and a checksum, in any order."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from storage.records import Trials
from storage.store import Store

Cells = Collection[tuple[str, int]]


@dataclass(frozen=True)
class Fingerprint:
    """How many trials there are, and the sum of their hashes modulo 2**64, which does not depend on their order."""

    trials: int = 0
    checksum: int = 0

    def __str__(self) -> str:
        return f"{self.trials:,} trials, checksum {self.checksum:016x}"

    def __add__(self, other: Fingerprint) -> Fingerprint:
        return Fingerprint(self.trials + other.trials, (self.checksum + other.checksum) % 2**64)


def fingerprint(store: Store, study: str, optimizer: str, among: Cells) -> Fingerprint:
    """The number and the checksum of an optimizer's trials in some cells, as `cell_key` writes them, and seeds."""
    total = Fingerprint()
    if among:
        for trials in store.read(study, optimizer):
            for key, number in zip(
                ((cell, trials.seed) for cell in trials.cells()), _hashes(trials), strict=True
            ):
                if key in among:
                    total += Fingerprint(1, number)
    return total


def _hashes(trials: Trials) -> list[int]:
    """A hash of each trial, of all but its launch; -0.0 as 0.0, as SQLite stores it."""
    moments = [moment.isoformat().encode() for moment in (trials.started, trials.finished)]
    numbers = np.column_stack([trials.value, trials.seconds, trials.diverged_at, trials.curve]) + 0.0
    shared = b"|".join([str(trials.seed).encode(), *moments, trials.curve_steps.astype("<i8").tobytes()])
    hashes = []
    for lane, cell in enumerate(trials.cells()):
        finite = {
            name: column[lane] + 0.0 for name, column in trials.metrics.items() if np.isfinite(column[lane])
        }
        metrics = ",".join(f"{name}={float(finite[name])!r}" for name in sorted(finite))
        parts = [cell.encode(), metrics.encode(), shared, numbers[lane].astype("<f8").tobytes()]
        digest = hashlib.blake2b(b"|".join(parts), digest_size=8).digest()
        hashes.append(int.from_bytes(digest, "little"))
    return hashes
