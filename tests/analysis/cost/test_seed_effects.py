"""The two-way layout finds what it was made of."""

import numpy as np

from analysis.cost.seed_effects import two_way


def test_levels_and_effects_are_found_exactly_where_trials_lack() -> None:
    levels = np.array([0.1, 0.5, 0.2, 0.9])
    effects = np.array([0.03, -0.03, 0.2, -0.1])  # the first two seeds have all cells
    values = levels[:, None] + effects
    values[[0, 3], 2] = np.nan
    values[1:, 3] = np.nan
    found = two_way(values)
    np.testing.assert_allclose(found.levels, levels, atol=1e-12)
    np.testing.assert_allclose(found.effects, effects, atol=1e-12)
    np.testing.assert_allclose(found.residuals[~np.isnan(values)], 0, atol=1e-12)


def test_variances_are_unbiased() -> None:
    source = np.random.default_rng(0)
    values = source.normal(0, 0.3, (2000, 3)) + source.normal(0, 5, 3)
    assert abs(two_way(values).variances.mean() / 0.09 - 1) < 0.06  # its standard error is 2.2%
