"""Tuning runs in our own table: a row a run, its cells as compressed bytes."""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy import Connection, Table, and_, delete, insert, inspect, select

from storage.records import TuningRun
from storage.schema import RUNS_TABLE

KEY = ("tuner", "replicate", "noise", "repeats", "seeds")
BYTES = np.dtype("<u4")
"""How cells are written: little-endian, 32 bits a cell, then compressed by zlib."""


def replace_runs(
    connection: Connection, tables: Mapping[str, Table], study_id: int, runs: Sequence[TuningRun]
) -> None:
    """Insert the runs, in the place of shorter ones of the same key. The caller holds the study's lock."""
    table = tables[RUNS_TABLE]
    known = select(*(table.c[name] for name in (*KEY, "budget"))).where(table.c.study_id == study_id)
    stored = {tuple(row[:-1]): row[-1] for row in connection.execute(known)}
    wanted = [run for run in runs if run.budget > stored.get(run.key, 0)]
    for run in wanted:
        if run.key in stored:
            same = (getattr(table.c, name) == value for name, value in zip(KEY, run.key, strict=True))
            connection.execute(delete(table).where(and_(table.c.study_id == study_id, *same)))
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


def read_runs(connection: Connection, tables: Mapping[str, Table], study_id: int) -> list[TuningRun]:
    """Return a study's runs; none from a database that no version with tuning runs has written to."""
    table = tables[RUNS_TABLE]
    if not inspect(connection).has_table(RUNS_TABLE):
        return []
    rows = connection.execute(
        select(table).where(table.c.study_id == study_id).order_by(table.c.tuner, table.c.replicate)
    )
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
