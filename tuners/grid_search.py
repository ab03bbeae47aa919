"""Grid search in a random order.

On a grid, every cell once. Where axes are continuous, lattices of 3, 5, 9, 17, ... values on each of them, every
level without the points of those before. Each level is shuffled: a fixed order would make the number of trials until
a good cell depend on where that happens to lie.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
from numpy.typing import NDArray

from search_spaces import SearchSpace
from tuners.lattice import Lattice
from tuners.tuner import FloatArray, Seed, Tuner

MOST_POINTS = 1_000_000
"""A level of a continuous space that is larger is drawn from at random instead of being listed."""


class Grid(Tuner):
    """Every point of a lattice once, then of a finer one; ends when there is none."""

    def __init__(self, space: SearchSpace, seed: Seed) -> None:
        super().__init__(space, seed)
        self._lattice = Lattice(space)
        self._levels = self._all_levels()
        self._left = np.empty((0, len(space.axes)))

    def _propose(self, n: int) -> FloatArray:
        while len(self._left) == 0:
            level = next(self._levels, None)
            if level is None:
                return self._left
            self._left = self.rng.permutation(level)
        return self._left[:n]

    def _learn(self, points: FloatArray, losses: FloatArray) -> None:
        del losses  # it does not learn
        self._left = self._left[len(points) :]

    def _all_levels(self) -> Iterator[FloatArray]:
        """Points in the unit cube (m, d), level after level."""
        on_grid, lengths = self._lattice.on_grid, self._lattice.lengths
        for level in count(1):
            counts = np.where(on_grid, lengths, 2**level + 1)
            if float(np.prod(counts.astype(float))) > MOST_POINTS:
                while True:
                    yield self.rng.random((1024, len(counts)))
            indices = np.indices(tuple(counts)).reshape(len(counts), -1).T
            units = np.where(on_grid, (indices + 0.5) / counts, indices / np.maximum(counts - 1, 1))
            yield units[self._is_new(indices, level)]
            if on_grid.all():
                return

    def _is_new(self, indices: NDArray[np.int64], level: int) -> NDArray[np.bool_]:
        """Whether a point was not in the level before: that had every second index of the continuous axes."""
        if level == 1:
            return np.ones(len(indices), dtype=bool)
        odd: NDArray[np.bool_] = (indices[:, ~self._lattice.on_grid] % 2 == 1).any(1)
        return odd
