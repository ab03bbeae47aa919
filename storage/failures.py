"""Trials that failed for good, in our own table: the last failure of each cell and seed, until the trial is stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Table, delete, func, insert, select

from search_spaces import SearchSpace
from storage.insert import CELLS_PER_QUERY, as_stored
from storage.records import cell_of
from storage.schema import FAILURES_TABLE, LAUNCH_COLUMN, OWN_TABLE

if TYPE_CHECKING:
    from pandas import DataFrame

REASON_CHARACTERS, LINES_KEPT, LINE_CHARACTERS = 1_000, 30, 500
UNPRINTABLE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[^\n\t\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]")
"""Colours of terminals, and what databases refuse as text."""
URL_PASSWORD = re.compile(r"(://[^\s/:@]*):[^\s/@]+@")


@dataclass(frozen=True)
class Failure:
    """A trial that failed for good.

    Attributes:
        cell: as `cell_key` writes it.
        seed: its seed.
        reason: what happened, a line.
        lines: the last lines that it wrote.
        failed_at: when, with a time zone.
        launch: the number of the launch that tried it, as `Trials` has it.
    """

    cell: str
    seed: int
    reason: str
    lines: str
    failed_at: datetime
    launch: int | None = None


@dataclass(frozen=True)
class FailureCount:
    """How many trials of a study failed and are not stored, and when the last one did (UTC, naive)."""

    trials: int = 0
    last: datetime | None = None

    def __add__(self, other: FailureCount) -> FailureCount:
        """Of both together."""
        last = max((each.last for each in (self, other) if each.last is not None), default=None)
        return FailureCount(self.trials + other.trials, last)


def masked(text: str, secrets: Iterable[str]) -> str:
    """A text without these secrets, and without the passwords of URLs."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return URL_PASSWORD.sub(r"\1:***@", text)


def tidy(text: str, lines: int, characters: int, password: str | None) -> str:
    """The last lines of a text that say something, in bounds, without the passwords of databases."""
    text = UNPRINTABLE.sub("", masked(text, [password or ""]).replace("\r", "\n"))
    kept = [line.rstrip()[:characters] for line in text.split("\n") if line.strip()]
    return "\n".join(kept[-lines:])


def replace_failures(
    connection: Connection, tables: Mapping[str, Table], study_id: int, failures: Sequence[Failure]
) -> None:
    """Insert those failures whose trials are not stored, in the place of earlier ones.

    The caller holds the study's lock.
    """
    own, table = tables[OWN_TABLE], tables[FAILURES_TABLE]
    password = connection.engine.url.password
    for seed, group in groupby(sorted(failures, key=lambda each: each.seed), lambda each: each.seed):
        of_seed = {each.cell: each for each in group}
        cells = list(of_seed)
        for start in range(0, len(cells), CELLS_PER_QUERY):
            some = cells[start : start + CELLS_PER_QUERY]
            stored = select(own.c.cell).where(
                own.c.study_id == study_id, own.c.seed == seed, own.c.cell.in_(some)
            )
            there = (table.c.study_id == study_id) & (table.c.seed == seed)
            known = select(table.c.cell, table.c.failed_at).where(there, table.c.cell.in_(some))
            later = {
                cell
                for cell, failed_at in connection.execute(known)
                if failed_at > as_stored(of_seed[cell].failed_at)
            }
            wanted = set(some) - later - set(connection.scalars(stored))
            if not wanted:
                continue
            connection.execute(delete(table).where(there, table.c.cell.in_(wanted)))
            rows = [
                {
                    "study_id": study_id,
                    "cell": cell,
                    "seed": seed,
                    "reason": tidy(of_seed[cell].reason, 1, REASON_CHARACTERS, password) or "unknown",
                    "lines": tidy(of_seed[cell].lines, LINES_KEPT, LINE_CHARACTERS, password),
                    "failed_at": as_stored(of_seed[cell].failed_at),
                    LAUNCH_COLUMN: of_seed[cell].launch,
                }
                for cell in some
                if cell in wanted
            ]
            connection.execute(insert(table), rows)


def read_failures(connection: Connection, tables: Mapping[str, Table], study_id: int) -> list[Failure]:
    """The failures of an optimizer."""
    table = tables[FAILURES_TABLE]
    rows = connection.execute(select(table).where(table.c.study_id == study_id))
    return [
        Failure(row.cell, row.seed, row.reason, row.lines, row.failed_at.replace(tzinfo=UTC), row.launch)
        for row in rows
    ]


def drop_failures(
    connection: Connection, tables: Mapping[str, Table], study_id: int, space: SearchSpace, seeds: int | None
) -> None:
    """Delete the failures of an optimizer in cells and seeds that its study does not have any longer."""
    table = tables[FAILURES_TABLE]
    values = {axis.name: set(axis.values) for axis in space.axes if axis.is_grid}
    for cell, seed in connection.execute(
        select(table.c.cell, table.c.seed).where(table.c.study_id == study_id)
    ).all():
        has_cell = all(value in values.get(axis, (value,)) for axis, value in cell_of(cell).items())
        if not has_cell or (seeds is not None and seed >= seeds):
            connection.execute(
                delete(table).where(table.c.study_id == study_id, table.c.cell == cell, table.c.seed == seed)
            )


def failures_by_study(connection: Connection, tables: Mapping[str, Table]) -> dict[int, FailureCount]:
    """Count the failures of each Optuna study that has any."""
    table = tables[FAILURES_TABLE]
    counted = select(table.c.study_id, func.count(), func.max(table.c.failed_at)).group_by(table.c.study_id)
    return {row[0]: FailureCount(row[1], row[2]) for row in connection.execute(counted)}


def failures_frame(
    connection: Connection,
    tables: Mapping[str, Table],
    ids: Mapping[str, int],
    axes: Sequence[str],
    limit: int | None,
) -> DataFrame:
    """Failures as a table, see `Store.failures`."""
    import pandas as pd

    table, names = tables[FAILURES_TABLE], {study_id: optimizer for optimizer, study_id in ids.items()}
    order = (table.c.failed_at.desc(), table.c.study_id, table.c.cell, table.c.seed)
    query = select(table).where(table.c.study_id.in_(names)).order_by(*order).limit(limit)
    rows = connection.execute(query).all()
    cells = [cell_of(row.cell) for row in rows]
    return pd.DataFrame(
        {
            "optimizer": pd.Series([names[row.study_id] for row in rows], dtype="str"),
            **{axis: pd.Series([cell[axis] for cell in cells], dtype="float64") for axis in axes},
            "seed": pd.Series([row.seed for row in rows], dtype="int64"),
            "failed_at": pd.to_datetime(pd.Series([row.failed_at for row in rows], dtype="object"), utc=True),
            LAUNCH_COLUMN: pd.Series([row.launch for row in rows], dtype="Int64"),
            "reason": pd.Series([row.reason for row in rows], dtype="str"),
            "lines": pd.Series([row.lines for row in rows], dtype="str"),
        }
    )
