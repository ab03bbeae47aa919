"""Suboptimality against trials, with bands that know the landscape's noise.

At every trial, the median over runs is as well known as a cost is: for each value, the share of runs that is at most
that on each draw of the landscape (`interval.median_at_most`).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.cost.interval import median_at_most
from analysis.estimate import CONFIDENCE

FloatArray = NDArray[np.float64]

VALUES = 300
"""Most values of suboptimality that are told apart at a trial."""


def median_band(curves: FloatArray) -> pd.DataFrame:
    """Of curves (D, R, T) of R runs on D draws, a row a trial: trial, median, low and high (its 95% interval)."""
    tail = (1 - CONFIDENCE) / 2
    rows = np.array(
        [_quantiles(curves[:, :, trial], (0.5, tail, 1 - tail)) for trial in range(curves.shape[2])]
    )
    names = ("median", "low", "high")
    return pd.DataFrame({"trial": np.arange(1, len(rows) + 1), **dict(zip(names, rows.T, strict=True))})


def _quantiles(found: FloatArray, probabilities: tuple[float, ...]) -> list[float]:
    """Of the median over runs of values (D, R)."""
    values = np.unique(found)
    if len(values) > VALUES:
        values = np.unique(np.quantile(values, np.linspace(0, 1, VALUES), method="higher"))
    at_most = median_at_most((found[:, :, None] <= values).mean(axis=1), found.shape[1])
    return [float(values[np.argmax(at_most >= min(each, at_most[-1]))]) for each in probabilities]
