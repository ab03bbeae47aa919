"""Index coordinates: a space as a lattice of whole numbers, for tuners that walk on it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from search_spaces import SearchSpace

Point = tuple[float, ...]
"""Coordinates, hashable."""
CONTINUOUS_EXTENT = 20.0
"""Extent of a continuous axis, that of the 21 values that each axis of AvaGrad's grid has."""


class Lattice:
    """Coordinates x with 0 <= x_i <= extent_i: grid indices on grid axes, real numbers on continuous ones.

    Attributes:
        extents: (d,) the largest coordinate of each axis.
        on_grid: (d,) whether an axis is a grid.
        size: number of cells, or infinity when an axis is continuous.
    """

    def __init__(self, space: SearchSpace) -> None:
        lengths = [len(axis.values) for axis in space.axes]
        self.on_grid = np.array([axis.is_grid for axis in space.axes])
        self.lengths = np.array(lengths)
        self.extents = np.where(self.on_grid, self.lengths - 1.0, CONTINUOUS_EXTENT)
        self.size = float(np.prod(self.lengths)) if self.on_grid.all() else np.inf

    def snap(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Coordinates (..., d) rounded on grid axes; they may lie outside."""
        return np.where(self.on_grid, np.rint(x), x)

    def inside(self, x: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether coordinates (..., d) lie in the space (...)."""
        return np.asarray(((x >= 0) & (x <= self.extents)).all(-1))

    def units(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points of the unit cube (..., d) of snapped coordinates: the middle of the bin on grid axes."""
        return np.where(self.on_grid, (x + 0.5) / np.maximum(self.lengths, 1), x / CONTINUOUS_EXTENT)

    def draw(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Coordinates (d,) drawn uniformly."""
        top = np.where(self.on_grid, self.lengths, CONTINUOUS_EXTENT)
        x = rng.random(len(top)) * top
        return np.where(self.on_grid, np.floor(x), x)

    def draw_unknown(self, rng: np.random.Generator, known: Mapping[Point, float]) -> Point | None:
        """A point drawn uniformly from those that are not known; None when there is none."""
        if len(known) >= self.size:
            return None
        while True:
            point: Point = tuple(self.draw(rng).tolist())
            if point not in known:
                return point
