"""Insert finished trials in bulk into Optuna's tables, as Optuna would have written them one by one."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import compress
from typing import Any

import numpy as np
from sqlalchemy import Connection, Table, bindparam, delete, func, select

from search_spaces import SearchSpace
from storage.bulk import insert_rows, new_ids
from storage.counts import Counts, read_counts, write_counts
from storage.optuna_api import distribution_json
from storage.records import STOPPED_AT, Trials
from storage.schema import FAILURES_TABLE, LAUNCH_COLUMN, OWN_TABLE

# Texts in one IN (...): far below the 32,766 parameters SQLite takes and the 65,535 of PostgreSQL.
CELLS_PER_QUERY = 5_000
Columns = Mapping[str, Sequence[Any]]


def insert_trials(
    connection: Connection,
    tables: Mapping[str, Table],
    study_id: int,
    space: SearchSpace,
    trials: Trials,
    launch: int | None,
) -> int:
    """Insert those of the trials that are not stored yet, and forget that they failed before; return how many.

    The caller holds the study's lock and commits, so that nobody else numbers trials meanwhile.
    """
    lane_of = _new_lanes(connection, tables[OWN_TABLE], study_id, trials)
    if not lane_of:
        return 0
    lanes = list(lane_of.values())
    counts = read_counts(connection, tables, study_id)
    ids = new_ids(connection, tables["trials"], "trial_id", len(lanes))
    first = _next_number(connection, tables["trials"], study_id, counts.last_trial)
    started, finished = as_stored(trials.started), as_stored(trials.finished)
    stopped = np.isfinite(trials.metrics.get(STOPPED_AT, np.full(len(trials), np.nan)))
    states = np.where(stopped, "PRUNED", "COMPLETE")[lanes].tolist()
    count = len(ids)
    columns_of: dict[str, Columns] = {
        "trials": {
            "trial_id": ids,
            "number": range(first, first + count),
            "study_id": [study_id] * count,
            "state": states,
            "datetime_start": [started] * count,
            "datetime_complete": [finished] * count,
        },
        OWN_TABLE: {
            "study_id": [study_id] * count,
            "cell": list(lane_of),
            "seed": [trials.seed] * count,
            "trial_id": ids,
            LAUNCH_COLUMN: [launch] * count,
        },
        "trial_params": _param_columns(ids, lanes, space, trials),
        "trial_values": {
            "trial_id": ids,
            "objective": [0] * count,
            "value": trials.value[lanes].tolist(),
            "value_type": ["FINITE"] * count,
        },
        "trial_intermediate_values": _curve_columns(ids, lanes, trials),
        "trial_user_attributes": _attribute_columns(ids, lanes, trials),
    }
    for name, columns in columns_of.items():
        insert_rows(connection, tables[name], columns)
    write_counts(connection, tables, study_id, counts + _counts(ids, lanes, trials, finished))
    failures = tables[FAILURES_TABLE]
    of_seed = (failures.c.study_id == study_id) & (failures.c.seed == trials.seed)
    # Asked first, for there are seldom any, and naming all cells takes longer.
    for cell in connection.scalars(select(failures.c.cell).where(of_seed)).all():
        if cell in lane_of:
            connection.execute(delete(failures).where(of_seed, failures.c.cell == cell))
    return len(ids)


def _new_lanes(connection: Connection, own: Table, study_id: int, trials: Trials) -> dict[str, int]:
    """The place in the batch of each cell that is not stored yet, the first of equal ones."""
    lane_of: dict[str, int] = {}
    for lane, cell in enumerate(trials.cells()):
        lane_of.setdefault(cell, lane)
    cells = list(lane_of)
    already = select(own.c.cell).where(
        own.c.study_id == study_id,
        own.c.seed == trials.seed,
        own.c.cell.in_(bindparam("cells", expanding=True)),
    )
    for start in range(0, len(cells), CELLS_PER_QUERY):
        for cell in connection.scalars(already, {"cells": cells[start : start + CELLS_PER_QUERY]}).all():
            del lane_of[cell]
    return lane_of


def _next_number(connection: Connection, table: Table, study_id: int, last_trial: int) -> int:
    """The number of the study's next trial: Optuna numbers them as they come, from 0.

    Only those after our last one are counted, which somebody else has added.
    """
    since = select(func.count()).where(table.c.study_id == study_id)
    if last_trial:
        found = select(table.c.number).where(table.c.trial_id == last_trial, table.c.study_id == study_id)
        added = since.where(table.c.trial_id > last_trial)
        last, others = connection.execute(select(found.scalar_subquery(), added.scalar_subquery())).one()
        if last is not None:
            return int(last) + 1 + int(others)
    return connection.scalar(since) or 0


def _counts(ids: Sequence[int], lanes: Sequence[int], trials: Trials, finished: datetime) -> Counts:
    """What these trials add to what is kept of their optimizer."""
    diverged = trials.diverged_at[lanes] >= 0
    best = trials.value[lanes][~diverged].min(initial=math.inf)
    metrics = (name for name, column in trials.metrics.items() if np.isfinite(column[lanes]).any())
    return Counts(
        len(ids),
        int(diverged.sum()),
        None if math.isinf(best) else float(best),
        finished,
        ids[-1],
        tuple(sorted(metrics)),
    )


def as_stored(moment: datetime) -> datetime:
    """A time as Optuna stores it: UTC, without a zone."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def _param_columns(ids: Sequence[int], lanes: Sequence[int], space: SearchSpace, trials: Trials) -> Columns:
    values = [trials.hyperparameters[axis.name][lanes] for axis in space.axes]
    return {
        "trial_id": [*ids] * len(space.axes),
        "param_name": _each(len(ids), [axis.name for axis in space.axes]),
        "param_value": np.concatenate(values).tolist(),
        "distribution_json": _each(len(ids), [distribution_json(axis) for axis in space.axes]),
    }


def _curve_columns(ids: Sequence[int], lanes: Sequence[int], trials: Trials) -> Columns:
    values: list[float] = trials.curve[lanes].ravel().tolist()
    kinds = ["FINITE" if math.isfinite(value) else _kind(value) for value in values]
    return {
        "trial_id": _each(trials.curve_steps.size, ids),
        "step": trials.curve_steps.tolist() * len(ids),
        "intermediate_value": [value if math.isfinite(value) else None for value in values],
        "intermediate_value_type": kinds,
    }


def _kind(value: float) -> str:
    """What Optuna calls a value that is not finite."""
    return "NAN" if math.isnan(value) else "INF_POS" if value > 0 else "INF_NEG"


def _attribute_columns(ids: Sequence[int], lanes: Sequence[int], trials: Trials) -> Columns:
    columns: dict[str, list[float]] = {
        "seed": [trials.seed] * len(ids),
        "seconds": trials.seconds[lanes].tolist(),
        # Never (-1) is stored as no attribute, like NaN.
        "diverged_at": [step if step >= 0 else math.nan for step in trials.diverged_at[lanes].tolist()],
    }
    columns |= {name: column[lanes].tolist() for name, column in trials.metrics.items()}
    there = [(key, [math.isfinite(value) for value in column]) for key, column in columns.items()]
    return {
        "trial_id": [trial_id for _, is_there in there for trial_id in compress(ids, is_there)],
        "key": [key for key, is_there in there for _ in range(sum(is_there))],
        # which is JSON, and ten times as fast
        "value_json": [
            repr(value) for column in columns.values() for value in column if math.isfinite(value)
        ],
    }


def _each(times: int, values: Sequence[Any]) -> list[Any]:
    """Each of the values so many times, one value after another."""
    return [value for value in values for _ in range(times)]
