"""Landscapes over two axes, and which of their seeds are whole.

A study may have *extra seeds*, beyond those that it asks for, trained only in the cells that a verdict hangs on. The
landscape's ``attrs["asked_seeds"]`` tells how many it asks for; without it there are no extra ones. Ridges use extra
seeds, everything else is about the others, the *whole* seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.estimate import FloatArray
from analysis.landscape import axis_names, check_pair, mean_of_known

ASKED = "asked_seeds"


def pair_of(landscape: xr.DataArray, first: str, second: str) -> xr.DataArray:
    """The landscape over two of its axes, the others at their best value for each cell (by the mean over seeds).

    Raises:
        AnalysisError: it lacks one of the axes, or they are the same.
    """
    check_pair(landscape, first, second)
    return projected(landscape, (first, second))[0]


def projected(
    landscape: xr.DataArray, shown: Sequence[str]
) -> tuple[xr.DataArray, dict[str, NDArray[np.float64]]]:
    """The landscape over some of its axes, the others at their best value for each cell, and those values (*shown)."""
    ordered = landscape.transpose("seed", *shown, ...)
    best = _best_others(ordered, len(shown))
    flat = ordered.values.reshape(
        ordered.sizes["seed"], *best.shape, math.prod(ordered.shape[1 + len(shown) :])
    )
    values = np.take_along_axis(flat, best[None, ..., None], axis=-1)[..., 0]
    coordinates = {name: landscape[name] for name in ("seed", *shown)}
    others = ordered.dims[1 + len(shown) :]
    places = np.unravel_index(best, ordered.shape[1 + len(shown) :]) if others else ()
    held = {str(name): landscape[name].values[place] for name, place in zip(others, places, strict=True)}
    return xr.DataArray(values, coordinates, ("seed", *shown), attrs=landscape.attrs), held


def cells_of_pair(landscape: xr.DataArray, chosen: xr.DataArray) -> xr.DataArray:
    """The landscape's cells that `pair_of` shows at the cells chosen of a pair (bool, two axes): bool, all axes."""
    first, second = map(str, chosen.dims)
    ordered = landscape.transpose("seed", first, second, ...)
    cells = np.zeros((*chosen.shape, int(np.prod(ordered.shape[3:]))), dtype=bool)
    np.put_along_axis(cells, _best_others(ordered, 2)[..., None], chosen.values[..., None], axis=-1)
    return xr.DataArray(cells.reshape(ordered.shape[1:]), dims=ordered.dims[1:]).transpose(
        *axis_names(landscape)
    )


def _best_others(ordered: xr.DataArray, shown: int) -> NDArray[np.int64]:
    """For each cell of the axes that come first after the seed, flat over all further ones: the least mean's index.

    Means are over the whole seeds that there are.
    """
    mean = mean_of_whole_seeds(ordered)
    mean = mean.reshape(*mean.shape[:shown], -1)
    return np.asarray(np.where(np.isnan(mean), np.inf, mean).argmin(axis=-1))


def whole_seeds(landscape: xr.DataArray) -> xr.DataArray:
    """The landscape without its extra seeds."""
    asked = landscape.attrs.get(ASKED)
    return landscape if asked is None else landscape.isel(seed=(landscape["seed"] < asked).values)


def mean_of_whole_seeds(landscape: xr.DataArray) -> FloatArray:
    """The mean (*axes) over those whole seeds that a cell has; NaN where it has none."""
    return mean_of_known(whole_seeds(landscape).values)[0]


def whole_values(pair: xr.DataArray) -> FloatArray:
    """Values (seeds, A, B) of the seeds that are whole; a cell that lacks one of them is NaN in all.

    Raises:
        AnalysisError: no cell has a trial of every seed.
    """
    values = whole_seeds(pair).values
    values = np.where(np.isnan(values).any(axis=0), np.nan, values)
    if not len(values) or np.isnan(values).all():
        raise AnalysisError(
            "no cell has a trial of every seed: run the study to its end; a table whose seeds are no replicates is "
            "imported without --seed"
        )
    return values


def is_logarithmic(pair: xr.DataArray, axis: str) -> bool:
    """Whether an axis is logarithmic."""
    return bool(pair[axis].attrs.get("scale") == "log")


def positions(pair: xr.DataArray, axis: str) -> FloatArray:
    """An axis's values as a line is fitted to them: log10 on a logarithmic axis, else as they are."""
    values = pair[axis].values.astype(np.float64)
    return np.log10(values) if is_logarithmic(pair, axis) else values


def own_unit(pair: xr.DataArray, axis: str, position: float) -> float:
    """The axis's value at a position."""
    return float(10**position if is_logarithmic(pair, axis) else position)
