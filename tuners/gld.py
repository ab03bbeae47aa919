"""Gradientless descent (Golovin et al., 2020). https://arxiv.org/abs/1911.06317, Algorithm 1 (GLD-Search)

    K = log2(R / r); each iteration draws v_k ~ 2^-k R · D for k = 0..K and moves to the best of x and x + v_k

D is the uniform unit ball. On a grid, x are indices (log space), R is half the longest axis, r = 1: 10, 5, 2.5, 1.25 on
21 values, so 4 evaluations an iteration. x moves only to something strictly better.

Differs from the paper: points are rounded to the grid and drawn again (20 tries) when they are outside, equal to x or
already known; a known one is then taken at its stored loss. An iteration without anything new to evaluate is followed
by the next; after 10 of them, or when there is nowhere to go, x starts anew at an unknown cell.
AvaGrad's own code for this tuner was not released.
"""

from __future__ import annotations

import numpy as np

from search_spaces import SearchSpace
from tuners.lattice import Lattice, Point
from tuners.tuner import FloatArray, Seed, Tuner

TRIES = 20
IDLE_ITERATIONS = 10


class GLD(Tuner):
    """Steps in a ball, of all sizes at once."""

    idle_iterations = IDLE_ITERATIONS

    def __init__(self, space: SearchSpace, seed: Seed) -> None:
        super().__init__(space, seed)
        self._lattice = Lattice(space)
        radius = max(self._lattice.extents.max() / 2, 1.0)
        self.radii = radius * 0.5 ** np.arange(int(np.log2(radius)) + 1)
        self._known: dict[Point, float] = {}
        self._x: Point | None = None
        self._candidates: list[Point] = []
        self._wanted: list[Point] = []
        self._iteration = 0

    def _propose(self, n: int) -> FloatArray:
        if not self._wanted:
            self._next_iteration()
        asked = self._wanted[:n]
        return self._lattice.units(np.array(asked).reshape(len(asked), len(self.space.axes)))

    def _learn(self, points: FloatArray, losses: FloatArray) -> None:
        told, self._wanted = self._wanted[: len(points)], self._wanted[len(points) :]
        self._known.update(zip(told, losses.tolist(), strict=True))
        if not self._wanted:
            self._move()

    def _next_iteration(self) -> None:
        """Find candidates, some of them unknown, or a new start; leave nothing wanted when all cells are known."""
        for _ in range(self.idle_iterations):
            if self._x is None:
                break
            self._candidates = self._draw_candidates(self._x)
            self._wanted = [point for point in self._candidates if point not in self._known]
            self._iteration += 1
            if self._wanted:
                return
            self._move()
        self._x = None
        start = self._lattice.draw_unknown(self.rng, self._known)
        self._candidates = self._wanted = [start] if start is not None else []

    def _draw_candidates(self, x: Point) -> list[Point]:
        """At most one candidate a radius: the first of its draws that is unknown, else the last one that is inside."""
        steps = self.radii[:, None, None] * self._directions((len(self.radii), TRIES))
        drawn = self._lattice.snap(np.array(x) + steps)
        inside = self._lattice.inside(drawn).tolist()
        candidates: dict[Point, None] = {}
        for points, fits in zip(drawn.tolist(), inside, strict=True):
            fallback = None
            for coordinates, fit in zip(points, fits, strict=True):
                point: Point = tuple(coordinates)
                if not fit or point == x or point in candidates:
                    continue
                fallback = point
                if point not in self._known:
                    break
            if fallback is not None:
                candidates[fallback] = None
        return list(candidates)

    def _directions(self, shape: tuple[int, int]) -> FloatArray:
        """Uniform in the unit ball (*shape, d)."""
        dimension = len(self.space.axes)
        normal = self.rng.standard_normal((*shape, dimension))
        length = np.sqrt((normal * normal).sum(-1)) / self.rng.random(shape) ** (1 / dimension)
        return np.asarray(normal / length[..., None])

    def _move(self) -> None:
        """To the best candidate, if it is strictly better than x."""
        best = min(self._candidates, key=self._known.__getitem__, default=None)
        if best is not None and (self._x is None or self._known[best] < self._known[self._x]):
            self._x = best
