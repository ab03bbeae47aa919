"""Separability statistics on landscapes with known truth."""

import math

import numpy as np
import pytest
import xarray as xr

from analysis.errors import AnalysisError
from analysis.separability import (
    Estimate,
    coordinate_penalty,
    judge,
    pair_of,
    ridge,
    row_optima,
    transfer_regret,
)

DECADES = np.arange(-5, 5.5, 0.5)  # log10 of both axes: 21 values, half a decade apart


def made(values: np.ndarray, noise: float = 0.0, seeds: int = 5, source: int = 0) -> xr.DataArray:
    """A landscape (seed, alpha, eps) of a surface (21, 21) with noise for every seed and cell."""
    shocks = np.random.default_rng(source).normal(0, noise, (seeds, *values.shape)) if noise else 0.0
    axis = {"scale": "log"}
    return xr.DataArray(
        np.clip(np.broadcast_to(values, (seeds, *values.shape)) + shocks, 0, 1),
        {
            "seed": range(seeds),
            "alpha": ("alpha", 10**DECADES, axis),
            "eps": ("eps", 10**DECADES, axis),
        },
        ("seed", "alpha", "eps"),
        attrs={"metric": "error"},
    )


def valley(slope: float, offset: float = 0.0, tilt: float = 0.0) -> np.ndarray:
    """Saturating valley: alpha* = 10^(offset + slope · log10 eps), deeper towards eps = 1 with `tilt`."""
    alpha, eps = np.meshgrid(DECADES, DECADES, indexing="ij")
    return 0.02 + 0.9 * np.tanh(0.15 * (alpha - offset - slope * eps) ** 2 + tilt * eps**2)


def slope_of(landscape: xr.DataArray) -> Estimate:
    return ridge(landscape).slope


@pytest.mark.parametrize("slope", [0.0, 0.25, 0.5, 1.0, -1.0])
@pytest.mark.parametrize("noise", [0.002, 0.01, 0.05])
def test_slope_intervals_cover_the_truth(slope: float, noise: float) -> None:
    source = np.random.default_rng(3)
    covered = 0
    for simulation in range(40):
        found = slope_of(made(valley(slope, source.uniform(-1, 1)), noise, source=simulation))
        covered += found.low <= slope <= found.high
        assert found.high - found.low < 0.1
    assert covered >= 35  # 93% of 40 is 37; a fair 95% interval gives fewer than 35 in one run of 70


def two_regimes(bend: float) -> np.ndarray:
    """alpha* is constant below eps = 10^bend and proportional to eps above, as the AvaGrad paper describes Adam."""
    alpha, eps = np.meshgrid(DECADES, DECADES, indexing="ij")
    return 0.02 + 0.9 * np.tanh(0.15 * (alpha + 2 - np.maximum(eps - bend, 0)) ** 2)


@pytest.mark.parametrize("noise", [0.002, 0.01, 0.03])
@pytest.mark.parametrize("bend", [-1.5, 0.2])
def test_two_regimes_and_where_they_meet(bend: float, noise: float) -> None:
    covered = np.zeros(3)
    for simulation in range(20):
        found = ridge(made(two_regimes(bend), noise, source=simulation))
        assert found.transition is not None
        assert abs(math.log10(found.transition.estimate) - bend) < 0.5  # within a grid step
        before, after = found.regimes
        covered += [
            found.transition.low <= 10**bend <= found.transition.high,
            before.slope.low <= 0 <= before.slope.high,
            after.slope.low <= 1 <= after.slope.high,
        ]
        assert before.end == after.start == found.transition.estimate
        assert after.slope.low > before.slope.high
    assert (covered >= 17).all()


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
def test_a_straight_ridge_seldom_bends(slope: float) -> None:
    bends = 0
    for simulation in range(40):
        found = ridge(made(valley(slope), 0.02, source=simulation))
        bends += found.transition is not None
        assert len(found.regimes) == 1 + (found.transition is not None)
    assert bends <= 4


def test_a_missing_or_flat_ridge_has_no_slope() -> None:
    assert math.isnan(slope_of(made(np.full((21, 21), 0.5))).estimate)
    assert np.isnan(row_optima(np.full((21, 21), 0.5), DECADES)).all()
    holes = valley(1.0)
    holes[3] = np.nan
    assert math.isnan(slope_of(made(holes)).estimate)
    assert math.isnan(slope_of(made(valley(1.0)).isel(alpha=slice(0, 3))).estimate)


def test_one_seed_has_an_interval_from_the_scatter_of_its_rows() -> None:
    found = slope_of(made(valley(0.5), 0.01, seeds=1))
    assert found.low < 0.5 < found.high


def test_verdicts_in_words() -> None:
    (bent,) = judge("adam", made(two_regimes(-1.5), 0.01))
    assert bent.verdict == "coupled"
    assert bent.axes == ("alpha", "eps")
    assert bent.sentence.startswith("adam: decoupled below eps = 0.0")
    assert ", coupled above (slope 1.0" in bent.sentence or ", coupled above (slope 0.9" in bent.sentence
    (straight,) = judge("avagrad", made(valley(0.0, tilt=0.01), 0.01))
    assert straight.verdict == "decoupled"
    (noise,) = judge("x", made(np.full((21, 21), 0.5), 0.05))
    assert noise.verdict in ("undecided", "decoupled")
    (nothing,) = judge("x", made(np.full((21, 21), 0.5)))
    assert nothing.sentence == "x: undecided, for too few rows have their optimum inside the grid"
    with pytest.raises(AnalysisError, match="fewer than two axes with several values"):
        judge("x", made(valley(0.0)).isel(eps=[3]))


def test_separable_landscapes_are_seldom_called_coupled() -> None:
    source, wrong = np.random.default_rng(0), 0
    for simulation in range(60):
        tilt, offset = source.uniform(0, 0.05), source.uniform(-1.5, 1.5)
        (found,) = judge(
            "x", made(valley(0.0, offset, tilt), source.choice([0.005, 0.02, 0.05]), source=simulation)
        )
        wrong += found.verdict == "coupled"
    assert wrong <= 4


def test_transfer_regret_is_nothing_where_the_axes_separate() -> None:
    decoupled = transfer_regret(made(valley(0.0, tilt=0.01)))
    assert decoupled.dims == ("tuned_at", "used_at")
    np.testing.assert_allclose(decoupled, 0, atol=1e-12)
    coupled = transfer_regret(made(valley(1.0)))
    np.testing.assert_allclose(np.diagonal(coupled), 0)
    assert coupled.sel(tuned_at=1e-2, used_at=1e2, method="nearest") > 0.8
    expected = valley(1.0)[6, 12] - valley(1.0)[12, 12]  # alpha of row 6 used in row 12
    assert coupled.values[6, 12] == pytest.approx(expected)


def test_penalty_of_tuning_one_at_a_time() -> None:
    for noise in (0.0, 0.01):
        separable = coordinate_penalty(made(valley(0.0, tilt=0.01), noise))
        assert separable.low <= 1e-9
        assert abs(separable.estimate) < 0.01
        coupled = coordinate_penalty(made(valley(1.0, tilt=0.01), noise))
        assert coupled.low > 0.02


def test_penalty_does_not_depend_on_the_order_of_the_axes() -> None:
    landscape = made(valley(0.5, tilt=0.02), 0.02)
    turned = landscape.transpose("seed", "eps", "alpha")
    one, other = coordinate_penalty(landscape), coordinate_penalty(turned)
    assert (one.estimate, one.low, one.high) == pytest.approx((other.estimate, other.low, other.high))


def test_pure_noise_is_no_penalty() -> None:
    """Chosen and judged on the same seeds it would look like one."""
    found = [coordinate_penalty(made(np.full((21, 21), 0.5), 0.05, source=source)) for source in range(60)]
    assert np.mean([each.low <= 0 <= each.high for each in found]) >= 0.88
    assert abs(np.mean([each.estimate for each in found])) < 0.02


def test_one_seed_has_no_interval() -> None:
    found = coordinate_penalty(made(valley(1.0), 0.01, seeds=1))
    assert math.isfinite(found.estimate)
    assert math.isnan(found.low)


def test_more_axes_are_held_at_their_best() -> None:
    third = xr.DataArray([0.3, 0.0, 0.1], {"beta": ("beta", [0.1, 0.5, 0.9], {"scale": "linear"})}, ("beta",))
    landscape = made(valley(1.0) * 0.5)
    cube = landscape + third
    pair = pair_of(cube.transpose("seed", "beta", "alpha", "eps"), "alpha", "eps")
    np.testing.assert_allclose(pair, landscape)
    with pytest.raises(AnalysisError, match="no axis 'gamma': it has"):
        pair_of(cube, "alpha", "gamma")
    with pytest.raises(AnalysisError, match="not 'eps' twice"):
        pair_of(cube, "eps", "eps")


def test_missing_cells_are_left_out() -> None:
    landscape = made(valley(0.0, tilt=0.01), 0.01)
    landscape[2, 5, 7] = np.nan
    assert math.isfinite(coordinate_penalty(landscape).estimate)
    with pytest.raises(AnalysisError, match="no cell has a trial of every seed"):
        coordinate_penalty(landscape * np.nan)
