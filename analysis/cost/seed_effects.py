"""Levels of cells without the effects of seeds that all cells share (split, initial weights): a two-way layout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class TwoWay:
    """Least squares of value = level of the cell + effect of the seed + residual.

    Attributes:
        levels: (A,); the effects of the seeds that all cells have sum to zero.
        effects: (S,).
        residuals: (A, S), NaN where there is no trial.
        freedom: degrees of freedom of each cell's residuals (A,).
    """

    levels: FloatArray
    effects: FloatArray
    residuals: FloatArray
    freedom: FloatArray

    @property
    def variances(self) -> FloatArray:
        """Of one seed about a cell's level (A,), from that cell alone."""
        return np.asarray(np.nansum(self.residuals**2, axis=1) / self.freedom)


def two_way(values: FloatArray) -> TwoWay:
    """Of values (A, S), NaN where there is no trial; at least one seed has all cells."""
    known = ~np.isnan(values)
    counts = known.sum(axis=1)
    means = np.nanmean(values, axis=1)
    # normal equations of the effects, the levels eliminated
    weights = known / counts[:, None]
    normal = np.diag(known.sum(axis=0).astype(float)) - known.T.astype(float) @ weights
    right = np.where(known, values - means[:, None], 0.0).sum(axis=0)
    effects = np.linalg.lstsq(normal, right)[0]
    effects -= effects[known.all(axis=0)].mean()
    levels = means - weights @ effects
    shared = (known.any(axis=0).sum() - 1) / len(values)  # what the effects take of each cell's freedom
    freedom = np.maximum(counts - 1 - shared, 1e-9)
    return TwoWay(levels, effects, values - levels[:, None] - effects, freedom)
