"""Landscapes: a metric over (seed × axes) for one optimizer, from a frame of trials; lower values are better.

A landscape is an `xarray.DataArray` with the dimensions ``("seed", *axes)``, ascending coordinates, NaN where
a trial is missing, ``attrs["metric"]``, and the scale of each axis (``"log"`` or ``"linear"``) in its
coordinate's ``attrs["scale"]``; of an ordered axis ``attrs["words"]`` has what its values 0, 1, ... stand for. One
whose every trial diverged says so, see `analysis.trained`. Nothing here depends on the number or the names of the axes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.observations import NO_TRIALS, Observations, require_columns
from analysis.trained import UNTRAINED, require_trained
from search_spaces import Axis, SearchSpace, nearest_name

# Means this close are a tie: the same errors summed over seeds in another order differ by rounding.
TIE = 1e-12


@dataclass(frozen=True)
class BestCell:
    """The cell with the lowest mean over seeds.

    Attributes:
        coordinates: axis name -> value.
        mean: the metric's mean over all seeds.
        standard_error: of that mean over seeds (n - 1 in the denominator of the variance); NaN for one seed.
            It does not cover the choice of the cell, which makes the mean optimistic.
        seeds: how many seeds the mean is over.
        edge: the axes at whose first or last value it lies, beyond which there may be a better one; none of words, and
            none of fewer than three values.
    """

    coordinates: dict[str, float]
    mean: float
    standard_error: float
    seeds: int
    edge: tuple[str, ...]

    def at_edge(self, call: Callable[[str], str] = str) -> str:
        """``"at the edge of alpha and eps"``, axes called as `call` says; empty if it is at none."""
        return f"at the edge of {' and '.join(map(call, self.edge))}" if self.edge else ""


AFTER = "after"
"""Attribute of a landscape as it was before training had ended: after how many steps."""
STOPPED = "stopped"
"""Attribute of a landscape some of whose trials were stopped early: which, an array like it."""


def landscape(trials: pd.DataFrame, axes: SearchSpace | Sequence[str], metric: str) -> xr.DataArray:
    """The landscape of one optimizer's trials.

    `trials` has a row a trial, in any order, and the columns ``seed``, `metric`, one for each axis and, if it is known,
    ``diverged_at``. With a search space for `axes` the coordinates are its whole grid, with axis names the values that
    occur. Of seeds, the landscape has those that occur. Trials with a ``stopped_at`` were stopped early and might have
    become better: they count as what they were then, and `stopped_early` tells which they are.

    Raises:
        AnalysisError: there are no trials, a column is missing, an axis is called ``seed``, a trial lies off the
            grid, or two trials have the same seed and cell.
    """
    names = list(axes.names if isinstance(axes, SearchSpace) else axes)
    require_columns(trials, names, metric)
    if trials.empty:
        raise AnalysisError(NO_TRIALS)
    space = (
        axes
        if isinstance(axes, SearchSpace)
        else SearchSpace(Axis(name, trials[name].unique().tolist()) for name in names)
    )
    return dense(Observations.of_trials(trials, space, metric))


def dense(observations: Observations) -> xr.DataArray:
    """The view of trials on a grid: the landscape over all of it, of the seeds that occur.

    Raises:
        AnalysisError: there are no trials, one lies off the grid, or two have the same seed and cell.
    """
    observations.require_some()
    space, metric = observations.space, observations.metric
    indices = space.value_to_index(observations.points)
    seeds, seed_indices = np.unique(observations.seeds, return_inverse=True)
    places = (seed_indices, *indices.T)
    _refuse_duplicates(observations, places)
    values = np.full((seeds.size, *space.shape), np.nan)
    values[places] = observations.values
    said = observations.nothing_trained
    attrs: dict[str, Any] = {"metric": metric} | ({UNTRAINED: said} if said else {})
    whole = xr.DataArray(
        values, {"seed": seeds, **coordinates_of(space)}, ("seed", *space.names), name=metric, attrs=attrs
    )
    if not observations.stopped.any():
        return whole
    early = np.zeros(whole.shape, dtype=bool)
    early[places] = observations.stopped
    return whole.assign_attrs({STOPPED: whole.copy(data=early)})


def stopped_early(landscape: xr.DataArray) -> xr.DataArray:
    """Which cells (*axes) have trials that were stopped early; of axes that it lacks, all of whose cells have."""
    early: xr.DataArray | None = landscape.attrs.get(STOPPED)
    if early is None:
        return landscape.isnull().any("seed") & False
    fixed = [name for name in early.dims if name in landscape.coords and not landscape[name].ndim]
    cells = early.any("seed").sel({name: landscape[name].item() for name in fixed}, drop=True)
    return cells.all([name for name in cells.dims if name not in landscape.dims])


def tell_of_stopped(landscape: xr.DataArray) -> str | None:
    """How many trials were stopped early, in words; None when none was."""
    if STOPPED not in landscape.attrs:
        return None
    early = landscape.attrs[STOPPED]
    return f"{int(early.sum())} of {early.size} trials stopped early"


def coordinates_of(space: SearchSpace) -> dict[str, tuple[str, list[float], dict[str, Any]]]:
    """The coordinates of a landscape over a grid."""
    return {
        axis.name: (
            axis.name,
            list(axis.values),
            {"scale": axis.scale, **({"words": axis.words} if axis.words else {})},
        )
        for axis in space.axes
    }


def text_at(landscape: xr.DataArray, axis: str, value: float) -> str:
    """A value of an axis for people: the word of an ordered one, else the number in six digits."""
    words = landscape[axis].attrs.get("words")
    return str(words[int(value)]) if words else f"{value:g}"


def axis_names(landscape: xr.DataArray) -> tuple[str, ...]:
    """The landscape's dimensions but ``seed``.

    Raises:
        AnalysisError: it has no dimension ``seed``.
    """
    if "seed" not in landscape.dims:
        raise AnalysisError(
            f"this array has the dimensions {', '.join(map(str, landscape.dims))} and no 'seed': "
            "give a landscape; select one seed with sel(seed=[0]), not sel(seed=0)"
        )
    return tuple(str(name) for name in landscape.dims if name != "seed")


def mean_over_seeds(landscape: xr.DataArray) -> xr.DataArray:
    """The mean over all seeds, dimensions (*axes): NaN for a cell that lacks the trial of any seed.

    Means over different seeds are not compared; `missing_trials` names what is lacking.
    """
    axis_names(landscape)
    return landscape.mean("seed", skipna=False, keep_attrs=True)


def mean_of_known(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Mean over the seeds that each cell has of values (S, ...), NaN where it has none, and how many they are."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    sums = np.where(known, values, 0.0).sum(axis=0)
    return np.divide(sums, count, out=np.full(count.shape, np.nan), where=count > 0), count


def spread_of_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The standard deviation (n - 1) over the seeds that each cell has of values (S, ...), NaN for one seed or none."""
    mean, count = mean_of_known(values)
    squares = np.nansum((values - mean) ** 2, axis=0)
    variance: NDArray[np.float64] = np.full(count.shape, np.nan)
    np.divide(squares, count - 1, out=variance, where=count > 1)
    return np.sqrt(variance, out=variance)


def check_pair(landscape: xr.DataArray, first: str, second: str) -> None:
    """Check that these are two axes of a landscape. Raises AnalysisError when they are not."""
    names = axis_names(landscape)
    for name in (first, second):
        if name not in names:
            raise AnalysisError(
                f"the landscape has no axis {name!r}{nearest_name(name, names)}: it has {', '.join(names)}"
            )
    if first == second:
        raise AnalysisError(f"a pair needs two axes, not {first!r} twice")


def missing_trials(landscape: xr.DataArray) -> pd.DataFrame:
    """The trials that are NaN in the landscape, a row each: the columns ``seed`` and the axes."""
    columns = ("seed", *axis_names(landscape))
    places = np.nonzero(np.isnan(landscape.transpose(*columns).values))
    return pd.DataFrame(
        {name: landscape[name].values[place] for name, place in zip(columns, places, strict=True)}
    )


def best_cell(landscape: xr.DataArray) -> BestCell:
    """The cell with the lowest mean over all seeds.

    Of tied cells (equal to a relative 1e-12) it is the one nearest, in grid indices, to the middle of the box
    around them all; of two as near, the lower.

    Raises:
        NothingTrainedError: every trial diverged.
        AnalysisError: no cell has a trial of every seed.
    """
    require_trained(landscape)
    mean = mean_over_seeds(landscape)
    if not mean.notnull().any():
        missing = missing_trials(landscape)
        first = ", ".join(
            f"{name} = {text_at(landscape, str(name), value)}" for name, value in missing.iloc[0].items()
        )
        raise AnalysisError(
            f"no cell has a trial of each of the {landscape.sizes['seed']} seeds; "
            f"{len(missing)} trials are missing, first {first}: run the study to its end, or keep fewer seeds"
        )
    index = dict(zip(mean.dims, _middle_of_ties(mean.values), strict=True))
    over_seeds = landscape.isel(index)
    count = over_seeds.sizes["seed"]
    error = float(over_seeds.std("seed", ddof=1)) / np.sqrt(count) if count > 1 else np.nan
    coordinates = {str(name): float(mean[name][place]) for name, place in index.items()}
    edge = tuple(
        str(name)
        for name, place in index.items()
        if mean.sizes[name] > 2 and place in (0, mean.sizes[name] - 1) and "words" not in mean[name].attrs
    )
    return BestCell(coordinates, float(mean.isel(index)), float(error), count, edge)


def best_along(landscape: xr.DataArray, axis: str, given: str) -> xr.DataArray:
    """Return, for each value of `given`, the value of `axis` with the lowest mean over all seeds.

    The result has the dimension `given`, and NaN where no cell has every seed. On a landscape with more axes,
    the others are at their best too. Of tied values (equal to a relative 1e-12) it is the one nearest, in
    grid indices, to the middle of the tied range; of two as near, the lower.

    Raises:
        NothingTrainedError: every trial diverged.
        AnalysisError: `axis` or `given` is not an axis of the landscape, or both are the same.
    """
    check_pair(landscape, axis, given)
    require_trained(landscape)
    others = [name for name in axis_names(landscape) if name not in (axis, given)]
    profile = mean_over_seeds(landscape).min(others).transpose(given, axis)
    values = landscape[axis].values
    best = [np.nan if np.isnan(row).all() else values[_middle_of_ties(row)] for row in profile.values]
    return xr.DataArray(
        np.array(best, dtype=np.float64),
        {given: landscape[given]},
        (given,),
        name=axis,
        attrs=landscape.attrs,
    )


def _refuse_duplicates(observations: Observations, places: tuple[NDArray[np.int64], ...]) -> None:
    again = pd.DataFrame(np.column_stack(places)).duplicated().to_numpy()
    if again.any():
        first = int(np.flatnonzero(again)[0])
        named = zip(observations.space.names, observations.points[first].tolist(), strict=True)
        cell = ", ".join(f"{name} = {value:g}" for name, value in named)
        raise AnalysisError(
            f"the trial with seed = {observations.seeds[first]}, {cell} occurs more than once "
            f"({int(again.sum())} repeated in all): select one study and one optimizer"
        )


def _middle_of_ties(values: NDArray[np.float64]) -> tuple[int, ...]:
    """The index of the lowest value; of tied ones, the nearest to the middle of the box around all."""
    tied = np.argwhere(np.isclose(values, np.nanmin(values), rtol=TIE, atol=0.0))
    middle = (tied.min(axis=0) + tied.max(axis=0)) / 2
    nearest = ((tied - middle) ** 2).sum(axis=1).argmin()
    return tuple(int(place) for place in tied[nearest])
