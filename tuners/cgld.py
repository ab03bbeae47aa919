"""Coordinate gradientless descent (Savarese et al., 2021, section 7). https://arxiv.org/abs/1912.01823

GLD with draws along one axis at a time, the axes in turn: v_k = 2^-k R · u on the axis, u uniform in [-1, 1].

Differs from the paper, which gives no details: when every axis has been tried once without anything new to evaluate,
x starts anew at an unknown cell. Without that it stops for good at points that no single axis improves.
"""

from __future__ import annotations

import numpy as np

from search_spaces import SearchSpace
from tuners.gld import GLD
from tuners.tuner import FloatArray, Seed


class CGLD(GLD):
    """Steps along one axis, of all sizes at once, the axes in turn."""

    def __init__(self, space: SearchSpace, seed: Seed) -> None:
        super().__init__(space, seed)
        self.idle_iterations = len(space.axes)
        self._first_axis = int(self.rng.integers(len(space.axes)))

    def _directions(self, shape: tuple[int, int]) -> FloatArray:
        """Uniform in [-1, 1] on this iteration's axis (*shape, d)."""
        directions = np.zeros((*shape, len(self.space.axes)))
        axis = (self._first_axis + self._iteration) % len(self.space.axes)
        directions[..., axis] = self.rng.uniform(-1, 1, shape)
        return directions
