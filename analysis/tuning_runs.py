"""Stored tuning runs: what each of them saw, and their suboptimality curves."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.suboptimality import incumbent_suboptimality
from storage.records import TuningRun
from storage.store import Store
from tuners import TUNERS

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def loss_table(store: Store, study: str, optimizer: str, seeds: int | None = None) -> FloatArray:
    """Losses (N, seeds) of all cells, NaN where a trial is missing; seeds 0 to `seeds` - 1, or all that are stored."""
    space, metric = store.space(study), store.metric(study)
    frame = store.trials(study, optimizer)
    labels = np.unique(frame["seed"].to_numpy(dtype=np.int64)) if seeds is None else np.arange(seeds)
    table = np.full((space.size, len(labels)), np.nan)
    known = frame[frame["seed"].isin(labels)]
    if len(known):
        rows = space.flat_index(space.value_to_index(known[list(space.names)].to_numpy(dtype=np.float64)))
        columns = np.searchsorted(labels, known["seed"].to_numpy(dtype=np.int64))
        table[rows, columns] = known[metric].to_numpy(dtype=np.float64)
    return table


def drawn_seeds(size: int, replicate: int, seeds: int) -> IntArray:
    """Which training seed a replicate sees of each cell (size,)."""
    return np.random.default_rng([replicate, seeds]).integers(seeds, size=size)


def seen_losses(table: FloatArray, drawn: IntArray | None) -> FloatArray:
    """Losses (N,) of a table (N, seeds): of drawn seeds (N,), or the mean; NaN where a seed of a cell is missing."""
    mean = table.mean(axis=1)
    return mean if drawn is None else np.where(np.isnan(mean), np.nan, table[np.arange(len(table)), drawn])


def stored_curves(
    store: Store, study: str, optimizer: str | None = None, noise: str | None = None
) -> xr.DataArray:
    """Suboptimality of the stored runs, ``("optimizer", "tuner", "replicate", "trial")``.

    As many replicates and trials as every tuner and optimizer has; `noise` chooses between runs on single seeds and on
    means when there are both (single seeds by default). Of a landscape that is not complete, suboptimality is relative
    to the best cell known. Raises AnalysisError when there are no runs for the seeds that the study has now.
    """
    optimizers = [optimizer] if optimizer else store.optimizers(study)
    tables = {name: loss_table(store, study, name) for name in optimizers}
    every = {name: store.runs(study, name) for name in optimizers}
    kinds = {(run.noise, run.repeats) for runs in every.values() for run in runs}
    if noise:
        kinds = {kind for kind in kinds if kind[0] == noise}
    if not kinds:
        raise AnalysisError(
            f"{study} has no tuning runs{f' with noise {noise!r}' if noise else ''}: run tunability tune"
        )
    kind = max(kinds)  # "seed" before "mean", "free" before "count"
    chosen: dict[tuple[str, str], list[TuningRun]] = {}
    for name, runs in every.items():
        seeds = tables[name].shape[1]
        for run in runs:
            if (run.noise, run.repeats) == kind and run.seeds == seeds:
                chosen.setdefault((name, run.tuner), []).append(run)
    found = {tuner for _, tuner in chosen}
    tuners = [tuner for tuner in TUNERS if tuner in found]
    complete = [tuner for tuner in tuners if all((name, tuner) in chosen for name in optimizers)]
    if not complete:
        raise AnalysisError(
            f"the tuning runs of {study} were made with another number of seeds than it has now: run tunability tune"
        )
    groups = {(name, tuner): chosen[name, tuner] for name in optimizers for tuner in complete}
    replicates = sorted(set.intersection(*({run.replicate for run in runs} for runs in groups.values())))
    budget = min(run.budget for runs in groups.values() for run in runs)
    curves = np.empty((len(optimizers), len(complete), len(replicates), budget))
    for (name, tuner), runs in groups.items():
        table = tables[name]
        place = optimizers.index(name), complete.index(tuner)
        for run in runs:
            if run.replicate in replicates:
                drawn = drawn_seeds(len(table), run.replicate, run.seeds) if run.noise == "seed" else None
                curves[(*place, replicates.index(run.replicate))] = incumbent_suboptimality(
                    run.cells, seen_losses(table, drawn), table.mean(axis=1), budget
                )
    return xr.DataArray(
        curves,
        {
            "optimizer": optimizers,
            "tuner": complete,
            "replicate": replicates,
            "trial": np.arange(1, budget + 1),
        },
        ("optimizer", "tuner", "replicate", "trial"),
        name="suboptimality",
        attrs={"metric": store.metric(study), "noise": kind[0], "study": study},
    )
