"""Costs from runs whose distribution is known."""

import math

import numpy as np
import pytest

from analysis.cost.interval import cost_of


def test_a_known_landscape_leaves_no_doubt() -> None:
    """All draws alike: the median is the runs' own, and the runs' scatter is no doubt about it."""
    times = np.tile(np.arange(1, 12), (50, 1))
    cost = cost_of(times, 20)
    assert (cost.median, *cost.interval()) == (6, 6, 6)
    assert cost.reached == (1, 1, 1)


def test_the_runs_own_noise_is_taken_out() -> None:
    """Draws differ in the chance q of a trial to succeed; few runs on each would alone scatter far more."""
    source = np.random.default_rng(0)
    widths = []
    for _ in range(30):
        chance = source.uniform(0.05, 0.1, 120)
        cost = cost_of(np.minimum(source.geometric(chance[:, None], (120, 20)), 101), 100)
        widths.append([cost.median, *cost.interval()])
    # log 1/2 / log (1 - q) for the middle and the ends of q
    expected = [np.ceil(math.log(0.5) / math.log(1 - q)) for q in (0.075, 0.09875, 0.05125)]
    median, low, high = np.mean(widths, axis=0) - expected
    assert abs(median) < 0.5
    assert -1.5 < low < 0.5  # a little wider, for draws and runs are not many
    assert -0.5 < high < 2.5


def test_half_of_the_runs_beyond_the_budget() -> None:
    times = np.where(np.arange(10) < 4, 3, 21) * np.ones((30, 1), dtype=int)
    cost = cost_of(times, 20)
    assert math.isinf(cost.median)
    assert math.isinf(cost.interval()[0])
    assert cost.reached == pytest.approx((0.4, 0.4, 0.4))


def test_draws_that_disagree_leave_the_end_open() -> None:
    times = np.where(np.arange(30) < 20, 3, 21)[:, None] * np.ones(10, dtype=int)
    cost = cost_of(times, 20)
    low, high = cost.interval()
    assert (cost.median, low) == (3, 3)
    assert math.isinf(high)
    assert cost.reached[0] == pytest.approx(2 / 3)
