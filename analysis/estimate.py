"""Numbers with 95% intervals; the training seed is the unit of replication."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from analysis.documents import EstimateDocument

FloatArray = NDArray[np.float64]

CONFIDENCE = 0.95
FEWEST_FOR_INTERVAL = 3
"""Seeds from which the spread of a loss or a share over them is known well enough for an interval."""
MOST_SUBSETS = 30
"""Of half of the seeds, that a jackknife looks at."""
LISTED_SUBSETS = 10_000
"""Of fewer than these, all are listed to choose among; 30 seeds have a hundred million."""


def finite(value: float) -> float | None:
    """A number as JSON has it: null for NaN and infinities."""
    return float(value) if math.isfinite(value) else None


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval; NaN ends when there is none."""

    estimate: float
    low: float
    high: float

    def to_json(self) -> EstimateDocument:
        """As JSON types: what is not finite is null."""
        return {
            "estimate": finite(self.estimate),
            "low": finite(self.low),
            "high": finite(self.high),
        }

    def widened(self, error: float) -> Estimate:
        """With a further independent error in the half interval."""
        half = math.hypot((self.high - self.low) / 2, error)
        return Estimate(self.estimate, self.estimate - half, self.estimate + half)

    def within(self, least: float, most: float) -> Estimate:
        """Without what the number cannot be: less than `least` or more than `most`."""
        return Estimate(*np.clip([self.estimate, self.low, self.high], least, most).tolist())

    def text(self, form: str) -> str:
        """As ``0.98 [0.94, 1.01]``, each number in the format; the number alone without an interval."""
        if math.isnan(self.estimate):
            return "not known"
        if math.isnan(self.low):
            return f"{self.estimate:{form}}"
        return f"{self.estimate:{form}} [{self.low:{form}}, {self.high:{form}}]"


def quantile(freedom: float) -> float:
    """Of the t distribution: a 95% interval reaches so many standard errors to each side."""
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))


def mean_of(values: FloatArray, correlation: float = 0.0) -> Estimate:
    """The mean of one number a seed (S,) with its t-interval; a single one has none."""
    mean, half = float(values.mean()), float(half_interval(values, correlation))
    return Estimate(mean, mean - half, mean + half)


def over_draws(values: ArrayLike) -> Estimate:
    """The median of one number a draw (D,) with the quantiles between which 95% lie; NaN if one in ten is."""
    drawn = np.asarray(values, dtype=np.float64)
    if np.isnan(drawn).mean() > 0.1:
        return Estimate(math.nan, math.nan, math.nan)
    low, middle, high = np.nanquantile(drawn, [(1 - CONFIDENCE) / 2, 0.5, (1 + CONFIDENCE) / 2])
    return Estimate(float(middle), float(low), float(high))


def half_interval(values: FloatArray, correlation: float = 0.0) -> FloatArray:
    """Half the t-interval of the mean over seeds (S, ...), whose numbers may be correlated; NaN with one seed."""
    seeds = len(values)
    if seeds < 2:
        return np.full(values.shape[1:], math.nan)
    factor = math.sqrt(1 / seeds + correlation / (1 - correlation))
    return np.asarray(quantile(seeds - 1) * values.std(axis=0, ddof=1) * factor)


def _subsets(seeds: int, size: int) -> list[tuple[int, ...]]:
    """All subsets of so many seeds, or `MOST_SUBSETS` of them: of many seeds there are too many to list."""
    rng = np.random.default_rng(seeds)
    if math.comb(seeds, size) > LISTED_SUBSETS:
        return [tuple(rng.permutation(seeds)[:size].tolist()) for _ in range(MOST_SUBSETS)]
    every = list(itertools.combinations(range(seeds), size))
    if len(every) <= MOST_SUBSETS:
        return every
    return [every[place] for place in rng.choice(len(every), MOST_SUBSETS, replace=False)]


def jackknife(
    values: FloatArray, statistic: Callable[[FloatArray], float], *, unbiased: bool = False
) -> Estimate:
    """A statistic of values (S, ...), seeds first, by the jackknife with half of the seeds deleted (Shao & Wu, 1989).

    It also holds for statistics that are not smooth, such as of ranks. The bias of noise, which falls with the number
    of seeds, is taken off, unless the statistic is `unbiased` and made for two or more seeds. There is no interval with
    fewer than `FEWEST_FOR_INTERVAL`.
    """
    whole, seeds = statistic(values), len(values)
    fewest = 2 if unbiased else 1
    if seeds <= fewest:
        return Estimate(whole, math.nan, math.nan)
    left = max(seeds - seeds // 2, fewest)
    gone = seeds - left
    parts = np.array([statistic(np.delete(values, half, axis=0)) for half in _subsets(seeds, gone)])
    estimate = whole if unbiased else (seeds * whole - left * float(parts.mean())) / gone
    spread = float(parts.std()) if seeds >= FEWEST_FOR_INTERVAL else math.nan
    half_width = quantile(seeds - 1) * math.sqrt(left / gone) * spread
    return Estimate(estimate, estimate - half_width, estimate + half_width)
