"""Declared studies: which ones a database holds, and how a new one is added whole or not at all."""

import json
import secrets
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, delete, select

from search_spaces import SearchSpace
from storage.attributes import (
    IDENTITY,
    LAUNCH,
    METRIC,
    OPTIMIZERS,
    PROVENANCE,
    RECIPE,
    SPACE,
    SPEC,
    UNKNOWN,
    attribute,
    declared_studies,
    find_attribute,
    set_attributes,
)
from storage.counts import forget_counts
from storage.database import Database
from storage.delete import delete_studies
from storage.errors import OtherStudyError, StoreError, one_line_errors
from storage.failures import drop_failures
from storage.optuna_api import create_studies, set_metric_name
from storage.records import OWN_COLUMNS
from storage.runs import read_extents
from storage.schema import COUNTS_TABLE, FAILURES_TABLE, OWN_TABLE, RUNS_TABLE, lock_all
from storage.sqlite_file import BUSY_TIMEOUT

ORDERED = "ordered"
"""Of a recipe: ordered axis -> its words. Further words at the end make no other recipe."""
# Characters that Optuna's column for names can hold.
LONGEST_NAME = 512


@dataclass(frozen=True)
class Declaration:
    """What `storage.store.Store.declare` is given; see there.

    Raises:
        StoreError: a name is not allowed, or an axis or the metric takes the name of another column.
    """

    study: str
    recipes: Mapping[str, Mapping[str, Any]]
    space: SearchSpace
    metric: str
    spec: Mapping[str, Any]
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        check_names(self.study, self.recipes)
        if not self.recipes:
            raise StoreError(f"study {self.study!r} has no optimizers: give at least one")
        for name in (*self.space.names, self.metric):
            if name in OWN_COLUMNS:
                raise StoreError(
                    f"{name!r} is the name of a column every study has ({', '.join(OWN_COLUMNS)}): "
                    "rename the axis or metric"
                )
        if self.metric in self.space.names:
            raise StoreError(f"{self.metric!r} names both the metric and an axis: rename one")
        for field, content in (
            ("spec", self.spec),
            ("recipes", self.recipes),
            ("provenance", self.provenance),
        ):
            try:
                json.dumps(content, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise StoreError(
                    f"the {field} is not JSON ({error}): give finite numbers and texts"
                ) from error


def check_names(study: str, optimizers: Collection[str]) -> None:
    """Raise StoreError unless a study and its optimizers may have these names."""
    for kind, name in [("study", study), *(("optimizer", optimizer) for optimizer in optimizers)]:
        if not name or "/" in name:
            raise StoreError(
                f"the {kind} name {name!r} is not allowed: give at least one character, and no slash"
            )
    longest = max((len(f"{study}/{optimizer}") for optimizer in optimizers), default=0)
    if longest > LONGEST_NAME:
        raise StoreError(
            f"the study name {study[:20]!r}… and an optimizer's have {longest - 1} characters: "
            f"give at most {LONGEST_NAME - 1} together"
        )


def check_free(connection: Connection, database: Database, names: Collection[str]) -> None:
    """Raise OtherStudyError when somebody else has trials under one of these Optuna names."""
    studies, trials = database.tables["studies"], database.tables["trials"]
    # Without trials it is what an interrupted declaration leaves.
    taken = select(studies.c.study_name).where(
        studies.c.study_name.in_(names),
        select(trials.c.trial_id).where(trials.c.study_id == studies.c.study_id).exists(),
    )
    for name in connection.scalars(taken):
        raise OtherStudyError(
            f"{database.name} has an Optuna study {name!r} with trials of somebody else: "
            "give this study another name"
        )


def has_trials(connection: Connection, tables: Mapping[str, Table], study_ids: Collection[int]) -> bool:
    """Whether there are trials, of whomever, or tuning runs of these Optuna studies."""
    trials, runs = tables["trials"], tables[RUNS_TABLE]
    found = [select(trials.c.trial_id).where(trials.c.study_id.in_(study_ids))]
    found.append(select(runs.c.study_id).where(runs.c.study_id.in_(study_ids)))
    return any(connection.scalar(each.limit(1)) is not None for each in found)


def declare(database: Database, declaration: Declaration) -> int:
    """Make the study as declared; return the number of the launch.

    Raises:
        StoreError: trials of an optimizer are stored with another recipe, tuning runs need more than the extent has, an
            Optuna study of the name is not ours, or the database was opened for reading.
    """
    database.require_writable()
    while True:
        with database.reading() as connection:
            change = _change(connection, database, declaration)
        if change.new:
            with one_line_errors(database.name):
                create_studies(database.engine.url, change.new, declaration.metric, timeout=BUSY_TIMEOUT)
        with database.writing() as connection:
            lock_all(connection)
            delete_orphans(connection, database.tables)
            # Asked again under the lock: another process may have declared the study since, or stored its first trial.
            change = _change(connection, database, declaration, lock=True)
            launch = _make(connection, database.tables, change, declaration)
            if launch is not None:
                return launch
        # Another process has deleted meanwhile what was there before: once more.


def check_recipes(
    connection: Connection, database: Database, study: str, recipes: Mapping[str, Mapping[str, Any]]
) -> None:
    """Raise OtherStudyError if trials of an optimizer are stored with another recipe."""
    declared = declared_studies(connection, database.tables).get(study, {})
    for optimizer, study_id in declared.items():
        if optimizer in recipes:
            _other_recipe(connection, database, study, optimizer, study_id, recipes[optimizer])


def check_declared(
    connection: Connection,
    tables: Mapping[str, Table],
    study_id: int,
    declaration: Declaration,
    optimizer: str,
) -> None:
    """Raise OtherStudyError unless an optimizer is still declared as it was: without trials it may be changed."""
    stored = attribute(connection, tables, study_id, RECIPE)
    if any(differences(stored, _as_json(declaration.recipes.get(optimizer)))):
        raise OtherStudyError(
            f"{declaration.study}/{optimizer} was declared anew meanwhile, with another recipe: "
            "give this study another name"
        )


@dataclass(frozen=True)
class _Change:
    """What there is to do for a declaration.

    Attributes:
        new: Optuna names to create.
        same: Optuna study ids of optimizers that are declared as they are to be.
        renewed: those that had no trials and another recipe.
        hidden: those that the study does not name any longer; another driver may be storing their trials.
        gone: those, when the study has no trial at all.
    """

    new: tuple[str, ...]
    same: tuple[int, ...]
    renewed: tuple[int, ...]
    hidden: tuple[int, ...]
    gone: tuple[int, ...]


def _change(
    connection: Connection, database: Database, declaration: Declaration, *, lock: bool = False
) -> _Change:
    """What a declaration changes; raises StoreError if what is stored does not allow it.

    With `lock`, nobody stores trials of the study until the transaction ends.
    """
    tables, study = database.tables, declaration.study
    studies = tables["studies"]
    declared = declared_studies(connection, tables).get(study, {})
    if lock:
        rows = select(studies.c.study_id).where(studies.c.study_id.in_(declared.values()))
        connection.execute(rows.order_by(studies.c.study_id).with_for_update())
    same: list[int] = []
    renewed: list[int] = []
    hidden: list[int] = []
    gone: list[int] = []
    started = has_trials(connection, tables, declared.values())
    for optimizer, study_id in declared.items():
        if optimizer not in declaration.recipes:
            (hidden if started else gone).append(study_id)
            continue
        other = _other_recipe(
            connection, database, study, optimizer, study_id, declaration.recipes[optimizer]
        )
        (renewed if other else same).append(study_id)
        _check_runs(connection, tables, optimizer, study_id, declaration)
    names = tuple(f"{study}/{each}" for each in declaration.recipes if each not in declared)
    check_free(connection, database, names)
    return _Change(names, tuple(same), tuple(renewed), tuple(hidden), tuple(gone))


def _other_recipe(
    connection: Connection,
    database: Database,
    study: str,
    optimizer: str,
    study_id: int,
    recipe: Mapping[str, Any],
) -> bool:
    """Whether an optimizer without trials has another recipe; raises OtherStudyError for one with trials."""
    stored = attribute(connection, database.tables, study_id, RECIPE)
    found = "; ".join(differences(stored, _as_json(recipe), unknown=stored.get(UNKNOWN, ())))
    if found and has_trials(connection, database.tables, [study_id]):
        raise OtherStudyError(
            f"{study}/{optimizer} is stored in {database.name} with another recipe ({found}): bring that back, "
            f"give the optimizer a label of its own, such as label = '{optimizer}-2', or the study another name"
        )
    return bool(found)


def _check_runs(
    connection: Connection,
    tables: Mapping[str, Table],
    optimizer: str,
    study_id: int,
    declaration: Declaration,
) -> None:
    """Raise StoreError when stored tuning runs searched cells or seeds that the study is not to have any longer."""
    seeds = declaration.spec.get("seeds")
    if not isinstance(seeds, int):
        return
    for space, asked in read_extents(connection, tables, study_id):
        now = {axis.name: set(axis.values) for axis in declaration.space.axes}
        lost = [axis.name for axis in space.axes if not set(axis.values) <= now.get(axis.name, set())]
        if lost or asked > seeds:
            less = f"fewer values of {lost[0]}" if lost else f"{seeds} seeds"
            raise StoreError(
                f"tuning runs of {declaration.study}/{optimizer} were made on {space.size:,} cells and {asked} seeds, "
                f"and the study would have {less}: keep what they need, or give the study another name"
            )


def _make(
    connection: Connection, tables: Mapping[str, Table], change: _Change, declaration: Declaration
) -> int | None:
    """Change the database; return the launch, or None when not all Optuna studies are there: nothing is changed."""
    studies, attributes = tables["studies"], tables["study_user_attributes"]
    rows = connection.execute(
        select(studies.c.study_name, studies.c.study_id).where(studies.c.study_name.in_(change.new))
    )
    new = {row[0]: row[1] for row in rows}
    if len(new) < len(change.new):
        return None
    if change.gone:
        delete_studies(connection, OWN_TABLE, change.gone)
    if change.renewed:
        keys = (PROVENANCE, IDENTITY, LAUNCH)
        connection.execute(
            delete(attributes).where(attributes.c.study_id.in_(change.renewed), attributes.c.key.in_(keys))
        )
        set_metric_name(connection, change.renewed, declaration.metric)
    fresh = [*new.values(), *change.renewed]
    if fresh:  # SQLite gives the id of a deleted study to the next one, and does not delete its runs
        delete_left(connection, tables, fresh)
        forget_counts(connection, tables, fresh)
    seeds = declaration.spec.get("seeds")
    for study_id in change.same:
        asked = seeds if isinstance(seeds, int) else None
        drop_failures(connection, tables, study_id, declaration.space, asked)
    ours = declared_studies(connection, tables).get(declaration.study, {})
    ours |= {name.partition("/")[2]: study_id for name, study_id in new.items()}
    launches = {
        name: find_attribute(connection, tables, each, PROVENANCE) or [] for name, each in ours.items()
    }
    number = 1 + max((each["launch"] for made in launches.values() for each in made), default=-1)
    for optimizer, study_id in ours.items():
        values: dict[str, Any] = {SPEC: declaration.spec, OPTIMIZERS: list(declaration.recipes)}
        if optimizer in declaration.recipes:
            values |= {
                SPACE: declaration.space.to_table(),  # in the order given, which is that of the spec's axes
                METRIC: declaration.metric,
                RECIPE: with_words_of(
                    find_attribute(connection, tables, study_id, RECIPE) or {}, declaration.recipes[optimizer]
                ),
            }
        made = {}
        if optimizer in declaration.recipes:
            made = {PROVENANCE: [*launches[optimizer], {**declaration.provenance, "launch": number}]}
        set_declared(connection, tables, study_id, values, made)
    return number


def set_declared(
    connection: Connection,
    tables: Mapping[str, Table],
    study_id: int,
    values: dict[str, Any],
    made: Mapping[str, Any],
) -> None:
    """Set what says what an optimizer is, `values`, with a new identity where that changes; and `made`."""
    if any(find_attribute(connection, tables, study_id, key) != _as_json(v) for key, v in values.items()):
        # No other study has it, while SQLite gives the ids of deleted studies and trials to new ones.
        values = {**values, IDENTITY: secrets.token_hex(8)}
    set_attributes(connection, tables, study_id, {**values, **made})


def delete_orphans(connection: Connection, tables: Mapping[str, Table]) -> None:
    """Delete our rows of studies that are gone, before SQLite gives their ids to new ones.

    Optuna deletes whole studies, and leaves SQLite's foreign keys off.
    """
    counts, studies = tables[COUNTS_TABLE], tables["studies"]
    there = select(studies.c.study_id).where(studies.c.study_id == counts.c.study_id)
    gone = connection.scalars(select(counts.c.study_id).where(~there.exists())).all()
    if gone:
        forget_counts(connection, tables, gone)
        delete_left(connection, tables, gone)


def delete_left(connection: Connection, tables: Mapping[str, Table], study_ids: Collection[int]) -> None:
    """Delete the tuning runs and failures that a study of another recipe, or a deleted one, has left."""
    for table in (tables[RUNS_TABLE], tables[FAILURES_TABLE]):
        connection.execute(delete(table).where(table.c.study_id.in_(study_ids)))


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def differences(stored: Any, given: Any, key: str = "", unknown: Collection[str] = ()) -> Iterator[str]:
    """``key = stored there, given here`` for each key, dotted, in which two JSON values differ.

    Of the keys `unknown`, and of what is in them, only what is stored is compared.
    """
    if isinstance(stored, dict) and isinstance(given, dict):
        for name in sorted((stored.keys() | given.keys()) - {UNKNOWN}):
            inner = f"{key}.{name}" if key else name
            if name not in stored and (inner in unknown or key in unknown):
                continue
            yield from differences(stored.get(name), given.get(name), inner, unknown)
    elif stored != given and key.startswith(f"{ORDERED}."):
        if not (stored and given) or any(one != other for one, other in zip(stored, given, strict=False)):
            yield (
                f"{key} = {json.dumps(stored)} there, {json.dumps(given)} here, where further words go at the end alone"
            )
    elif stored != given:
        yield f"{key} = {json.dumps(stored)} there, {json.dumps(given)} here"


def with_words_of(stored: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """A recipe with the further words that an ordered axis has in another one: trials may have been made with them."""
    if ORDERED not in given:
        return given
    known = stored.get(ORDERED, {})
    words = {
        axis: known[axis] if known.get(axis, [])[: len(each)] == each else each
        for axis, each in given[ORDERED].items()
    }
    return {**given, ORDERED: words}
