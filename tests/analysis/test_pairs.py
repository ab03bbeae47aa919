import known_landscapes as known
import numpy as np
import pytest
import xarray as xr

from analysis.errors import AnalysisError
from analysis.pairs import mean_of_whole_seeds, own_unit, pair_of, positions, whole_seeds, whole_values


def test_more_axes_are_held_at_their_best() -> None:
    third = xr.DataArray([0.3, 0.0, 0.1], {"beta": ("beta", [0.1, 0.5, 0.9], {"scale": "linear"})}, ("beta",))
    landscape = known.landscape(known.valley(1.0) * 0.5)
    cube = landscape + third
    pair = pair_of(cube.transpose("seed", "beta", "alpha", "eps"), "alpha", "eps")
    np.testing.assert_allclose(pair, landscape)
    np.testing.assert_allclose(pair_of(cube, "eps", "alpha"), landscape.transpose("seed", "eps", "alpha"))
    with pytest.raises(AnalysisError, match="no axis 'gamma': it has"):
        pair_of(cube, "alpha", "gamma")
    with pytest.raises(AnalysisError, match="not 'eps' twice"):
        pair_of(cube, "eps", "eps")


def test_positions_are_logarithms_on_logarithmic_axes() -> None:
    landscape = known.landscape(known.flat())
    np.testing.assert_allclose(positions(landscape, "alpha"), known.DECADES)
    assert own_unit(landscape, "alpha", -2) == pytest.approx(0.01)
    landscape["alpha"].attrs["scale"] = "linear"
    np.testing.assert_allclose(positions(landscape, "alpha"), 10**known.DECADES)
    assert own_unit(landscape, "alpha", -2) == -2


def test_extra_seeds_are_those_that_the_study_does_not_ask_for() -> None:
    landscape = known.landscape(known.valley(1.0), 0.01, seeds=4, asked=3)
    landscape[1, 2, 2] = np.nan
    assert whole_seeds(landscape)["seed"].values.tolist() == [0, 1, 2]
    values = whole_values(landscape)
    assert values.shape == (3, 21, 21)
    assert np.isnan(values).sum() == 3  # the cell that lacks one seed, in all
    np.testing.assert_allclose(mean_of_whole_seeds(landscape)[2, 2], landscape.values[[0, 2], 2, 2].mean())
    del landscape.attrs["asked_seeds"]
    assert whole_seeds(landscape).sizes["seed"] == 4
    with pytest.raises(AnalysisError, match="no cell has a trial of every seed"):
        whole_values(landscape * np.nan)
