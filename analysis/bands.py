"""The near-optimal band of every row of a landscape: where its best value is looked for.

A row is one value of the second axis. Its band are the cells around its least value that are less than half as bad as
the landscape's worst, as many to the left as to the right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.estimate import FloatArray
from analysis.pairs import mean_of_whole_seeds

BAND = 0.5
"""Share of the landscape's range, from best to worst, that a band reaches above its row's least value."""
MARGIN = 2
"""Values that must lie on either side of a row's optimum for it to count: nearer to the edge it is cut off."""
TIE = 1e-9
"""Differences smaller than this share of the landscape's range are none."""


@dataclass(frozen=True)
class Bands:
    """The near-optimal band of every row, in indices of the first axis.

    Attributes:
        middle: the smoothed minimum (B,), between two cells if an even number is tied.
        width: how far the band reaches to each side (B,), where the smoothed row crosses the band's upper end.
        there: rows whose optimum is inside the grid, and where something trains well (B,).
        range: the landscape's, from best to worst.
    """

    middle: FloatArray
    width: FloatArray
    there: NDArray[np.bool_]
    range: float

    def cells(self, count: int, wider: int = 0) -> NDArray[np.bool_]:
        """Cells (count, B) of the bands, `wider` cells more to each side; none of rows that have no optimum."""
        distance = np.abs(np.arange(count)[:, None] - np.floor(self.middle))
        reach = np.maximum(np.ceil(self.width) - 1, MARGIN)
        return np.asarray((distance <= reach + wider) & self.there)


def near_optimal(pair: xr.DataArray) -> Bands:
    """The bands of a landscape's rows, by the mean over those of its whole seeds that a cell has."""
    mean = mean_of_whole_seeds(pair)
    count, rows = mean.shape
    known = mean[~np.isnan(mean)]
    extent = float(np.ptp(known)) if known.size else 0.0
    if count < 2 * MARGIN + 1 or extent == 0:
        return Bands(np.zeros(rows), np.zeros(rows), np.zeros(rows, dtype=bool), extent)
    smooth = smoothed(mean)
    index = np.arange(count)[:, None]
    least = smooth.min(axis=0)
    best = np.where(np.isfinite(least), smooth.argmin(axis=0), 0)
    # of tied cells side by side, the middle one
    tied = smooth <= least + TIE * extent
    end = np.where(~tied & (index > best), index, count).min(axis=0)
    middle = (best + end - 1) / 2
    at = np.floor(middle).astype(np.int64)
    value = np.take_along_axis(mean, at[None], axis=0)[0]
    there = (at >= MARGIN) & (at < count - MARGIN) & (value <= (known.min() + known.max()) / 2)
    level = least + BAND * extent
    width = np.array(
        [_width(smooth[:, row], middle[row], level[row]) if there[row] else 0.0 for row in range(rows)]
    )
    return Bands(middle, width, there, extent)


def smoothed(means: FloatArray) -> FloatArray:
    """Means (..., A, B) of cells, averaged with neighbours along the first axis; infinite where one is missing."""
    padded = np.concatenate([means[..., :1, :], means, means[..., -1:, :]], axis=-2)
    smooth = (padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]) / 4
    return np.where(np.isnan(smooth), np.inf, smooth)


def _width(row: FloatArray, middle: float, level: float) -> float:
    """How far a row (A,) stays below a level around its middle, to the nearer side; interpolated."""
    found = []
    for part, start in (
        (row[: int(middle) + 1][::-1], middle - int(middle)),
        (row[int(np.ceil(middle)) :], 0.0),
    ):
        above = np.flatnonzero(part > level)
        if len(above):
            last = above[0] - 1
            rise = part[above[0]] - part[last]
            share = (level - part[last]) / rise if np.isfinite(rise) else 0.5
            offset = start if start else np.ceil(middle) - middle
            found.append(offset + last + share)
    return float(min(found, default=max(middle, len(row) - 1 - middle)))


def without_effects(values: FloatArray, cells: NDArray[np.bool_]) -> FloatArray:
    """Values (S, A, B) of those seeds that have all band cells (A, B) of a row, less what these have in common there.

    A seed's effect on a row moves no optimum. The effects of a row sum to zero; NaN for other seeds and rows.
    """
    usable = np.asarray(~(np.isnan(values) & cells).any(axis=1) & cells.any(axis=0))
    common = np.where(cells & usable[:, None, :], values, 0.0).sum(axis=1) / np.maximum(cells.sum(axis=0), 1)
    effects = common - common.sum(axis=0) / np.maximum(usable.sum(axis=0), 1)
    return np.where(usable[:, None, :], values - effects[:, None, :], np.nan)
