"""Stored trials as they went in, a bounded number at a time."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, Table, and_, select

from storage.attributes import SPACE, attribute
from storage.database import Database
from storage.optuna_api import curve_value
from storage.records import Trials, cell_of
from storage.schema import OWN_TABLE, own_trials

AT_ONCE = 1_000
"""Trials that are read together, in a transaction of their own."""

Curve = tuple[tuple[int, ...], list[float]]


def read_pages(
    database: Database, study_id: int, optimizer: str, upto: int | None = None
) -> Iterator[list[Trials]]:
    """The trials of an optimizer in the order in which they were stored, at most `AT_ONCE` at a time.

    With `upto`, those with a trial id up to it.

    Each list has batches of one seed, launch, time and equal curve steps. Trials that are stored meanwhile come too.
    """
    with database.reading() as connection:
        axes = list(attribute(connection, database.tables, study_id, SPACE))
    last = 0
    while True:
        with database.reading() as connection:
            rows = _rows(connection, database.tables, study_id, last, upto)
            if not rows:
                return
            last = rows[-1].trial_id
            curves = _curves(connection, database.tables, rows)
            attributes = _attributes(connection, database.tables, rows)

        def same(row: _Row, curves: Mapping[int, Curve] = curves) -> tuple[Any, ...]:
            steps = curves[row.trial_id][0] if row.trial_id in curves else ()
            return row.seed, row.launch, row.started, row.finished, steps

        yield [
            _batch(optimizer, axes, key, list(group), curves, attributes)
            for key, group in groupby(rows, same)
        ]


class _Row(NamedTuple):
    trial_id: int
    cell: str
    seed: int
    launch: int | None
    started: datetime
    finished: datetime
    value: float


def _rows(
    connection: Connection, tables: Mapping[str, Table], study_id: int, after: int, upto: int | None
) -> list[_Row]:
    own, trials, values = tables[OWN_TABLE], tables["trials"], tables["trial_values"]
    columns = (own.c.trial_id, own.c.cell, own.c.seed, own.c.launch)
    times = (trials.c.datetime_start, trials.c.datetime_complete)
    source = own_trials(tables).join(
        values, and_(values.c.trial_id == trials.c.trial_id, values.c.objective == 0)
    )
    found = select(*columns, *times, values.c.value).select_from(source).where(own.c.study_id == study_id)
    if upto is not None:
        found = found.where(own.c.trial_id <= upto)
    page = found.where(own.c.trial_id > after).order_by(own.c.trial_id).limit(AT_ONCE)
    return [_Row(*row) for row in connection.execute(page)]


def _curves(connection: Connection, tables: Mapping[str, Table], rows: Sequence[_Row]) -> dict[int, Curve]:
    table = tables["trial_intermediate_values"]
    value, kind = table.c.intermediate_value, table.c.intermediate_value_type
    query = select(table.c.trial_id, table.c.step, value, kind)
    points = connection.execute(
        query.where(table.c.trial_id.in_([row.trial_id for row in rows])).order_by(
            table.c.trial_id, table.c.step
        )
    )
    curves = {}
    for trial_id, group in groupby(points, lambda point: point[0]):
        steps, values = zip(
            *((step, curve_value(value, kind)) for _, step, value, kind in group), strict=True
        )
        curves[trial_id] = (steps, list(values))
    return curves


def _attributes(
    connection: Connection, tables: Mapping[str, Table], rows: Sequence[_Row]
) -> dict[int, dict[str, float]]:
    """The numbers that are kept with trials; what somebody else noted there is none."""
    table = tables["trial_user_attributes"]
    found: dict[int, dict[str, float]] = {row.trial_id: {} for row in rows}
    query = select(table.c.trial_id, table.c.key, table.c.value_json).where(table.c.trial_id.in_(found))
    for trial_id, key, text in connection.execute(query):
        value = json.loads(text)
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[trial_id][key] = value
    return found


def _batch(
    optimizer: str,
    axes: Sequence[str],
    key: tuple[Any, ...],
    rows: Sequence[_Row],
    curves: Mapping[int, Curve],
    attributes: Mapping[int, Mapping[str, float]],
) -> Trials:
    seed, launch, started, finished, steps = key
    ids = [row.trial_id for row in rows]
    cells = [cell_of(row.cell) for row in rows]

    def column(name: str, default: float = np.nan) -> list[float]:
        return [attributes[each].get(name, default) for each in ids]

    metrics = {name for each in ids for name in attributes[each]} - {"seed", "seconds", "diverged_at"}
    return Trials(
        hyperparameters={axis: np.array([cell[axis] for cell in cells]) for axis in axes},
        seed=seed,
        value=np.array([row.value for row in rows], dtype=np.float64),
        metrics={name: np.array(column(name), dtype=np.float64) for name in sorted(metrics)},
        curve_steps=np.array(steps, dtype=np.int64),
        curve=np.array([curves[each][1] if steps else [] for each in ids], dtype=np.float64),
        diverged_at=np.array(column("diverged_at", -1), dtype=np.int64),
        seconds=np.array(column("seconds", 0.0), dtype=np.float64),
        started=(started or finished).replace(tzinfo=UTC),
        finished=finished.replace(tzinfo=UTC),
        optimizer=optimizer,
        launch=launch,
    )
