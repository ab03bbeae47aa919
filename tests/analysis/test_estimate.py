import math

import numpy as np
import pytest
from scipy import stats

from analysis.estimate import Estimate, mean_of, quantile


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
