"""Bayesian optimisation with a Gaussian process (Snoek, Larochelle & Adams, 2012), as scikit-optimize has it.

https://arxiv.org/abs/1206.2944

scikit-optimize's process (Matérn 5/2, a length scale an axis, Gaussian noise) in the unit cube, and expected
improvement. The first 10 points are random, its default.

Differs from `skopt.Optimizer`: expected improvement is computed for every unknown cell of a grid (for 2,000 random
points of a continuous space), and the kernel is fitted anew only when the points have become a fifth more, starting
from the last fit and without restarts. An ask then costs milliseconds instead of seconds. +inf counts as the worst
finite loss.
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from skopt.acquisition import gaussian_ei
from skopt.learning import GaussianProcessRegressor
from skopt.learning.gaussian_process.kernels import ConstantKernel, Kernel, Matern, WhiteKernel

from search_spaces import SearchSpace
from tuners.random_search import Random
from tuners.tuner import FloatArray, Seed, Tuner

FIRST_POINTS = 10
CANDIDATES = 2000
REFIT_GROWTH = 1.2


class GP(Tuner):
    """One point at a time, after the random ones at the start."""

    def __init__(self, space: SearchSpace, seed: Seed) -> None:
        super().__init__(space, seed)
        dimension = len(space.axes)
        self._first = Random(space, int(self.rng.integers(2**63))).ask(FIRST_POINTS)
        self._points = np.empty((0, dimension))
        self._losses = np.empty(0)
        # scikit-optimize's own kernel and bounds
        scales = Matern(np.ones(dimension), [(0.01, 100)] * dimension, nu=2.5)
        self._kernel: Kernel = ConstantKernel(1.0, (0.01, 1000.0)) * scales + WhiteKernel()
        self._fit_at = 0.0
        self._cells = None
        if space.is_grid:
            self._cells = (np.indices(space.shape).reshape(dimension, -1).T + 0.5) / space.shape
            self._unknown = np.ones(len(self._cells), dtype=bool)

    def _propose(self, n: int) -> FloatArray:
        done = len(self._losses)
        if done < len(self._first):
            return self._first[done : done + n]
        if self._cells is None:
            candidates = self.rng.random((CANDIDATES, len(self.space.axes)))
        else:
            candidates = self._cells[self._unknown]
        if len(candidates) == 0:
            return candidates
        losses = np.where(np.isinf(self._losses), np.nan, self._losses)
        finite = (
            np.nan_to_num(losses, nan=np.nanmax(losses)) if not np.isnan(losses).all() else np.zeros(done)
        )
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", ConvergenceWarning
            )  # a length scale at its bound, while points are few
            improvement = gaussian_ei(candidates, self._fit(finite), y_opt=finite.min())
        return candidates[[int(np.argmax(improvement))]]

    def _learn(self, points: FloatArray, losses: FloatArray) -> None:
        self._points = np.concatenate([self._points, points])
        self._losses = np.concatenate([self._losses, losses])
        if self._cells is not None:
            indices = self.space.unit_to_index(points)
            self._unknown[self.space.flat_index(indices)] = False

    def _fit(self, losses: FloatArray) -> GaussianProcessRegressor:
        """The process given all points, its kernel fitted when that is due."""
        due = len(losses) >= self._fit_at
        model = GaussianProcessRegressor(
            self._kernel, normalize_y=True, noise="gaussian", optimizer="fmin_l_bfgs_b" if due else None
        )
        model.fit(self._points, losses)
        if due:
            # scikit-optimize moves the noise from the fitted kernel into `noise_`
            self._kernel = model.kernel_.k1 + WhiteKernel(model.noise_)
            self._fit_at = REFIT_GROWTH * len(losses)
        return model
