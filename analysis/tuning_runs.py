"""Stored tuning runs: what each of them saw, and their suboptimality curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.landscape import landscape, tell_of_stopped
from analysis.stored import Tell, ignore, on_grid, stored_observations
from analysis.suboptimality import incumbent_suboptimality
from analysis.trained import UNTRAINED, NothingTrainedError, trained, untrained
from search_spaces import nearest_name
from storage.records import TuningRun
from storage.store import Store
from tuners import TUNERS

NOISES = ("run", "seed", "mean")
"""What a run sees: one training seed, as a practitioner does; a seed drawn for each cell; means over all seeds."""
SLOW_TUNERS = ("gp", "tpe", "tpe-multivariate", "cma-es")
"""They take a hundred times as long as others; the slowest first."""
SCATTERED_BUDGET = 100
"""Trials of a run on a surrogate, if nothing else is asked for."""
REPEATS = ("free", "count")
"""Whether a cell that a tuner asks for again is a trial."""

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def loss_table(store: Store, study: str, optimizer: str, *, extra: bool = False) -> FloatArray:
    """Losses (N, seeds) of all cells, NaN where a trial is missing; of a trial that was stopped early what it was then.

    Seeds are those that the study's file asks for, `extra` ones on request; of imported trials, those that there are.
    """
    table = _table(store, study, _asked_landscape(store, study, optimizer))
    if not extra:
        return table
    about, frame = store.about(study), store.values(study, optimizer)
    added = frame[frame["seed"] >= (math.inf if about.seeds is None else about.seeds)]
    if added.empty:
        return table
    return np.hstack([table, _table(store, study, landscape(added, about.space, about.metric))])


def _asked_landscape(store: Store, study: str, optimizer: str) -> xr.DataArray | None:
    """The landscape of the seeds of `loss_table`; None without trials."""
    about, frame = store.about(study), store.values(study, optimizer)
    if about.seeds is not None:
        frame = frame[frame["seed"] < about.seeds]
    frame = on_grid(frame, about.space)
    if frame.empty:
        return None
    values = landscape(frame, about.space, about.metric)
    return values if about.seeds is None else values.reindex(seed=np.arange(about.seeds))


def _table(store: Store, study: str, values: xr.DataArray | None) -> FloatArray:
    if values is None:
        about = store.about(study)
        return np.full((about.space.size, about.seeds or 0), np.nan)
    return np.ascontiguousarray(values.values.reshape(values.sizes["seed"], -1).T)


def drawn_seeds(size: int, replicate: int, seeds: int) -> IntArray:
    """Which training seed a replicate sees of each cell (size,)."""
    return np.random.default_rng([replicate, seeds]).integers(seeds, size=size)


def seeds_seen(noise: str, size: int, replicate: int, seeds: int) -> IntArray | None:
    """Which training seed a replicate sees of each cell (size,), see `NOISES`; None for means."""
    match noise:
        case "run":
            return np.full(size, replicate % seeds)
        case "seed":
            return drawn_seeds(size, replicate, seeds)
        case _:
            return None


def seen_losses(table: FloatArray, drawn: IntArray | None) -> FloatArray:
    """Losses (N,) of a table (N, seeds): of drawn seeds (N,), or the mean; NaN where a seed of a cell is missing."""
    mean = table.mean(axis=1)
    return mean if drawn is None else np.where(np.isnan(mean), np.nan, table[np.arange(len(table)), drawn])


@dataclass(frozen=True)
class Choice:
    """Which stored runs to look at; None leaves it to what there is.

    `noise` and `repeats`: the first of `NOISES` and `REPEATS` that there are. `tuners`: all
    that every optimizer has runs of. `trials` and `replicates`: as many as all of them have.
    """

    noise: str | None = None
    repeats: str | None = None
    tuners: Sequence[str] | None = None
    trials: int | None = None
    replicates: int | None = None


def stored_curves(
    store: Store,
    study: str,
    optimizer: str | None = None,
    choice: Choice = Choice(),
    tell: Tell = ignore,
) -> xr.DataArray:
    """Suboptimality of the stored runs, ``("optimizer", "tuner", "replicate", "trial")``.

    The coordinate ``spent`` has the trials of each run. Of a landscape that is not complete, suboptimality is relative
    to the best cell known: ``attrs["incomplete"]`` has for which optimizers, as text, and `tell` is called with it.
    Optimizers that trained nothing have no cost and are left out: ``attrs["untrained"]`` has those and says so, and
    `tell` is called with them.

    Of scattered trials no runs are stored: there are no replicates, and trials are `Choice.trials` or
    `SCATTERED_BUDGET`.

    Raises NothingTrainedError when that is all of them, and AnalysisError, with the reason, when there is nothing else
    to look at.
    """
    about = store.about(study)
    named = [optimizer] if optimizer else about.optimizers
    if not about.space.is_grid:
        return _no_runs(store, study, named, choice, tell)
    read = {name: _asked_landscape(store, study, name) for name in named}
    left_out = _untrained({name: each for name, each in read.items() if each is not None}, tell)
    tables = {name: _table(store, study, each) for name, each in read.items() if name not in left_out}
    runs = _comparable(study, _of_extent(store, study, tables, choice, tell), choice)
    incomplete = _incomplete(tables)
    if incomplete:
        tell(f"note: suboptimality of {incomplete} known")
    optimizers, tuners = list(tables), list(dict.fromkeys(tuner for _, tuner in runs))
    some = next(iter(runs.values()))
    budget = min(run.budget for each in runs.values() for run in each)
    budget = min(budget, choice.trials or budget)
    curves = np.empty((len(optimizers), len(tuners), len(some), budget))
    spent = np.empty(curves.shape[:3])
    for (name, tuner), each in runs.items():
        table = tables[name]
        for place, run in enumerate(each):
            seen = seen_losses(table, seeds_seen(run.noise, len(table), run.replicate, run.seeds))
            at = optimizers.index(name), tuners.index(tuner), place
            curves[at] = incumbent_suboptimality(run.cells, seen, table.mean(axis=1), budget)
            spent[at] = min(len(run.cells), budget)
    return _as_array(
        curves,
        spent,
        {"optimizer": optimizers, "tuner": tuners, "replicate": [run.replicate for run in some]},
        study=study,
        metric=about.metric,
        noise=some[0].noise,
        repeats=some[0].repeats,
        incomplete=incomplete,
        **{UNTRAINED: left_out},
    )


def _untrained(landscapes: Mapping[str, xr.DataArray], tell: Tell) -> dict[str, str | None]:
    """Why optimizers have no cost, of those that trained nothing. Raises NothingTrainedError when that is all."""
    for name, each in landscapes.items():
        if early := tell_of_stopped(each):
            tell(f"note: {name}: {early}: they count as what they were then")
    with_cost = trained(landscapes, tell)
    return {name: untrained(each) for name, each in landscapes.items() if name not in with_cost}


def _of_extent(
    store: Store, study: str, tables: Mapping[str, FloatArray], choice: Choice, tell: Tell
) -> dict[str, list[TuningRun]]:
    """The stored runs of a choice on the cells and seeds that the study has now, by optimizer.

    Raises AnalysisError where there are none.
    """
    space = store.space(study)
    every = {name: _matching(store.runs(study, name), choice) for name in tables}
    for name, runs in every.items():
        if not runs:
            raise AnalysisError(f"{study}/{name} has no tuning runs{_described(choice)}: run tunability tune")
    current = {}
    for name, runs in every.items():
        seeds = tables[name].shape[1]
        current[name] = [run for run in runs if (run.seeds, run.space) == (seeds, space)]
        if others := len(runs) - len(current[name]):
            tell(f"{others:,} tuning runs of {study}/{name} are of another extent: left out")
        if not current[name]:
            raise AnalysisError(
                f"the tuning runs of {study}/{name} are for {runs[0].seeds} seeds of {runs[0].space.size:,} cells, and "
                f"the study has {seeds} of {space.size:,}: run tunability tune"
            )
    return current


def _comparable(
    study: str, current: Mapping[str, Sequence[TuningRun]], choice: Choice
) -> dict[tuple[str, str], list[TuningRun]]:
    """Runs of one kind, of every tuner and optimizer the same replicates, in order; by optimizer and tuner.

    Raises AnalysisError where a tuner has no runs on every optimizer, or no replicate has runs of all.
    """
    kind = min(
        set.intersection(*({(run.noise, run.repeats) for run in runs} for runs in current.values())),
        key=lambda kind: (NOISES.index(kind[0]), REPEATS.index(kind[1])),
    )
    groups: dict[tuple[str, str], dict[int, TuningRun]] = {}
    for name, runs in current.items():
        for run in runs:
            if (run.noise, run.repeats) == kind:
                groups.setdefault((name, run.tuner), {})[run.replicate] = run
    tuners = [tuner for tuner in choice.tuners or TUNERS if all((name, tuner) in groups for name in current)]
    absent = [tuner for tuner in choice.tuners or () if tuner not in tuners]
    if absent or not tuners:
        raise AnalysisError(
            f"{study} has no runs of {absent[0] if absent else 'one tuner'} on every optimizer"
        )
    chosen = {(name, tuner): groups[name, tuner] for name in current for tuner in tuners}
    common = sorted(set.intersection(*map(set, chosen.values())))[: choice.replicates]
    if not common:
        raise AnalysisError(f"the tuning runs of {study} are not finished: run tunability tune again")
    return {key: [runs[replicate] for replicate in common] for key, runs in chosen.items()}


def _incomplete(tables: Mapping[str, FloatArray]) -> str:
    """Of which optimizers cells lack trials, in words; nothing where there are none."""
    known = {name: int((~np.isnan(table).any(axis=1)).sum()) for name, table in tables.items()}
    return "; ".join(
        f"{name}: relative to the best of {known[name]:,} of {len(table):,} cells"
        for name, table in tables.items()
        if known[name] < len(table)
    )


def _as_array(
    curves: FloatArray, spent: FloatArray, coordinates: Mapping[str, Any], **attrs: Any
) -> xr.DataArray:
    """Curves (optimizers, tuners, replicates, trials) and the trials of each run, as `stored_curves` gives them."""
    trials = np.arange(1, curves.shape[-1] + 1)
    return xr.DataArray(
        curves,
        {**coordinates, "trial": trials, "spent": (tuple(coordinates), spent)},
        (*coordinates, "trial"),
        name="suboptimality",
        attrs=attrs,
    )


def _no_runs(store: Store, study: str, named: Sequence[str], choice: Choice, tell: Tell) -> xr.DataArray:
    """Curves of scattered trials, of which no runs are stored: without replicates, of the optimizers that trained."""
    about = store.about(study)
    if choice.noise not in (None, "seed"):
        raise AnalysisError(
            f"the noise of {study} cannot be {choice.noise!r}: scattered trials have noise each of its own, 'seed'"
        )
    said = {name: stored_observations(store, study, name)[name].nothing_trained for name in named}
    left_out = {name: why for name, why in said.items() if why}
    if len(left_out) == len(named):
        raise NothingTrainedError(left_out)
    for name, why in left_out.items():
        tell(f"{name}: {why}")
    quick = [tuner for tuner in TUNERS if tuner not in SLOW_TUNERS]
    if choice.tuners is None:
        tell(f"note: by {', '.join(quick)}; other tuners take minutes each and have to be named")
    tuners = list(quick if choice.tuners is None else choice.tuners)
    for tuner in tuners:
        if tuner not in TUNERS:
            known = ", ".join(TUNERS)
            raise AnalysisError(
                f"there is no tuner {tuner!r}{nearest_name(tuner, TUNERS)}: there are {known}"
            )
    optimizers = [name for name in named if name not in left_out]
    curves = np.empty((len(optimizers), len(tuners), 0, choice.trials or SCATTERED_BUDGET))
    return _as_array(
        curves,
        curves[..., 0],
        {"optimizer": optimizers, "tuner": tuners, "replicate": np.empty(0, dtype=np.int64)},
        study=study,
        metric=about.metric,
        noise="seed",
        repeats=choice.repeats or REPEATS[0],
        incomplete="",
        **{UNTRAINED: left_out},
    )


def _matching(runs: Sequence[TuningRun], choice: Choice) -> list[TuningRun]:
    return [
        run
        for run in runs
        if choice.noise in (None, run.noise)
        and choice.repeats in (None, run.repeats)
        and (choice.tuners is None or run.tuner in choice.tuners)
        and (choice.trials is None or run.budget >= choice.trials)
    ]


def _described(choice: Choice) -> str:
    parts = [f"noise {choice.noise!r}"] if choice.noise else []
    parts += [", ".join(choice.tuners)] if choice.tuners else []
    return f" ({', '.join(parts)})" if parts else ""
