"""Databases of earlier versions, and studies that Optuna has copied, are brought to today's form in one transaction.

Version 1 had no number: its runs were flat indices, a study had one spec without defaults, and one launch. Version 2
kept no failures, version 3 no counts, version 4 no leases.
"""

import json
import secrets
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from sqlalchemy import Column, Connection, Integer, Table, and_, delete, func, insert, inspect, select, text

from search_spaces import SearchSpace
from storage.attributes import (
    IDENTITY,
    METRIC,
    OPTIMIZERS,
    PROVENANCE,
    RECIPE,
    SPACE,
    SPEC,
    declared_studies,
    find_attribute,
    set_attributes,
)
from storage.counts import count_trials, write_counts
from storage.errors import StoreError
from storage.migrations.recipes import recipe_of_1
from storage.records import cell_key
from storage.runs import pack_points, space_text
from storage.schema import OWN_TABLE, OWN_TABLES, RUNS_TABLE, VERSION, VERSION_TABLE, own_trials

AT_ONCE = 5_000
"""Trials whose values are looked up together."""


def needs_migration(connection: Connection, tables: Mapping[str, Table]) -> bool:
    """Whether `migrate` has anything to do. An Optuna database without a study of ours is left alone."""
    if _is_current(connection, tables):
        return bool(_copies(connection, tables))
    return bool(declared_studies(connection, tables))


def migrate(connection: Connection, tables: Mapping[str, Table]) -> None:
    """Make our tables as they are today, whatever version they are of. The caller holds the lock of all, and commits.

    Raises StoreError for a database of a later version.
    """
    if not _is_current(connection, tables):
        _add_launches(connection)
        _rebuild_runs(connection, tables)
        for name in OWN_TABLES:
            tables[name].create(connection, checkfirst=True)
            for index in tables[name].indexes:
                index.create(connection, checkfirst=True)
        for declared in declared_studies(connection, tables).values():
            for optimizer, study_id in declared.items():
                _complete(connection, tables, optimizer, study_id, list(declared))
                write_counts(connection, tables, study_id, count_trials(connection, tables, study_id))
        connection.execute(text("DROP INDEX IF EXISTS ix_tunability_trials_trial_id"))
        connection.execute(insert(tables[VERSION_TABLE]).values(version=VERSION))
    for study_id in _copies(connection, tables):
        _adopt(connection, tables, study_id)


def _is_current(connection: Connection, tables: Mapping[str, Table]) -> bool:
    if not inspect(connection).has_table(VERSION_TABLE):
        return False
    version = connection.scalar(select(func.max(tables[VERSION_TABLE].c.version))) or 0
    if version > VERSION:
        raise StoreError(
            f"the database is of version {version}, and this program knows {VERSION}: upgrade tunability"
        )
    return version == VERSION


def _add_launches(connection: Connection) -> None:
    """Trials of version 1 did not know their launch: it was the first."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    inspector = inspect(connection)
    if not inspector.has_table(OWN_TABLE):
        return
    if "launch" not in {each["name"] for each in inspector.get_columns(OWN_TABLE)}:
        Operations(MigrationContext.configure(connection)).add_column(OWN_TABLE, Column("launch", Integer))
        connection.execute(text(f"UPDATE {OWN_TABLE} SET launch = 0"))


def _rebuild_runs(connection: Connection, tables: Mapping[str, Table]) -> None:
    """Runs of version 1 were indices of cells of the study's only space."""
    inspector = inspect(connection)
    if not inspector.has_table(RUNS_TABLE):
        return
    if "points" in {each["name"] for each in inspector.get_columns(RUNS_TABLE)}:
        return
    columns = "study_id, tuner, replicate, noise, repeats, seeds, budget, cells"
    old = connection.execute(text(f"SELECT {columns} FROM {RUNS_TABLE}")).mappings().all()
    connection.execute(text(f"DROP TABLE {RUNS_TABLE}"))
    tables[RUNS_TABLE].create(connection)
    spaces: dict[int, SearchSpace] = {}
    rows = []
    for row in old:
        study_id = row["study_id"]
        table = find_attribute(connection, tables, study_id, SPACE)
        if table is None:
            continue  # of a study that is gone
        space = spaces.setdefault(study_id, SearchSpace.from_table(table))
        cells = np.frombuffer(zlib.decompress(row["cells"]), "<u4").astype(np.int64)
        kept = {name: row[name] for name in columns.split(", ") if name != "cells"}
        rows.append({**kept, "space": space_text(space), "points": pack_points(space.cells()[cells])})
    if rows:
        connection.execute(insert(tables[RUNS_TABLE]), rows)


def _complete(
    connection: Connection,
    tables: Mapping[str, Table],
    optimizer: str,
    study_id: int,
    optimizers: list[str],
) -> None:
    """Give an optimizer of version 1 its recipe, and its study the list of optimizers."""
    if find_attribute(connection, tables, study_id, RECIPE) is not None:
        return
    spec, made, metric = (
        find_attribute(connection, tables, study_id, key) for key in (SPEC, PROVENANCE, METRIC)
    )
    values: dict[str, Any] = {
        OPTIMIZERS: optimizers,
        RECIPE: recipe_of_1(optimizer, spec, made, metric),
        PROVENANCE: [{**made, "launch": 0}],
    }
    set_attributes(connection, tables, study_id, values)
    attributes = tables["study_user_attributes"]
    former = attributes.c.key == "tunability:spec_sha256"
    connection.execute(delete(attributes).where(attributes.c.study_id == study_id, former))


def _copies(connection: Connection, tables: Mapping[str, Table]) -> list[int]:
    """Optuna studies that are ours by their attributes, but not their trials by our table: Optuna copied them."""
    own, trials, attributes = tables[OWN_TABLE], tables["trials"], tables["trial_user_attributes"]
    studies = tables["studies"]
    ids = [
        study_id
        for declared in declared_studies(connection, tables).values()
        for study_id in declared.values()
    ]
    known = select(own.c.trial_id).select_from(own_trials(tables)).where(own.c.study_id == studies.c.study_id)
    seeded = (
        select(trials.c.trial_id)
        .join(attributes, and_(attributes.c.trial_id == trials.c.trial_id, attributes.c.key == "seed"))
        .where(trials.c.study_id == studies.c.study_id, trials.c.state.in_(("COMPLETE", "PRUNED")))
    )
    copied = select(studies.c.study_id).where(
        studies.c.study_id.in_(ids), ~known.correlate(studies).exists(), seeded.correlate(studies).exists()
    )
    return list(connection.scalars(copied.order_by(studies.c.study_id)))


def _adopt(connection: Connection, tables: Mapping[str, Table], study_id: int) -> None:
    """Put the trials of a copied study into our table: their seeds are attributes, their cells parameters."""
    own, trials = tables[OWN_TABLE], tables["trials"]
    attributes, params = tables["trial_user_attributes"], tables["trial_params"]
    connection.execute(delete(own).where(own.c.study_id == study_id))
    seeds = connection.execute(
        select(trials.c.trial_id, attributes.c.value_json)
        .join(attributes, and_(attributes.c.trial_id == trials.c.trial_id, attributes.c.key == "seed"))
        .where(trials.c.study_id == study_id, trials.c.state.in_(("COMPLETE", "PRUNED")))
        .order_by(trials.c.trial_id)
    ).all()
    names = set(SearchSpace.from_table(find_attribute(connection, tables, study_id, SPACE)).names)
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for start in range(0, len(seeds), AT_ONCE):
        chosen = {row[0]: row[1] for row in seeds[start : start + AT_ONCE]}
        cells: dict[int, dict[str, float]] = {trial_id: {} for trial_id in chosen}
        values = select(params.c.trial_id, params.c.param_name, params.c.param_value)
        for trial_id, name, value in connection.execute(values.where(params.c.trial_id.in_(chosen))):
            cells[trial_id][name] = value
        for trial_id, cell in cells.items():
            if cell.keys() == names:
                key = (cell_key(cell), int(json.loads(chosen[trial_id])))
                rows.setdefault(
                    key,
                    {
                        "study_id": study_id,
                        "cell": key[0],
                        "seed": key[1],
                        "trial_id": trial_id,
                        "launch": None,
                    },
                )
    if rows:
        connection.execute(insert(own), list(rows.values()))
    write_counts(connection, tables, study_id, count_trials(connection, tables, study_id))
    set_attributes(connection, tables, study_id, {IDENTITY: secrets.token_hex(8)})
