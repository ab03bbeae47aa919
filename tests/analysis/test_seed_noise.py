"""The noise of seeds where its size and its correlation are known."""

import numpy as np
import pytest

from analysis.bands import without_effects
from analysis.seed_noise import SeedNoise, seed_noise

SEEDS, FIRST, SECOND = 400, 15, 9


def noise_of(values: np.ndarray) -> SeedNoise:
    cells = np.ones(values.shape[1:], dtype=bool)
    found = seed_noise(without_effects(values, cells), cells)
    assert found is not None
    return found


def shocks(sd: float = 1.0) -> np.ndarray:
    return np.random.default_rng(0).normal(0, sd, (SEEDS, FIRST, SECOND))


def test_errors_are_those_of_means_and_a_seeds_effect_is_none() -> None:
    rows = np.linspace(0.1, 0.5, SECOND)
    effects = np.random.default_rng(1).normal(0, 10, (SEEDS, 1, SECOND))
    found = noise_of(shocks() * rows + effects)
    inner = found.errors[:, 1:-1].mean(axis=0)  # a cell is pooled with its neighbours, of other rows too
    assert inner == pytest.approx(rows[1:-1] / SEEDS**0.5, rel=0.08)
    assert (found.along_first @ found.along_first.T)[0, 1] < 0.1


def test_neighbours_along_the_first_axis_are_as_alike_as_they_are() -> None:
    """In a chain in which each is correlated with the next one by 0.6."""
    fresh = shocks()
    values = fresh.copy()
    for cell in range(1, FIRST):
        values[:, cell] = 0.6 * values[:, cell - 1] + 0.8 * fresh[:, cell]
    found = noise_of(values)
    along = found.along_first @ found.along_first.T
    # a row's mean is taken out: of the chain's covariance C, what is left has (1 - J/n) C (1 - J/n)
    chain = 0.6 ** np.abs(np.subtract.outer(np.arange(FIRST), np.arange(FIRST)))
    centre = np.eye(FIRST) - 1 / FIRST
    left = centre @ chain @ centre
    assert along[3, 4] == pytest.approx(np.diag(left, 1).mean() / np.diag(left).mean(), abs=0.03)
    assert along[3, 5] == pytest.approx(along[3, 4] ** 2)
    assert np.diag(along) == pytest.approx(1)


def test_rows_are_alike_where_the_second_axis_does_not_matter() -> None:
    values = shocks()
    values[:, :, :4] = values[:, :, :1]  # four rows of one noise
    found = noise_of(values)
    across = found.along_second @ found.along_second.T
    assert across[0, 3] > 0.99
    assert across[5, 6] < 0.1


def test_draws_have_these_errors_and_correlations() -> None:
    one = SeedNoise(
        np.full((2, 2), 0.5),
        np.linalg.cholesky(np.array([[1, 0.8], [0.8, 1]])),
        np.linalg.cholesky(np.eye(2)),
    )
    drawn = one.draw(20_000, np.random.default_rng(0)).reshape(-1, 4)
    expected = 0.25 * np.kron([[1, 0.8], [0.8, 1]], np.eye(2))
    np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.01)


def test_one_seed_tells_nothing() -> None:
    assert seed_noise(np.zeros((1, 5, 5)), np.ones((5, 5), dtype=bool)) is None
