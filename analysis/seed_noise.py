"""The noise of training seeds in the means of a landscape's cells: how large it is, and how alike in neighbours.

What all cells of a row have in common for a seed moves no optimum, and is taken out. Of the rest, the variance of a
cell is pooled with its eight neighbours', for few seeds say little about one cell; correlation falls by a constant
factor along the first axis, and along the second by a factor for each two neighbouring rows, since there are
landscapes in which the second axis hardly matters on one side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from analysis.estimate import FloatArray

MOST_ALIKE = 0.999
TINY = 1e-12


@dataclass(frozen=True)
class SeedNoise:
    """Standard errors (A, B) of the means of cells, and roots (A, A) and (B, B) of the correlations along both axes."""

    errors: FloatArray
    along_first: FloatArray
    along_second: FloatArray

    def draw(self, count: int, rng: np.random.Generator) -> FloatArray:
        """Errors of the means of all cells (count, A, B)."""
        shocks = rng.standard_normal((count, *self.errors.shape))
        return np.asarray(self.errors * (self.along_first @ shocks @ self.along_second.T))


def seed_noise(values: FloatArray, cells: NDArray[np.bool_]) -> SeedNoise | None:
    """Of values (S, A, B) without the seeds' effects on rows, see `analysis.bands.without_effects`, NaN where missing.

    `cells` (A, B) are those by which the effects were found. None when no cell has two seeds.
    """
    known = ~np.isnan(values)
    counts = known.sum(axis=0)
    if not (counts > 1).any():
        return None
    filled = np.where(known, values, 0.0)
    residuals = np.where(known, filled - filled.sum(axis=0) / np.maximum(counts, 1), 0.0)
    # each cell's mean takes a degree of freedom, as does each row's effect of a seed
    freedom = np.maximum(counts - 1.0, 0.0) * (1 - 1 / np.maximum(cells.sum(axis=0), 2))
    squares, around = (_around(each) for each in ((residuals**2).sum(axis=0), freedom))
    overall = float((residuals**2).sum() / freedom.sum())
    variances = np.where(around > TINY, squares / np.maximum(around, TINY), overall)
    scale = np.sqrt(np.maximum(variances, TINY * max(overall, TINY)))
    standard = np.where(cells, residuals / scale, 0.0)
    first = _correlation(standard[:, 1:], standard[:, :-1], axis=(0, 1, 2))
    second = _correlation(standard[:, :, 1:], standard[:, :, :-1], axis=(0, 1))
    return SeedNoise(
        scale / np.sqrt(np.maximum(counts, 1)),
        _root(np.full(values.shape[1] - 1, float(first))),
        _root(second),
    )


def _around(table: FloatArray) -> FloatArray:
    """Weighted sums over a cell and its neighbours (A, B), the cell itself counting four times a corner."""
    return np.asarray(ndimage.convolve(table, np.outer([1, 2, 1], [1, 2, 1]) / 16.0, mode="constant"))


def _correlation(one: FloatArray, other: FloatArray, axis: tuple[int, ...]) -> FloatArray:
    both = np.sqrt((one**2).sum(axis=axis) * (other**2).sum(axis=axis))
    return np.asarray(np.clip((one * other).sum(axis=axis) / np.maximum(both, TINY), 0, MOST_ALIKE))


def _root(factors: FloatArray) -> FloatArray:
    """A root (n, n) of the correlation of a chain whose neighbours are correlated by factors (n - 1,)."""
    away = np.concatenate([[0.0], np.cumsum(np.log(np.maximum(factors, TINY)))])
    correlation = np.exp(-np.abs(np.subtract.outer(away, away)))
    return np.asarray(np.linalg.cholesky(correlation + 1e-9 * np.eye(len(away))))
