"""CMA-ES (Hansen & Ostermeier, 2001), as pycma has it. https://arxiv.org/abs/1604.00772

In the unit cube, with pycma's boundary handling: first mean uniform, first step size 0.3, pycma's population size
4 + 3 ln(d). When pycma's stopping rules end a search, the next starts at another mean. On a grid, points count as the
cells that they lie in.

pycma ranks the losses of a generation, so +inf is told as a number larger than all of them. It needs two dimensions: a
single axis gets a second one without effect.
"""

from __future__ import annotations

import cma
import numpy as np

from search_spaces import SearchSpace
from tuners.tuner import FloatArray, Seed, Tuner

STEP_SIZE = 0.3


class CMAES(Tuner):
    """A generation at a time; `ask` returns what is left of one."""

    def __init__(self, space: SearchSpace, seed: Seed) -> None:
        super().__init__(space, seed)
        self._start()

    def _start(self) -> None:
        dimension = max(len(self.space.axes), 2)
        options = {
            "bounds": [0, 1],
            "verbose": -9,
            "seed": np.nan,  # leaves NumPy's global state alone
            "randn": lambda *shape: self.rng.standard_normal(shape),
        }
        self._search = cma.CMAEvolutionStrategy(self.rng.random(dimension), STEP_SIZE, options)
        self._generation: list[FloatArray] = []
        self._losses: list[float] = []

    def _propose(self, n: int) -> FloatArray:
        if not self._generation:
            if self._search.stop():
                self._start()
            self._generation, self._losses = self._search.ask(), []
        left = np.array(self._generation[len(self._losses) :][:n])
        return np.clip(left[:, : len(self.space.axes)], 0, 1)

    def _learn(self, points: FloatArray, losses: FloatArray) -> None:
        del points
        self._losses += losses.tolist()
        if len(self._losses) == len(self._generation):
            finite = [loss for loss in self._losses if loss < np.inf]
            worst = max(map(abs, finite), default=1.0) * 2 + 1
            self._search.tell(self._generation, [min(loss, worst) for loss in self._losses])
            self._generation = []
