"""Tuning runs in our own table: a row a run, its points as compressed bytes beside the space that they are of."""

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Table, and_, delete, insert, select

from search_spaces import SearchSpace
from storage.errors import StoreError
from storage.records import TuningRun
from storage.schema import RUNS_TABLE

KEY = ("tuner", "replicate", "noise", "repeats", "seeds", "space")
BYTES = np.dtype("<f8")
"""How values of axes are written, a point after the other: little-endian, 64 bits each, then compressed by zlib."""


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
            same = (getattr(table.c, name) == value for name, value in row_key(run).items())
            connection.execute(delete(table).where(and_(table.c.study_id == study_id, *same)))
        wanted.append(run)
    rows = [
        {
            "study_id": study_id,
            **row_key(run),
            "budget": run.budget,
            "points": pack_points(run.space.cells()[run.cells]),
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
    """A study's runs, or those of some tuners."""
    table = tables[RUNS_TABLE]
    query = select(table).where(table.c.study_id == study_id)
    if tuners is not None:
        query = query.where(table.c.tuner.in_(tuners))
    rows = connection.execute(query.order_by(table.c.tuner, table.c.replicate))
    spaces: dict[str, SearchSpace] = {}
    runs = []
    for row in rows:
        space = spaces.setdefault(row.space, SearchSpace.from_table(json.loads(row.space)))
        points = np.frombuffer(zlib.decompress(row.points), BYTES).reshape(-1, len(space.axes))
        cells = space.flat_index(space.value_to_index(points))
        key = (row.tuner, row.replicate, row.noise, row.repeats, row.seeds, space)
        runs.append(TuningRun(*key, row.budget, cells))
    return runs


def read_extents(
    connection: Connection, tables: Mapping[str, Table], study_id: int
) -> list[tuple[SearchSpace, int]]:
    """The spaces and numbers of seeds that an optimizer's runs were made on."""
    table = tables[RUNS_TABLE]
    rows = connection.execute(
        select(table.c.space, table.c.seeds).where(table.c.study_id == study_id).distinct()
    )
    return [(SearchSpace.from_table(json.loads(space)), seeds) for space, seeds in rows]


def row_key(run: TuningRun) -> dict[str, Any]:
    """The key of a run as the columns hold it."""
    return {**dict(zip(KEY, run.key, strict=True)), "space": space_text(run.space)}


def space_text(space: SearchSpace) -> str:
    """A space as the column holds it."""
    return json.dumps(space.to_table())


def pack_points(points: NDArray[np.float64]) -> bytes:
    """Values (m, d) as the column holds them."""
    return zlib.compress(points.astype(BYTES).tobytes())
