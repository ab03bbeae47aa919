"""Landscapes of stored studies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from analysis.landscape import landscape, occurring_space, tell_of_stopped
from analysis.observations import Observations
from analysis.pairs import ASKED
from analysis.surrogate import surrogate_landscape
from analysis.trained import UNTRAINED, nothing_trained_in
from search_spaces import SearchSpace
from storage.records import split_name
from storage.store import Store

Tell = Callable[[str], None]


def ignore(note: str) -> None:
    """Tell nobody."""


def stored_values(
    store: Store, study: str, optimizer: str | None = None, where: str | None = None, *, extra: bool = False
) -> dict[str, pd.DataFrame]:
    """Trials of each optimizer of a study, or of one, with at least seed, axes and metric; maybe none.

    Of the cells that its file has now; without seeds that it does not ask for, but for `extra`. Raises as the store
    does.
    """
    about = store.about(study)
    asked = None if extra else about.seeds
    frames = {
        name: on_grid(
            store.values(study, name) if where is None else store.trials(study, name, where), about.space
        )
        for name in ([optimizer] if optimizer is not None else about.optimizers)
    }
    return {
        name: frame if asked is None else frame[frame["seed"] < asked].reset_index(drop=True)
        for name, frame in frames.items()
    }


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
    extra: bool = False,
    tell: Tell = ignore,
) -> dict[str, xr.DataArray]:
    """The landscapes that have trials, of studies (STUDY or STUDY/OPTIMIZER), by optimizer; of several, by both names.

    Over the whole grid, with a filter over the values that it leaves; of scattered trials a surrogate's, over the first
    two axes. Seeds as for `stored_values`. `tell` is called with who was left out.

    Raises:
        AnalysisError: a study has no trials, or none that the filter selects.
    """
    panels = {}
    for name in names:
        study, optimizer = split_name(name)
        frames = stored_values(store, study, optimizer, where, extra=extra)
        about = store.about(study)
        found = {each: frame for each, frame in frames.items() if len(frame)} or frames
        for each in frames.keys() - found.keys():
            tell(f"no trials of {study}/{each}: left out")
        for each, frame in found.items():
            narrow = where and len(frame) and about.space.is_grid
            grid = occurring_space(about.space, frame) if narrow else about.space
            values = landscape_of(frame, grid, about.metric, f"{study}/{each}")
            if early := tell_of_stopped(values):
                tell(f"note: {study}/{each}: {early}: they count as what they were then")
            panels[each if len(names) == 1 else f"{study}/{each}"] = values.assign_attrs({ASKED: about.seeds})
    return panels


def landscape_of(trials: pd.DataFrame, space: SearchSpace, metric: str, name: str = "") -> xr.DataArray:
    """The landscape of one optimizer's trials on a grid; of scattered ones a surrogate's, over the first two axes.

    Raises AnalysisError as `analysis.landscape.landscape` and `analysis.surrogate.fit_surrogate`.
    """
    if space.is_grid:
        return landscape(trials, space, metric)
    values = surrogate_landscape(Observations.of_trials(trials, space, metric), name)
    said = nothing_trained_in(trials)
    return values.assign_attrs({UNTRAINED: said} if said else {})
