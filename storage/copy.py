"""Studies from one database into another: what is missing there is added, a bounded number of trials at a time.

What a killed copy left is a study with fewer trials; copying again adds the rest. At the end the trials that were added
are read again on both sides and compared by their number and a checksum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select, text

from search_spaces import Axis, SearchSpace
from storage.attributes import (
    METRIC,
    OPTIMIZERS,
    PROVENANCE,
    RECIPE,
    SPACE,
    SPEC,
    About,
    attribute,
    declared_studies,
    find_attribute,
    read_about,
)
from storage.counts import Counts, forget_counts, read_counts
from storage.database import Database
from storage.declare import check_free, delete_left, delete_orphans, differences, set_declared
from storage.errors import OtherStudyError, StoreError, one_line_errors
from storage.failures import Failure, read_failures, replace_failures
from storage.fingerprint import Fingerprint, fingerprint, stored_in
from storage.insert import insert_trials
from storage.optuna_api import create_studies
from storage.read import read_pages
from storage.records import Trials, TuningRun
from storage.runs import read_runs, replace_runs
from storage.schema import OWN_TABLE, lock_all, own_trials
from storage.sqlite_file import BUSY_TIMEOUT
from storage.store import Store
from storage.union import merged

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Copied:
    """What came of copying or merging a study.

    Attributes:
        found: the trials of the source, read from it again at the end.
        new: how many trials were new in the target.
        runs: how many tuning runs were new there, or longer.
        foreign: how many trials of the source have no seed, because somebody else added them: they were not copied.
        before: how many of those that were found it had before.
        kept: optimizers of which the target had trials with other values than the source; its own stay.
    """

    found: Fingerprint
    new: int
    runs: int
    foreign: int
    before: int
    kept: tuple[str, ...]


def quiet(done: int, total: int) -> None:
    """Tell nobody."""


def copy_study(source: Store, target: Store, study: str, on_progress: Progress = quiet) -> Copied:
    """Copy a study with its trials, failures, tuning runs, launches, spec and recipes, or what of these a copy lacks.

    `on_progress(trials looked at, trials there are)` is called as they are copied.

    Raises:
        StoreError: the target has another study of the name, or trials of it with other values; it is the same
            database; it was opened for reading; or what was copied is not read as it was.
    """
    check_different(source, target)
    given = source.about(study)
    with target.database.reading() as connection:
        there = read_about(connection, target.database.tables, study)
    if there is not None:
        other = next(differences(_comparable(there), _comparable(given)), None)
        if other:
            raise OtherStudyError(
                f"{target.database.name} has another study {study!r} ({other}): "
                "`tunability merge` adds to it, `tunability rename` gives one of them another name"
            )
    return _transfer(source, target, study, there, given, on_progress, keep=False)


def merge_study(source: Store, target: Store, study: str, on_progress: Progress = quiet) -> Copied:
    """Add what a study has in one database to the study of that name in another: cells, seeds, optimizers, trials.

    A cell and seed that both have stays as it is in the target.

    Raises:
        StoreError: the target has no such study, or one with another metric, other axes, another workload or another
            recipe of an optimizer; it is the same database; it was opened for reading; or what was added is not read as
            it was.
    """
    check_different(source, target)
    given, there = source.about(study), target.about(study)
    return _transfer(
        source, target, study, there, merged(study, there, given), on_progress, keep=True, given=given
    )


def check_different(source: Store, target: Store) -> None:
    """Raise StoreError when both are one database."""
    if _place(source.database) == _place(target.database):
        raise StoreError(
            f"{source.database.name} and {target.database.name} are one database: name two, or use `tunability rename`"
        )


def foreign_trials(store: Store, study: str) -> int:
    """How many trials of a study somebody else added through Optuna: they have no seed."""
    tables = store.database.tables
    own, trials = tables[OWN_TABLE], tables["trials"]
    with store.database.reading() as connection:
        ids = list(declared_studies(connection, tables).get(study, {}).values())
        every = connection.scalar(select(func.count()).where(trials.c.study_id.in_(ids))) or 0
        ours = select(func.count()).select_from(own_trials(tables)).where(own.c.study_id.in_(ids))
        return every - (connection.scalar(ours) or 0)


def _transfer(
    source: Store,
    target: Store,
    study: str,
    there: About | None,
    wanted: About,
    on_progress: Progress,
    *,
    keep: bool,
    given: About | None = None,
) -> Copied:
    """Add to the target, which is `there`, what it lacks to be `wanted`; `keep` its trials that have other values."""
    target.database.require_writable()
    given = given or wanted
    ours: dict[str, Counts] = {}
    with source.database.reading() as connection:
        for name in given.recipes:
            study_id = source.study_id(connection, study, name)
            ours[name] = read_counts(connection, source.database.tables, study_id)
    upto = {name: counts.last_trial for name, counts in ours.items()}
    common = _in_common(source, target, study, there, upto)
    kept = tuple(name for name, (here, other) in common.items() if here != other)
    if kept and not keep:
        raise OtherStudyError(
            f"{study}/{kept[0]} has trials in {target.database.name} with other values than in "
            f"{source.database.name}: `tunability rename` one of them, or `tunability merge` and keep those there"
        )
    launches, runs = _declare(source, target, study, there, wanted)
    done, total, new = 0, sum(each.trials for each in ours.values()), 0
    on_progress(done, total)
    for name in given.recipes:
        for page, added in _send(source, target, study, name, launches):
            done, new = done + page, new + added
            on_progress(done, total)
    found = _arrived(source, target, study, upto, common)
    before = sum(here.trials for here, _ in common.values())
    return Copied(found, new, runs, foreign_trials(source, study), before, kept)


Pair = tuple[Fingerprint, Fingerprint]


def _in_common(
    source: Store, target: Store, study: str, there: About | None, upto: Mapping[str, int]
) -> dict[str, Pair]:
    """Of the cells and seeds that both have: the source's trials and the target's, by optimizer."""
    common = {}
    for name, last in upto.items():
        common[name] = Fingerprint(), Fingerprint()
        if there and name in there.recipes:
            common[name] = (
                fingerprint(source, study, name, stored_in(target, study, name), last),
                fingerprint(target, study, name, stored_in(source, study, name, last)),
            )
    return common


def _send(
    source: Store, target: Store, study: str, optimizer: str, launches: Mapping[int, int]
) -> Iterator[tuple[int, int]]:
    """Add an optimizer's trials page by page; the trials of each page, and how many of them were new."""
    tables = target.database.tables
    with source.database.reading() as connection:
        study_id = source.study_id(connection, study, optimizer)
    for page in read_pages(source.database, study_id, optimizer):
        new = 0
        with target.database.writing() as connection:
            here = target.locked(connection, study, optimizer)
            space = SearchSpace.from_table(attribute(connection, tables, here, SPACE))
            reaching = [_reaching(space, trials) for trials in page]
            for (number, its), group in groupby(
                zip(page, reaching, strict=True), lambda each: (each[0].launch, each[1])
            ):
                launch = None if number is None else launches.get(number)
                batches = [trials for trials, _ in group]
                new += insert_trials(connection, tables, here, its, batches, launch)
        yield sum(map(len, page)), new


def _arrived(
    source: Store, target: Store, study: str, upto: Mapping[str, int], common: Mapping[str, Pair]
) -> Fingerprint:
    """What the source has, read again. Raises StoreError where the target's trials are not what they are to be."""
    found = Fingerprint()
    for name, last in upto.items():
        sent = fingerprint(source, study, name, upto=last)
        arrived = fingerprint(target, study, name, stored_in(source, study, name, last))
        expected = sent - common[name][0] + common[name][1]
        if arrived != expected:
            raise StoreError(
                f"{study}/{name} was copied, but what is read from {target.database.name} is not what it was: "
                f"{arrived} there, {expected} in {source.database.name}; delete the copy and make another"
            )
        found += sent
    return found


@dataclass(frozen=True)
class _Beside:
    """What an optimizer has beside its trials: tuning runs, failures, launches, and the attributes that are copied."""

    runs: list[TuningRun]
    failures: list[Failure]
    launches: list[dict[str, Any]]
    attributes: dict[str, Any]


NOTHING = _Beside([], [], [], {})


def _beside(source: Store, study: str) -> dict[str, _Beside]:
    """By optimizer."""
    tables = source.database.tables
    with source.database.reading() as connection:
        return {
            name: _Beside(
                read_runs(connection, tables, study_id),
                read_failures(connection, tables, study_id),
                attribute(connection, tables, study_id, PROVENANCE),
                {key: attribute(connection, tables, study_id, key) for key in (SPACE, METRIC)},
            )
            for name, study_id in declared_studies(connection, tables)[study].items()
        }


def _declare(
    source: Store, target: Store, study: str, there: About | None, wanted: About
) -> tuple[dict[int, int], int]:
    """Make the target's study what it is to be, launches, failures and tuning runs too, in one transaction.

    Returns the target's number of each launch of the source, and how many tuning runs were new.
    """
    given = _beside(source, study)
    database, tables = target.database, target.database.tables
    names = {name: f"{study}/{name}" for name in wanted.recipes if there is None or name not in there.recipes}
    with database.reading() as connection:
        check_free(connection, database, names.values())
    if names:
        with one_line_errors(database.name):
            create_studies(database.engine.url, list(names.values()), wanted.metric, timeout=BUSY_TIMEOUT)
    with database.writing() as connection:
        lock_all(connection)
        delete_orphans(connection, tables)
        check_free(connection, database, names.values())
        ids = declared_studies(connection, tables).get(study, {}) | _ids(connection, database, names)
        if read_about(connection, tables, study) != there or not wanted.recipes.keys() <= ids.keys():
            raise StoreError(f"{study} was changed in {database.name} meanwhile: try again")
        # SQLite gives the id of a deleted study to the next one
        fresh = [ids[name] for name in names]
        delete_left(connection, tables, fresh)
        forget_counts(connection, tables, fresh)
        stored = {
            name: find_attribute(connection, tables, ids[name], PROVENANCE) or [] for name in wanted.recipes
        }
        launches = _numbers(
            _by_number(each for some in stored.values() for each in some),
            _by_number(each for beside in given.values() for each in beside.launches),
        )
        new = 0
        for name in wanted.recipes:
            beside = given.get(name, NOTHING)
            values = {SPEC: wanted.spec, OPTIMIZERS: list(wanted.optimizers), RECIPE: wanted.recipes[name]}
            if name in names:
                values |= beside.attributes
            if name in wanted.optimizers:
                values[SPACE] = wanted.space.to_table()
            added = [{**each, "launch": launches[each["launch"]]} for each in beside.launches]
            union = [*stored[name], *(each for each in added if each not in stored[name])]
            union.sort(key=lambda each: int(each["launch"]))
            set_declared(connection, tables, ids[name], values, {PROVENANCE: union})
            new += replace_runs(connection, tables, ids[name], beside.runs)
            failed = [
                each if each.launch is None else replace(each, launch=launches.get(each.launch))
                for each in beside.failures
            ]
            replace_failures(connection, tables, ids[name], failed)
    return launches, new


def _numbers(stored: Mapping[int, Any], made: Mapping[int, Any]) -> dict[int, int]:
    """The target's number of each launch of the source: that of the same launch, or the next."""
    numbers = {number: number for number, each in made.items() if stored.get(number, each) == each}
    for number, each in made.items():
        if number not in numbers:
            same = (n for n, other in stored.items() if other == each and n not in numbers.values())
            numbers[number] = next(same, 1 + max([*stored, *numbers.values(), -1]))
    return numbers


def _by_number(launches: Iterable[Mapping[str, Any]]) -> dict[int, Any]:
    """What each launch ran with, by its number."""
    return {
        each["launch"]: {key: value for key, value in each.items() if key != "launch"} for each in launches
    }


def _ids(connection: Connection, database: Database, names: Mapping[str, str]) -> dict[str, int]:
    studies = database.tables["studies"]
    query = select(studies.c.study_name, studies.c.study_id)
    found = {
        row[0]: row[1] for row in connection.execute(query.where(studies.c.study_name.in_(names.values())))
    }
    return {name: found[full] for name, full in names.items() if full in found}


def _comparable(about: About) -> dict[str, Any]:
    """What has to agree for one study to be the other's copy, as JSON types."""
    return {
        "optimizers": list(about.optimizers),
        "space": about.space.to_table(),
        "metric": about.metric,
        "spec": about.spec,
        "recipes": about.recipes,
    }


def _reaching(space: SearchSpace, trials: Trials) -> SearchSpace:
    """A space whose axes reach all trials: a study may have had cells that its file does not name any longer."""
    axes = []
    for axis in space.axes:
        low, high = (float(end(trials.hyperparameters[axis.name])) for end in (np.min, np.max))
        if low < axis.low or high > axis.high:
            low, high = min(low, axis.low), max(high, axis.high)
            axis = Axis(axis.name, low=low, high=high, scale=axis.scale if low > 0 else "linear")
        axes.append(axis)
    return SearchSpace(axes)


def _place(database: Database) -> tuple[Any, ...]:
    """What two URLs of one database have in common."""
    with database.reading() as connection:
        if database.engine.dialect.name == "sqlite":
            ((_, _, file), *_) = connection.execute(text("PRAGMA database_list")).all()
            found = Path(file).stat()
            return found.st_dev, found.st_ino
        query = text(
            "SELECT pg_postmaster_start_time(), oid FROM pg_database WHERE datname = current_database()"
        )
        return tuple(connection.execute(query).one())
