"""Where the first axis's best value lies along the second: slope by regime, and the transition between two regimes.

The slope is d log10 best first value / d log10 second value: 0 when the axes are decoupled, 1 when both must grow
together (linear axes count as they are). It is about the first axis given the second; the other way round it is another
question, and may have another answer.

The best value of a row is found by all cells near its best (`analysis.optima`), not its single best cell. Through the
rows goes a straight line, and a continuous one with one bend (`analysis.line`); the bend is kept if it fits better by
an F test at 1%, and the change of slope is more than negligible and its error. Rows beyond a bend that are too few for
a slope of their own are left out: a line through them too would have a slope that is nowhere the valley's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.bands import MARGIN, near_optimal
from analysis.estimate import Estimate, FloatArray, quantile
from analysis.landscape import axis_names
from analysis.line import FEWEST_ROWS, Line, bend_of, bent_line, design, straight_line
from analysis.optima import Optima, optima, optima_of_draws
from analysis.pairs import is_logarithmic, own_unit, positions

COUPLED, DECOUPLED, UNDECIDED = "coupled", "decoupled", "undecided"
NEGLIGIBLE = 0.1
"""Slopes up to this size change the best value by a tenth of a decade a decade: not worth tuning together.

Where an axis is linear, by a tenth of the first one's range over all of the second.
"""


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
        halves: half widths of their 95% intervals by seeds (B,).
        unit: of slopes: 1 on two logarithmic axes, else the first axis's range over the second's.
        problem: why there is no ridge, if there is none.
        turning: which rows (B,) are left out as too few beyond a bend.
        line: coefficients of the fit, see `Ridge.at`.
        bend: position of the transition, or of the middle of a straight line.
    """

    slope: Estimate
    regimes: tuple[Regime, ...]
    transition: Estimate | None
    optima: FloatArray
    halves: FloatArray
    unit: float
    turning: NDArray[np.bool_]
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
        return np.asarray(design(places, self.bend, len(self.line) - 1) @ np.array(self.line))

    def half_width(self, places: FloatArray) -> FloatArray:
        """How far the line opens with the slopes' intervals, away from the bend or the middle."""
        offset = places - self.bend
        before, after = (
            (slope.high - slope.low) / 2 for slope in (self.regimes[0].slope, self.regimes[-1].slope)
        )
        return np.asarray(np.abs(offset) * np.where(offset < 0, before, after))


def ridge(pair: xr.DataArray) -> Ridge:
    """The ridge of a landscape ``("seed", first, second)``.

    Rows where the optimum lies at the edge, or nothing trains well, are left out. Intervals cover what seeds do to the
    optima, the scatter about the line, and what the shape of the valley may do; that of the transition is where the
    bend may lie by the F test at 5%, a grid step wider on each side. All is NaN when fewer than 4 rows are left, or the
    first axis has fewer than 5 values.
    """
    bands = near_optimal(pair)
    found = optima(pair, positions(pair, axis_names(pair)[0]), bands)
    if found.rows.sum() < FEWEST_ROWS:
        return _none(pair, _problem(pair, bands.range, int(found.rows.sum())))
    return _ridge(pair, found)


def ridge_of_draws(draws: xr.DataArray) -> Ridge:
    """The ridge of draws ``("seed", first, second)`` of one uncertain landscape, the seeds being draws.

    Rows count where nearly all draws have their optimum inside the grid: elsewhere nothing is known; and where it is
    not known much worse than in the other rows. Optima are the means of the draws' own, their errors the draws'
    covariance, widened as `analysis.optima` says.
    """
    first, second = axis_names(draws)
    found = optima_of_draws(draws, positions(draws, first))
    if (count := int(found.rows.sum())) < FEWEST_ROWS:
        said = f"where the best {first} lies is known at {count} of {draws.sizes[second]} values of {second} only"
        return _none(draws, said)
    return _ridge(draws, found)


def _without_turning(
    y: FloatArray, found: Optima, step: float, unit: float
) -> tuple[Optima, NDArray[np.bool_]]:
    """Without the rows beyond a bend that are too few for a slope of their own, and which these are (B,)."""
    turning = np.zeros(len(y), dtype=bool)
    while found.rows.sum() > FEWEST_ROWS and (bend := bend_of(y[found.rows], found, step, fewest=1)):
        sides = [found.rows & (y < bend[0]), found.rows & (y > bend[0])]
        fewer, more = sorted(sides, key=np.count_nonzero)
        bent = bent_line(y[found.rows], found, bend[0])
        if fewer.sum() >= FEWEST_ROWS or more.sum() < FEWEST_ROWS or not _turns(bent, unit):
            break
        found, turning = found.without(fewer), turning | fewer
    return found, turning


def _turns(bent: Line, unit: float) -> bool:
    """Whether a bend changes the slope by more than its error, and than what is negligible."""
    return abs(float(bent.fit[2] - bent.fit[1])) > max(bent.change, NEGLIGIBLE * unit)


def _ridge(pair: xr.DataArray, found: Optima) -> Ridge:
    second = axis_names(pair)[1]
    y, unit = positions(pair, second), _unit(pair)
    step = float(np.median(np.diff(y)))
    found, turning = _without_turning(y, found, step, unit)
    rows = found.rows
    optima_of_rows = np.full(len(y), math.nan)
    optima_of_rows[rows] = found.places
    halves = np.full(len(y), math.nan)
    halves[rows] = quantile(math.inf) * np.sqrt(np.diag(found.covariance))
    start, end = (float(each) for each in pair[second].values[rows][[0, -1]])
    seeds = int(found.seeds.min())
    straight = straight_line(y[rows], found)
    bend = bend_of(y[rows], found, step)
    if bend is not None:
        bent = bent_line(y[rows], found, bend[0])
    if bend is None or not _turns(bent, unit):
        whole = Regime(start, end, straight.slope(0), seeds, float(straight.lack[1]))
        return Ridge(
            whole.slope,
            (whole,),
            None,
            optima_of_rows,
            halves,
            unit,
            turning,
            None,
            tuple(straight.fit.tolist()),
            straight.bend,
        )
    at, low, high = (own_unit(pair, second, place) for place in bend)
    regimes = (
        Regime(start, at, bent.slope(0), seeds, float(bent.lack[1])),
        Regime(at, end, bent.slope(1), seeds, float(bent.lack[2])),
    )
    return Ridge(
        straight.slope(0),
        regimes,
        Estimate(at, low, high),
        optima_of_rows,
        halves,
        unit,
        turning,
        None,
        tuple(bent.fit.tolist()),
        bend[0],
    )


def _unit(pair: xr.DataArray) -> float:
    first, second = axis_names(pair)
    if is_logarithmic(pair, first) and is_logarithmic(pair, second):
        return 1.0
    return float(np.ptp(positions(pair, first)) / np.ptp(positions(pair, second)))


def _none(pair: xr.DataArray, problem: str) -> Ridge:
    none = Estimate(math.nan, math.nan, math.nan)
    no_rows = np.full(pair.shape[2], math.nan)
    return Ridge(none, (), None, no_rows, no_rows, _unit(pair), np.zeros(pair.shape[2], dtype=bool), problem)


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
