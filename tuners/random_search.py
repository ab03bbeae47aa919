"""Random search (Bergstra & Bengio, 2012). https://jmlr.org/papers/v13/bergstra12a.html

Uniform draws; on a grid without replacement, so that N cells of which k are good take (N + 1) / (k + 1) trials on
average until the first good one.
"""

from __future__ import annotations

import numpy as np

from search_spaces import SearchSpace
from tuners.tuner import FloatArray, Seed, Tuner


class Random(Tuner):
    """Cells in a random order, or uniform points where an axis is continuous."""

    def __init__(self, space: SearchSpace, seed: Seed) -> None:
        super().__init__(space, seed)
        self._order = self.rng.permutation(space.size) if space.is_grid else None
        self._next = 0

    def _propose(self, n: int) -> FloatArray:
        if self._order is None:
            return self.rng.random((n, len(self.space.axes)))
        chosen = self._order[self._next : self._next + n]
        indices = np.stack(np.unravel_index(chosen, self.space.shape), axis=1)
        return (indices + 0.5) / self.space.shape

    def _learn(self, points: FloatArray, losses: FloatArray) -> None:
        del losses  # it does not learn
        self._next += len(points)
