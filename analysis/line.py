"""Lines through optima whose errors are known but for the scatter of rows about the line: a meta-regression.

Weighted least squares with the weights 1 / (variance by seeds + scatter), the scatter by moments (DerSimonian & Laird,
1986, for correlated errors), intervals by Student's t where there is some (Knapp & Hartung, 2003).

Valleys are not symmetric. Where a cubic in place of the parabola moves the optima by more than seeds may do, half
intervals know of twice what that does to a slope, and of what it would do if the asymmetry changed by its own mean
along the line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from analysis.estimate import CONFIDENCE, Estimate, FloatArray, quantile
from analysis.optima import Optima

FEWEST_ROWS = 4
SHAPE_FACTOR = 2.0
"""What a cubic changes counts so many times, for a cubic is not the truth either."""
BY_CHANCE = 2.0
"""So many variances by seeds are taken off the square of what a cubic changes."""
BEND_LEVEL = 0.01
PLACES_PER_ROW = 8
HALVINGS = 40


@dataclass(frozen=True)
class Line:
    """A straight line (p = 2), or a continuous one with one bend (p = 3).

    Attributes:
        fit: coefficients (p,): the level at the bend, or in the middle of a straight line, and the slopes.
        bend: position of the bend, or of the middle.
        halves: half intervals of the coefficients (p,).
        lack: those parts of them that more seeds do not make smaller (p,).
        change: half interval of the second slope less the first one; 0 of a straight line.
    """

    fit: FloatArray
    bend: float
    halves: FloatArray
    lack: FloatArray
    change: float

    def slope(self, place: int) -> Estimate:
        """The slope with a number, and its interval."""
        middle, half = float(self.fit[place + 1]), float(self.halves[place + 1])
        return Estimate(middle, middle - half, middle + half)


def design(y: FloatArray, bend: FloatArray | float, slopes: int) -> FloatArray:
    """Columns whose coefficients are the level at the bend and the slope, or those before and after it.

    (..., n, slopes + 1) for positions y (n,) and bends (...).
    """
    offset = y - np.asarray(bend)[..., None]
    columns = [offset] if slopes == 1 else [np.minimum(offset, 0), np.maximum(offset, 0)]
    return np.stack([np.ones_like(offset), *columns], axis=-1)


def straight_line(y: FloatArray, found: Optima) -> Line:
    """Through the optima of rows at positions y (R,)."""
    middle = float(y.mean())
    return _line(y, found, middle, design(y, middle, 1), 0)


def bent_line(y: FloatArray, found: Optima, bend: float) -> Line:
    """The same with a bend at a given place, whose estimation makes the rest less certain."""
    columns = design(y, bend, 2)
    fit = _solver(columns, found, _scatter(columns, found)) @ found.places
    by_place = -np.where(y < bend, fit[1], fit[2])  # the fit's derivative by the place is one more column
    return _line(y, found, bend, np.column_stack([columns, by_place]), 1)


def bend_of(
    y: FloatArray, found: Optima, step: float, fewest: int = FEWEST_ROWS
) -> tuple[float, float, float] | None:
    """Where the line bends, with its interval a step wider, or None when a straight one does as well (F test).

    There are `fewest` rows or more to each side.
    """
    places = np.linspace(y[0], y[-1], PLACES_PER_ROW * len(y) + 1)
    enough = [(y < place).sum() >= fewest <= (y > place).sum() for place in places]
    places, freedom = places[enough], len(y) - 4
    if not len(places) or freedom < 1:
        return None
    first = places[_misfits(design(y, places, 2), found, 0.0).argmin()]
    scatter = _scatter(design(y, first, 2), found)

    def misfits(places: FloatArray | float) -> FloatArray:
        return _misfits(design(y, places, 2), found, scatter)

    bent = misfits(places)
    around = places[np.clip([bent.argmin() - 1, bent.argmin() + 1], 0, len(places) - 1)]
    finer = (
        optimize.minimize_scalar(misfits, bounds=around, method="bounded").x if np.ptp(around) else around[0]
    )
    places, bent = np.append(places, finer), np.append(bent, misfits(finer))
    straight = _misfits(design(y, float(y.mean()), 1), found, scatter)
    unit = max(float(bent.min()) / freedom, 1.0)
    if (straight - bent.min()) / 2 / unit < stats.f.ppf(1 - BEND_LEVEL, 2, freedom):
        return None
    possible = places[bent <= bent.min() + unit * stats.f.ppf(CONFIDENCE, 1, freedom)]
    return float(places[bent.argmin()]), float(possible.min() - step), float(possible.max() + step)


def _line(y: FloatArray, found: Optima, bend: float, columns: FloatArray, nuisance: int) -> Line:
    """Of columns (R, p + nuisance), the last of which only widen intervals."""
    count = columns.shape[1] - nuisance
    scatter = _scatter(columns, found)
    fit = _solver(columns[:, :count], found, scatter) @ found.places
    solve = _solver(columns, found, scatter)
    wide = quantile(max(len(y) - columns.shape[1], 1) if scatter else math.inf)
    # coefficients, and the change of slope
    rows = np.vstack([solve[:count], solve[count - 1] - solve[1]])
    sides = np.ptp(y) if count == 2 else np.array([bend - y[0], y[-1] - bend])
    spans = np.hstack([np.inf, sides, 1 / np.sqrt((1 / sides**2).sum())])
    by_seeds = np.diag(rows @ found.covariance @ rows.T)
    by_scatter = scatter * (rows**2).sum(axis=1)
    own, mean = _beyond_chance(rows, found), _beyond_chance(np.full((1, len(y)), 1 / len(y)), found)
    shape = SHAPE_FACTOR**2 * own + mean / spans**2
    halves = np.sqrt(wide**2 * (by_seeds + by_scatter) + shape)
    lack = np.sqrt(wide**2 * by_scatter + shape)
    return Line(fit, bend, halves[:-1], lack[:-1], float(halves[-1]) if count > 2 else 0.0)


def _beyond_chance(rows: FloatArray, found: Optima) -> FloatArray:
    """Squares (n,) of what asymmetry does to linear functions (n, R) of the places, beyond what seeds do to it."""
    chance = np.einsum("ni,ij,nj->n", rows, found.asymmetry_covariance, rows)
    return np.asarray(np.maximum((rows @ found.asymmetry) ** 2 - BY_CHANCE * chance, 0.0))


def _solver(columns: FloatArray, found: Optima, scatter: float) -> FloatArray:
    """The matrices (..., p, R) that make coefficients of optima, for columns (..., R, p)."""
    roots = np.sqrt(1 / (np.diag(found.covariance) + scatter))
    return np.asarray(np.linalg.pinv(columns * roots[:, None]) * roots)


def _misfits(columns: FloatArray, found: Optima, scatter: float) -> FloatArray:
    """The weighted sums of squares (...) that fits of columns (..., R, p) leave."""
    left = found.places - (columns @ (_solver(columns, found, scatter) @ found.places)[..., None])[..., 0]
    return np.asarray((left**2 / (np.diag(found.covariance) + scatter)).sum(axis=-1))


def _scatter(columns: FloatArray, found: Optima) -> float:
    """Variance of the rows about the line that seeds do not explain: that with which the misfit is as expected."""

    def excess(scatter: float) -> float:
        weights = 1 / (np.diag(found.covariance) + scatter)
        left = np.eye(len(columns)) - columns @ _solver(columns, found, scatter)
        total = found.covariance + scatter * np.eye(len(columns))
        seen = float(((left @ found.places) ** 2 * weights).sum())
        return seen - float(np.einsum("i,ij,jk,ik->", weights, left, total, left))

    if excess(0.0) <= 0:
        return 0.0
    low, high = 0.0, float(np.var(found.places)) + float(np.trace(found.covariance))
    while excess(high) > 0:
        high *= 4
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return math.sqrt(low * high) if low else high
