"""Where the first axis's best value lies along the second: slope by regime, and the transition between two regimes.

The slope is d log10 best first value / d log10 second value: 0 when the axes are decoupled, 1 when both must grow
together (linear axes count as they are). It is about the first axis given the second; the other way round it is another
question, and may have another answer.

The best value of a row is the vertex of a parabola through its near-optimal band (`analysis.bands`), not its single
best cell. Through the rows goes a straight line, and a continuous one with one bend; the bend is kept if it fits better
by an F test at 1%, and the slopes of single seeds change there (t-interval of the change).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from analysis.bands import MARGIN, known_on_bands, mean_on_bands, near_optimal, vertices
from analysis.estimate import CONFIDENCE, Estimate, FloatArray, mean_of, quantile
from analysis.landscape import axis_names
from analysis.pairs import is_logarithmic, own_unit, positions

COUPLED, DECOUPLED, UNDECIDED = "coupled", "decoupled", "undecided"
NEGLIGIBLE = 0.1
"""Slopes up to this size change the best value by a tenth of a decade a decade: not worth tuning together.

Where an axis is linear, by a tenth of the first one's range over all of the second.
"""
FEWEST_ROWS = 4
GRID_SHARE = 0.05
"""Error of an optimum fitted between grid values, as a share of a uniform error over a grid step (simulated)."""
RELATIVE_RESOLUTION = 0.05
"""Scatter of optima, in grid steps, below which a bend is not looked for."""
BEND_LEVEL = 0.01
PLACES_PER_STEP = 8
CERTAIN = 0.95
"""Share of the draws that must have their optimum inside the grid for a row to count."""
DRAWN_WIDER = 1.3
"""Intervals of draws are so much wider than their quantiles, which do not know how well the surrogate fits."""
BENT_WIDER = 1.6
"""The same of the slopes of two regimes, which both have to hold."""
SHAPE_FACTOR = 2.0
"""What a cubic in place of the parabola changes counts as error, so many times: valleys are not symmetric."""


@dataclass(frozen=True)
class Regime:
    """A range of the second axis, in its own unit, and the ridge's slope there.

    Attributes:
        seeds: how many seeds have bands enough for a line of their own here.
        lack: part of the half interval that more seeds do not make smaller.
    """

    start: float
    end: float
    slope: Estimate
    seeds: int
    lack: float


@dataclass(frozen=True)
class Ridge:
    """Where the first axis's best value lies, along the second axis.

    Attributes:
        slope: of one straight line through all rows; NaN when there are too few.
        regimes: one, or two when the ridge bends; none when there are too few rows.
        transition: where it bends, in the second axis's own unit, or None.
        optima: the best position of every row (B,), log10 on a logarithmic axis; NaN where there is none.
        unit: of slopes: 1 on two logarithmic axes, else the first axis's range over the second's.
        problem: why there is no ridge, if there is none.
        line: coefficients of the fit, see `Ridge.at`.
        bend: position of the transition, or of the middle of a straight line.
    """

    slope: Estimate
    regimes: tuple[Regime, ...]
    transition: Estimate | None
    optima: FloatArray
    unit: float
    problem: str | None = None
    line: tuple[float, ...] = ()
    bend: float = math.nan

    @property
    def negligible(self) -> float:
        """The slope up to which the axes count as decoupled."""
        return NEGLIGIBLE * self.unit

    @property
    def kinds(self) -> tuple[str, ...]:
        """The verdict on each regime."""
        return tuple(self._kind(regime.slope) for regime in self.regimes)

    def _kind(self, slope: Estimate) -> str:
        if slope.low > self.negligible or slope.high < -self.negligible:
            return COUPLED
        within = slope.low >= -self.negligible and slope.high <= self.negligible
        return DECOUPLED if within else UNDECIDED

    @property
    def verdict(self) -> str:
        """``"coupled"`` if any regime is, ``"decoupled"`` if all are, else ``"undecided"``."""
        kinds = set(self.kinds)
        return COUPLED if COUPLED in kinds else DECOUPLED if kinds == {DECOUPLED} else UNDECIDED

    @property
    def seeds(self) -> int:
        """How many it rests on; 0 without regimes."""
        return min((regime.seeds for regime in self.regimes), default=0)

    def at(self, places: FloatArray) -> FloatArray:
        """The fitted best position of the first axis at positions of the second."""
        return np.asarray(_design(places, self.bend, len(self.line) - 1) @ np.array(self.line))

    def half_width(self, places: FloatArray) -> FloatArray:
        """How far the line opens with the slopes' intervals, away from the bend or the middle."""
        offset = places - self.bend
        before, after = (
            (slope.high - slope.low) / 2 for slope in (self.regimes[0].slope, self.regimes[-1].slope)
        )
        return np.asarray(np.abs(offset) * np.where(offset < 0, before, after))


def ridge(pair: xr.DataArray) -> Ridge:
    """The ridge of a landscape ``("seed", first, second)``.

    Rows where the optimum lies at the edge, or nothing trains well, are left out. Intervals cover the scatter about
    the line or the spread over seeds, whichever is larger, what the shape of the valley may do, and the grid's
    resolution; that of the transition is where the bend may lie by the F test at 5%, a grid step wider on each side.
    All is NaN when fewer than 4 rows are left, or the first axis has fewer than 5 values.
    """
    first, second = axis_names(pair)
    x, y = positions(pair, first), positions(pair, second)
    bands, values = near_optimal(pair), pair.values
    mean = mean_on_bands(values, bands)
    optima = vertices(mean, x, bands)
    rows = ~np.isnan(optima)
    logarithmic = is_logarithmic(pair, first) and is_logarithmic(pair, second)
    unit = 1.0 if logarithmic else float(np.ptp(x) / np.ptp(y))
    if rows.sum() < FEWEST_ROWS:
        none = Estimate(math.nan, math.nan, math.nan)
        return Ridge(none, (), None, optima, unit, _problem(pair, bands.range, int(rows.sum())))
    shaped = vertices(mean, x, bands, degree=3)
    shaped = np.where(np.isnan(shaped), optima, shaped)
    step = float(np.median(np.diff(x)))
    of_seeds = [known_on_bands(each, bands) for each in values]
    rounded = _Optima(optima, [vertices(each, x, bands) for each in of_seeds])
    cubic = _Optima(shaped, [vertices(each, x, bands, degree=3) for each in of_seeds])
    straight = _line(y, rounded, cubic, None, step)
    bend = _bend(y[rows], optima[rows], float(np.median(np.diff(y))))
    broken = _line(y, rounded, cubic, bend[0], step) if bend else straight
    start, end = (float(each) for each in pair[second].values[rows][[0, -1]])
    slope = straight.slopes[0]
    if bend is None or not broken.bends:
        whole = Regime(start, end, slope, straight.seeds[0], straight.lack[0])
        return Ridge(slope, (whole,), None, optima, unit, None, straight.fit, straight.bend)
    at, low, high = (own_unit(pair, second, place) for place in bend)
    regimes = (
        Regime(start, at, broken.slopes[0], broken.seeds[0], broken.lack[0]),
        Regime(at, end, broken.slopes[1], broken.seeds[1], broken.lack[1]),
    )
    return Ridge(slope, regimes, Estimate(at, low, high), optima, unit, None, broken.fit, broken.bend)


def ridge_of_draws(draws: xr.DataArray) -> Ridge:
    """The ridge of draws ``("seed", first, second)`` of one uncertain landscape, the seeds being draws.

    Rows count where nearly all draws have their optimum inside the grid: elsewhere nothing is known. Those beyond a
    bend that are too few for a slope of their own do not count either. Intervals are
    quantiles over draws of the line through each one's optima, rows weighted by how certain they are, widened by
    `DRAWN_WIDER` or `BENT_WIDER`.
    """
    first, second = axis_names(draws)
    x, y = positions(draws, first), positions(draws, second)
    bands = [near_optimal(draws.isel(seed=[place])) for place in range(draws.sizes["seed"])]
    own = np.array([vertices(each, x, band) for each, band in zip(draws.values, bands, strict=True)])
    rows = np.isfinite(own).mean(axis=0) >= CERTAIN
    logarithmic = is_logarithmic(draws, first) and is_logarithmic(draws, second)
    unit = 1.0 if logarithmic else float(np.ptp(x) / np.ptp(y))
    if rows.sum() < FEWEST_ROWS:
        said = (
            f"where the best {first} lies is known at {int(rows.sum())} of {len(y)} values of {second} only"
        )
        return Ridge(Estimate(math.nan, math.nan, math.nan), (), None, np.full(len(y), math.nan), unit, said)
    step, steps = float(np.median(np.diff(x))), float(np.median(np.diff(y)))
    least = NEGLIGIBLE * unit
    rows[rows] = _with_slope(y[rows], _filled(own[:, rows]), step, steps, least)
    found = _filled(own[:, rows])
    mean = found.mean(axis=0)
    optima = np.full(len(y), math.nan)
    optima[rows] = mean
    places, middle = y[rows], float(y[rows].mean())
    straight = _lines(places, found, step, middle, 1)
    start, end = (float(each) for each in draws[second].values[rows][[0, -1]])
    slope = _of_draws(straight[1], DRAWN_WIDER)
    whole = Regime(start, end, slope, 1, math.inf)
    fit = tuple(straight.mean(axis=1).tolist())
    unbent = Ridge(slope, (whole,), None, optima, unit, None, fit, middle)
    bend = _bend(places, mean, steps)
    if bend is None:
        return unbent
    # each draw bends where it does: not knowing the place makes the slopes less certain too
    bends = [(_bend(places, draw, steps) or bend)[0] for draw in found]
    weights = _certainty(found, step)
    bent = np.array(
        [
            _lines(places, draw[None], step, at, 2, weights)[:, 0]
            for draw, at in zip(found, bends, strict=True)
        ]
    ).T
    if not _turns(bent, least):
        return unbent
    where = np.quantile(bends, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    at, low, high = (
        own_unit(draws, second, place)
        for place in (bend[0], min(where[0] - steps, bend[1]), max(where[1] + steps, bend[2]))
    )
    regimes = (
        Regime(start, at, _of_draws(bent[1], BENT_WIDER), 1, math.inf),
        Regime(at, end, _of_draws(bent[2], BENT_WIDER), 1, math.inf),
    )
    fit = tuple(bent.mean(axis=1).tolist())
    return Ridge(slope, regimes, Estimate(at, low, high), optima, unit, None, fit, bend[0])


def _filled(own: FloatArray) -> FloatArray:
    """Optima (D, B) of draws, the mean of the others where one has none."""
    return np.where(np.isnan(own), np.nanmean(own, axis=0), own)


def _certainty(own: FloatArray, step: float) -> FloatArray:
    """Weights (B,) of rows whose optima over draws are (D, B)."""
    return np.asarray(1 / np.sqrt(own.var(axis=0) + (GRID_SHARE * step) ** 2))


def _lines(
    y: FloatArray, own: FloatArray, step: float, bend: float, slopes: int, weights: FloatArray | None = None
) -> FloatArray:
    """Coefficients (slopes + 1, D) of a line through each draw's optima (D, B), rows weighted by their certainty."""
    weights = _certainty(own, step) if weights is None else weights
    design = _design(y, bend, slopes) * weights[:, None]
    return np.asarray(np.linalg.lstsq(design, (own * weights).T, rcond=None)[0])


def _turns(bent: FloatArray, least: float) -> bool:
    """Whether the slope of lines (3, D) changes by more than `least` there: optima of smooth draws wind a little."""
    change = _of_draws(bent[2] - bent[1], DRAWN_WIDER)
    return change.low > least or change.high < -least


def _with_slope(y: FloatArray, own: FloatArray, step: float, steps: float, least: float) -> NDArray[np.bool_]:
    """Rows (B,) without those at either end that a bend cuts off and that are too few for a slope of their own."""
    kept = np.ones(len(y), dtype=bool)
    while bend := _bend(y[kept], own[:, kept].mean(axis=0), steps, fewest=1):
        before, after = kept & (y < bend[0]), kept & (y > bend[0])
        fewer = min(before, after, key=np.count_nonzero)
        if fewer.sum() >= FEWEST_ROWS or not _turns(_lines(y[kept], own[:, kept], step, bend[0], 2), least):
            break
        kept &= ~fewer
    return kept


def _of_draws(values: FloatArray, wider: float) -> Estimate:
    """The mean of one number a draw (D,), with the quantiles of draws, so much wider."""
    mean = float(values.mean())
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(mean, mean - wider * (mean - float(low)), mean + wider * (float(high) - mean))


def _problem(pair: xr.DataArray, extent: float, rows: int) -> str:
    """Why a landscape has no ridge."""
    first, second = axis_names(pair)
    if pair.sizes[first] < 2 * MARGIN + 1:
        return f"{first} has {pair.sizes[first]} values, and a ridge needs {2 * MARGIN + 1}"
    if pair.sizes[second] < FEWEST_ROWS:
        return f"{second} has {pair.sizes[second]} values, and a ridge needs {FEWEST_ROWS}"
    if extent == 0:
        return "all cells are alike"
    return (
        f"only {rows} of {pair.sizes[second]} values of {second} have their best {first} well inside the grid"
    )


@dataclass(frozen=True)
class _Optima:
    """The rows' best positions (B,) by the mean over seeds, and by each seed; NaN where there is none."""

    mean: FloatArray
    by_seed: list[FloatArray]


@dataclass(frozen=True)
class _Line:
    """A fit: for each slope its interval, the seeds it rests on, and what more seeds do not improve."""

    slopes: tuple[Estimate, ...]
    seeds: tuple[int, ...]
    lack: tuple[float, ...]
    fit: tuple[float, ...]
    bend: float
    bends: bool


def _line(y: FloatArray, rounded: _Optima, cubic: _Optima, bend: float | None, step: float) -> _Line:
    """Least squares with intervals, through the optima by parabolas; those by cubics tell what the shape may do."""
    optima, shaped, by_seed = rounded.mean, cubic.mean, rounded.by_seed
    rows = ~np.isnan(optima)
    slopes = 1 if bend is None else 2
    at = float(y[rows].mean()) if bend is None else bend
    design = _design(y[rows], at, slopes)
    inverse = np.linalg.inv(design.T @ design)
    fit, other = (inverse @ design.T @ each[rows] for each in (optima, shaped))
    freedom = int(rows.sum()) - slopes - 1
    if slopes == 2:
        # where the bend lies is estimated too: the fit's derivative by its place is one more column
        by_place = -np.where(y[rows] < at, fit[1], fit[2])
        whole = np.column_stack([design, by_place])
        inverse = np.linalg.pinv(whole.T @ whole)
        freedom -= 1
    scatter = math.sqrt(float(((optima[rows] - design @ fit) ** 2).sum()) / max(freedom, 1))
    errors = np.sqrt(np.diag(inverse))
    estimates, seeds, lack = [], [], []
    for place in range(1, slopes + 1):
        own = _slopes_of_seeds(y, by_seed, rows, at, slopes, place)
        half = quantile(max(freedom, 1)) * scatter * errors[place]
        grid = quantile(math.inf) * step / math.sqrt(12) * GRID_SHARE * errors[place]
        shape = SHAPE_FACTOR * abs(float(fit[place] - other[place]))
        spread = by_chance = 0.0
        if len(own) > 1:
            found = mean_of(own)
            spread = (found.high - found.low) / 2
            changed = _slopes_of_seeds(y, cubic.by_seed, rows, at, slopes, place)
            if len(changed) > 1:
                by_chance = SHAPE_FACTOR * float(np.hypot(changed.std(), own.std())) / math.sqrt(len(changed))
        scattered = math.sqrt(max(half**2 - spread**2, 0.0))
        lack.append(math.hypot(scattered, grid, max(shape - 2 * by_chance, 0.0)))
        half = math.hypot(max(half, spread), grid, shape)
        seeds.append(len(own))
        estimates.append(Estimate(float(fit[place]), float(fit[place] - half), float(fit[place] + half)))
    bends = slopes == 2 and _changes(y, by_seed, rows, at, fit, other)
    return _Line(tuple(estimates), tuple(seeds), tuple(lack), tuple(fit.tolist()), at, bends)


def _slopes_of_seeds(
    y: FloatArray, by_seed: list[FloatArray], rows: NDArray[np.bool_], at: float, slopes: int, place: int
) -> FloatArray:
    """One slope of the line for each seed that has rows enough, if only on that slope's side of the bend."""
    found = []
    for own in by_seed:
        kept = ~np.isnan(own) & rows
        columns = _design(y[kept], at, slopes)
        if slopes == 2 and np.linalg.matrix_rank(columns) < 3:
            columns = columns[:, [0, place]]
        if kept.sum() >= FEWEST_ROWS and np.linalg.matrix_rank(columns) == columns.shape[1]:
            found.append(np.linalg.lstsq(columns, own[kept], rcond=None)[0][min(place, columns.shape[1] - 1)])
    return np.array(found)


def _changes(
    y: FloatArray,
    by_seed: list[FloatArray],
    rows: NDArray[np.bool_],
    at: float,
    fit: FloatArray,
    other: FloatArray,
) -> bool:
    """Whether the change of slope at a bend is seen over seeds, and more than the shape of the valley may do."""
    before, after = (_slopes_of_seeds(y, by_seed, rows, at, 2, place) for place in (1, 2))
    shape = SHAPE_FACTOR * abs(float((fit[2] - fit[1]) - (other[2] - other[1])))
    if abs(float(fit[2] - fit[1])) <= shape:
        return False
    if len(before) != len(after) or len(before) < 2:
        return True
    change = mean_of(after - before)
    return change.low > 0 or change.high < 0


def _design(y: FloatArray, bend: FloatArray | float, slopes: int) -> FloatArray:
    """Columns whose coefficients are the level at the bend and the slope, or those before and after it.

    (..., n, slopes + 1) for positions y (n,) and bends (...).
    """
    offset = y - np.asarray(bend)[..., None]
    columns = [offset] if slopes == 1 else [np.minimum(offset, 0), np.maximum(offset, 0)]
    return np.stack([np.ones_like(offset), *columns], axis=-1)


def _bend(
    y: FloatArray, optima: FloatArray, step: float, fewest: int = FEWEST_ROWS
) -> tuple[float, float, float] | None:
    """Where the line bends, with its interval, or None when a straight one does as well; `fewest` rows to each side."""
    places = np.linspace(y[0], y[-1], PLACES_PER_STEP * len(y) + 1)
    enough = [(y < place).sum() >= fewest <= (y > place).sum() for place in places]
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
