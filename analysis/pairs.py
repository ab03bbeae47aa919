"""Landscapes over two axes, and which of their seeds are whole.

A study may have *extra seeds*, beyond those that it asks for, trained only in the cells that a verdict hangs on. The
landscape's ``attrs["asked_seeds"]`` tells how many it asks for; without it there are no extra ones. Ridges use extra
seeds, everything else is about the others, the *whole* seeds.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.estimate import FloatArray
from analysis.landscape import axis_names
from search_spaces import nearest_name

ASKED = "asked_seeds"


def pair_of(landscape: xr.DataArray, first: str, second: str) -> xr.DataArray:
    """The landscape over two of its axes, the others at their best value for each cell (by the mean over seeds).

    Raises:
        AnalysisError: it lacks one of the axes, or they are the same.
    """
    names = axis_names(landscape)
    for name in (first, second):
        if name not in names:
            raise AnalysisError(
                f"the landscape has no axis {name!r}{nearest_name(name, names)}: it has {', '.join(names)}"
            )
    if first == second:
        raise AnalysisError(f"a pair needs two axes, not {first!r} twice")
    ordered = landscape.transpose("seed", first, second, ...)
    shape = ordered.shape[:3]
    flat = ordered.values.reshape(*shape, -1)
    best = _best_others(ordered)
    values = np.take_along_axis(flat, np.broadcast_to(best[None, ..., None], (*shape, 1)), axis=-1)[..., 0]
    coordinates = {"seed": landscape["seed"], first: landscape[first], second: landscape[second]}
    return xr.DataArray(values, coordinates, ("seed", first, second), attrs=landscape.attrs)


def cells_of_pair(landscape: xr.DataArray, chosen: xr.DataArray) -> xr.DataArray:
    """The landscape's cells that `pair_of` shows at the cells chosen of a pair (bool, two axes): bool, all axes."""
    first, second = map(str, chosen.dims)
    ordered = landscape.transpose("seed", first, second, ...)
    cells = np.zeros((*chosen.shape, int(np.prod(ordered.shape[3:]))), dtype=bool)
    np.put_along_axis(cells, _best_others(ordered)[..., None], chosen.values[..., None], axis=-1)
    return xr.DataArray(cells.reshape(ordered.shape[1:]), dims=ordered.dims[1:]).transpose(
        *axis_names(landscape)
    )


def _best_others(ordered: xr.DataArray) -> NDArray[np.int64]:
    """Index (A, B), flat over all further axes of ("seed", a, b, ...), of the least mean over whole seeds."""
    mean = mean_of_whole_seeds(ordered)
    mean = mean.reshape(*mean.shape[:2], -1)
    return np.asarray(np.where(np.isnan(mean), np.inf, mean).argmin(axis=-1))


def whole_seeds(landscape: xr.DataArray) -> xr.DataArray:
    """The landscape without its extra seeds."""
    asked = landscape.attrs.get(ASKED)
    return landscape if asked is None else landscape.isel(seed=(landscape["seed"] < asked).values)


def mean_of_whole_seeds(landscape: xr.DataArray) -> FloatArray:
    """The mean (*axes) over those whole seeds that a cell has; NaN where it has none."""
    values = whole_seeds(landscape).values
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0).sum(axis=0) / known.sum(axis=0))


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
