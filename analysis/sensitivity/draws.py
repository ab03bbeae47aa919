"""Draws of a landscape for its sensitivity, each statistic's from what is fitted for its own size.

The posterior of costs (`analysis.cost.posterior`) models cells within a target of the best closely, others coarsely. A
width at a threshold comes from the posterior with that target. What a value loses is about as large as it is in the
means: draws of the targets on either side of that are mixed.

Cells far from the best are drawn from their own seeds, with normal noise: a Bayesian bootstrap of two seeds has no
values beyond them, and processes smooth cliffs away. The best cell of a row far from the best is chosen by one draw and
judged by another, for the least of many noises is too low.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from analysis.cost.kept import drawn
from analysis.cost.posterior import LandscapePosterior

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

DRAWS = 400
"""Of each posterior; 2.5% of them are ten."""
LEAST_TARGET = 1e-4
"""As a share of the landscape's range."""
ALIKE = 10
"""Cells with means next to that of a far cell, to each side, whose noise is taken to be like its own."""
FREEDOM_OF_ALIKE = 4.0
"""Degrees of freedom that their variance counts for in its own."""


@dataclass(frozen=True, eq=False)
class LandscapeDraws:
    """Draws (D, *shape) of a landscape of losses (N, S), NaN where there is no trial, by target.

    `targets`, ascending, are those that losses of all sizes are told by.

    Raises AnalysisError as `analysis.cost.posterior.fit_posterior`.
    """

    values: FloatArray
    shape: tuple[int, ...]
    targets: tuple[float, ...]

    _made: dict[float, FloatArray] = field(default_factory=dict)

    @cached_property
    def _whole(self) -> FloatArray:
        return np.asarray(self.values[:, ~np.isnan(self.values).any(axis=0)])

    @property
    def seeds(self) -> int:
        """That all cells have."""
        return int(self._whole.shape[1])

    @cached_property
    def means(self) -> FloatArray:
        """Of the seeds that all cells have, (*shape)."""
        return np.asarray(self._whole.mean(axis=1).reshape(self.shape))

    def at(self, target: float) -> FloatArray:
        """Draws (D, *shape) for losses of about a target, taken into the landscape's range."""
        span = float(np.ptp(self.means))
        if span > 0:
            target = float(np.clip(target, LEAST_TARGET * span, span))
        if target not in self._made:
            self._made[target] = self._drawn(target)
        return self._made[target]

    def _drawn(self, target: float) -> FloatArray:
        with threadpool_limits(1):
            posterior, draws = drawn(self.values, self.shape, target, DRAWS)
        levels = draws.levels.copy()
        if posterior.far.size:
            lowest = levels[:, posterior.candidates].min(axis=1, keepdims=True)
            levels[:, posterior.far] = far_levels(posterior, posterior.far, lowest)
        return levels.reshape(len(levels), *self.shape)

    @cached_property
    def lowest(self) -> FloatArray:
        """Draws (D,) of the best, for which those of the smallest target are."""
        return np.asarray(self.at(self.targets[0]).reshape(DRAWS, -1).min(axis=1))

    @cached_property
    def alone(self) -> tuple[FloatArray, FloatArray]:
        """Two independent sets of draws (D, *shape), each cell's from its own seeds: for large losses."""
        with threadpool_limits(1):
            posterior, _ = drawn(self.values, self.shape, self.targets[0], DRAWS)
        every = np.arange(len(self.values))
        first, second = (
            far_levels(posterior, every, self.lowest[:, None], seed).reshape(DRAWS, *self.shape)
            for seed in (3, 4)
        )
        return first, second

    def is_near(self, loss: float) -> bool:
        """Whether processes tell of a loss."""
        return loss <= self.targets[-1]

    def about(self, loss: float) -> FloatArray:
        """Draws (D, *shape) for a statistic that is about so large: of the targets on either side, taking turns."""
        above = int(np.searchsorted(self.targets, loss))
        low, high = (self.targets[max(min(place, len(self.targets) - 1), 0)] for place in (above - 1, above))
        levels = self.at(high)
        if low != high:
            levels = levels.copy()
            levels[::2] = self.at(low)[::2]
        return levels


def far_levels(posterior: LandscapePosterior, far: IntArray, lowest: FloatArray, seed: int = 2) -> FloatArray:
    """Levels (D, F) of cells far from the best, none below the lowest of each draw (D, 1).

    Normal about each cell's mean; cells of like means have like noise, so that its variance, without the effects of
    seeds that all cells share, is drawn towards theirs.
    """
    values, seeds = posterior.values[far] - posterior.effects, posterior.seeds
    means, variances = values.mean(axis=1), values.var(axis=1, ddof=1)
    order = np.argsort(means, kind="stable")
    padded = np.pad(variances[order], min(ALIKE, len(far)), mode="symmetric")
    pooled = np.empty(len(far))
    pooled[order] = np.convolve(padded, np.ones(len(padded) - len(far) + 1), "valid") / (
        len(padded) - len(far) + 1
    )
    freedom = FREEDOM_OF_ALIKE + seeds - 1
    shrunken = (FREEDOM_OF_ALIKE * pooled + (seeds - 1) * variances) / freedom
    shocks = np.random.default_rng(seed).standard_t(freedom, (len(lowest), len(far)))
    levels = means + np.sqrt(shrunken / seeds) * shocks
    return np.asarray(np.clip(levels, lowest, np.maximum(posterior.values.max(), lowest)))
