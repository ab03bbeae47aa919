"""What is wrong with a trial database, found by looking at everything in it; what can be put right again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Table, and_, delete, exists, func, select, text

from storage.attributes import declared_studies
from storage.counts import count_trials, read_counts, write_counts
from storage.database import Database, open_database
from storage.migrations import needs_migration
from storage.schema import FAILURES_TABLE, OWN_TABLE, RUNS_TABLE, own_trials

UNFINISHED_SECONDS = 3_600.0
"""A new database file that is older and not in its place was left by a process that ended."""
Repair = Callable[[Connection], None]


@dataclass(frozen=True)
class Finding:
    """What was looked at, what was found, and what puts it right.

    Attributes:
        check: what was looked at.
        problem: what is wrong, or None.
        repair: puts it right within a transaction; None where nobody but the user can.
        detail: of what is well, a number that says how much was looked at.
    """

    check: str
    problem: str | None = None
    repair: Repair | None = None
    detail: str = ""


def examine(url: str) -> list[Finding]:
    """Look at a whole database, and change nothing, not even its version.

    Raises:
        StoreError: it cannot be opened, or is not an Optuna database of the schema we know.
    """
    database = open_database(url, create=False, migrating=False)
    try:
        with database.reading() as connection:
            found = [Finding("Optuna's schema", detail=database.name), *_file(database, connection)]
            if needs_migration(connection, database.tables):
                problem = (
                    "an earlier version wrote it, or Optuna copied a study: any command brings it up to date"
                )
                return [*found, Finding("version", problem, repair=lambda _connection: None)]
            found.append(Finding("version"))
            if declared_studies(connection, database.tables):
                found += [check(connection, database.tables) for check in CHECKS]
            return found
    finally:
        database.engine.dispose()


def repair(url: str, findings: list[Finding]) -> None:
    """Put right what can be, all in one transaction; a database of an earlier version is brought up to date first."""
    database = open_database(url, create=True)
    try:
        with database.writing() as connection:
            for each in findings:
                if each.repair is not None:
                    each.repair(connection)
    finally:
        database.engine.dispose()


def _file(database: Database, connection: Connection) -> list[Finding]:
    """Of SQLite: whether its pages are sound, and whether beside it lie files that were never finished."""
    if connection.dialect.name != "sqlite":
        return []
    (state, *_) = connection.scalars(text("PRAGMA quick_check(1)")).all()
    broken = None if state == "ok" else f"SQLite says: {state}; copy what can be read into another database"
    path = Path(str(database.engine.url.database))
    left = [
        each
        for each in path.parent.glob(f".{path.name}.*")
        if time.time() - each.stat().st_mtime > UNFINISHED_SECONDS
    ]

    def remove(_connection: Connection) -> None:
        for each in left:
            each.unlink(missing_ok=True)

    unfinished = f"{len(left)} of them beside it, such as {left[0].name}" if left else None
    return [
        Finding("the file", broken),
        Finding("files never finished", unfinished, remove if left else None),
    ]


def _orphans(connection: Connection, tables: Mapping[str, Table]) -> Finding:
    own, trials = tables[OWN_TABLE], tables["trials"]
    trial = exists().where(trials.c.trial_id == own.c.trial_id, trials.c.study_id == own.c.study_id)
    count = connection.scalar(select(func.count()).select_from(own).where(~trial)) or 0

    def remove(connection: Connection) -> None:
        connection.execute(delete(own).where(~trial))

    problem = f"{count:,} rows of ours name trials that are gone: these would not be trained again"
    return Finding("orphaned trials", problem if count else None, remove if count else None)


def _orphaned_runs(connection: Connection, tables: Mapping[str, Table]) -> Finding:
    studies, count = tables["studies"], 0
    gone = []
    for name in (RUNS_TABLE, FAILURES_TABLE):
        there = exists().where(studies.c.study_id == tables[name].c.study_id)
        gone.append((tables[name], ~there))
        count += connection.scalar(select(func.count()).select_from(tables[name]).where(~there)) or 0

    def remove(connection: Connection) -> None:
        for table, condition in gone:
            connection.execute(delete(table).where(condition))

    problem = f"{count:,} tuning runs and failures are of studies that are gone"
    return Finding("orphaned runs", problem if count else None, remove if count else None)


def _once(connection: Connection, tables: Mapping[str, Table]) -> Finding:
    """A (study, optimizer, cell, seed) is stored once: our key says so, and each of its rows has a trial of its own."""
    own, trials, attributes = tables[OWN_TABLE], tables["trials"], tables["trial_user_attributes"]
    shared = select(own.c.trial_id).group_by(own.c.trial_id, own.c.study_id).having(func.count() > 1)
    twice = connection.scalar(select(func.count()).select_from(shared.subquery())) or 0
    ids = [each for study in declared_studies(connection, tables).values() for each in study.values()]
    known = exists().where(own.c.trial_id == trials.c.trial_id, own.c.study_id == trials.c.study_id)
    unknown = (
        select(func.count())
        .select_from(trials)
        .join(attributes, and_(attributes.c.trial_id == trials.c.trial_id, attributes.c.key == "seed"))
        .where(trials.c.study_id.in_(ids), trials.c.state.in_(("COMPLETE", "PRUNED")), ~known)
    )
    foreign = connection.scalar(unknown) or 0
    problems = [f"{twice:,} trials stand for more than one cell and seed"] if twice else []
    if foreign:
        problems.append(f"{foreign:,} trials have a seed, and no row of ours: they may be trained again")
    count = connection.scalar(select(func.count()).select_from(own)) or 0
    return Finding("exactly once", "; ".join(problems) or None, detail=f"{count:,} trials")


def _whole(connection: Connection, tables: Mapping[str, Table]) -> Finding:
    """Trials are stored whole: with a value, and numbers that nobody else has."""
    own, trials, values = tables[OWN_TABLE], tables["trials"], tables["trial_values"]
    value = exists().where(values.c.trial_id == own.c.trial_id, values.c.objective == 0)
    half = connection.scalar(select(func.count()).select_from(own_trials(tables)).where(~value)) or 0
    ids = [each for study in declared_studies(connection, tables).values() for each in study.values()]
    numbered = (
        select(trials.c.number)
        .where(trials.c.study_id.in_(ids))
        .group_by(trials.c.study_id, trials.c.number)
        .having(func.count() > 1)
    )
    equal = connection.scalar(select(func.count()).select_from(numbered.subquery())) or 0
    problems = [f"{half:,} trials have no value"] if half else []
    if equal:
        problems.append(f"{equal:,} numbers are those of more than one trial")
    return Finding("nothing half-done", "; ".join(problems) or None)


def _counts(connection: Connection, tables: Mapping[str, Table]) -> Finding:
    ids = [each for study in declared_studies(connection, tables).values() for each in study.values()]
    wrong = {
        each: right
        for each in ids
        if (right := count_trials(connection, tables, each)) != read_counts(connection, tables, each)
    }

    def recount(connection: Connection) -> None:
        for each in wrong:  # again, for trials may have been stored meanwhile
            write_counts(connection, tables, each, count_trials(connection, tables, each))

    problem = f"what is kept of {len(wrong)} of {len(ids)} optimizers is not what their trials give"
    return Finding("counts", problem if wrong else None, recount if wrong else None, f"{len(ids)} optimizers")


CHECKS: tuple[Callable[[Connection, Mapping[str, Table]], Finding], ...] = (
    _orphans,
    _orphaned_runs,
    _once,
    _whole,
    _counts,
)
