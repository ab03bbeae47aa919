"""Studies in Optuna's databases (Akiba et al., 2019), https://arxiv.org/abs/1907.10902, made by whatever sampler."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from search_spaces import Axis, Scale, nearest_name
from storage.database import open_database
from storage.errors import StoreError, one_line_errors
from storage.foreign import Curve, ForeignFailure, ForeignTrials, axis_name
from storage.optuna_api import opened
from storage.records import IntArray
from storage.sqlite_file import BUSY_TIMEOUT

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial


def read_optuna(
    url: str,
    study: str | None = None,
    axes: Sequence[str] | None = None,
    metric: str | None = None,
    *,
    seed: str | None = None,
) -> tuple[str, ForeignTrials]:
    """Read the trials of a study, the only one if none is named; return its name and them.

    Axes are its parameters with their distributions' ranges and scales, or those of them that are named. A trial's
    intermediate values are its learning curve. Its times have no zone: they are taken to be local, as Optuna writes
    them. Pruned ones that reported a value were stopped at that step; failed ones are kept as failures. Those without a
    value of an axis are counted and left out. `metric` only gives the value a name, ``value`` if Optuna has none.
    `seed` is a parameter or a user attribute that holds whole numbers.

    Raises:
        StoreError: the database cannot be read, there is no such study, it has several objectives, or an axis is
            categorical with other choices than numbers, or missing in a trial.
    """
    import optuna

    database = open_database(url, create=False)
    database.engine.dispose()
    with one_line_errors(database.name), opened(database.engine.url, BUSY_TIMEOUT) as storage:
        names = sorted(optuna.get_all_study_names(storage))
        if study is None and len(names) != 1:
            raise StoreError(
                f"{database.name} has {len(names)} Optuna studies: name one with --study{_some(names)}"
            )
        name = study or names[0]
        if name not in names:
            raise StoreError(
                f"there is no Optuna study {name!r} in {database.name}{nearest_name(name, names)}{_some(names)}"
            )
        found = optuna.load_study(study_name=name, storage=storage)
        return name, _read(found, f"Optuna's study {name!r}", axes, metric, seed)


def _some(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > 5 else ""
    return f"; it has {', '.join(names[:5])}{more}" if names else ""


def _read(
    study: Study, source: str, axes: Sequence[str] | None, metric: str | None, seed: str | None
) -> ForeignTrials:
    if len(study.directions) > 1:
        raise StoreError(
            f"{source} has {len(study.directions)} objectives: only studies of one can be imported"
        )
    trials = study.get_trials(deepcopy=False)
    finished = [trial for trial in trials if trial.state.name == "COMPLETE"]
    known = list(dict.fromkeys(name for trial in finished for name in trial.params if name != seed))
    if not known:
        raise StoreError(f"{source} has no finished trials with parameters")
    chosen = list(axes) if axes else known
    for name in chosen:
        if name not in known:
            raise StoreError(
                f"{source} has no parameter {name!r}{nearest_name(name, known)}: it has {', '.join(known)}"
            )
    ranges = {name: _range(name, finished, source) for name in chosen}
    whole = [trial for trial in trials if all(_is_number(trial.params.get(name)) for name in chosen)]
    kept = [trial for trial in whole if trial in finished or _is_pruned(trial)]
    failed = [trial for trial in whole if trial.state.name == "FAIL"]
    there = {trial.number for trial in [*kept, *failed]}
    others = Counter(trial.state.name for trial in trials if trial.number not in there)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names of metrics are still an experiment of Optuna's
        metric_names = study.metric_names
    times = [trial.duration.total_seconds() if trial.duration else 0.0 for trial in kept]
    seeds = _seeds([*kept, *failed], seed, source) if seed else np.zeros(len(there), dtype=np.int64)
    return ForeignTrials(
        source,
        tuple(map(axis_name, chosen)),
        np.array([[float(trial.params[name]) for name in chosen] for trial in kept]),
        np.array([_last(trial) if _is_pruned(trial) else trial.value for trial in kept], dtype=np.float64),
        metric or (metric_names[0] if metric_names else "value"),
        study.direction.name == "MAXIMIZE",
        seeds[: len(kept)] if seed else None,
        ranges={found.name: found for found in ranges.values() if found},
        curves=[_curve(trial) for trial in kept],
        seconds=np.array(times),
        started=[_moment(trial.datetime_start) for trial in kept],
        finished=[_moment(trial.datetime_complete) for trial in kept],
        stopped_at=np.array(
            [trial.last_step if _is_pruned(trial) else np.nan for trial in kept], dtype=np.float64
        ),
        failed=[
            ForeignFailure(
                tuple(float(trial.params[name]) for name in chosen),
                WHY,
                int(each),
            )
            for trial, each in zip(failed, seeds[len(kept) :], strict=True)
        ],
        left_out={said: others[state] for said, state in LEFT_OUT.items()},
    )


LEFT_OUT = {"pruned": "PRUNED", "failed": "FAIL", "unfinished": "RUNNING", "waiting": "WAITING"}
WHY = "failed: Optuna does not keep why"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_pruned(trial: FrozenTrial) -> bool:
    """Whether it was, after a value that it reported."""
    return trial.state.name == "PRUNED" and trial.last_step is not None and trial.last_step >= 0


def _last(trial: FrozenTrial) -> float:
    return trial.intermediate_values[max(trial.intermediate_values)]


def _moment(local: datetime | None) -> datetime | None:
    """A time without a zone."""
    return local and local.astimezone(UTC)


def _range(name: str, trials: Sequence[FrozenTrial], source: str) -> Axis | None:
    """The axis's range over all trials; None if that is a single value."""
    found = []
    for trial in trials:
        if name not in trial.distributions:
            raise StoreError(
                f"{source}: trial {trial.number} has no {name}: name the axes that every trial has with --axes"
            )
        each: Any = trial.distributions[name]
        ends = _ends(each)
        if ends is None:
            numeric = [other for other, its in trial.distributions.items() if _ends(its) is not None]
            raise StoreError(
                f"{source}: {name} is one of {', '.join(map(str, each.choices))}, and axes are of numbers: "
                + (f"leave it out, as in --axes {','.join(numeric)}" if numeric else "it has none")
            )
        found.append((*ends, getattr(each, "log", None)))
    lows, highs, logs = zip(*found, strict=True)
    known = [log for log in logs if log is not None]
    scale: Scale | None = None if not known else "log" if any(known) else "linear"
    return (
        Axis(axis_name(name), low=min(lows), high=max(highs), scale=scale) if min(lows) < max(highs) else None
    )


def _ends(distribution: Any) -> tuple[float, float] | None:
    """The least and the largest number that it gives; None if it is categorical and gives others than numbers."""
    choices = getattr(distribution, "choices", None)
    if choices is None:
        return distribution.low, distribution.high
    return (min(choices), max(choices)) if all(map(_is_number, choices)) else None


def _seeds(trials: Sequence[FrozenTrial], seed: str, source: str) -> IntArray:
    found = [trial.params.get(seed, trial.user_attrs.get(seed)) for trial in trials]
    for trial, each in zip(trials, found, strict=True):
        if not isinstance(each, int) or each < 0:
            raise StoreError(
                f"{source}: {seed} of trial {trial.number} is {each!r}: "
                "name a parameter or a user attribute that holds whole numbers from 0 on"
            )
    return np.array(found, dtype=np.int64)


def _curve(trial: FrozenTrial) -> Curve:
    steps = sorted(step for step in trial.intermediate_values if step >= 0)
    return np.array(steps, dtype=np.int64), np.array([trial.intermediate_values[step] for step in steps])
