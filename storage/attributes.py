"""What is kept with an Optuna study to say what it is: its user attributes, as JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select

from search_spaces import SearchSpace
from storage.errors import StoreError

# User attributes of an Optuna study that say what it is; the prefix keeps clear of a user's own.
SPEC, SPACE, METRIC, OPTIMIZERS, RECIPE, PROVENANCE, IDENTITY, LAUNCH = (
    f"tunability:{name}"
    for name in ("spec", "space", "metric", "optimizers", "recipe", "provenance", "identity", "launch")
)
UNKNOWN = "unknown"
"""Keys of a recipe that an earlier version did not write down: what they lack is not compared."""


@dataclass(frozen=True)
class About:
    """What a study is, as it was last declared.

    Attributes:
        optimizers: those that its file names, in its order.
        space: its search space.
        metric: the name of the metric that it minimizes.
        spec: what was asked for, as JSON types.
        recipes: of every optimizer that it names or has trials of, all that decides a trial beside cell and seed.
    """

    optimizers: tuple[str, ...]
    space: SearchSpace
    metric: str
    spec: Mapping[str, Any]
    recipes: Mapping[str, Mapping[str, Any]]

    @property
    def seeds(self) -> int | None:
        """How many seeds it asks for; None of an imported one, which has those that it has."""
        seeds = self.spec.get("seeds")
        return seeds if isinstance(seeds, int) else None


def read_about(connection: Connection, tables: Mapping[str, Table], study: str) -> About | None:
    """What a study is, from one statement, or None where it is not stored."""
    studies, attributes = tables["studies"], tables["study_user_attributes"]
    rows = connection.execute(
        select(studies.c.study_name, attributes.c.key, attributes.c.value_json)
        .join(attributes, attributes.c.study_id == studies.c.study_id)
        .where(
            studies.c.study_name.startswith(f"{study}/", autoescape=True),
            attributes.c.key.in_([SPEC, SPACE, METRIC, OPTIMIZERS, RECIPE]),
        )
        .order_by(studies.c.study_id)
    )
    declared: dict[str, dict[str, Any]] = {}
    for name, key, text in rows:
        if name.startswith(f"{study}/"):  # SQLite finds names in other capitals, too
            declared.setdefault(name.partition("/")[2], {})[key] = json.loads(text)
    declared = {optimizer: each for optimizer, each in declared.items() if SPEC in each}
    if not declared:
        return None
    named = next(iter(declared.values()))[OPTIMIZERS]
    optimizers = tuple(name for name in named if name in declared)
    first = declared[optimizers[0]]
    return About(
        optimizers,
        SearchSpace.from_table(first[SPACE]),
        first[METRIC],
        first[SPEC],
        {optimizer: each[RECIPE] for optimizer, each in declared.items()},
    )


def declared_studies(connection: Connection, tables: Mapping[str, Table]) -> dict[str, dict[str, int]]:
    """The Optuna study id of each study and optimizer, in the order of their declaration."""
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


def any_declared(connection: Connection, tables: Mapping[str, Table]) -> bool:
    """Whether there is a study of ours; an Optuna database without one may lack our tables."""
    attributes = tables["study_user_attributes"]
    found = select(attributes.c.study_id).where(attributes.c.key == SPEC).limit(1)
    return connection.scalar(found) is not None


def declared_id(
    connection: Connection, tables: Mapping[str, Table], study: str, optimizer: str
) -> int | None:
    """The Optuna study id of a study's optimizer, or None where it is not declared."""
    studies, attributes = tables["studies"], tables["study_user_attributes"]
    found: int | None = connection.scalar(
        select(studies.c.study_id)
        .join(attributes, attributes.c.study_id == studies.c.study_id)
        .where(studies.c.study_name == f"{study}/{optimizer}", attributes.c.key == SPEC)
    )
    return found


def shown_studies(connection: Connection, tables: Mapping[str, Table]) -> dict[str, dict[str, int]]:
    """The Optuna study id of each study and optimizer that its file names, in its order.

    Trials of optimizers that were in an earlier file only are still stored.
    """
    attributes = tables["study_user_attributes"]
    listed = select(attributes.c.study_id, attributes.c.value_json).where(attributes.c.key == OPTIMIZERS)
    names = {row.study_id: row.value_json for row in connection.execute(listed)}
    shown = {}
    for study, declared in declared_studies(connection, tables).items():
        named = json.loads(names[next(iter(declared.values()))])
        shown[study] = {name: declared[name] for name in named if name in declared}
    return shown


def attribute(connection: Connection, tables: Mapping[str, Table], study_id: int, key: str) -> Any:
    """One of the attributes above of a declared study."""
    value = find_attribute(connection, tables, study_id, key)
    if value is None:
        raise StoreError(
            f"study {study_id} lacks {key}: it was deleted meanwhile, or changed by somebody else"
        )
    return value


def find_attribute(connection: Connection, tables: Mapping[str, Table], study_id: int, key: str) -> Any:
    """An attribute of an Optuna study, None where it is not set."""
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
