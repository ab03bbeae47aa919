"""Insert finished trials in bulk into Optuna's tables, as Optuna would have written them one by one."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import Connection, Table, bindparam, delete, func, select

from search_spaces import SearchSpace
from storage.bulk import Row, insert_rows, new_ids
from storage.counts import Counts, read_counts, write_counts
from storage.optuna_api import distribution_json
from storage.records import STOPPED_AT, Trials
from storage.schema import FAILURES_TABLE, LAUNCH_COLUMN, OWN_TABLE

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
    counts = read_counts(connection, tables, study_id)
    ids = new_ids(connection, tables["trials"], "trial_id", len(lanes))
    first = _next_number(connection, tables["trials"], study_id, counts.last_trial)
    started, finished = as_stored(trials.started), as_stored(trials.finished)
    stopped = np.isfinite(trials.metrics.get(STOPPED_AT, np.full(len(trials), np.nan)))
    states = np.where(stopped, "PRUNED", "COMPLETE")[lanes].tolist()
    rows_of: dict[str, tuple[tuple[str, ...], list[Row]]] = {
        "trials": (
            ("trial_id", "number", "study_id", "state", "datetime_start", "datetime_complete"),
            [
                (trial_id, first + place, study_id, state, started, finished)
                for place, (trial_id, state) in enumerate(zip(ids, states, strict=True))
            ],
        ),
        OWN_TABLE: (
            ("study_id", "cell", "seed", "trial_id", LAUNCH_COLUMN),
            [
                (study_id, cell, trials.seed, trial_id, launch)
                for cell, trial_id in zip(lane_of, ids, strict=True)
            ],
        ),
        "trial_params": (
            ("trial_id", "param_name", "param_value", "distribution_json"),
            _param_rows(ids, lanes, space, trials),
        ),
        "trial_values": (
            ("trial_id", "objective", "value", "value_type"),
            [
                (trial_id, 0, value, "FINITE")
                for trial_id, value in zip(ids, trials.value[lanes].tolist(), strict=True)
            ],
        ),
        "trial_intermediate_values": (
            ("trial_id", "step", "intermediate_value", "intermediate_value_type"),
            _curve_rows(ids, lanes, trials),
        ),
        "trial_user_attributes": (("trial_id", "key", "value_json"), _attribute_rows(ids, lanes, trials)),
    }
    for name, (columns, rows) in rows_of.items():
        insert_rows(connection, tables[name], columns, rows)
    write_counts(connection, tables, study_id, counts + _counts(ids, lanes, trials, finished))
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
    found = select(table.c.number).where(table.c.trial_id == last_trial, table.c.study_id == study_id)
    last = connection.scalar(found) if last_trial else None
    since = select(func.count()).where(table.c.study_id == study_id)
    if last is None:
        return connection.scalar(since) or 0
    return int(last) + 1 + (connection.scalar(since.where(table.c.trial_id > last_trial)) or 0)


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


def _param_rows(ids: Sequence[int], lanes: Sequence[int], space: SearchSpace, trials: Trials) -> list[Row]:
    rows: list[Row] = []
    for axis in space.axes:
        name, distribution = axis.name, distribution_json(axis)
        values = trials.hyperparameters[name][lanes].tolist()
        rows += [(trial_id, name, value, distribution) for trial_id, value in zip(ids, values, strict=True)]
    return rows


def _curve_rows(ids: Sequence[int], lanes: Sequence[int], trials: Trials) -> list[Row]:
    steps = trials.curve_steps.tolist()
    return [
        (trial_id, step, value, "FINITE") if math.isfinite(value) else (trial_id, step, None, _kind(value))
        for trial_id, curve in zip(ids, trials.curve[lanes].tolist(), strict=True)
        for step, value in zip(steps, curve, strict=True)
    ]


def _kind(value: float) -> str:
    """What Optuna calls a value that is not finite."""
    return "NAN" if math.isnan(value) else "INF_POS" if value > 0 else "INF_NEG"


def _attribute_rows(ids: Sequence[int], lanes: Sequence[int], trials: Trials) -> list[Row]:
    columns: dict[str, list[float]] = {
        "seed": [trials.seed] * len(ids),
        "seconds": trials.seconds[lanes].tolist(),
        # Never (-1) is stored as no attribute, like NaN.
        "diverged_at": [step if step >= 0 else math.nan for step in trials.diverged_at[lanes].tolist()],
    }
    columns |= {name: column[lanes].tolist() for name, column in trials.metrics.items()}
    return [
        (trial_id, key, repr(value))  # which is JSON, and ten times as fast
        for key, column in columns.items()
        for trial_id, value in zip(ids, column, strict=True)
        if math.isfinite(value)
    ]
