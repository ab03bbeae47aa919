"""A Gaussian process over a grid's cells, observed with replicated seed noise that is alike in neighbouring cells.

    observed mean of cell c = level_c + noise of its n_c seeds / n_c
    level ~ N(constant, signal² k_l + nugget² I), the constant flat
    noise of one seed ~ N(0, D^½ [(1 - share) I + share k_m] D^½), D the variances of one seed

k are Matérn kernels with smoothness 3/2 (Rasmussen & Williams, 2006, eq. 4.17) of distances in grid steps, one length
an axis. The contrasts of seeds within cells tell of the noise alone, the means of both; parameters have weak priors,
and are drawn by a random-walk Metropolis chain (Gelman, Roberts & Gilks, 1996) whose steps follow their covariance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

FloatArray = NDArray[np.float64]

TYPICAL_LENGTH = float(np.log(3.0))
"""Of a kernel, in grid steps (log): the papers' axes have two or three values a decade."""
MOST_LENGTH = 4.0
"""How far, in logarithms, lengths are from the typical one."""
SEARCH = 3.5
"""The mode is looked for so far, in logarithms, around the prior's centre."""
THINNING = 9
ACCEPTED = 0.3
"""Share of steps that a random walk should take."""


@dataclass(frozen=True)
class Prior:
    """Normal priors of log standard deviations (mean, standard deviation), in the metric's units."""

    signal: tuple[float, float]
    nugget: tuple[float, float]


SHARE = (-0.5, 1.5)
"""Normal prior of the logit of the noise's share that neighbouring cells have in common."""
LENGTH_SPREAD, NOISE_LENGTH_SPREAD = 1.0, 0.7


@dataclass(frozen=True)
class Replicates:
    """What is observed of A cells.

    Attributes:
        means: without the effects of seeds, (A,).
        variances: of one seed, (A,).
        counts: seeds of each cell, (A,).
        contrasts: orthonormal contrasts of those seeds that all cells have, (A, S - 1).
        distances: of all pairs of cells along each axis, in grid steps, (d, A, A).
    """

    means: FloatArray
    variances: FloatArray
    counts: FloatArray
    contrasts: FloatArray
    distances: FloatArray

    def start(self, prior: Prior) -> FloatArray:
        """Parameters at the prior's centre.

        Log signal, log nugget, logit share, log lengths of the signal (d), log lengths of the noise (d).
        """
        lengths = np.full(2 * len(self.distances), TYPICAL_LENGTH)
        return np.concatenate([[prior.signal[0], prior.nugget[0], SHARE[0]], lengths])

    def covariances(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Of levels, and of the noise of one seed, (A, A) each."""
        axes = len(self.distances)
        level = np.exp(2 * parameters[0]) * matern(self.distances, np.exp(parameters[3 : 3 + axes]))
        level[np.diag_indices_from(level)] += np.exp(2 * parameters[1])
        share = 1 / (1 + np.exp(-parameters[2]))
        alike = share * matern(self.distances, np.exp(parameters[3 + axes :]))
        alike[np.diag_indices_from(alike)] = 1
        deviations = np.sqrt(self.variances)
        return level, alike * deviations[:, None] * deviations

    def of_means(self, noise: FloatArray) -> FloatArray:
        """Covariance of the means' noise: two cells share as many seeds as the one with fewer has."""
        return noise / np.maximum(self.counts[:, None], self.counts)

    def log_posterior(self, parameters: FloatArray, prior: Prior) -> float:
        axes = len(self.distances)
        lengths = parameters[3:] - TYPICAL_LENGTH
        if (np.abs(lengths) > MOST_LENGTH).any():
            return -np.inf
        offsets = np.concatenate(
            [
                [
                    (parameters[0] - prior.signal[0]) / prior.signal[1],
                    (parameters[1] - prior.nugget[0]) / prior.nugget[1],
                    (parameters[2] - SHARE[0]) / SHARE[1],
                ],
                lengths[:axes] / LENGTH_SPREAD,
                lengths[axes:] / NOISE_LENGTH_SPREAD,
            ]
        )
        level, noise = self.covariances(parameters)
        try:
            of_means = restricted_likelihood(level + self.of_means(noise), self.means[:, None])
            return of_means + restricted_likelihood(noise, self.contrasts) - float(offsets @ offsets) / 2
        except linalg.LinAlgError:
            return -np.inf

    def mode(self, prior: Prior) -> FloatArray:
        """The likeliest parameters."""
        start = self.start(prior)
        found = optimize.minimize(
            lambda parameters: -max(self.log_posterior(parameters, prior), -1e10),
            start,
            method="L-BFGS-B",
            options={"maxiter": 30},
            bounds=[(each - SEARCH, each + SEARCH) for each in start],
        )
        return np.asarray(found.x)

    def chain(self, prior: Prior, steps: int, rng: np.random.Generator) -> list[FloatArray]:
        """Draws of the parameters: a third of the steps is for warming up, of the others every ninth is kept."""
        current: FloatArray = self.mode(prior)
        density = self.log_posterior(current, prior)
        warm = steps // 3
        shape: FloatArray = np.eye(len(current))
        size = 0.3
        walked, kept = [current], []
        for step in range(steps):
            proposal = current + size * shape @ rng.standard_normal(len(current))
            proposed = self.log_posterior(proposal, prior)
            accepted = np.log(rng.random()) < proposed - density
            if accepted:
                current, density = proposal, proposed
            walked.append(current)
            if step < warm:
                size *= np.exp((float(accepted) - ACCEPTED) * min(0.3, 5 / (step + 10)))
            if step in (warm // 2, warm - 40):  # from here on along what was walked so far
                spread = np.cov(np.array(walked[30:]).T) + 1e-3 * np.eye(len(current))
                shape, size = np.asarray(np.linalg.cholesky(spread)), 0.8
            if step >= warm and step % THINNING == 0:
                kept.append(current)
        return kept

    def levels(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean (A,) and covariance (A, A) of the cells' levels, given the observed means and the parameters."""
        level, noise = self.covariances(parameters)
        factor = linalg.cho_factor(level + self.of_means(noise), lower=True)
        ones = np.ones(len(level))
        weights = linalg.cho_solve(factor, ones)
        precision = float(ones @ weights)
        constant = float(weights @ self.means) / precision
        gain = linalg.cho_solve(factor, level)
        left = 1 - gain.T @ ones  # how much the constant's own error enters each cell
        covariance = level - level @ gain + np.outer(left, left) / precision
        return constant + gain.T @ (self.means - constant), (covariance + covariance.T) / 2

    def draw_levels(self, chain: list[FloatArray], count: int, rng: np.random.Generator) -> FloatArray:
        """Draws of all levels (count, A), relative to each other: their mean is that of the observed means."""
        each = -(-count // len(chain))
        drawn = []
        for parameters in chain:
            mean, covariance = self.levels(parameters)
            variances, vectors = np.linalg.eigh(covariance)
            root = vectors * np.sqrt(np.maximum(variances, 0))
            levels = mean + rng.standard_normal((each, len(mean))) @ root.T
            drawn.append(levels - (levels - self.means).mean(axis=1, keepdims=True))
        return np.asarray(np.concatenate(drawn)[rng.permutation(each * len(chain))[:count]])


def matern(distances: FloatArray, lengths: FloatArray) -> FloatArray:
    """Matérn's correlation with smoothness 3/2 of distances (d, A, A) with a length an axis (d,)."""
    r = np.sqrt(3 * ((distances / lengths[:, None, None]) ** 2).sum(axis=0))
    return np.asarray((1 + r) * np.exp(-r))


def restricted_likelihood(covariance: FloatArray, columns: FloatArray) -> float:
    """Log density of independent columns (A, k) about unknown constants (Patterson & Thompson, 1971), but for a term.

    Raises LinAlgError when the covariance is not positive definite.
    """
    root = linalg.cholesky(covariance, lower=True, check_finite=False)
    ones_and_columns = np.column_stack([np.ones(len(columns)), columns])
    whitened = linalg.solve_triangular(root, ones_and_columns, lower=True, check_finite=False)
    ones, rest = whitened[:, 0], whitened[:, 1:]
    precision = float(ones @ ones)
    rest = rest - np.outer(ones, ones @ rest) / precision
    determinants = np.log(np.diag(root)).sum() + 0.5 * np.log(precision)
    return float(-0.5 * (rest**2).sum() - columns.shape[1] * determinants)


def grid_distances(cells: NDArray[np.int64], shape: tuple[int, ...]) -> FloatArray:
    """Distances (d, A, A) of flat cells (A,) of a grid along each axis, in steps."""
    indices = np.stack(np.unravel_index(cells, shape)).astype(float)
    return np.asarray(np.abs(indices[:, :, None] - indices[:, None, :]))
