"""Alternating exact line searches: coordinate descent, what tuning one knob at a time means.

From a random cell, try every value of one axis with the others held, keep the best, go on with the next axis. On a
separable landscape one round finds the optimum: at most the sum of the axis lengths. When a whole round has changed
nothing, it starts anew at an unknown cell. Axes come in an order drawn once.

A continuous axis is tried at 21 evenly spaced values, over the whole range in the first round and half the span
around x in each further one.
"""

from __future__ import annotations

import numpy as np

from search_spaces import SearchSpace
from tuners.lattice import CONTINUOUS_EXTENT, Lattice, Point
from tuners.tuner import FloatArray, Seed, Tuner

STEPS = int(CONTINUOUS_EXTENT)
ROUNDS = 8
"""Rounds before a search with continuous axes may start anew: the last span is 1/128 of the range."""


class LineSearch(Tuner):
    """One axis after the other, each searched completely."""

    def __init__(self, space: SearchSpace, seed: Seed) -> None:
        super().__init__(space, seed)
        self._lattice = Lattice(space)
        self._axes = self.rng.permutation(len(space.axes)).tolist()
        self._known: dict[Point, float] = {}
        self._wanted: list[Point] = []
        self._start()

    def _start(self) -> None:
        self._x: Point | None = None
        self._turn = 0
        self._settled = 0  # axes in a row along which x is the best

    def _propose(self, n: int) -> FloatArray:
        while not self._wanted:
            if len(self._known) >= self._lattice.size:
                return np.empty((0, len(self.space.axes)))
            if self._x is None:
                self._x = self._lattice.draw_unknown(self.rng, self._known)
                continue
            if self._has_converged():
                self._start()
                continue
            self._line = self._points_of_line(self._x)
            self._wanted = [point for point in self._line if point not in self._known]
            if not self._wanted:
                self._move()
        return self._lattice.units(np.array(self._wanted[:n]))

    def _learn(self, points: FloatArray, losses: FloatArray) -> None:
        told, self._wanted = self._wanted[: len(points)], self._wanted[len(points) :]
        self._known.update(zip(told, losses.tolist(), strict=True))
        if not self._wanted:
            self._move()

    def _points_of_line(self, x: Point) -> list[Point]:
        """All points along this turn's axis, x among them."""
        axis = self._axes[self._turn % len(self._axes)]
        if self._lattice.on_grid[axis]:
            values = np.arange(self._lattice.lengths[axis], dtype=float)
        else:
            span = CONTINUOUS_EXTENT / 2 ** (self._turn // len(self._axes))
            middle = np.clip(x[axis], span / 2, CONTINUOUS_EXTENT - span / 2)
            values = np.linspace(middle - span / 2, middle + span / 2, STEPS + 1)
        line = [(*x[:axis], value, *x[axis + 1 :]) for value in values.tolist()]
        return line if x in line else [x, *line]

    def _move(self) -> None:
        """To the best of the line, if it is strictly better."""
        if self._x is None:
            return
        best = min(self._line, key=self._known.__getitem__)
        if self._known[best] < self._known[self._x]:
            self._x, self._settled = best, 1
        else:
            self._settled += 1
        self._turn += 1

    def _has_converged(self) -> bool:
        refined = self._lattice.on_grid.all() or self._turn >= ROUNDS * len(self._axes)
        return bool(refined) and self._settled >= len(self._axes)
