"""The near-optimal band of every row of a landscape, and where in it the best value lies.

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
    """The near-optimal band of every row.

    Attributes:
        at: index of the smoothed minimum (B,), rounded down.
        middle: the same, halfway between two cells if an even number is tied (B,).
        reach: cells that the band has to each side of it (B,).
        there: rows whose optimum is inside the grid, and where something trains well (B,).
        range: the landscape's, from best to worst.
    """

    at: NDArray[np.int64]
    middle: FloatArray
    reach: NDArray[np.int64]
    there: NDArray[np.bool_]
    range: float

    def cells(self, count: int, wider: int = 0) -> NDArray[np.bool_]:
        """Cells (count, B) of the bands, `wider` cells more to each side; none of rows that have no optimum."""
        distance = np.abs(np.arange(count)[:, None] - self.at)
        return np.asarray((distance <= self.reach + wider) & self.there)


def near_optimal(pair: xr.DataArray) -> Bands:
    """The bands of a landscape's rows, by the mean over those of its whole seeds that a cell has."""
    mean = mean_of_whole_seeds(pair)
    count, rows = mean.shape
    known = mean[~np.isnan(mean)]
    extent = float(np.ptp(known)) if known.size else 0.0
    if count < 2 * MARGIN + 1 or extent == 0:
        nothing = np.zeros(rows, dtype=np.int64)
        return Bands(nothing, nothing.astype(float), nothing, nothing.astype(bool), extent)
    padded = np.concatenate([mean[:1], mean, mean[-1:]])
    smooth = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    smooth = np.where(np.isnan(smooth), np.inf, smooth)
    index = np.arange(count)[:, None]
    least = smooth.min(axis=0)
    best = np.where(np.isfinite(least), smooth.argmin(axis=0), 0)
    # of tied cells side by side, the middle one
    tied = smooth <= least + TIE * extent
    end = np.where(~tied & (index > best), index, count).min(axis=0)
    middle = (best + end - 1) / 2
    at = np.floor(middle).astype(np.int64)
    outside = ~(smooth <= least + BAND * extent)
    left = np.where(outside & (index < at), index, -1).max(axis=0)
    right = np.where(outside & (index > at), index, count).min(axis=0)
    reach = np.maximum(np.minimum(at - left, right - at) - 1, MARGIN)
    value = np.take_along_axis(mean, at[None], axis=0)[0]
    there = (at >= MARGIN) & (at < count - MARGIN) & (value <= (known.min() + known.max()) / 2)
    return Bands(at, middle, reach, there, extent)


def known_on_bands(values: FloatArray, bands: Bands) -> FloatArray:
    """A seed's values (A, B), NaN in rows where it does not have the whole band."""
    whole = ~(np.isnan(values) & bands.cells(len(values))).any(axis=0)
    return np.where(whole, values, np.nan)


def mean_on_bands(values: FloatArray, bands: Bands) -> FloatArray:
    """Mean (A, B) over those seeds of (seeds, A, B) that have a row's whole band; NaN where none has."""
    usable = np.stack([known_on_bands(each, bands) for each in values])
    counted = bands.cells(values.shape[1]) & ~np.isnan(usable)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(counted, usable, 0).sum(axis=0) / counted.sum(axis=0))


def vertices(values: FloatArray, x: FloatArray, bands: Bands, degree: int = 2) -> FloatArray:
    """Position (B,) of the least value of a polynomial of degree 2 or 3 through each row's band, kept inside the band.

    The middle of a band whose values are all tied; NaN for rows without optimum, with a missing value, or where the
    polynomial has no minimum.
    """
    inside = bands.cells(len(x))
    step = float(np.median(np.diff(x)))
    offsets = np.where(inside, (x[:, None] - x[bands.at]) / step, 0.0)
    powers = np.stack([inside * offsets**power for power in range(degree + 1)])
    usable = bands.there & ~(np.isnan(values) & inside).any(axis=0)
    filled = np.where(inside & usable, values, 0.0)
    normal = np.einsum("iab,jab->bij", powers, powers)
    normal[~usable] = np.eye(degree + 1)
    fit = np.linalg.solve(normal, np.einsum("iab,ab->bi", powers, filled)[..., None])[..., 0].T
    tied = usable & (np.abs(fit[1:]) <= TIE * bands.range).all(axis=0)
    tilt, bow = fit[1], fit[2]
    twist = 3 * fit[3] if degree == 3 else np.zeros_like(bow)
    root = bow**2 - twist * tilt  # of the derivative, tilt + 2 bow t + twist t², where it rises
    lowest = bow + np.sqrt(np.maximum(root, 0))
    curved = usable & (root >= 0) & (lowest > TIE * bands.range)
    place = np.clip(-tilt / np.where(curved, lowest, 1.0), offsets.min(axis=0), offsets.max(axis=0))
    middles = np.interp(bands.middle, np.arange(len(x)), x)
    return np.where(tied, middles, np.where(curved, x[bands.at] + step * place, np.nan))
