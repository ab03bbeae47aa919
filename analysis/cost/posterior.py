"""What S training seeds a cell say of the expected metric of every cell: draws of the true landscape.

Cells are of three kinds:

- the *basin*: cells whose smoothed level is within the target and a few standard errors of the best. Whether they are
  within the target, and which is the best, is what a cost hangs on. A Gaussian process (`process`) on the metric's own
  scale, several basins of different margins averaged, since where to stop is a guess.
- *candidates* around it: one process on an evened scale (`even_scale`), for seed noise grows away from the best.
- *far* cells: a Bayesian bootstrap (Rubin, 1981) of each cell's seeds.

Only levels relative to each other matter, so effects of seeds that all cells share (`seed_effects`) are taken out.
Measured coverage: `benchmarks/coverage.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from analysis.cost.even_scale import EvenScale, fit_even_scale
from analysis.cost.process import Prior, Replicates, grid_distances
from analysis.cost.seed_effects import TwoWay, two_way
from analysis.errors import AnalysisError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Mask = NDArray[np.bool_]

MARGINS = (0.5, 1.0, 2.0, 3.0)
"""Of basins, in standard errors of a cell's mean."""
NOISE_MARGIN = 1.0
"""The basin with this margin tells what noise runs see."""
TARGETS_IN_BASIN = 1.25
CHAIN_STEPS = 600
FREEDOM_OF_POOLED = 8.0
"""Degrees of freedom that the cells' common variance counts for in each cell's own (an inverse chi-squared prior)."""
FEWEST_CANDIDATES, FEWEST_IN_BASIN, MOST_CANDIDATES = 20, 8, 500
CANDIDATE_ERRORS = 6.0
"""Candidates are within the target and so many standard errors of the lowest mean."""
FEWEST_SEEDS = 2
LEAST_NOISE = 1e-3
"""Least standard deviation of a seed, as a share of the target: exact metrics have none, covariances need some."""
ROUNDING = 1e-9
"""The same as a share of the landscape's range."""


@dataclass(frozen=True)
class Basin:
    """Cells near the best (a mask of the candidates), what is observed of them, and draws of the parameters."""

    inside: Mask
    replicates: Replicates
    chain: list[FloatArray]


@dataclass(frozen=True)
class LandscapePosterior:
    """The posterior of a landscape of N cells.

    Attributes:
        values: losses (N, S) of the seeds that every cell has.
        effects: what those seeds add to all cells (S,).
        candidates: flat indices of cells near the best, (A,).
        scale: the candidates' evened scale, on which `evened` (A,) is their level and `errors` (A,) its deviation.
        level: the same on the metric's scale (A,).
        noise: standard deviation of one seed of each candidate, effects of seeds not counted, (A,).
        effect_variance: of the effect of a seed, estimated.
        basins: one for each margin.
    """

    values: FloatArray
    effects: FloatArray
    candidates: IntArray
    scale: EvenScale
    evened: FloatArray
    errors: FloatArray
    level: FloatArray
    noise: FloatArray
    effect_variance: float
    basins: tuple[Basin, ...]

    @property
    def seeds(self) -> int:
        return int(self.values.shape[1])

    @property
    def far(self) -> IntArray:
        """Flat indices of the other cells (F,)."""
        return np.setdiff1d(np.arange(len(self.values)), self.candidates)

    @property
    def noise_basin(self) -> Basin:
        return self.basins[MARGINS.index(NOISE_MARGIN)]

    def draw(self, count: int, rng: np.random.Generator) -> Draws:
        """Draws of the expected metric of every cell."""
        far, candidates = self.far, self.candidates
        # flatter than the Dirichlet(1, ..., 1) with few seeds, so that variances are unbiased
        concentration = max((self.seeds - 2) / self.seeds, 0.05)
        weights = rng.dirichlet(np.full(self.seeds, concentration), size=(count, len(far)))
        levels = np.empty((count, len(self.values)))
        which = rng.permutation(np.arange(count) % len(self.basins))
        for place, basin in enumerate(self.basins):
            rows = np.flatnonzero(which == place)
            if len(rows):
                levels[np.ix_(rows, candidates)] = self._draw_candidates(basin, len(rows), rng)
        lowest = levels[:, candidates].min(axis=1, keepdims=True)
        levels[:, far] = np.maximum((weights * self.values[far]).sum(axis=-1), lowest)
        return Draws(levels, weights)

    def _draw_candidates(self, basin: Basin, count: int, rng: np.random.Generator) -> FloatArray:
        """Levels (count, A): in the basin by its process; outside, cells that are not the best."""
        outside = ~basin.inside
        drawn = np.empty((count, len(self.candidates)))
        drawn[:, basin.inside] = basin.replicates.draw_levels(basin.chain, count, rng)
        lowest = drawn[:, basin.inside].min(axis=1, keepdims=True)
        evened = self.evened[outside] + self.errors[outside] * rng.standard_normal((count, outside.sum()))
        around = self.scale.back(evened)
        drawn[:, outside] = np.where(around < lowest, np.maximum(self.level[outside], lowest), around)
        return drawn


@dataclass(frozen=True)
class Draws:
    """D draws of the true landscape: `levels` (D, N); and how much each seed of a far cell counts (D, F, S)."""

    levels: FloatArray
    weights: FloatArray


def fit_posterior(
    values: FloatArray, shape: tuple[int, ...], target: float, rng: np.random.Generator
) -> LandscapePosterior:
    """Of losses (N, S), NaN where there is no trial, on a grid of a shape, for costs of a target.

    Raises:
        AnalysisError: fewer than two seeds have all cells.
    """
    whole = ~np.isnan(values).any(axis=0)
    seeds = int(whole.sum())
    if seeds < FEWEST_SEEDS:
        raise AnalysisError("one seed tells nothing of the noise" if seeds else "no seed has all cells")
    base = values[:, whole]
    means = base.mean(axis=1)
    tiny = max(LEAST_NOISE * target, ROUNDING * float(np.ptp(means)), 1e-300)
    scale = _even_scale(base, means, target, tiny)
    candidates = _candidates(scale.to(means), target + CANDIDATE_ERRORS * scale.noise / np.sqrt(seeds))

    around = two_way(values[candidates])
    slopes = scale.slope(around.levels)
    counts = (~np.isnan(values[candidates])).sum(axis=1).astype(float)
    evened_variances = _shrunken(around.variances * slopes**2, around.freedom) + tiny**2
    replicates = Replicates(
        scale.to(around.levels),
        evened_variances,
        counts,
        _contrasts(base[candidates] * slopes[:, None]),
        grid_distances(candidates, shape),
    )
    spread = np.log(np.sqrt(np.median(evened_variances)))
    prior = Prior((spread, 1.0), (spread - 1.0, 1.0))
    evened, covariance = replicates.levels(replicates.mode(prior))
    evened = evened - (evened - replicates.means).mean()
    level = scale.back(evened)
    noise = np.sqrt(evened_variances) / np.maximum(scale.slope(level), 0.02)

    first = np.argsort(level)[:FEWEST_CANDIDATES]
    error = float(np.median(np.sqrt(evened_variances / counts)[first]))
    effects, effect_variance = around.effects, 0.0
    basins = []
    for margin in MARGINS:
        inside = _basin(level, TARGETS_IN_BASIN * target + margin * error)
        basin, layout = _fit_basin(
            values, base, candidates, inside, shape, TARGETS_IN_BASIN * target + margin * error, tiny, rng
        )
        basins.append(basin)
        if margin == NOISE_MARGIN:
            noise[inside] = np.sqrt(basin.replicates.variances)
            effects = layout.effects
            pooled = float((layout.variances * layout.freedom).sum() / layout.freedom.sum())
            effect_variance = max(float(effects[whole].var(ddof=1)) - pooled / int(inside.sum()), 0.0)
    return LandscapePosterior(
        base,
        effects[whole],
        candidates,
        scale,
        evened,
        np.sqrt(np.diag(covariance)),
        level,
        noise,
        effect_variance,
        tuple(basins),
    )


def _even_scale(base: FloatArray, means: FloatArray, target: float, tiny: float) -> EvenScale:
    """From the noise of cells near the best, which the least means tell where it is."""
    seeds = base.shape[1]
    first = np.argsort(means, kind="stable")[: max(FEWEST_CANDIDATES, len(base) // 20)]
    layout = two_way(base[first])
    noise = np.sqrt(np.nansum(layout.residuals**2) / max((len(first) - 1) * (seeds - 1), 1)) + tiny
    error = noise / np.sqrt(seeds)
    origin = means[first].min() + error
    unit = target + 5 * error
    near = np.flatnonzero(means <= origin + unit)
    near = near if len(near) >= FEWEST_CANDIDATES else first
    variances = (base - two_way(base[near]).effects).var(axis=1, ddof=1)
    return fit_even_scale(means, variances, seeds - 1, origin, unit, tiny)


def _candidates(evened: FloatArray, within: float) -> IntArray:
    chosen = np.flatnonzero(evened <= evened.min() + within)
    order = np.argsort(evened, kind="stable")
    if len(chosen) < FEWEST_CANDIDATES:
        chosen = order[:FEWEST_CANDIDATES]
    elif len(chosen) > MOST_CANDIDATES:  # a process takes time with the cube of its cells
        chosen = order[:MOST_CANDIDATES]
    return np.sort(chosen)


def _basin(level: FloatArray, within: float) -> Mask:
    """Candidates whose level is so near the third best, or the best few."""
    ordered = np.sort(level)
    inside = np.asarray(level <= ordered[min(2, len(ordered) - 1)] + within)
    if inside.sum() < FEWEST_IN_BASIN:
        inside = level <= ordered[min(FEWEST_IN_BASIN, len(ordered)) - 1]
    return inside


def _fit_basin(
    values: FloatArray,
    base: FloatArray,
    candidates: IntArray,
    inside: Mask,
    shape: tuple[int, ...],
    width: float,
    tiny: float,
    rng: np.random.Generator,
) -> tuple[Basin, TwoWay]:
    cells = candidates[inside]
    layout = two_way(values[cells])
    replicates = Replicates(
        layout.levels,
        _shrunken(layout.variances, layout.freedom) + tiny**2,
        (~np.isnan(values[cells])).sum(axis=1).astype(float),
        _contrasts(base[cells]),
        grid_distances(cells, shape),
    )
    # levels differ by about a quarter of the basin's width, cell to cell by a tenth
    prior = Prior((np.log(width) - 1.4, 0.6), (np.log(width) - 2.3, 1.0))
    return Basin(inside, replicates, replicates.chain(prior, CHAIN_STEPS, rng)), layout


def _shrunken(variances: FloatArray, freedom: FloatArray) -> FloatArray:
    """Each cell's variance (A,) drawn towards that of all."""
    pooled = (variances * freedom).sum() / freedom.sum()
    return np.asarray((FREEDOM_OF_POOLED * pooled + freedom * variances) / (FREEDOM_OF_POOLED + freedom))


def _contrasts(base: FloatArray) -> FloatArray:
    """Orthonormal contrasts (A, S - 1) of whole seeds (A, S)."""
    return np.asarray(base @ linalg.helmert(base.shape[1]).T)
