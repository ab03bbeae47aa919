"""Numbers with 95% intervals; the training seed is the unit of replication."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.float64]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval; NaN ends when there is none."""

    estimate: float
    low: float
    high: float

    def to_json(self) -> dict[str, float | None]:
        """As JSON types: what is not finite is null."""
        return {name: value if math.isfinite(value) else None for name, value in asdict(self).items()}

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


def mean_of(values: FloatArray) -> Estimate:
    """The mean of one number a seed (S,) with its t-interval; a single one has none."""
    mean = float(values.mean())
    if len(values) < 2:
        return Estimate(mean, math.nan, math.nan)
    half = quantile(len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Estimate(mean, mean - half, mean + half)
