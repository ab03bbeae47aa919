import math

import known_landscapes as known
import numpy as np
import pytest
import xarray as xr

from analysis.errors import AnalysisError
from analysis.penalty import coordinate_penalty, transfer_regret


def test_transfer_regret_is_nothing_where_the_axes_separate() -> None:
    decoupled = transfer_regret(known.landscape(known.valley(0.0, tilt=0.01)))
    assert decoupled["estimate"].dims == ("tuned_at", "used_at")
    np.testing.assert_allclose(decoupled["estimate"], 0, atol=1e-12)
    coupled = transfer_regret(known.landscape(known.valley(1.0)))
    np.testing.assert_allclose(np.diagonal(coupled["estimate"]), 0)
    assert coupled["estimate"].sel(tuned_at=1e-2, used_at=1e2, method="nearest") > 0.8
    expected = known.valley(1.0)[6, 12] - known.valley(1.0)[12, 12]  # alpha of row 6 used in row 12
    assert coupled["estimate"].values[6, 12] == pytest.approx(expected)


def test_transfer_regrets_have_intervals() -> None:
    surface = known.valley(0.5, 0.1)  # no row has two best values that only noise can tell apart
    true = transfer_regret(known.landscape(surface))["estimate"].values
    held = []
    for simulation in range(60):
        found = transfer_regret(known.landscape(surface, 0.02, rng=simulation))
        inside = (found["low"] <= true + 1e-12) & (true - 1e-12 <= found["high"])
        held.append(inside.values.mean())
    assert 0.9 <= np.mean(held) < 1
    assert np.isnan(transfer_regret(known.landscape(known.valley(1.0), seeds=1))["low"]).all()


def test_penalty_of_tuning_one_at_a_time() -> None:
    for noise in (0.0, 0.01):
        separable = coordinate_penalty(known.landscape(known.valley(0.0, tilt=0.01), noise))
        assert separable.low <= 1e-9
        assert abs(separable.estimate) < 0.01
        coupled = coordinate_penalty(known.landscape(known.valley(1.0, tilt=0.01), noise))
        assert coupled.low > 0.02


@pytest.mark.parametrize("noise", known.NOISE)
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_penalty_intervals_hold_the_mean(noise: float, seeds: int) -> None:
    surface = known.valley(0.25, 0.3, 0.01)
    found = [coordinate_penalty(known.landscape(surface, noise, seeds, source)) for source in range(150)]
    true = np.mean([each.estimate for each in found])
    assert np.mean([each.low <= true <= each.high for each in found]) >= 0.87


def test_penalty_does_not_depend_on_the_order_of_the_axes() -> None:
    landscape = known.landscape(known.valley(0.5, tilt=0.02), 0.02)
    turned = landscape.transpose("seed", "eps", "alpha")
    one, other = coordinate_penalty(landscape), coordinate_penalty(turned)
    assert (one.estimate, one.low, one.high) == pytest.approx((other.estimate, other.low, other.high))


def test_lines_where_nothing_trains_are_no_starting_points() -> None:
    landscape = known.landscape(known.valley(0.5, tilt=0.02), 0.02).clip(0, 0.9)
    row = (landscape.isel(alpha=slice(0, 4)) * 0 + 0.9).assign_coords(alpha=[1e6, 1e7, 1e8, 1e9])
    more = xr.concat([landscape, row], "alpha")
    assert coordinate_penalty(more).estimate == pytest.approx(coordinate_penalty(landscape).estimate)


def test_pure_noise_is_no_penalty() -> None:
    """Chosen and judged on the same seeds it would look like one."""
    found = [coordinate_penalty(known.landscape(known.flat(), 0.05, rng=source)) for source in range(60)]
    assert np.mean([each.low <= 0 <= each.high for each in found]) >= 0.88
    assert abs(np.mean([each.estimate for each in found])) < 0.02


def test_one_seed_has_no_interval() -> None:
    found = coordinate_penalty(known.landscape(known.valley(1.0), 0.01, seeds=1))
    assert math.isfinite(found.estimate)
    assert math.isnan(found.low)


def test_missing_cells_are_left_out() -> None:
    landscape = known.landscape(known.valley(0.0, tilt=0.01), 0.01)
    landscape[2, 5, 7] = np.nan
    assert math.isfinite(coordinate_penalty(landscape).estimate)
    with pytest.raises(AnalysisError, match="no cell has a trial of every seed"):
        coordinate_penalty(landscape * np.nan)
