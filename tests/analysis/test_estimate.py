import math

import numpy as np
import pytest
from scipy import stats

from analysis.estimate import Estimate, jackknife, mean_of, quantile


def test_a_mean_over_seeds_has_the_t_interval() -> None:
    values = np.array([0.1, 0.4, 0.2, 0.6])
    found = mean_of(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.estimate, found.low, found.high) == pytest.approx((0.325, expected.low, expected.high))
    assert quantile(math.inf) == pytest.approx(1.96, abs=1e-3)


def test_one_seed_has_no_interval() -> None:
    alone = mean_of(np.array([0.5]))
    assert alone.to_json() == {"estimate": 0.5, "low": None, "high": None}
    assert alone.text(".2f") == "0.50"
    assert Estimate(0.984, 0.94, 1.013).text(".2f") == "0.98 [0.94, 1.01]"


def test_a_jackknife_of_many_seeds_looks_at_some_subsets() -> None:
    """Of 60 seeds there are 1e17 halves; the mean's standard error is known."""
    held = 0
    for source in range(50):
        values = np.random.default_rng(source).normal(2.0, 1.0, 60)
        found = jackknife(values, lambda part: float(part.mean()), unbiased=True)
        assert found.estimate == values.mean()
        held += found.low <= 2.0 <= found.high
        assert 0.6 < (found.high - found.low) / (2 * 2.0 * values.std(ddof=1) / np.sqrt(60)) < 1.5
    assert held >= 44
