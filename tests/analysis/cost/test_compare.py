"""Verdicts on costs that are known."""

import math

import numpy as np
import pytest

from analysis.cost.compare import compare_costs
from analysis.cost.interval import Cost


def known(low: int, high: int, budget: int = 40) -> Cost:
    """A cost that is any of low, ..., high with equal probability."""
    at = np.arange(1, budget + 1)
    return Cost(np.clip((at - low + 1) / (high - low + 1), 0, 1), (1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ((4, 6), (8, 12), "cheaper"),
        ((8, 12), (4, 6), "dearer"),
        ((10, 10), (10, 10), "equal"),
        ((10, 10), (11, 11), "cheaper"),
        ((19, 21), (19, 21), "equal"),
        ((5, 20), (5, 20), "undecided"),
        ((8, 12), (11, 16), "undecided"),
    ],
)
def test_verdicts(first: tuple[int, int], second: tuple[int, int], verdict: str) -> None:
    assert compare_costs(known(*first), known(*second)).verdict == verdict


def test_the_ratio_and_its_interval() -> None:
    found = compare_costs(known(10, 10), known(5, 20))
    assert found.ratio == pytest.approx(10 / 13)
    assert (found.low, found.high) == (0.5, 2)


def test_beyond_the_budget_is_no_ratio() -> None:
    never = Cost(np.zeros(40), (0.1, 0.1, 0.1))
    assert math.isnan(compare_costs(never, never).ratio)
    assert compare_costs(never, never).verdict == "undecided"
    assert compare_costs(known(5, 6), never).verdict == "cheaper"
    assert compare_costs(never, known(5, 6)).verdict == "dearer"
