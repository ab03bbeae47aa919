"""Where in each row of a landscape the best value of the first axis lies, with what seeds make of it.

A row's optimum is the vertex of a parabola, fitted by least squares with weights (1 - u²)² that fall to zero at the
window's ends, around the vertex itself: it moves smoothly with the valley, wherever that lies between grid values.
Wide windows use all of a valley and are nearly efficient where it is symmetric; narrow ones see its bottom alone. The
widest window is taken from which no narrower one differs by more than seeds may do (Lepskii, 1991), and how far a
cubic's minimum lies from the parabola's tells what asymmetry is left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from analysis.bands import Bands, near_optimal, smoothed, without_effects
from analysis.estimate import FloatArray, quantile
from analysis.landscape import mean_of_known
from analysis.seed_noise import SeedNoise, seed_noise

WINDOWS = ((1.7, 2.6), (1.2, 2.6), (0.85, 2.6), (0.6, 2.6), (0.0, 1.6))
"""Half widths of windows, the widest first, in half widths of a row's band, and at least so many cells.

Five cells count, and in the last one three, by which the vertex is never half a cell from the best one.
"""
SHAPES = 3
"""The narrowest of them through which a cubic can be laid."""
DIFFERENT = 0.999
"""Level of the test by which a narrower window differs."""
SMOOTH = 3
"""Differences of windows are looked for in polynomials over the rows up to this degree."""
SCATTER = 2
"""The window whose parabolas tell of the noise where there is one seed."""
RECENTRED = 6
DRAWS = 400
CERTAIN = 0.95
"""Share of draws of an uncertain landscape that must have their optimum inside the grid for a row to count."""
DRAWN_WIDER = 2.0
"""Errors of such draws are so much larger than their spread, which does not know how well the surrogate fits: with 1.5
slopes of two regimes were held in 84% only where TPE drew the trials and noise was largest."""
DRAWN_ERROR = 0.1
"""Least error of such an optimum, in cells: a smooth surrogate rounds a kink of the valley, however many its trials."""
UNSURE, UNSURE_CELLS = 3.0, 1.0
"""A row whose 95% interval is so many times as wide as the median row's, and reaches so many cells to either side, does
not count: far from all trials a surrogate leans towards what it knows."""
SURE = 2
"""The window for draws, which are smooth and have no noise of their own."""
TINY = 1e-10
"""Least variance of an optimum, in squared cells."""


@dataclass(frozen=True)
class Optima:
    """The optima of R rows, as positions of the first axis.

    Attributes:
        rows: which of the B rows they are (B,).
        places: (R,).
        covariance: of what seeds do to the places, (R, R).
        asymmetry: how far a cubic's minima lie from the places, (R,), and the covariance of that by seeds, (R, R).
        seeds: how many each row's cells have (R,).
    """

    rows: NDArray[np.bool_]
    places: FloatArray
    covariance: FloatArray
    asymmetry: FloatArray
    asymmetry_covariance: FloatArray
    seeds: NDArray[np.int64]

    def without(self, rows: NDArray[np.bool_]) -> Optima:
        """Those of the rows that are not among the given ones (B,)."""
        kept = ~rows[self.rows]
        square = np.ix_(kept, kept)
        return Optima(
            self.rows & ~rows,
            self.places[kept],
            self.covariance[square],
            self.asymmetry[kept],
            self.asymmetry_covariance[square],
            self.seeds[kept],
        )


def optima(pair: xr.DataArray, x: FloatArray, bands: Bands) -> Optima:
    """Of the rows of a landscape ``("seed", first, second)`` whose first axis has the positions x (A,)."""
    cells = bands.cells(len(x))
    values = without_effects(pair.values, cells)
    mean, counts = mean_of_known(values)
    rows = bands.there & ~(np.isnan(mean) & cells).any(axis=0)
    mean, cells, width = mean[:, rows], cells[:, rows], bands.width[rows]
    windows = [_centred(mean, x, bands.middle[rows], width, *window) for window in WINDOWS]
    noise = seed_noise(values[:, :, rows], cells) or _scatter(windows[SCATTER], mean)
    drawn = mean + noise.draw(DRAWS, np.random.default_rng(0))
    elsewhere = x[smoothed(drawn).argmin(axis=-2)]
    vertices = [window.vertices(drawn) for window in windows]
    chosen = next(
        place
        for place, window in enumerate(windows)
        if not any(
            _differ(window.centre - narrower.centre, vertices[place] - moved)
            for narrower, moved in zip(windows[place + 1 :], vertices[place + 1 :], strict=True)
        )
    )
    window = windows[chosen]
    shape = min(chosen, SHAPES)
    parabola = windows[shape].centre
    cubic = _or(windows[shape].vertices(mean, degree=3), parabola) - parabola
    moved = _or(windows[shape].vertices(drawn, degree=3), vertices[shape]) - vertices[shape]
    least = _least(x, len(width))
    seeds = np.where(cells, counts[:, rows], pair.sizes["seed"]).min(axis=0)
    # seeds may also make another valley look best
    strayed = np.abs(elsewhere - window.centre) > window.unit
    spread = _covariance(np.where(strayed, elsewhere, vertices[chosen]))
    return Optima(rows, window.centre, spread + least, cubic, _covariance(moved) + least, seeds)


def optima_of_draws(draws: xr.DataArray, x: FloatArray) -> Optima:
    """Of draws ``("seed", first, second)`` of one uncertain landscape, in rows where nearly all have one."""
    bands = [near_optimal(draws.isel(seed=[place])) for place in range(draws.sizes["seed"])]
    there = np.stack([each.there for each in bands])
    middles, widths = (
        np.stack([getattr(each, name) for each in bands])[there] for name in ("middle", "width")
    )
    places = np.full(there.shape, np.nan)
    places[there] = _centred(draws.values.swapaxes(1, 2)[there].T, x, middles, widths, *WINDOWS[SURE]).centre
    rows = np.isfinite(places).mean(axis=0) >= CERTAIN
    mean = np.nanmean(places[:, rows], axis=0)
    covariance = DRAWN_WIDER**2 * _covariance(np.where(np.isnan(places[:, rows]), mean, places[:, rows]))
    covariance += _least(x, len(mean), DRAWN_ERROR**2)
    none = np.zeros(len(mean))
    found = Optima(rows, mean, covariance, none, np.diag(none), np.ones(len(mean), dtype=np.int64))
    return found.without(_unsure(found, x))


def _unsure(found: Optima, x: FloatArray) -> NDArray[np.bool_]:
    """Which rows (B,) have an optimum that is known much worse than those of the others."""
    unsure = np.zeros(len(found.rows), dtype=bool)
    if len(found.places):
        halves = quantile(math.inf) * np.sqrt(np.diag(found.covariance))
        unsure[found.rows] = halves > max(UNSURE_CELLS * _step(x), UNSURE * float(np.median(halves)))
    return unsure


def _step(x: FloatArray) -> float:
    return float(np.median(np.diff(x)))


def _least(x: FloatArray, rows: int, squared_cells: float = TINY) -> FloatArray:
    return squared_cells * _step(x) ** 2 * np.eye(rows)


def _scatter(window: _Window, mean: FloatArray) -> SeedNoise:
    """What may be noise when there is one seed: all that is left by the parabolas of a window."""
    left = window.residuals(mean)
    freedom = (window.weights > 0).sum() - 3 * left.shape[1]
    error = np.sqrt((left**2).sum() / max(float(freedom), 1.0))
    return SeedNoise(np.full(mean.shape, error), np.eye(len(mean)), np.eye(mean.shape[1]))


def _or(values: FloatArray, others: FloatArray) -> FloatArray:
    return np.where(np.isnan(values), others, values)


def _covariance(drawn: FloatArray) -> FloatArray:
    """Of draws (D, R)."""
    return np.asarray(np.atleast_2d(np.cov(drawn.T)))


@dataclass(frozen=True)
class _Window:
    """Weights (A, R) about a centre (R,), positions, and offsets (A, R) from it in units of `unit` (R,)."""

    centre: FloatArray
    weights: FloatArray
    offsets: FloatArray
    unit: FloatArray

    def residuals(self, means: FloatArray) -> FloatArray:
        """What parabolas leave of means (A, R) inside the window; zero elsewhere."""
        powers = np.stack([self.offsets**power for power in range(3)])
        inside = self.weights > 0
        return np.where(
            inside,
            np.where(inside, means, 0.0) - np.einsum("iar,ri->ar", powers, self._fit(means, powers)),
            0.0,
        )

    def _fit(self, means: FloatArray, powers: FloatArray) -> FloatArray:
        """Coefficients (..., R, p) of weighted least squares, of powers (p, A, R)."""
        normal = np.einsum("ar,iar,jar->rij", self.weights, powers, powers)
        known = np.where(self.weights > 0, means, 0.0)
        right = np.einsum("ar,iar,...ar->...ri", self.weights, powers, known, optimize=True)
        return np.asarray((np.linalg.pinv(normal) @ right[..., None])[..., 0])

    def vertices(self, means: FloatArray, degree: int = 2) -> FloatArray:
        """Least places (..., R) of polynomials of degree 2 or 3 through means (..., A, R), inside the window.

        Where a parabola has no least place, the lower end; where a cubic has none, NaN.
        """
        powers = np.stack([self.offsets**power for power in range(degree + 1)])
        fit = self._fit(means, powers)
        tilt, bow = fit[..., 1], fit[..., 2]
        twist = 3 * fit[..., 3] if degree == 3 else np.zeros_like(bow)
        root = bow**2 - twist * tilt  # of the derivative, tilt + 2 bow t + twist t², where it rises
        lowest = bow + np.sqrt(np.maximum(root, 0))
        curved = (root >= 0) & (lowest > 0)
        vertex = np.clip(-tilt / np.where(curved, lowest, 1.0), -1, 1)
        end = -np.sign(tilt) if degree == 2 else np.full_like(vertex, np.nan)
        return np.asarray(self.centre + self.unit * np.where(curved, vertex, end))


def _centred(
    mean: FloatArray, x: FloatArray, middle: FloatArray, width: FloatArray, share: float, least: float
) -> _Window:
    """The window (`WINDOWS`) about the vertices that it finds in means (A, R), from the middles (R,) of their bands."""
    cells = np.arange(len(x))
    at = middle
    for _ in range(RECENTRED):
        found = np.interp(_window(mean, x, at, share * width, least).vertices(mean), x, cells)
        at = np.clip(found, at - 1, at + 1)
    return _window(mean, x, at, share * width, least)


def _window(mean: FloatArray, x: FloatArray, at: FloatArray, reach: FloatArray, least: float) -> _Window:
    """About indices (R,), so many cells (R,) to each side, at least `least`, but else hardly beyond the grid (A, R)."""
    cells = np.arange(len(x))
    centre = np.interp(at, cells, x)
    reach = np.maximum(np.minimum(reach, np.minimum(at, len(x) - 1 - at) + 1), least)
    away = (cells[:, None] - at) / reach
    unit = reach * _step(x)
    weights = np.where((np.abs(away) < 1) & ~np.isnan(mean), (1 - away**2) ** 2, 0.0)
    return _Window(centre, weights, (x[:, None] - centre) / unit, unit)


def _differ(places: FloatArray, drawn: FloatArray) -> bool:
    """Whether differences (R,) are more than noise, of which draws (D, R) are given, makes of them."""
    rows = np.linspace(-1, 1, len(places))
    smooth = np.linalg.qr(np.vander(rows, min(SMOOTH, len(places) - 1) + 1))[0]
    seen, noise = places @ smooth, np.atleast_2d(np.cov((drawn @ smooth).T))
    noise += max(TINY, 1e-9 * float(np.trace(noise))) * np.eye(len(seen))
    return bool(seen @ np.linalg.solve(noise, seen) > stats.chi2.ppf(DIFFERENT, len(seen)))
