"""Declared studies: which ones a database holds, and how a new one is added whole or not at all."""

import hashlib
import json
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, inspect, select

from search_spaces import SearchSpace
from storage.database import Database
from storage.delete import delete_studies
from storage.errors import OtherStudyError, StoreError, one_line_errors
from storage.optuna_api import create_studies, set_metric_name
from storage.records import OWN_COLUMNS
from storage.schema import OWN_TABLE, RUNS_TABLE, lock_all
from storage.sqlite_file import BUSY_TIMEOUT

# User attributes of an Optuna study that say what it is; the prefix keeps clear of a user's own.
SPEC, SPEC_HASH, SPACE, METRIC, PROVENANCE, IDENTITY, LAUNCH = (
    f"tunability:{name}"
    for name in ("spec", "spec_sha256", "space", "metric", "provenance", "identity", "launch")
)
DECLARED = (SPEC, SPEC_HASH, SPACE, METRIC, PROVENANCE, IDENTITY)
"""What a declaration writes."""


# Characters that Optuna's column for names can hold.
LONGEST_NAME = 512


@dataclass(frozen=True)
class Declaration:
    """What `storage.store.Store.declare` is given; see there.

    Raises:
        StoreError: a name is not allowed, or an axis or the metric takes the name of another column.
    """

    study: str
    optimizers: tuple[str, ...]
    space: SearchSpace
    metric: str
    spec: Mapping[str, Any]
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        names = [("study", self.study), *(("optimizer", optimizer) for optimizer in self.optimizers)]
        for kind, name in names:
            if not name or "/" in name:
                raise StoreError(
                    f"the {kind} name {name!r} is not allowed: give at least one character, and no slash"
                )
        longest = max((len(f"{self.study}/{optimizer}") for optimizer in self.optimizers), default=0)
        if longest > LONGEST_NAME:
            raise StoreError(
                f"the study name {self.study[:20]!r}… and an optimizer's have {longest - 1} characters: "
                f"give at most {LONGEST_NAME - 1} together"
            )
        if not self.optimizers:
            raise StoreError(f"study {self.study!r} has no optimizers: give at least one")
        for name in (*self.space.names, self.metric):
            if name in OWN_COLUMNS:
                raise StoreError(
                    f"{name!r} is the name of a column every study has ({', '.join(OWN_COLUMNS)}): "
                    "rename the axis or metric"
                )
        if self.metric in self.space.names:
            raise StoreError(f"{self.metric!r} names both the metric and an axis: rename one")
        for field, content in (("spec", self.spec), ("provenance", self.provenance)):
            try:
                json.dumps(content, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise StoreError(
                    f"the {field} is not JSON ({error}): give finite numbers and texts"
                ) from error


def declared_studies(connection: Connection, tables: Mapping[str, Table]) -> dict[str, dict[str, int]]:
    """Return the Optuna study id of each study and optimizer, in the order of their declaration."""
    studies, attributes = tables["studies"], tables["study_user_attributes"]
    declared: dict[str, dict[str, int]] = {}
    rows = connection.execute(
        select(studies.c.study_id, studies.c.study_name)
        .join(attributes, attributes.c.study_id == studies.c.study_id)
        .where(attributes.c.key == SPEC_HASH)
        .order_by(studies.c.study_id)
    )
    for study_id, full_name in rows:
        study, _, optimizer = full_name.partition("/")
        declared.setdefault(study, {})[optimizer] = study_id
    return declared


def attribute(connection: Connection, tables: Mapping[str, Table], study_id: int, key: str) -> Any:
    """Return one of the attributes above of a declared study."""
    attributes = tables["study_user_attributes"]
    found = select(attributes.c.value_json).where(attributes.c.study_id == study_id, attributes.c.key == key)
    return json.loads(connection.scalars(found).one())


def has_trials(connection: Connection, tables: Mapping[str, Table], study_ids: Collection[int]) -> bool:
    """Whether there are trials, of whomever, or tuning runs of these Optuna studies."""
    trials, runs = tables["trials"], tables[RUNS_TABLE]
    found = [select(trials.c.trial_id).where(trials.c.study_id.in_(study_ids))]
    if inspect(connection).has_table(RUNS_TABLE):
        found.append(select(runs.c.study_id).where(runs.c.study_id.in_(study_ids)))
    return any(connection.scalar(each.limit(1)) is not None for each in found)


def declare(database: Database, declaration: Declaration) -> None:
    """Declare those optimizers that are not declared yet with the same spec, and anew a study without trials.

    Raises:
        StoreError: trials of the study are stored with another spec, on other data or with other sources, an Optuna
            study of the name is not ours, or the database was opened for reading.
    """
    database.require_writable()
    while True:
        with database.reading() as connection:
            change = _change(connection, database, declaration)
        if change is None:
            return
        with one_line_errors(database.name):
            create_studies(database.engine.url, change.new, declaration.metric, timeout=BUSY_TIMEOUT)
        with database.writing() as connection:
            lock_all(connection)
            _delete_orphans(connection, database.tables)
            # Asked again under the lock: another process may have declared the study since, or stored its first trial.
            change = _change(connection, database, declaration, lock=True)
            if change is None or _make(connection, database.tables, change, declaration):
                return
        # Another process has deleted meanwhile what was there before: once more.


def declared_with(
    connection: Connection, database: Database, study: str, spec: Mapping[str, Any]
) -> dict[str, int]:
    """Return the Optuna study id of each optimizer of a study that is declared with this spec.

    Raises:
        OtherStudyError: trials of it are stored with another spec.
    """
    declared = declared_studies(connection, database.tables).get(study, {})
    for study_id in declared.values():
        stored = attribute(connection, database.tables, study_id, SPEC)
        differences = "; ".join(_differences(stored, json.loads(json.dumps(spec))))
        if not differences:
            continue
        if not has_trials(connection, database.tables, declared.values()):
            return {}
        full_names = ", ".join(f"{study}/{optimizer}" for optimizer in declared)
        raise OtherStudyError(
            f"study {study!r} is stored in {database.name} with another spec "
            f"({differences}): give this one another name, or delete the stored one "
            f"({full_names}) with `optuna delete-study`"
        )
    return declared


def check_declared(
    connection: Connection, tables: Mapping[str, Table], study_id: int, declaration: Declaration
) -> None:
    """Raise OtherStudyError unless an optimizer is still declared as it was: without trials it may be changed."""
    then = attribute(connection, tables, study_id, PROVENANCE)
    same = attribute(connection, tables, study_id, SPEC_HASH) == _hash(declaration.spec)
    if not same or _other_sources(then, declaration.provenance):
        raise OtherStudyError(
            f"study {declaration.study!r} was declared anew meanwhile, with another spec, other data or other sources: "
            "give this one another name"
        )


@dataclass(frozen=True)
class _Change:
    """What there is to do for a declaration: Optuna names to create, to declare anew, and what is to go.

    Attributes:
        new: Optuna names that are not declared.
        kept: Optuna study ids of optimizers that are declared anew.
        gone: those of optimizers that the study has no longer.
        respecified: whether what was declared had another spec.
    """

    new: tuple[str, ...]
    kept: tuple[int, ...] = ()
    gone: tuple[int, ...] = ()
    respecified: bool = False


def _change(
    connection: Connection, database: Database, declaration: Declaration, *, lock: bool = False
) -> _Change | None:
    """Return what a declaration changes, or None; raise StoreError if the study is another one.

    With `lock`, nobody stores trials of the study until the transaction ends.
    """
    studies, trials = database.tables["studies"], database.tables["trials"]
    study = declaration.study
    declared = declared_studies(connection, database.tables).get(study, {})
    if lock:
        rows = select(studies.c.study_id).where(studies.c.study_id.in_(declared.values()))
        connection.execute(rows.order_by(studies.c.study_id).with_for_update())
    same = declared_with(connection, database, study, declaration.spec)
    others = [
        _other_sources(attribute(connection, database.tables, each, PROVENANCE), declaration.provenance)
        for each in same.values()
    ]
    other = next(filter(None, others), None)
    if other and has_trials(connection, database.tables, same.values()):
        raise OtherStudyError(
            f"study {study!r} is stored in {database.name} {other}: bring that back, or give this one another name"
        )
    names = tuple(f"{study}/{each}" for each in declaration.optimizers if each not in declared)
    # Without trials it is what an interrupted declaration leaves.
    taken = select(studies.c.study_name).where(
        studies.c.study_name.in_(names), studies.c.study_id.in_(select(trials.c.study_id))
    )
    for name in connection.scalars(taken):
        raise OtherStudyError(
            f"{database.name} has an Optuna study {name!r} with trials of somebody else: "
            "give this study another name"
        )
    if not declared or (same and not other):
        return _Change(names) if names else None
    kept = tuple(place for each, place in declared.items() if each in declaration.optimizers)
    gone = tuple(place for each, place in declared.items() if each not in declaration.optimizers)
    return _Change(names, kept, gone, respecified=not same)


def _make(
    connection: Connection, tables: Mapping[str, Table], change: _Change, declaration: Declaration
) -> bool:
    """Change the database; return whether all Optuna studies are there for it, else nothing is changed."""
    studies, attributes = tables["studies"], tables["study_user_attributes"]
    there = select(studies.c.study_id).where(studies.c.study_name.in_(change.new))
    ids = [*change.kept, *connection.scalars(there)]
    if len(ids) < len(change.kept) + len(change.new):
        return False
    if change.gone:
        delete_studies(connection, OWN_TABLE, change.gone)
    if change.kept:
        old = [*DECLARED, *([LAUNCH] if change.respecified else [])]
        connection.execute(
            delete(attributes).where(attributes.c.study_id.in_(change.kept), attributes.c.key.in_(old))
        )
        set_metric_name(connection, change.kept, declaration.metric)
    _set_attributes(connection, tables, ids, declaration)
    return True


def _other_sources(stored: Mapping[str, Any], given: Mapping[str, Any]) -> str | None:
    """How two provenances differ in what decides a trial beside the spec: the data, and sources that both have."""
    then, now = stored.get("data_sha256"), given.get("data_sha256")
    if then and now and then != now:
        return f"on other data (SHA-256 {then[:12]} there, {now[:12]} here)"
    sources = stored.get("sources", {})
    for path, digest in given.get("sources", {}).items():
        if sources.get(path, digest) != digest:
            return f"with another source of {path}"
    return None


def _hash(spec: Mapping[str, Any]) -> str:
    canonical = json.dumps(spec, sort_keys=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _delete_orphans(connection: Connection, tables: Mapping[str, Table]) -> None:
    """Delete our rows whose trials are gone, before SQLite gives their ids to new trials."""
    own, trials = tables[OWN_TABLE], tables["trials"]
    trial = select(trials.c.trial_id).where(
        trials.c.trial_id == own.c.trial_id, trials.c.study_id == own.c.study_id
    )
    connection.execute(delete(own).where(~trial.exists()))


def _set_attributes(
    connection: Connection, tables: Mapping[str, Table], ids: Sequence[int], declaration: Declaration
) -> None:
    attributes = {
        # In the order given, which is the order of the axes in the spec's space.
        SPEC: declaration.spec,
        SPEC_HASH: _hash(declaration.spec),
        SPACE: declaration.space.to_table(),
        METRIC: declaration.metric,
        PROVENANCE: declaration.provenance,
        # No other study has it, while SQLite gives the ids of deleted studies and trials to new ones.
        IDENTITY: secrets.token_hex(8),
    }
    if ids:  # SQLite gives the id of a deleted study to the next one, and does not delete its runs
        runs = tables[RUNS_TABLE]
        connection.execute(delete(runs).where(runs.c.study_id.in_(ids)))
    rows = [
        {"study_id": study_id, "key": key, "value_json": json.dumps(value, allow_nan=False)}
        for study_id in ids
        for key, value in attributes.items()
    ]
    if rows:
        connection.execute(insert(tables["study_user_attributes"]), rows)


def _differences(stored: Any, given: Any, key: str = "") -> Iterator[str]:
    """Yield ``key = stored there, given here`` for each key, dotted, in which two JSON values differ."""
    if isinstance(stored, dict) and isinstance(given, dict):
        for name in sorted(stored.keys() | given.keys()):
            inner = f"{key}.{name}" if key else name
            yield from _differences(stored.get(name), given.get(name), inner)
    elif stored != given:
        yield f"{key} = {json.dumps(stored)} there, {json.dumps(given)} here"
