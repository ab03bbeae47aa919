"""Which of two costs is the smaller, as far as they are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.cost.interval import Cost
from analysis.estimate import CONFIDENCE

FloatArray = NDArray[np.float64]

Verdict = Literal["cheaper", "dearer", "equal", "undecided"]
EQUAL_WITHIN = 1.25
"""Costs whose ratio's interval lies within this factor to either side are equal."""


@dataclass(frozen=True)
class Comparison:
    """The cost of a first over that of a second: `ratio` with its interval, NaN where both are beyond the budget.

    `verdict` is about the first.
    """

    ratio: float
    low: float
    high: float
    verdict: Verdict


def compare_costs(first: Cost, second: Cost, confidence: float = CONFIDENCE) -> Comparison:
    """Of two costs that are known independently, with the same budget. Both beyond the budget count as equal.

    Costs on one landscape err together, which makes the interval too wide for them, not too narrow.
    """
    trials = np.append(np.arange(1.0, len(first.at_most) + 1), np.inf)
    a, b = (np.diff(np.concatenate([[0.0], cost.at_most, [1.0]])) for cost in (first, second))
    with np.errstate(invalid="ignore"):
        ratios = trials[:, None] / trials
    both = np.isnan(ratios)
    ratios = np.where(both, 1.0, ratios).ravel()
    weights = (a[:, None] * b).ravel()
    order = np.argsort(ratios)
    ordered = ratios[order]
    cumulated = np.cumsum(weights[order])
    tail = (1 - confidence) / 2
    low, ratio, high = (
        float(ordered[min(int(np.searchsorted(cumulated, q - 1e-9)), len(order) - 1)])
        for q in (tail, 0.5, 1 - tail)
    )
    if a[-1] * b[-1] > 0.5:
        ratio = float("nan")
    return Comparison(ratio, low, high, _verdict(low, high, bool(a[-1] * b[-1] > tail)))


def _verdict(low: float, high: float, both_beyond: bool) -> Verdict:
    if high < 1:
        return "cheaper"
    if low > 1:
        return "dearer"
    if low >= 1 / EQUAL_WITHIN and high <= EQUAL_WITHIN and not both_beyond:
        return "equal"
    return "undecided"
