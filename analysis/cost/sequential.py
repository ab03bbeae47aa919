"""Comparing costs again and again while seeds are added: what is tried next, and how error is spent.

A comparison that is looked at until it is decided is decided wrongly more often than one that is looked at once. So
look k = 1, 2, ... is at the confidence 1 - 0.05 / (k (k + 1)): wrong verdicts at any look add up to at most 5%,
whatever their dependence (error spending as in Lan & DeMets, 1983, with Bonferroni's bound). Seeds double from look to
look, so there are few.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

ERROR = 0.05
OPEN = (0.05, 0.95)
"""Between these probabilities it is open whether a cell is within the target of the best."""
CLAIM = 0.05
"""From this probability of being the best a cell is of interest."""


def confidence_at(look: int) -> float:
    return 1 - ERROR / (look * (look + 1))


def look_of(table: FloatArray, first: int) -> int:
    """Which look losses (N, S), NaN without a trial, are for: 1 with `first` seeds, 2 with twice as many, and so on."""
    most = int((~np.isnan(table)).sum(axis=1).max())
    return 1 + max(math.ceil(math.log2(most / first) - 1e-9), 0)


def open_cells(levels: FloatArray, target: float) -> IntArray:
    """Cells of draws (D, N) whose being within the target of the best, or claim to be the best, is open."""
    within = (levels <= levels.min(axis=1, keepdims=True) + target).mean(axis=0)
    best = np.bincount(levels.argmin(axis=1), minlength=levels.shape[1]) / len(levels)
    return np.flatnonzero(((within > OPEN[0]) & (within < OPEN[1])) | (best > CLAIM))
