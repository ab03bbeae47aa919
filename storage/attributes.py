"""What is kept with an Optuna study to say what it is: its user attributes, as JSON."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select

# User attributes of an Optuna study that say what it is; the prefix keeps clear of a user's own.
SPEC, SPACE, METRIC, OPTIMIZERS, RECIPE, PROVENANCE, IDENTITY, LAUNCH = (
    f"tunability:{name}"
    for name in ("spec", "space", "metric", "optimizers", "recipe", "provenance", "identity", "launch")
)
UNKNOWN = "unknown"
"""Keys of a recipe that an earlier version did not write down: what they lack is not compared."""


def declared_studies(connection: Connection, tables: Mapping[str, Table]) -> dict[str, dict[str, int]]:
    """Return the Optuna study id of each study and optimizer, in the order of their declaration."""
    studies, attributes = tables["studies"], tables["study_user_attributes"]
    declared: dict[str, dict[str, int]] = {}
    rows = connection.execute(
        select(studies.c.study_id, studies.c.study_name)
        .join(attributes, attributes.c.study_id == studies.c.study_id)
        .where(attributes.c.key == SPEC)
        .order_by(studies.c.study_id)
    )
    for study_id, full_name in rows:
        study, _, optimizer = full_name.partition("/")
        declared.setdefault(study, {})[optimizer] = study_id
    return declared


def shown_studies(connection: Connection, tables: Mapping[str, Table]) -> dict[str, dict[str, int]]:
    """Return the Optuna study id of each study and optimizer that its file names, in its order.

    Trials of optimizers that were in an earlier file only are still stored.
    """
    shown = {}
    for study, declared in declared_studies(connection, tables).items():
        named = attribute(connection, tables, next(iter(declared.values())), OPTIMIZERS)
        shown[study] = {name: declared[name] for name in named if name in declared}
    return shown


def attribute(connection: Connection, tables: Mapping[str, Table], study_id: int, key: str) -> Any:
    """Return one of the attributes above of a declared study."""
    attributes = tables["study_user_attributes"]
    found = select(attributes.c.value_json).where(attributes.c.study_id == study_id, attributes.c.key == key)
    return json.loads(connection.scalars(found).one())


def find_attribute(connection: Connection, tables: Mapping[str, Table], study_id: int, key: str) -> Any:
    """Return an attribute of an Optuna study, None where it is not set."""
    attributes = tables["study_user_attributes"]
    found = select(attributes.c.value_json).where(attributes.c.study_id == study_id, attributes.c.key == key)
    text = connection.scalar(found)
    return None if text is None else json.loads(text)


def set_attributes(
    connection: Connection, tables: Mapping[str, Table], study_id: int, values: Mapping[str, Any]
) -> None:
    """Set attributes of an Optuna study."""
    attributes = tables["study_user_attributes"]
    here = attributes.c.study_id == study_id
    connection.execute(delete(attributes).where(here, attributes.c.key.in_(values)))
    rows = [
        {"study_id": study_id, "key": key, "value_json": json.dumps(value, allow_nan=False)}
        for key, value in values.items()
    ]
    if rows:
        connection.execute(insert(attributes), rows)
