"""Leases: which cells and seeds a driver is training right now, so that several drivers share a study's work.

A lease ends when the trial is stored or has failed, when its holder ends, or when it is not renewed. It saves work;
that a trial is stored once is up to its key.
"""

import contextlib
import functools
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psutil
from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Table,
    cast,
    delete,
    extract,
    func,
    insert,
    select,
    update,
)

from storage.insert import CELLS_PER_QUERY
from storage.schema import LEASES_TABLE, OWN_TABLE, own_trials

SECONDS = 60.0
"""So long a lease holds that is not renewed."""
RENEWED_EVERY = 15.0
"""Seconds."""


@dataclass(frozen=True)
class Leased:
    """What became of cells that were asked for.

    Attributes:
        ours: those that are ours now.
        others: those that another driver is training.
        stored: those that are stored.
    """

    ours: frozenset[str]
    others: frozenset[str]
    stored: frozenset[str]


def new_holder() -> str:
    """A name for who holds leases: where its process can be looked for, the process, and one of several in it."""
    process = psutil.Process()
    return f"{place()}/{process.pid}/{process.create_time():.2f}/{uuid4().hex[:8]}"


@functools.cache
def place() -> str:
    """Where a process id means the same process: a machine since it was started, and a container in it."""
    since = namespace = ""
    with contextlib.suppress(OSError):  # not Linux
        since = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = str(os.stat("/proc/self/ns/pid").st_ino)
    return f"{socket.gethostname()}-{since}-{namespace}".replace("/", "-")


def has_ended(holder: str) -> bool:
    """Whether a holder is known to have ended: its process was here, and is not any longer."""
    where, pid, created, _ = holder.split("/")
    if where != place():
        return False
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" != created
    except psutil.NoSuchProcess:
        return True


def lease(
    connection: Connection,
    tables: Mapping[str, Table],
    study_id: int,
    seed: int,
    cells: Sequence[str],
    holder: str,
) -> Leased:
    """Give `holder` those of the cells that nobody holds and that are not stored. The caller has locked the study."""
    leases, own = tables[LEASES_TABLE], tables[OWN_TABLE]
    which = leases.c.study_id == study_id, leases.c.seed == seed, leases.c.cell.in_(cells)
    asked = select(leases.c.cell, leases.c.holder).where(*which)
    held = {row.cell: row.holder for row in connection.execute(asked)}
    if set(held.values()) - {holder}:
        end_void(connection, leases, study_id)
        held = {row.cell: row.holder for row in connection.execute(asked)}
    there = select(own.c.cell).select_from(own_trials(tables))
    stored = set(
        connection.scalars(there.where(own.c.study_id == study_id, own.c.seed == seed, own.c.cell.in_(cells)))
    )
    others = {cell for cell, who in held.items() if who != holder} - stored
    ours = set(cells) - others - stored
    new = sorted(ours - held.keys())
    if new:
        rows = [{"study_id": study_id, "seed": seed, "cell": cell, "holder": holder} for cell in new]
        connection.execute(insert(leases).values(expires=clock(connection) + SECONDS), rows)
    return Leased(frozenset(ours), frozenset(others), frozenset(stored))


def end_void(connection: Connection, leases: Table, study_id: int) -> None:
    """End a study's leases that were not renewed, or whose holder has ended."""
    own = leases.c.study_id == study_id
    connection.execute(delete(leases).where(own, leases.c.expires <= clock(connection)))
    ended = [
        each for each in connection.scalars(select(leases.c.holder).where(own).distinct()) if has_ended(each)
    ]
    if ended:
        connection.execute(delete(leases).where(leases.c.holder.in_(ended)))


def renew(connection: Connection, tables: Mapping[str, Table], holder: str) -> None:
    """Let a holder's leases hold for another while."""
    leases = tables[LEASES_TABLE]
    connection.execute(
        update(leases).where(leases.c.holder == holder).values(expires=clock(connection) + SECONDS)
    )


def release(connection: Connection, tables: Mapping[str, Table], holder: str) -> None:
    """End all leases of a holder."""
    leases = tables[LEASES_TABLE]
    connection.execute(delete(leases).where(leases.c.holder == holder))


def end_leases(
    connection: Connection, tables: Mapping[str, Table], study_id: int, seed: int, cells: Sequence[str]
) -> None:
    """End the leases of cells that were trained, or failed."""
    leases = tables[LEASES_TABLE]
    of_seed = delete(leases).where(leases.c.study_id == study_id, leases.c.seed == seed)
    for start in range(0, len(cells), CELLS_PER_QUERY):
        connection.execute(of_seed.where(leases.c.cell.in_(cells[start : start + CELLS_PER_QUERY])))


def clock(connection: Connection) -> ColumnElement[float]:
    """The database's time in seconds: machines need not agree on theirs."""
    if connection.dialect.name == "sqlite":
        return (func.julianday("now") - 2_440_587.5) * 86_400.0
    return cast(extract("epoch", func.clock_timestamp()), Double)
