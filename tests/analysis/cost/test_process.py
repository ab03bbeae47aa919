"""The process conditions as the textbook says, and its draws hold levels that are known."""

import numpy as np
import pytest
from scipy import linalg, stats

from analysis.cost.process import Prior, Replicates, grid_distances, matern, restricted_likelihood

PRIOR = Prior((-3.0, 1.0), (-5.0, 1.0))


def replicates(
    rng: np.random.Generator, side: int = 7, seeds: int = 4, noise: float = 0.02
) -> tuple[Replicates, np.ndarray]:
    """Cells of a side x side grid whose levels come from the process itself."""
    cells = np.arange(side * side)
    distances = grid_distances(cells, (side, side))
    root = np.linalg.cholesky(matern(distances, np.array([3.0, 3.0])) + 1e-9 * np.eye(len(cells)))
    levels = 0.05 * root @ rng.standard_normal(len(cells))
    values = levels[:, None] + noise * rng.standard_normal((len(cells), seeds))
    contrasts = values @ linalg.helmert(seeds).T
    counts = np.full(len(cells), float(seeds))
    return Replicates(
        values.mean(axis=1), np.full(len(cells), noise**2), counts, contrasts, distances
    ), levels


def test_matern_by_hand() -> None:
    r = np.sqrt(3) * 2 / 4
    assert matern(np.array([[[2.0]]]), np.array([4.0]))[0, 0] == pytest.approx((1 + r) * np.exp(-r))


def test_restricted_likelihood_does_not_see_the_constant() -> None:
    covariance = np.array([[2.0, 0.5], [0.5, 1.0]])
    column = np.array([[0.3], [1.0]])
    found = restricted_likelihood(covariance, column)
    assert restricted_likelihood(covariance, column + 7) == pytest.approx(found)
    # the difference of the two is normal with variance 2 + 1 - 2 * 0.5
    other = restricted_likelihood(covariance, np.array([[0.0], [0.0]]))
    assert found - other == pytest.approx(
        stats.norm.logpdf(0.7, scale=2**0.5) - stats.norm.logpdf(0, scale=2**0.5)
    )


def test_levels_are_conditional_normals() -> None:
    """With a constant that is nearly known, as a normal prior with a huge variance gives them."""
    data, _ = replicates(np.random.default_rng(0), side=3)
    parameters = data.start(PRIOR)
    level, noise = data.covariances(parameters)
    level_and_constant = level + 10
    gain = level_and_constant @ np.linalg.inv(level_and_constant + data.of_means(noise))
    mean, covariance = data.levels(parameters)
    np.testing.assert_allclose(mean, gain @ data.means, atol=1e-5)
    np.testing.assert_allclose(covariance, level_and_constant - gain @ level_and_constant, atol=1e-5)


def test_draws_hold_the_levels_that_are_known() -> None:
    """95% intervals of differences of two cells' levels, over simulated landscapes."""
    held, count = 0, 0
    for simulation in range(25):
        rng = np.random.default_rng(simulation)
        data, levels = replicates(rng)
        drawn = data.draw_levels(data.chain(PRIOR, 240, rng), 200, rng)
        pairs = rng.integers(len(levels), size=(20, 2))
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        differences = drawn[:, pairs[:, 0]] - drawn[:, pairs[:, 1]]
        low, high = np.quantile(differences, [0.025, 0.975], axis=0)
        truth = levels[pairs[:, 0]] - levels[pairs[:, 1]]
        held += int(((low <= truth) & (truth <= high)).sum())
        count += len(pairs)
    assert 0.90 <= held / count <= 0.99
