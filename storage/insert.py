"""Insert finished trials in bulk into Optuna's tables, as Optuna would have written them one by one."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, compress
from typing import Any, NamedTuple

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
    batches: Sequence[Trials],
    launch: int | None,
) -> int:
    """Insert those of the trials that are not stored yet, and forget that they failed before; return how many.

    They are numbered in their order, and as fast in many small batches as in a few large ones. The caller holds the
    study's lock and commits, so that nobody else numbers trials meanwhile.
    """
    news = _news(connection, tables[OWN_TABLE], study_id, batches)
    count = sum(len(new.lanes) for new in news)
    if not count:
        return 0
    counts = read_counts(connection, tables, study_id)
    ids = new_ids(connection, tables["trials"], "trial_id", count)
    first = _next_number(connection, tables["trials"], study_id, counts.last_trial)
    distributions = [distribution_json(axis) for axis in space.axes]
    parts: dict[str, list[Columns]] = {}
    place = 0
    for new in news:
        its = ids[place : place + len(new.lanes)]
        for name, columns in _columns(new, its, space, distributions).items():
            parts.setdefault(name, []).append(columns)
        counts += _counts(its, new)
        place += len(its)
    whole = {name: _joined(columns) for name, columns in parts.items()}
    whole["trials"] |= {"number": range(first, first + count), "study_id": [study_id] * count}
    whole[OWN_TABLE] |= {"study_id": [study_id] * count, LAUNCH_COLUMN: [launch] * count}
    for name, columns in whole.items():
        insert_rows(connection, tables[name], columns)
    write_counts(connection, tables, study_id, counts)
    failures = tables[FAILURES_TABLE]
    failed = select(failures.c.cell, failures.c.seed).where(failures.c.study_id == study_id)
    stored = {(cell, new.trials.seed) for new in news for cell in new.cells}
    # Asked first, for there are seldom any, and naming all cells takes longer.
    for cell, seed in connection.execute(failed).all():
        if (cell, seed) in stored:
            it = (failures.c.study_id == study_id) & (failures.c.seed == seed) & (failures.c.cell == cell)
            connection.execute(delete(failures).where(it))
    return count


class _New(NamedTuple):
    """Those trials of a batch that are not stored yet: their places in it, and cells."""

    trials: Trials
    lanes: list[int]
    cells: list[str]


def _news(connection: Connection, own: Table, study_id: int, batches: Sequence[Trials]) -> list[_New]:
    """Of each batch the trials that are not stored yet, the first of equal ones, if it has any."""
    cells_of = [trials.cells() for trials in batches]
    known: dict[int, set[str]] = {}
    for trials, cells in zip(batches, cells_of, strict=True):
        known.setdefault(trials.seed, set()).update(cells)
    already = select(own.c.cell).where(
        own.c.study_id == study_id,
        own.c.seed == bindparam("seed"),
        own.c.cell.in_(bindparam("cells", expanding=True)),
    )
    for seed, wanted in known.items():
        asked = list(wanted)
        wanted.clear()
        for start in range(0, len(asked), CELLS_PER_QUERY):
            some = {"seed": seed, "cells": asked[start : start + CELLS_PER_QUERY]}
            wanted.update(connection.scalars(already, some))
    news = []
    for trials, cells in zip(batches, cells_of, strict=True):
        lane_of: dict[str, int] = {}
        for lane, cell in enumerate(cells):
            if cell not in known[trials.seed]:
                lane_of.setdefault(cell, lane)
        known[trials.seed].update(lane_of)
        if lane_of:
            news.append(_New(trials, list(lane_of.values()), list(lane_of)))
    return news


def _columns(
    new: _New, ids: Sequence[int], space: SearchSpace, distributions: Sequence[str]
) -> dict[str, dict[str, Sequence[Any]]]:
    """The rows of a batch, as columns of each table, without what all batches share."""
    trials, lanes, count = new.trials, new.lanes, len(ids)
    stopped = np.isfinite(trials.metrics.get(STOPPED_AT, np.full(len(trials), np.nan)))
    return {
        "trials": {
            "trial_id": ids,
            "state": np.where(stopped, "PRUNED", "COMPLETE")[lanes].tolist(),
            "datetime_start": [as_stored(trials.started)] * count,
            "datetime_complete": [as_stored(trials.finished)] * count,
        },
        OWN_TABLE: {"cell": new.cells, "seed": [trials.seed] * count, "trial_id": ids},
        "trial_params": {
            "trial_id": [*ids] * len(space.axes),
            "param_name": _each(count, space.names),
            "param_value": [
                value for name in space.names for value in trials.hyperparameters[name][lanes].tolist()
            ],
            "distribution_json": _each(count, distributions),
        },
        "trial_values": {
            "trial_id": ids,
            "objective": [0] * count,
            "value": trials.value[lanes].tolist(),
            "value_type": ["FINITE"] * count,
        },
        "trial_intermediate_values": _curve_columns(ids, lanes, trials),
        "trial_user_attributes": _attribute_columns(ids, lanes, trials),
    }


def _joined(parts: Sequence[Columns]) -> dict[str, Sequence[Any]]:
    """Columns of one part after another."""
    if len(parts) == 1:
        return dict(parts[0])
    return {name: list(chain.from_iterable(part[name] for part in parts)) for name in parts[0]}


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


def _counts(ids: Sequence[int], new: _New) -> Counts:
    """What these trials add to what is kept of their optimizer."""
    trials, lanes = new.trials, new.lanes
    diverged = trials.diverged_at[lanes] >= 0
    best = trials.value[lanes][~diverged].min(initial=math.inf)
    metrics = (name for name, column in trials.metrics.items() if np.isfinite(column[lanes]).any())
    return Counts(
        len(ids),
        int(diverged.sum()),
        None if math.isinf(best) else float(best),
        as_stored(trials.finished),
        ids[-1],
        tuple(sorted(metrics)),
    )


def as_stored(moment: datetime) -> datetime:
    """A time as ours are stored: UTC, without a zone."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def _curve_columns(ids: Sequence[int], lanes: Sequence[int], trials: Trials) -> dict[str, Sequence[Any]]:
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


def _attribute_columns(ids: Sequence[int], lanes: Sequence[int], trials: Trials) -> dict[str, Sequence[Any]]:
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
