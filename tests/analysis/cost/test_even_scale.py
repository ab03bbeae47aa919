"""The scale on which seed noise is even."""

import numpy as np
import pytest

from analysis.cost.even_scale import fit_even_scale


def test_growing_noise_is_evened() -> None:
    source = np.random.default_rng(0)
    levels = np.linspace(0.02, 0.1, 300)
    noise = 0.005 + 0.3 * (levels - 0.02)
    values = levels[:, None] + noise[:, None] * source.standard_normal((300, 4))
    scale = fit_even_scale(levels, values.var(axis=1, ddof=1), 3, 0.02, 0.05, 1e-9)
    assert scale.noise == pytest.approx(0.005, rel=0.2)
    assert scale.noise / scale.length == pytest.approx(0.3, rel=0.2)
    evened = scale.to(values)
    low, high = evened[:100].std(axis=1, ddof=1), evened[200:].std(axis=1, ddof=1)
    assert high.mean() / low.mean() == pytest.approx(1, abs=0.15)


def test_there_and_back() -> None:
    scale = fit_even_scale(np.linspace(0, 1, 50), np.full(50, 0.01), 2, 0.1, 0.5, 1e-9)
    x = np.linspace(0.1, 3, 20)
    np.testing.assert_allclose(scale.back(scale.to(x)), x)
    assert scale.slope(np.array([0.1])) == pytest.approx(1)
