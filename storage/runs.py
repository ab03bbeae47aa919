"""Tuning runs in our own table: a row a run, its cells as compressed bytes."""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy import Connection, Table, and_, delete, insert, inspect, select

from storage.errors import StoreError
from storage.records import TuningRun
from storage.schema import RUNS_TABLE

KEY = ("tuner", "replicate", "noise", "repeats", "seeds")
BYTES = np.dtype("<u4")
"""How cells are written: little-endian, 32 bits a cell, then compressed by zlib."""


def replace_runs(
    connection: Connection, tables: Mapping[str, Table], study_id: int, runs: Sequence[TuningRun]
) -> int:
    """Insert the runs, in the place of shorter ones of the same key; return how many were new or longer.

    The caller holds the study's lock. Raises StoreError when of two runs of a key neither is the other's beginning.
    """
    table = tables[RUNS_TABLE]
    tuners = sorted({run.tuner for run in runs})
    stored = {run.key: run for run in read_runs(connection, tables, study_id, tuners)}
    wanted = []
    for run in runs:
        before = stored.get(run.key)
        if before is not None:
            check_same(before, run)
            if before.budget >= run.budget:
                continue
            same = (getattr(table.c, name) == value for name, value in zip(KEY, run.key, strict=True))
            connection.execute(delete(table).where(and_(table.c.study_id == study_id, *same)))
        wanted.append(run)
    rows = [
        {
            "study_id": study_id,
            **dict(zip(KEY, run.key, strict=True)),
            "budget": run.budget,
            "cells": zlib.compress(run.cells.astype(BYTES).tobytes()),
        }
        for run in wanted
    ]
    if rows:
        connection.execute(insert(table), rows)
    return len(rows)


def check_same(stored: TuningRun, again: TuningRun) -> None:
    """Raise StoreError unless one run is the beginning of the other, as two runs of one key have to be."""
    length = min(len(stored.cells), len(again.cells))
    if not np.array_equal(stored.cells[:length], again.cells[:length]):
        raise StoreError(
            f"the stored run of {again.tuner}, replicate {again.replicate}, is not what that tuner and seed give: "
            f"another version made it, or on other trials; delete the rows of {RUNS_TABLE}, or use another database"
        )


def read_runs(
    connection: Connection, tables: Mapping[str, Table], study_id: int, tuners: Sequence[str] | None = None
) -> list[TuningRun]:
    """Return a study's runs, or those of some tuners; none from a database of a version without tuning runs."""
    table = tables[RUNS_TABLE]
    if not inspect(connection).has_table(RUNS_TABLE):
        return []
    query = select(table).where(table.c.study_id == study_id)
    if tuners is not None:
        query = query.where(table.c.tuner.in_(tuners))
    rows = connection.execute(query.order_by(table.c.tuner, table.c.replicate))
    return [
        TuningRun(
            row.tuner,
            row.replicate,
            row.noise,
            row.repeats,
            row.seeds,
            row.budget,
            np.frombuffer(zlib.decompress(row.cells), BYTES).astype(np.int64),
        )
        for row in rows
    ]
