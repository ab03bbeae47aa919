"""Coordinates to tune instead, on landscapes where they are known."""

import math

import known_landscapes as known
import numpy as np
import pytest

from analysis.advice import advise, best_exponent, cost_of, moved, sheared, shift_of, simplest, trials
from analysis.estimate import Estimate
from analysis.pairs import whole_values
from analysis.ridge import ridge


def advice_on(surface: np.ndarray, noise: float = 0.01):
    landscape = known.landscape(surface, noise)
    return advise(landscape, ridge(landscape))


def test_a_shear_takes_the_nearest_measured_cell() -> None:
    x = np.array([0.0, 1.0, 3.0])
    places = sheared(x, np.array([0.0, 0.4, 0.6, -1.2, 9.0]))
    assert places.T.tolist() == [[0, 1, 2], [0, 1, 2], [1, 1, 2], [-1, 0, 1], [-1, -1, -1]]
    values = np.arange(15.0).reshape(1, 3, 5)
    assert moved(values, places)[0, :, 3].tolist() == [14, 3, 8]


def test_a_shear_by_the_slope_levels_the_ridge() -> None:
    surface, y = known.valley(1.0), known.DECADES
    level = moved(surface[None], sheared(y, shift_of(y, (1.0,), 0.0, 0.0)))[0]
    inside = level < surface.max()
    np.testing.assert_allclose(np.where(inside, level, 0), np.where(inside, known.valley(0.0), 0), atol=1e-12)
    bent = moved(known.two_regimes(-1.5)[None], sheared(y, shift_of(y, (0.0, 1.0), -1.5, 0.0)))[0]
    assert (bent.argmin(axis=0) == bent.argmin(axis=0)[0]).all()


@pytest.mark.parametrize("slope", [0.25, 0.5, 1.0, -1.0])
@pytest.mark.parametrize("noise", [0.002, 0.02])
def test_the_exponent_is_the_ridges_slope(slope: float, noise: float) -> None:
    held = 0
    for simulation in range(20):
        landscape = known.landscape(known.valley(slope, 0.3, 0.01), noise, rng=simulation)
        line = ridge(landscape)
        rows = ~np.isnan(line.optima)
        found = best_exponent(
            whole_values(landscape)[:, :, rows], known.DECADES, known.DECADES[rows], line.slope
        )
        held += found.low - 1e-9 <= slope <= found.high + 1e-9
        assert abs(found.estimate - slope) < 0.15
        assert found.high - found.low < 0.7
    assert held >= 17


def test_with_one_seed_the_exponent_is_the_slope() -> None:
    landscape = known.landscape(known.valley(1.0, 0.3, 0.01), seeds=1)
    slope = Estimate(1.02, 1.0, 1.04)
    assert best_exponent(whole_values(landscape), known.DECADES, known.DECADES, slope) == slope


def test_steep_ridges_have_steep_exponents() -> None:
    found = advice_on(known.valley(3.0, 0.3, 0.05), noise=0.005)
    assert found.coordinate == "alpha/eps^3"
    assert found.exponents[0].low <= 3 <= found.exponents[0].high


def test_a_ridge_away_from_the_middle_stays_inside_the_new_grid() -> None:
    found = advice_on(known.valley(1.0, 5.5, 0.01), noise=0.005)
    assert found.coordinate == "alpha/eps"
    assert all(math.isfinite(cost.after.estimate) for cost in found.cost.values())


def test_simple_exponents_are_preferred() -> None:
    assert simplest(Estimate(0.97, 0.83, 1.1)) == 1
    assert simplest(Estimate(-0.42, -0.55, -0.2)) == -0.5
    assert simplest(Estimate(0.36, 0.3, 0.4)) == pytest.approx(1 / 3)
    assert simplest(Estimate(0.723, 0.7, 0.74)) == 0.72
    assert simplest(Estimate(0.97, math.nan, math.nan)) == 0.97


def test_tuning_one_at_a_time_is_cheaper_in_the_new_coordinates() -> None:
    found = advice_on(known.valley(1.0, 0.3, 0.02), noise=0.005)
    assert found.coordinate == "alpha/eps"
    assert found.used == (1.0,)
    for cost in found.cost.values():
        assert cost.after.estimate < cost.before.estimate
        assert cost.sooner.low > 0.5
    assert found.penalty.estimate < 0.01
    assert not found.one_parameter  # eps matters still
    assert found.to_json()["trials"]["cgld"]["after"]["estimate"] == found.cost["cgld"].after.estimate


def test_two_parameters_that_are_one() -> None:
    """As Apollo's eta and sigma are by its Theorem 1."""
    found = advice_on(known.valley(1.0, 0.3), noise=0.01)
    assert found.one_parameter
    assert found.remainder.high < 0.01
    assert not advice_on(known.valley(0.5, 0.3, 0.02)).one_parameter


def test_coordinates_in_words() -> None:
    bent = advice_on(known.two_regimes(-1.5))
    assert bent.coordinate.startswith("alpha/max(eps, 0.03")
    assert bent.exponents[0].estimate == 0
    assert advice_on(known.valley(-1.0)).coordinate == "alpha*eps"
    assert advice_on(known.valley(0.5)).coordinate == "alpha/eps^0.5"
    for scales, words in {
        ("log", "linear"): "alpha/10^(0.5*eps)",
        ("linear", "log"): "alpha - 0.5*log10(eps)",
        ("linear", "linear"): "alpha - 0.5*eps",
    }.items():
        landscape = known.landscape(known.valley(0.5), 0.002)
        for axis, scale in zip(("alpha", "eps"), scales, strict=True):
            if scale == "linear":
                landscape = landscape.assign_coords({axis: (axis, known.DECADES, {"scale": "linear"})})
        assert advise(landscape, ridge(landscape)).coordinate == words


def test_a_target_that_is_never_reached_has_no_median() -> None:
    values = whole_values(known.landscape(known.valley(1.0, 0.3, 0.02), 0.005))
    worse = moved(values, np.full((21, 21), -1))  # the new grid lacks every good cell
    assert math.isinf(trials(worse, values, "cgld", 0.01).median)
    assert trials(values, values, "cgld", 1.0).median == 1
    found = cost_of(values, worse, "cgld", 0.01)
    assert found.after.to_json() == {"estimate": None, "low": None, "high": None}
    assert found.sooner.high < 0.5
    again = cost_of(values, values, "cgld", 0.01)
    assert again.before == again.after
    assert again.sooner.low <= 0.5 <= again.sooner.high
