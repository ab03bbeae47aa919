"""Other people's trials, from wherever they were read, become a study in the store."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import numpy as np

from search_spaces import Axis, SearchSpace
from storage.errors import StoreError
from storage.records import STOPPED_AT, FloatArray, IntArray, Trials, cell_key
from storage.store import Store
from storage.union import union

FILLED = 0.5
"""Points are a grid if more than this share of all combinations of their values occurs, else they are scattered."""

Curve = tuple[IntArray, FloatArray]
NO_CURVE: Curve = (np.empty(0, dtype=np.int64), np.empty(0))


@dataclass(frozen=True)
class ForeignFailure:
    """A trial without a metric: its hyperparameters (d,), why in a line, and its seed."""

    point: tuple[float, ...]
    reason: str
    seed: int = 0


@dataclass(frozen=True, eq=False)
class ForeignTrials:
    """N trials of one optimizer that somebody else has made, and what failed.

    Attributes:
        source: where they are from, for messages.
        axes: names of the hyperparameters.
        points: their values, (N, d).
        values: the metric, (N,), to be minimised unless `maximize`; NaN or infinite where a trial diverged.
        metric: its name.
        seeds: whole numbers from 0, (N,); None when nobody knows them.
        ranges: what the points were drawn from, by axis, where that is known.
        curves: steps and values of every trial's learning curve, or nothing for all.
        seconds: what each trial took, (N,); 0 by default.
        started, finished: when each trial did, N with a time zone; None where nobody knows, and nothing for all: one
            of them then counts as both, and with neither it is the time of the import.
        stopped_at: the step at which a trial was pruned, (N,), NaN where it ended; its value is that of this step. None
            where none was.
        failed: trials that ended without a metric.
        left_out: how many trials are not among these, by state.
    """

    source: str
    axes: tuple[str, ...]
    points: FloatArray
    values: FloatArray
    metric: str
    maximize: bool = False
    seeds: IntArray | None = None
    ranges: Mapping[str, Axis] = field(default_factory=dict)
    curves: Sequence[Curve] = ()
    seconds: FloatArray | None = None
    started: Sequence[datetime | None] = ()
    finished: Sequence[datetime | None] = ()
    stopped_at: FloatArray | None = None
    failed: Sequence[ForeignFailure] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)

    def in_words(self) -> str:
        """How many there are: ``150 trials (40 pruned) and 10 failed ones (2 waiting: left out)``."""
        pruned = 0 if self.stopped_at is None else int((~np.isnan(self.stopped_at)).sum())
        left = ", ".join(f"{count:,} {state}" for state, count in self.left_out.items() if count)
        return (
            f"{len(self.values):,} trials"
            + (f" ({pruned:,} pruned)" if pruned else "")
            + (f" and {len(self.failed):,} failed ones" if self.failed else "")
            + (f" ({left}: left out)" if left else "")
        )


def axis_name(name: str) -> str:
    """What an axis is called whose source has a name that is no identifier.

    >>> axis_name("optimizer/lr"), axis_name("weight decay"), axis_name("1d")
    ('optimizer_lr', 'weight_decay', '_1d')
    """
    return re.sub(r"\W|^(?=\d)", "_", name)


def space_of(trials: ForeignTrials) -> SearchSpace:
    """The space that they fill as a grid, or in which they are scattered, see `FILLED`.

    Several grids together, such as a coarse one and a finer one around its best cell, count as scattered. A scattered
    axis is as wide as its range, or as its points where none is known.

    Raises:
        StoreError: there are no trials, or an axis has one value only, or one that is no finite number.
    """
    if not len(trials.values):
        raise StoreError(f"{trials.source} has no finished trials{_but(trials.left_out)}")
    columns = dict(zip(trials.axes, trials.points.T, strict=True))
    for name, column in columns.items():
        if not np.isfinite(column).all():
            trial = int(np.flatnonzero(~np.isfinite(column))[0]) + 1
            raise StoreError(
                f"{trials.source}: {name} is {column[trial - 1]:g} in trial {trial}: give finite numbers"
            )
        if (column == column[0]).all():
            raise StoreError(
                f"{trials.source}: {name} is {column[0]:g} in every trial: leave it out of the axes"
            )
    grid = {name: np.unique(column) for name, column in columns.items()}
    combinations = float(np.prod([len(values) for values in grid.values()]))
    points = np.unique(trials.points, axis=0)
    if len(points) > FILLED * combinations and not _of_several_grids(points):
        return SearchSpace(
            Axis(name, values.tolist(), scale=_scale(trials, name)) for name, values in grid.items()
        )
    return SearchSpace(
        trials.ranges.get(name) or Axis(name, low=float(values[0]), high=float(values[-1]))
        for name, values in grid.items()
    )


def _of_several_grids(points: FloatArray) -> bool:
    """Whether points (m, d), each once, are grids put together and no grid that lacks some of its cells.

    Along an axis that is finer in one of them, values come in groups that occur with the same values of the others, and
    two groups or more lack some of those. Cells that a grid lacks are in no order, at its end or in one block.
    """
    finer = False
    for column in range(points.shape[1]):
        others = np.delete(points, column, axis=1)
        rows = Counter(
            frozenset(map(tuple, others[points[:, column] == value].tolist()))
            for value in np.unique(points[:, column])
        )
        every = frozenset().union(*rows)
        groups = [count for row, count in rows.items() if row != every]
        if groups and (len(groups) < 2 or min(groups) < 2):
            return False
        finer |= bool(groups)
    return finer


def seeds_of(trials: ForeignTrials, space: SearchSpace) -> IntArray:
    """Their seeds (N,). Where they are not known, trials of one cell of a grid are seeds 0, 1, ... in their order.

    Raises:
        StoreError: a point has a seed twice, or scattered points are repeated and have no seeds.
    """
    _, cells = np.unique(trials.points, axis=0, return_inverse=True)
    order = np.argsort(cells, kind="stable")
    starts = np.searchsorted(cells[order], cells)
    repeats = np.empty(len(cells), dtype=np.int64)
    repeats[order] = np.arange(len(cells))
    repeats -= starts
    if trials.seeds is None and space.is_grid:
        return repeats
    pairs = np.column_stack([cells, repeats * 0 if trials.seeds is None else trials.seeds])
    _, first = np.unique(pairs, axis=0, return_index=True)
    again = np.setdiff1d(np.arange(len(cells)), first)
    if again.size:
        row = int(again[0])
        point = ", ".join(f"{axis} = {x:g}" for axis, x in zip(trials.axes, trials.points[row], strict=True))
        if trials.seeds is None:
            raise StoreError(
                f"{trials.source}: {point} occurs more than once, without seeds: name them with --seed"
            )
        raise StoreError(
            f"{trials.source}: {point} has the seed {trials.seeds[row]} twice: give each its own"
        )
    return np.zeros(len(cells), dtype=np.int64) if trials.seeds is None else trials.seeds


def import_trials(store: Store, trials: ForeignTrials, study: str, optimizer: str) -> int:
    """Store them as one optimizer of a study; return how many are new.

    Pruned ones are stored as stopped early, failed ones as failures, unless they lie off the grid or out of range. A
    failed import leaves no trial, and nothing of a new study.

    A metric that is not finite is stored as the worst finite one, as a diverged trial. One to be maximised is stored
    negated, under the name ``negated_METRIC``.

    Raises:
        StoreError: as for `space_of` and `seeds_of`; no metric is finite; or the study is stored with another space
            or metric.
    """
    space = space_of(trials)
    metric = f"negated_{trials.metric}" if trials.maximize else trials.metric
    batches = list(_batches(trials, seeds_of(trials, space)))
    there = store.recipes(study)
    if there and not space.is_grid and not store.space(study).is_grid:
        space = union(study, store.space(study), space)
    # scattered points may be followed by others
    points = space.to_table() if space.is_grid else list(space.names)
    recipe = {"imported": True, "metric": metric, "space": points}
    store.declare(
        study,
        dict.fromkeys([*there, optimizer], recipe),
        space=space,
        metric=metric,
        spec={**recipe, "space": space.to_table()},
        provenance={
            "source": trials.source,
            "trials": len(trials.values),
            "left_out": dict(trials.left_out),
            "imported": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )
    inside = [each for each in trials.failed if _is_in(space, each.point)]
    try:
        new = store.append(study, optimizer, *batches)
        for (seed, reason), group in groupby(sorted(inside, key=_kind), key=_kind):
            cells = [cell_key(dict(zip(trials.axes, each.point, strict=True))) for each in group]
            store.append_failures(study, optimizer, cells, seed, reason)
        return new
    except BaseException:
        if not there:
            store.delete(study)
        raise


def _kind(failure: ForeignFailure) -> tuple[int, str]:
    return failure.seed, failure.reason


def _is_in(space: SearchSpace, point: Sequence[float]) -> bool:
    return all(
        value in axis.values if axis.is_grid else axis.low <= value <= axis.high
        for axis, value in zip(space.axes, point, strict=True)
    )


def _batches(trials: ForeignTrials, seeds: IntArray) -> Sequence[Trials]:
    """The trials in their order; those that follow each other with one seed, time and steps of the curve, together."""
    sign = -1.0 if trials.maximize else 1.0
    values = sign * trials.values
    finite = np.isfinite(values)
    if not finite.any():
        raise StoreError(f"{trials.source}: no value of {trials.metric!r} is a finite number")
    stored = np.where(finite, values, values[finite].max())
    curves = trials.curves or [NO_CURVE] * len(values)
    seconds = np.zeros(len(values)) if trials.seconds is None else trials.seconds
    stopped = trials.stopped_at
    now = datetime.now(UTC)
    unknown = [None] * len(values)
    started, finished = trials.started or unknown, trials.finished or unknown

    def kind(row: int) -> tuple[int, tuple[int, ...], datetime, datetime]:
        begun, ended = started[row] or finished[row] or now, finished[row] or started[row] or now
        return int(seeds[row]), tuple(curves[row][0].tolist()), begun, ended

    found = []
    for (seed, steps, begun, ended), group in groupby(range(len(values)), key=kind):
        rows = list(group)
        found.append(
            Trials(
                hyperparameters={axis: trials.points[rows, place] for place, axis in enumerate(trials.axes)},
                seed=seed,
                value=stored[rows],
                metrics={} if stopped is None else {STOPPED_AT: stopped[rows]},
                curve_steps=np.array(steps, dtype=np.int64),
                curve=sign * np.array([curves[row][1] for row in rows]).reshape(len(rows), len(steps)),
                diverged_at=np.where(finite[rows], -1, 0),
                seconds=seconds[rows],
                started=begun,
                finished=ended,
            )
        )
    return found


def _scale(trials: ForeignTrials, name: str) -> Any:
    known = trials.ranges.get(name)
    return known.scale if known else None


def _but(left_out: Mapping[str, int]) -> str:
    said = ", ".join(f"{count:,} {state}" for state, count in left_out.items() if count)
    return f": {said}" if said else ""
