"""From runs on draws of the landscape to the cost and its interval.

For each draw, P(T <= t) is known from a few runs only. Its distribution over draws is taken as a beta distribution
whose variance is that of the draws' shares without the runs' own binomial noise, and one standard error more, for draws
and runs are not many. The median is at most t where P(T <= t) is at least one half.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.estimate import CONFIDENCE

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Cost:
    """The median of trials to target over runs, as far as it is known.

    Attributes:
        at_most: probability that it is at most t, for t = 1 to the budget (T,).
        reached: share of runs that reach the target within the budget, with its interval's ends.
    """

    at_most: FloatArray
    reached: tuple[float, float, float]

    def quantile(self, probability: float) -> float:
        """In trials; infinity beyond the budget."""
        places = np.flatnonzero(self.at_most >= probability - 1e-12)
        return float(places[0] + 1) if len(places) else math.inf

    @property
    def median(self) -> float:
        """The likeliest half: as probably above as below."""
        return self.quantile(0.5)

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        return self.quantile((1 - confidence) / 2), self.quantile((1 + confidence) / 2)


def cost_of(times: IntArray, budget: int) -> Cost:
    """From trials to target of R runs on each of D draws, (D, R); those beyond the budget took longer.

    D and R are at least 2.
    """
    at = np.arange(1, budget + 1)
    shares = (times[:, :, None] <= at).mean(axis=1)
    mean, variance = _moments(shares[:, -1:], times.shape[1])
    return Cost(median_at_most(shares, times.shape[1]), _reached(float(mean[0]), float(variance[0])))


TINY = 1e-9


def median_at_most(shares: FloatArray, runs: int) -> FloatArray:
    """Probability (K,) that the median over runs is at most each of K ascending values.

    From the share of R runs that is at most each of them, on each of D draws, (D, K).
    """
    mean, variance = _moments(shares, runs)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = mean * (1 - mean) / variance - 1
        at_most = stats.beta.sf(0.5, np.maximum(mean * size, TINY), np.maximum((1 - mean) * size, TINY))
    at_most = np.where(variance <= TINY, (mean >= 0.5).astype(float), at_most)
    at_most = np.where(mean <= 0, 0.0, np.where(mean >= 1, 1.0, at_most))
    return np.asarray(np.maximum.accumulate(at_most))


def _moments(shares: FloatArray, runs: int) -> tuple[FloatArray, FloatArray]:
    """Mean and variance over draws of P(T <= t) from shares (D, T) of a few runs each."""
    mean = shares.mean(axis=0)
    binomial = mean * (1 - mean)
    of_shares = shares.var(axis=0, ddof=1)
    error = of_shares * np.sqrt(2 / (len(shares) - 1))
    variance = (of_shares + error - binomial / runs) * runs / (runs - 1)
    return mean, np.clip(variance, 0, 0.999 * binomial)


def _reached(mean: float, variance: float) -> tuple[float, float, float]:
    if variance <= TINY:
        return mean, mean, mean
    size = mean * (1 - mean) / variance - 1
    tail = (1 - CONFIDENCE) / 2
    low, high = stats.beta.ppf([tail, 1 - tail], mean * size, (1 - mean) * size)
    return mean, float(low), float(high)
