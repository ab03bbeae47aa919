"""TPE (Bergstra, Bardenet, Bengio & Kégl, 2011), as Optuna has it. https://papers.nips.cc/paper/4443

Optuna's `TPESampler` on an in-memory study: indices on grid axes, the unit interval on continuous ones. The papers'
TPE models each axis by itself, `multivariate=False`; the class for `multivariate=True`, Optuna 5's default, is
`MultivariateTPE`. The first 10 points are random, Optuna's default.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from search_spaces import SearchSpace
from tuners.in_memory import in_memory_study
from tuners.tuner import FloatArray, Seed, Tuner


class TPE(Tuner):
    """One point at a time."""

    multivariate: ClassVar[bool] = False

    def __init__(self, space: SearchSpace, seed: Seed) -> None:
        super().__init__(space, seed)
        sampler = optuna.samplers.TPESampler(
            multivariate=self.multivariate, constant_liar=False, seed=int(self.rng.integers(2**32))
        )
        self._study = in_memory_study(sampler)
        self._distributions: dict[str, BaseDistribution] = {
            axis.name: IntDistribution(0, len(axis.values) - 1) if axis.is_grid else FloatDistribution(0, 1)
            for axis in space.axes
        }
        self._lengths = np.array([len(axis.values) for axis in space.axes])

    def _propose(self, n: int) -> FloatArray:
        del n
        self._trial = self._study.ask(self._distributions)
        drawn = np.array([self._trial.params[axis.name] for axis in self.space.axes], dtype=np.float64)
        units = np.where(self._lengths > 0, (drawn + 0.5) / np.maximum(self._lengths, 1), drawn)
        return units[None]

    def _learn(self, points: FloatArray, losses: FloatArray) -> None:
        del points
        self._study.tell(self._trial, float(losses[0]))


class MultivariateTPE(TPE):
    """TPE that models the axes together."""

    multivariate = True
