"""Bands of suboptimality on runs whose distribution is known."""

import numpy as np
import pytest

from analysis.cost.band import median_band


def test_a_known_landscape_leaves_no_doubt() -> None:
    curves = np.tile(np.linspace(0, 1, 21)[:, None] * np.array([2.0, 1.0]), (60, 1, 1))
    band = median_band(curves)
    assert band["trial"].tolist() == [1, 2]
    for name in ("median", "low", "high"):
        np.testing.assert_allclose(band[name], [1.0, 0.5])


def test_bands_hold_the_draws_medians() -> None:
    """Runs are exponential with a median that differs from draw to draw, uniform between 1 and 2."""
    source = np.random.default_rng(0)
    scale = source.uniform(1, 2, (120, 1, 1)) / np.log(2)
    bands = [median_band(source.exponential(scale, (120, 20, 1))).loc[0] for _ in range(20)]
    low, median, high = (np.mean([band[name] for band in bands]) for name in ("low", "median", "high"))
    assert median == pytest.approx(1.5, abs=0.08)
    assert 0.8 < low < 1.15
    assert 1.9 < high < 2.4
