"""Where the first axis's best value lies along the second: slope by regime, and the transition between two regimes.

The slope is d log10 best first value / d log10 second value: 0 when the axes are decoupled, 1 when both must grow
together (linear axes count as they are). The best value of a row is the vertex of a parabola through its *near-optimal
band*, not its single best cell: the cells around the minimum that are less than half as bad as the landscape's worst,
as many to the left as to the right. Through the rows goes a straight line, and a continuous one with one bend; the bend
is kept if it fits better by an F test at 1%, and the slopes of single seeds change there (t-interval of the change).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from analysis.estimate import CONFIDENCE, Estimate, FloatArray, mean_of, quantile
from analysis.landscape import axis_names
from analysis.pairs import own_unit, positions, whole_seeds

BAND = 0.5
"""Share of the landscape's range, from best to worst, that a band reaches above its row's least value."""
MARGIN = 2
"""Values that must lie on either side of a row's optimum for it to count: nearer to the edge it is cut off."""
FEWEST_ROWS = 4
GRID_SHARE = 0.05
"""Error of an optimum fitted between grid values, as a share of a uniform error over a grid step (simulated)."""
RELATIVE_RESOLUTION = 0.05
"""Scatter of optima, in grid steps, below which a bend is not looked for."""
BEND_LEVEL = 0.01
PLACES_PER_STEP = 8
TIE = 1e-12


@dataclass(frozen=True)
class Regime:
    """A range of the second axis, in its own unit, and the ridge's slope there."""

    start: float
    end: float
    slope: Estimate


@dataclass(frozen=True)
class Ridge:
    """Where the first axis's best value lies, along the second axis.

    Attributes:
        slope: of one straight line through all rows; NaN when there are too few.
        regimes: one, or two when the ridge bends; none when there are too few rows.
        transition: where it bends, in the second axis's own unit, or None.
        optima: the best position of every row (B,), log10 on a logarithmic axis; NaN where there is none.
        line: coefficients of the fit, see `Ridge.at`.
        bend: position of the transition, or of the middle of a straight line.
        seeds: how many seeds have bands enough for a line of their own.
        lack: part of each regime's half interval that more seeds do not make smaller.
    """

    slope: Estimate
    regimes: tuple[Regime, ...]
    transition: Estimate | None
    optima: FloatArray
    line: tuple[float, ...] = ()
    bend: float = math.nan
    seeds: int = 0
    lack: tuple[float, ...] = ()

    def at(self, places: FloatArray) -> FloatArray:
        """The fitted best position of the first axis at positions of the second."""
        return np.asarray(_design(places, self.bend, len(self.line) - 1) @ np.array(self.line))


@dataclass(frozen=True)
class Bands:
    """The near-optimal band of every row.

    Attributes:
        at: index of the smoothed minimum (B,), rounded down.
        middle: the same, halfway between two cells if an even number is tied (B,).
        reach: cells that the band has to each side of it (B,).
        there: rows whose optimum is inside the grid (B,).
    """

    at: NDArray[np.int64]
    middle: FloatArray
    reach: NDArray[np.int64]
    there: NDArray[np.bool_]

    def cells(self, count: int, wider: int = 0) -> NDArray[np.bool_]:
        """Cells (count, B) of the bands, `wider` cells more to each side; none of rows that have no optimum."""
        distance = np.abs(np.arange(count)[:, None] - self.at)
        return np.asarray((distance <= self.reach + wider) & self.there)


def ridge(pair: xr.DataArray) -> Ridge:
    """The ridge of a landscape ``("seed", first, second)``.

    Rows where the optimum lies at the edge, or nothing trains well, are left out. Intervals cover the scatter about
    the line or the spread over seeds, whichever is larger, and the grid's resolution; that of the transition is where
    the bend may lie by the F test at 5%, a grid step wider on each side. All is NaN when fewer than 4 rows are left.
    """
    first, second = axis_names(pair)
    x, y = positions(pair, first), positions(pair, second)
    bands = near_optimal(pair)
    values = pair.values
    optima = _vertices(_mean_of_known(values, bands), x, bands)
    rows = ~np.isnan(optima)
    if rows.sum() < FEWEST_ROWS:
        none = Estimate(math.nan, math.nan, math.nan)
        return Ridge(none, (), None, optima)
    by_seed = [_vertices(_known_on_bands(each, bands), x, bands) for each in values]
    step = float(np.median(np.diff(x)))
    straight = _line(y, optima, by_seed, None, step)
    bend = _bend(y[rows], optima[rows], float(np.median(np.diff(y))))
    broken = _line(y, optima, by_seed, bend[0], step) if bend else straight
    ends = pair[second].values[rows]
    if bend is None or not broken.bends:
        whole = Regime(float(ends[0]), float(ends[-1]), straight.slopes[0])
        return Ridge(
            whole.slope, (whole,), None, optima, straight.fit, straight.bend, straight.seeds, straight.lack
        )
    at, low, high = (own_unit(pair, second, place) for place in bend)
    before, after = broken.slopes
    regimes = (Regime(float(ends[0]), at, before), Regime(at, float(ends[-1]), after))
    return Ridge(
        straight.slopes[0],
        regimes,
        Estimate(at, low, high),
        optima,
        broken.fit,
        bend[0],
        broken.seeds,
        broken.lack,
    )


def near_optimal(pair: xr.DataArray) -> Bands:
    """The bands of a landscape's rows, by the mean over its whole seeds."""
    mean = whole_seeds(pair).values.mean(axis=0)
    count = len(mean)
    known = mean[~np.isnan(mean)]
    if count < 2 * MARGIN + 1 or not known.size or known.min() == known.max():
        nothing = np.zeros(mean.shape[1], dtype=np.int64)
        return Bands(nothing, nothing.astype(float), nothing, nothing.astype(bool))
    padded = np.concatenate([mean[:1], mean, mean[-1:]])
    smooth = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    smooth = np.where(np.isnan(smooth), np.inf, smooth)
    index = np.arange(count)[:, None]
    least = smooth.min(axis=0)
    best = np.where(np.isfinite(least), smooth.argmin(axis=0), 0)
    # of tied cells side by side, the middle one
    tied = smooth <= least + TIE * np.abs(least)
    end = np.where(~tied & (index > best), index, count).min(axis=0)
    middle = (best + end - 1) / 2
    at = np.floor(middle).astype(np.int64)
    level = least + BAND * (known.max() - known.min())
    outside = ~(smooth <= level)
    left = np.where(outside & (index < at), index, -1).max(axis=0)
    right = np.where(outside & (index > at), index, count).min(axis=0)
    reach = np.maximum(np.minimum(at - left, right - at) - 1, MARGIN)
    value = np.take_along_axis(mean, at[None], axis=0)[0]
    there = (at >= MARGIN) & (at < count - MARGIN) & (value <= (known.min() + known.max()) / 2)
    return Bands(at, middle, reach, there)


def _known_on_bands(values: FloatArray, bands: Bands) -> FloatArray:
    """A seed's values (A, B), NaN in rows where it does not have the whole band."""
    whole = ~(np.isnan(values) & bands.cells(len(values))).any(axis=0)
    return np.where(whole, values, np.nan)


def _mean_of_known(values: FloatArray, bands: Bands) -> FloatArray:
    """Mean (A, B) over those seeds of (seeds, A, B) that have a row's whole band; NaN where none has."""
    usable = np.stack([_known_on_bands(each, bands) for each in values])
    counts = bands.cells(values.shape[1]) & ~np.isnan(usable)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(counts, usable, 0).sum(axis=0) / counts.sum(axis=0))


def _vertices(values: FloatArray, x: FloatArray, bands: Bands) -> FloatArray:
    """Position (B,) of the least value of a parabola through each row's band, kept inside the band.

    The middle of a band whose values are all tied; NaN for rows without optimum, with a missing value, or curved
    downwards.
    """
    inside = bands.cells(len(x))
    offsets = np.where(inside, x[:, None] - x[bands.at], 0.0)
    powers = np.stack([inside.astype(float), offsets, offsets**2])
    usable = bands.there & ~(np.isnan(values) & inside).any(axis=0)
    filled = np.where(inside & usable, values, 0.0)
    normal = np.einsum("iab,jab->bij", powers, powers)
    normal[~usable] = np.eye(3)
    _, tilt, curvature = np.linalg.solve(normal, np.einsum("iab,ab->bi", powers, filled)[..., None])[..., 0].T
    tied = usable & (np.abs(curvature) <= TIE) & (np.abs(tilt) <= TIE)
    curved = usable & (curvature > TIE)
    vertex = -tilt / np.where(curved, 2 * curvature, 1.0)
    bottom = x[bands.at] + np.clip(vertex, offsets.min(axis=0), offsets.max(axis=0))
    return np.where(tied, np.interp(bands.middle, np.arange(len(x)), x), np.where(curved, bottom, np.nan))


@dataclass(frozen=True)
class _Line:
    slopes: tuple[Estimate, ...]
    fit: tuple[float, ...]
    bend: float
    lack: tuple[float, ...]
    bends: bool
    seeds: int


def _design(y: FloatArray, bend: FloatArray | float, slopes: int) -> FloatArray:
    """Columns whose coefficients are the level at the bend and the slope, or those before and after it.

    (..., n, slopes + 1) for positions y (n,) and bends (...).
    """
    offset = y - np.asarray(bend)[..., None]
    columns = [offset] if slopes == 1 else [np.minimum(offset, 0), np.maximum(offset, 0)]
    return np.stack([np.ones_like(offset), *columns], axis=-1)


def _line(
    y: FloatArray, optima: FloatArray, by_seed: list[FloatArray], bend: float | None, step: float
) -> _Line:
    """Least squares with intervals."""
    rows = ~np.isnan(optima)
    slopes = 1 if bend is None else 2
    at = float(y[rows].mean()) if bend is None else bend
    design = _design(y[rows], at, slopes)
    inverse = np.linalg.inv(design.T @ design)
    fit = inverse @ design.T @ optima[rows]
    freedom = int(rows.sum()) - slopes - 1
    if (
        slopes == 2
    ):  # where the bend lies is estimated too: the fit's derivative by its place is one more column
        by_place = -np.where(y[rows] < at, fit[1], fit[2])
        whole = np.column_stack([design, by_place])
        inverse = np.linalg.pinv(whole.T @ whole)
        freedom -= 1
    scatter = math.sqrt(float(((optima[rows] - design @ fit) ** 2).sum()) / max(freedom, 1))
    errors = np.sqrt(np.diag(inverse))
    fits = []
    for own in by_seed:
        kept = ~np.isnan(own) & rows
        columns = _design(y[kept], at, slopes)
        if kept.sum() >= FEWEST_ROWS and np.linalg.matrix_rank(columns) == slopes + 1:
            fits.append(np.linalg.lstsq(columns, own[kept], rcond=None)[0])
    estimates, lack = [], []
    for place in range(1, slopes + 1):
        half = quantile(max(freedom, 1)) * scatter * errors[place]
        grid = quantile(math.inf) * step / math.sqrt(12) * GRID_SHARE * errors[place]
        spread = 0.0
        if len(fits) > 1:
            found = mean_of(np.array([each[place] for each in fits]))
            spread = (found.high - found.low) / 2
        lack.append(math.hypot(math.sqrt(max(half**2 - spread**2, 0.0)), grid))
        half = math.hypot(max(half, spread), grid)
        estimates.append(Estimate(float(fit[place]), float(fit[place] - half), float(fit[place] + half)))
    bends = slopes == 2
    if bends and len(fits) > 1:
        change = mean_of(np.array([each[2] - each[1] for each in fits]))
        bends = change.low > 0 or change.high < 0
    return _Line(tuple(estimates), tuple(fit.tolist()), at, tuple(lack), bends, len(fits))


def _bend(y: FloatArray, optima: FloatArray, step: float) -> tuple[float, float, float] | None:
    """Where the line bends, with its interval, or None when a straight one does as well."""
    places = np.linspace(y[0], y[-1], PLACES_PER_STEP * len(y) + 1)
    enough = [(y < place).sum() >= FEWEST_ROWS <= (y > place).sum() for place in places]
    places, freedom = places[enough], len(y) - 4
    if not len(places) or freedom < 1:
        return None
    floor = len(y) * (step * RELATIVE_RESOLUTION) ** 2  # what rounding to the grid may leave
    straight = float(_residuals(_design(y, float(y.mean()), 1), optima)) + floor
    bent = _residuals(_design(y, places, 2), optima) + floor
    best = float(bent.min())
    if (straight - best) / 2 / (best / freedom) < stats.f.ppf(1 - BEND_LEVEL, 2, freedom):
        return None
    possible = places[bent <= best * (1 + stats.f.ppf(CONFIDENCE, 1, freedom) / freedom)]
    return float(places[bent.argmin()]), float(possible.min() - step), float(possible.max() + step)


def _residuals(design: FloatArray, optima: FloatArray) -> FloatArray:
    """Sums of squares (...) that least squares leaves, for designs (..., n, p)."""
    turned = np.swapaxes(design, -1, -2)
    fit = np.linalg.solve(turned @ design, (turned @ optima)[..., None])
    return np.asarray(((optima - (design @ fit)[..., 0]) ** 2).sum(axis=-1))
