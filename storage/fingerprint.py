"""What tells whether trials were read as they were stored elsewhere: their number and a checksum, in any order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sqlalchemy import bindparam, select

from storage.records import Trials
from storage.schema import OWN_TABLE, own_trials
from storage.store import Store

Among = Callable[[Trials], list[bool]]
"""Which trials of a batch are meant."""


@dataclass(frozen=True)
class Fingerprint:
    """How many trials there are, and the sum of their hashes modulo 2**64, which does not depend on their order."""

    trials: int = 0
    checksum: int = 0

    def __str__(self) -> str:
        return f"{self.trials:,} trials, checksum {self.checksum:016x}"

    def __add__(self, other: Fingerprint) -> Fingerprint:
        return Fingerprint(self.trials + other.trials, (self.checksum + other.checksum) % 2**64)

    def __sub__(self, other: Fingerprint) -> Fingerprint:
        """Of those that the other one, which is of some of them, is not of."""
        return Fingerprint(self.trials - other.trials, (self.checksum - other.checksum) % 2**64)


def fingerprint(
    store: Store, study: str, optimizer: str, among: Among | None = None, upto: int | None = None
) -> Fingerprint:
    """The number and the checksum of an optimizer's trials, of those `among` some, with trial ids up to `upto`."""
    trials = checksum = 0
    for batch in store.read(study, optimizer, upto):
        chosen = among(batch) if among else [True] * len(batch)
        trials += sum(chosen)
        checksum += sum(number for number, wanted in zip(_hashes(batch), chosen, strict=True) if wanted)
    return Fingerprint(trials, checksum % 2**64)


def stored_in(store: Store, study: str, optimizer: str, upto: int | None = None) -> Among:
    """Tells which of the trials of a batch have a cell and seed that a store has of an optimizer, up to a trial id."""
    own = store.database.tables[OWN_TABLE]
    with store.database.reading() as connection:
        study_id = store.study_id(connection, study, optimizer)
    cells = own.c.cell.in_(bindparam("cells", expanding=True))
    query = (
        select(own.c.cell)
        .select_from(own_trials(store.database.tables))
        .where(own.c.study_id == study_id, own.c.seed == bindparam("seed"), cells)
    )
    if upto is not None:
        query = query.where(own.c.trial_id <= upto)

    def among(trials: Trials) -> list[bool]:
        keys = trials.cells()
        with store.database.reading() as connection:
            found = set(connection.scalars(query, {"cells": keys, "seed": trials.seed}))
        return [key in found for key in keys]

    return among


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
