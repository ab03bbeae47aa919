"""Insert finished trials in bulk into Optuna's tables, as Optuna would have written them one by one."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, Table, delete, func, insert, select

from search_spaces import SearchSpace
from storage.optuna_api import distribution_json
from storage.records import STOPPED_AT, Trials
from storage.schema import FAILURES_TABLE, OWN_TABLE

Rows = list[dict[str, Any]]

# Texts in one IN (...): far below the 32,766 parameters SQLite takes and the 65,535 of PostgreSQL.
CELLS_PER_QUERY = 5_000


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
    ids = _insert_trial_rows(connection, tables["trials"], study_id, lanes, trials)
    own = [
        {"study_id": study_id, "cell": cell, "seed": trials.seed, "trial_id": trial_id, "launch": launch}
        for cell, trial_id in zip(lane_of, ids, strict=True)
    ]
    rows_of = {
        OWN_TABLE: own,
        "trial_params": _param_rows(ids, lanes, space, trials),
        "trial_values": _value_rows(ids, lanes, trials),
        "trial_intermediate_values": _curve_rows(ids, lanes, trials),
        "trial_user_attributes": _attribute_rows(ids, lanes, trials),
    }
    for name, rows in rows_of.items():
        if rows:
            connection.execute(insert(tables[name]), rows)
    failures = tables[FAILURES_TABLE]
    of_seed = (failures.c.study_id == study_id) & (failures.c.seed == trials.seed)
    # Asked first, for there are seldom any, and naming all cells takes longer.
    for cell in connection.scalars(select(failures.c.cell).where(of_seed)).all():
        if cell in lane_of:
            connection.execute(delete(failures).where(of_seed, failures.c.cell == cell))
    return len(ids)


def _new_lanes(connection: Connection, own: Table, study_id: int, trials: Trials) -> dict[str, int]:
    """Return the place in the batch of each cell that is not stored yet, the first of equal ones."""
    lane_of: dict[str, int] = {}
    for lane, cell in enumerate(trials.cells()):
        lane_of.setdefault(cell, lane)
    cells = list(lane_of)
    for start in range(0, len(cells), CELLS_PER_QUERY):
        already = select(own.c.cell).where(
            own.c.study_id == study_id,
            own.c.seed == trials.seed,
            own.c.cell.in_(cells[start : start + CELLS_PER_QUERY]),
        )
        for cell in connection.scalars(already).all():
            del lane_of[cell]
    return lane_of


def _insert_trial_rows(
    connection: Connection, table: Table, study_id: int, lanes: Sequence[int], trials: Trials
) -> list[int]:
    """Insert a row for each lane, numbered on from the study's last; return their ids in the order of the numbers."""
    first = connection.scalar(select(func.count()).where(table.c.study_id == study_id)) or 0
    shared = {
        "study_id": study_id,
        "datetime_start": as_stored(trials.started),
        "datetime_complete": as_stored(trials.finished),
    }
    stopped = np.isfinite(trials.metrics.get(STOPPED_AT, np.full(len(trials), np.nan)))
    states = np.where(stopped, "PRUNED", "COMPLETE")[lanes].tolist()
    rows = [{"number": first + place, "state": state, **shared} for place, state in enumerate(states)]
    inserted = connection.execute(insert(table).returning(table.c.number, table.c.trial_id), rows)
    return [trial_id for _number, trial_id in sorted(tuple(row) for row in inserted)]


def as_stored(moment: datetime) -> datetime:
    """A time as Optuna stores it: UTC, without a zone."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def _param_rows(ids: Sequence[int], lanes: Sequence[int], space: SearchSpace, trials: Trials) -> Rows:
    rows: Rows = []
    for axis in space.axes:
        shared = {"param_name": axis.name, "distribution_json": distribution_json(axis)}
        values = trials.hyperparameters[axis.name][lanes].tolist()
        rows += [
            {"trial_id": trial_id, "param_value": value, **shared}
            for trial_id, value in zip(ids, values, strict=True)
        ]
    return rows


def _value_rows(ids: Sequence[int], lanes: Sequence[int], trials: Trials) -> Rows:
    return [
        {"trial_id": trial_id, "objective": 0, "value": value, "value_type": "FINITE"}
        for trial_id, value in zip(ids, trials.value[lanes].tolist(), strict=True)
    ]


def _curve_rows(ids: Sequence[int], lanes: Sequence[int], trials: Trials) -> Rows:
    steps = trials.curve_steps.tolist()
    return [
        {"trial_id": trial_id, "step": step, **_intermediate(value)}
        for trial_id, curve in zip(ids, trials.curve[lanes].tolist(), strict=True)
        for step, value in zip(steps, curve, strict=True)
    ]


def _intermediate(value: float) -> dict[str, Any]:
    if math.isfinite(value):
        return {"intermediate_value": value, "intermediate_value_type": "FINITE"}
    kind = "NAN" if math.isnan(value) else "INF_POS" if value > 0 else "INF_NEG"
    return {"intermediate_value": None, "intermediate_value_type": kind}


def _attribute_rows(ids: Sequence[int], lanes: Sequence[int], trials: Trials) -> Rows:
    columns: dict[str, list[float]] = {
        "seed": [trials.seed] * len(ids),
        "seconds": trials.seconds[lanes].tolist(),
        # Never (-1) is stored as no attribute, like NaN.
        "diverged_at": [step if step >= 0 else math.nan for step in trials.diverged_at[lanes].tolist()],
    }
    columns |= {name: column[lanes].tolist() for name, column in trials.metrics.items()}
    return [
        {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
        for key, column in columns.items()
        for trial_id, value in zip(ids, column, strict=True)
        if math.isfinite(value)
    ]
