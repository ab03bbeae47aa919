"""Lines through optima that lie on a line exactly, or off it by what is known."""

import math

import numpy as np
import pytest

from analysis.line import SHAPE_FACTOR, bend_of, bent_line, design, straight_line
from analysis.optima import Optima

Y = np.arange(-5, 5.5, 0.5)
Z = 1.959963984540054


def found(places: np.ndarray, variance: float = 1e-4, asymmetry: np.ndarray | None = None) -> Optima:
    none = np.zeros(len(places))
    return Optima(
        np.ones(len(places), dtype=bool),
        places,
        variance * np.eye(len(places)),
        none if asymmetry is None else asymmetry,
        np.diag(none),
        np.full(len(places), 3),
    )


def bent(y: np.ndarray, bend: float = 0.75) -> np.ndarray:
    return -1 + np.maximum(y - bend, 0)


def test_columns_of_a_bend() -> None:
    columns = design(np.array([-1.0, 0.0, 2.0]), 0.5, 2)
    assert columns.tolist() == [[1, -1.5, 0], [1, -0.5, 0], [1, 0, 1.5]]
    assert design(Y, np.array([0.0, 1.0]), 1).shape == (2, len(Y), 2)


def test_a_straight_line_has_the_intervals_of_least_squares() -> None:
    line = straight_line(Y + 1, found(0.25 + 2 * (Y + 1)))
    assert line.fit == pytest.approx([2.25, 2])
    assert line.bend == pytest.approx(1)
    assert line.halves == pytest.approx([Z * 0.01 / math.sqrt(21), Z * 0.01 / math.sqrt((Y**2).sum())])
    assert line.lack == pytest.approx([0, 0])
    assert line.change == 0


def test_scatter_that_seeds_do_not_explain_is_in_the_interval() -> None:
    rng, held, halves = np.random.default_rng(0), 0, []
    for _ in range(400):
        line = straight_line(Y, found(0.5 * Y + rng.normal(0, 0.1, len(Y)), 1e-6))
        held += abs(line.fit[1] - 0.5) <= line.halves[1]
        halves.append(line.halves[1])
        assert line.lack == pytest.approx(line.halves, rel=0.01)
    assert 370 <= held <= 392  # of a fair 95% interval, three standard deviations to each side
    t = 2.093  # of 19 degrees of freedom
    assert np.median(halves) == pytest.approx(t * 0.1 / math.sqrt((Y**2).sum()), rel=0.1)


def test_asymmetry_that_changes_along_the_line_counts_twice() -> None:
    plain = straight_line(Y, found(Y)).halves[1]
    tilted = straight_line(Y, found(Y, asymmetry=0.03 * Y))
    assert tilted.halves[1] == pytest.approx(math.hypot(plain, SHAPE_FACTOR * 0.03))
    level = straight_line(Y, found(Y, asymmetry=np.full(len(Y), 0.03)))
    assert level.halves[1] == pytest.approx(math.hypot(plain, 0.03 / 10))  # the line is ten long


def test_a_bend_is_found_where_it_is() -> None:
    bend, low, high = bend_of(Y, found(bent(Y)), 0.5) or (math.nan,) * 3
    assert bend == pytest.approx(0.75, abs=1e-3)
    assert (low, high) == pytest.approx((0.25, 1.25), abs=0.01)  # a step to each side
    line = bent_line(Y, found(bent(Y)), 0.75)
    assert line.fit == pytest.approx([-1, 0, 1])
    before, after = line.slope(0), line.slope(1)
    assert before.high < 0.05 < 0.95 < after.low
    assert line.change < 0.1


def test_a_straight_line_and_too_few_rows_have_no_bend() -> None:
    assert bend_of(Y, found(0.5 * Y), 0.5) is None
    few = Y[:7]
    assert bend_of(few, found(bent(few, -3.5)), 0.5) is None
