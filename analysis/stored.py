"""Landscapes of stored studies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from analysis.landscape import AFTER, dense, tell_of_stopped
from analysis.observations import Observations
from analysis.pairs import ASKED
from analysis.surrogate import surrogate_landscape
from search_spaces import SearchSpace
from storage.records import split_name
from storage.store import Store

Tell = Callable[[str], None]


def ignore(note: str) -> None:
    """Tell nobody."""


def stored_observations(
    store: Store,
    study: str,
    optimizer: str | None = None,
    where: str | None = None,
    *,
    step: int | None = None,
    extra: bool = False,
) -> dict[str, Observations]:
    """Trials of each optimizer of a study, or of one; maybe none.

    Of the cells that its file has now; without seeds that it does not ask for, but for `extra`. With `step` as they
    were after so many steps of training.

    Raises:
        AnalysisError: there are trials, and none is known after that step; otherwise as the store does.
    """
    about = store.about(study)
    asked = None if extra else about.seeds
    found = {}
    for name in [optimizer] if optimizer is not None else about.optimizers:
        frame = store.values(study, name) if where is None else store.trials(study, name, where)
        frame = on_grid(frame, about.space)
        if asked is not None:
            frame = frame[frame["seed"] < asked]
        seen = Observations.of_trials(frame, about.space, about.metric)
        if step is not None and len(seen):
            seen = seen.with_curves(store.read(study, name)).after(step)
        found[name] = seen
    return found


def on_grid(trials: pd.DataFrame, space: SearchSpace) -> pd.DataFrame:
    """Trials of the cells of a space: a study may once have had others."""
    kept = np.ones(len(trials), dtype=bool)
    for axis in space.axes:
        if axis.is_grid:
            kept &= trials[axis.name].isin(axis.values).to_numpy()
    return trials if kept.all() else trials[kept].reset_index(drop=True)


def stored_landscapes(
    store: Store,
    names: Sequence[str],
    where: str | None = None,
    *,
    step: int | None = None,
    extra: bool = False,
    tell: Tell = ignore,
) -> dict[str, xr.DataArray]:
    """The landscapes that have trials, of studies (STUDY or STUDY/OPTIMIZER), by optimizer; of several, by both names.

    Over the whole grid, with a filter over the values that it leaves; of scattered trials a surrogate's, over the first
    two axes. With `step` as they were after so many steps of training. Seeds as for `stored_observations`. `tell` is
    called with who was left out.

    Raises:
        AnalysisError: a study has no trials, or none that the filter selects, or none is known after that step.
    """
    panels = {}
    if step is not None:
        tell(f"note: as after {step:,} step{'s' * (step > 1)} of training")
    for name in names:
        study, optimizer = split_name(name)
        whole = stored_observations(store, study, optimizer, where, step=step, extra=extra)
        found = {each: seen for each, seen in whole.items() if len(seen)} or whole
        for each in whole.keys() - found.keys():
            tell(f"no trials of {study}/{each}: left out")
        for each, seen in found.items():
            narrow = where and len(seen) and seen.space.is_grid
            values = landscape_of(seen.on_occurring() if narrow else seen, f"{study}/{each}")
            if early := tell_of_stopped(values):
                tell(f"note: {study}/{each}: {early}: they count as what they were then")
            if not seen.space.is_grid and (pruned := int(seen.stopped.sum())):
                tell(f"note: {study}/{each}: {pruned:,} trials stopped early: left out of the surrogate")
            said = {ASKED: store.about(study).seeds} | ({} if step is None else {AFTER: step})
            panels[each if len(names) == 1 else f"{study}/{each}"] = values.assign_attrs(said)
    return panels


def landscape_of(observations: Observations, name: str = "") -> xr.DataArray:
    """Their landscape: of a grid all of it, of scattered trials a surrogate's mean over the first two axes.

    Raises AnalysisError as `analysis.landscape.dense` and `analysis.surrogate.fit_surrogate`.
    """
    return dense(observations) if observations.space.is_grid else surrogate_landscape(observations, name)
