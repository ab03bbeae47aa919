"""A landscape holds each trial in its own place, and its statistics are those of a hand-made table."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from analysis.landscape import (
    BestCell,
    axis_names,
    best_along,
    best_cell,
    landscape,
    mean_over_seeds,
    missing_trials,
)
from search_spaces import Axis, SearchSpace, SpaceError

SPACE = SearchSpace([Axis("alpha", [0.01, 0.1, 1.0]), Axis("eps", [1e-8, 1e-4])])


def trials_of(values: dict[tuple[int, float, float], float]) -> pd.DataFrame:
    rows = [(seed, alpha, eps, value) for (seed, alpha, eps), value in values.items()]
    return pd.DataFrame(rows, columns=["seed", "alpha", "eps", "validation_error"])


def full_trials(seeds: int = 3) -> pd.DataFrame:
    """A value that tells seed, alpha and eps: seed 2, alpha index 1, eps index 0 is 0.21."""
    return trials_of(
        {
            (seed, alpha, eps): 0.1 * seed + 0.01 * i + 0.001 * j
            for seed, (i, alpha), (j, eps) in product(
                range(seeds), enumerate(SPACE.axes[0].values), enumerate(SPACE.axes[1].values)
            )
        }
    )


def array_of(means: list[list[float]], seeds: int = 2) -> xr.DataArray:
    """A landscape over (alpha, eps) with these means, the seeds spread evenly about them by 0.01."""
    spread = np.linspace(-0.01, 0.01, seeds) if seeds > 1 else np.zeros(1)
    values = np.array(means)[None] + spread[:, None, None]
    coordinates = {"seed": range(seeds), "alpha": 10.0 ** np.arange(len(means)), "eps": range(len(means[0]))}
    return xr.DataArray(values, coordinates, ("seed", "alpha", "eps"), attrs={"metric": "loss"})


@given(st.randoms(use_true_random=False))
def test_trials_in_any_order_land_in_their_own_place(random) -> None:
    order = list(range(18))
    random.shuffle(order)
    result = landscape(full_trials().iloc[order], SPACE, "validation_error")
    assert result.dims == ("seed", "alpha", "eps")
    assert result["seed"].values.tolist() == [0, 1, 2]
    assert result["alpha"].values.tolist() == [0.01, 0.1, 1.0]
    assert result["eps"].values.tolist() == [1e-8, 1e-4]
    expected = 0.1 * np.arange(3)[:, None, None] + 0.01 * np.arange(3)[:, None] + 0.001 * np.arange(2)
    np.testing.assert_allclose(result.values, expected, rtol=0, atol=1e-15)


def test_axis_names_give_the_values_that_occur() -> None:
    by_space = landscape(full_trials(), SPACE, "validation_error")
    by_name = landscape(full_trials().sample(frac=1, random_state=0), ["alpha", "eps"], "validation_error")
    xr.testing.assert_identical(by_name, by_space)
    assert by_name.attrs == {"metric": "validation_error"}
    assert (by_name["alpha"].attrs["scale"], by_name["eps"].attrs["scale"]) == ("log", "log")
    swapped = landscape(full_trials(), ["eps", "alpha"], "validation_error")
    xr.testing.assert_identical(swapped.transpose("seed", "alpha", "eps"), by_space)


def test_any_number_and_names_of_axes() -> None:
    trials = pd.DataFrame(
        {"seed": 0, "eta": [0.5, 0.1], "beta": 0.9, "sigma": [1.0, 2.0], "loss": [3.0, 4.0]}
    )
    result = landscape(trials, ["eta", "beta", "sigma"], "loss")
    assert dict(result.sizes) == {"seed": 1, "eta": 2, "beta": 1, "sigma": 2}
    assert result.sel(eta=0.1, beta=0.9, sigma=2.0).item() == 4.0
    assert int(result.isnull().sum()) == 2
    assert axis_names(result) == ("eta", "beta", "sigma")


def test_a_missing_trial_is_nan_and_named() -> None:
    trials = full_trials().query("not (seed == 1 and alpha == 0.1 and eps == 0.0001)")
    result = landscape(trials, SPACE, "validation_error")
    missing = missing_trials(result)
    assert missing.to_dict("records") == [{"seed": 1, "alpha": 0.1, "eps": 1e-4}]
    mean = mean_over_seeds(result)
    assert np.isnan(mean.sel(alpha=0.1, eps=1e-4).item())
    assert int(mean.isnull().sum()) == 1
    assert missing_trials(landscape(full_trials(), SPACE, "validation_error")).empty


def test_the_mean_is_over_all_seeds() -> None:
    mean = mean_over_seeds(landscape(full_trials(), SPACE, "validation_error"))
    assert mean.dims == ("alpha", "eps")
    np.testing.assert_allclose(mean.values, [[0.1, 0.101], [0.11, 0.111], [0.12, 0.121]], rtol=1e-14)
    assert mean.attrs["metric"] == "validation_error"


def test_duplicate_trials_are_refused() -> None:
    trials = pd.concat([full_trials(), full_trials().iloc[[7]]])
    message = (
        r"the trial with seed = 1, alpha = 0\.01, eps = 0\.0001 occurs more than once \(1 repeated in all\)"
    )
    with pytest.raises(ValueError, match=message):
        landscape(trials, SPACE, "validation_error")


def test_a_trial_off_the_grid_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"axis 'alpha': 0\.05 is not one of its 3 values; the nearest is"):
        landscape(trials_of({(0, 0.05, 1e-8): 0.1}), SPACE, "validation_error")


@pytest.mark.parametrize(
    ("axes", "metric", "message"),
    [
        (
            ["alpha", "eps"],
            "validation_eror",
            r"no column 'validation_eror' \(did you mean 'validation_error'\?\)",
        ),
        (
            ["alpha", "epsilon"],
            "validation_error",
            "no column 'epsilon'.*: they have seed, alpha, eps, valid",
        ),
        (["seed", "eps"], "validation_error", "an axis is called 'seed'"),
    ],
)
def test_wrong_columns_are_refused(axes: list[str], metric: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        landscape(full_trials(), axes, metric)


def test_no_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="there are no trials: run the study first, or widen the filter"):
        landscape(full_trials().iloc[:0], SPACE, "validation_error")


def test_the_best_cell_with_its_standard_error() -> None:
    values = {(0, 0.01, 1e-8): 0.30, (1, 0.01, 1e-8): 0.50, (2, 0.01, 1e-8): 0.40}
    values |= {(0, 0.1, 1e-8): 0.10, (1, 0.1, 1e-8): 0.20, (2, 0.1, 1e-8): 0.60}
    best = best_cell(landscape(trials_of(values), ["alpha", "eps"], "validation_error"))
    assert best.coordinates == {"alpha": 0.1, "eps": 1e-8}
    assert best.mean == pytest.approx(0.3)
    # The variance of 0.1, 0.2, 0.6 is 0.14 / 2.
    assert best.standard_error == pytest.approx(np.sqrt(0.07 / 3))
    assert best.seeds == 3


def test_one_seed_has_no_standard_error() -> None:
    best = best_cell(landscape(full_trials(1), SPACE, "validation_error"))
    assert (best.mean, best.seeds) == (0.0, 1)
    assert np.isnan(best.standard_error)


def test_a_cell_that_lacks_a_seed_is_never_the_best() -> None:
    trials = full_trials().query("not (seed == 2 and alpha == 0.01 and eps == 1e-8)")
    assert best_cell(landscape(trials, SPACE, "validation_error")).coordinates == {"alpha": 0.01, "eps": 1e-4}


def test_the_best_of_nothing_names_a_missing_trial() -> None:
    trials = trials_of({(0, 0.01, 1e-8): 0.1, (1, 0.1, 1e-8): 0.1})
    message = "each of the 2 seeds; 10 trials are missing, first seed = 0, alpha = 0.01, eps = 0.0001: run"
    with pytest.raises(ValueError, match=message):
        best_cell(landscape(trials, SPACE, "validation_error"))


@pytest.mark.parametrize(
    ("means", "cell"),
    [
        ([[2, 1, 1, 1, 2]], (0, 2)),  # the middle of the tied range
        ([[2, 1, 1, 2, 2]], (0, 1)),  # of two as near, the lower
        ([[1, 2, 2, 2, 1, 1, 1]], (0, 4)),  # nearest to the middle, and itself tied
        ([[1, 1, 1], [1, 1, 1], [1, 1, 1]], (1, 1)),
    ],
)
def test_ties_go_to_the_middle(means: list[list[float]], cell: tuple[int, int]) -> None:
    best = best_cell(array_of(means))
    assert best.coordinates == {"alpha": 10.0 ** cell[0], "eps": cell[1]}


@pytest.mark.parametrize(
    ("place", "edge", "said"),
    [
        ((0, 2), ("alpha", "eps"), "at the edge of alpha and eps"),
        ((2, 1), ("alpha",), "at the edge of alpha"),
        ((1, 0), ("eps",), "at the edge of eps"),
        ((1, 1), (), ""),
    ],
)
def test_the_best_cell_tells_at_which_edge_it_lies(
    place: tuple[int, int], edge: tuple[str, ...], said: str
) -> None:
    means = np.ones((3, 3))
    means[place] = 0.5
    array = array_of(means.tolist())
    best = best_cell(array)
    assert (best.edge, best.at_edge()) == (edge, said)
    assert best.at_edge(str.upper) == said.replace("alpha", "ALPHA").replace("eps", "EPS")
    assert "eps" not in best_cell(array.isel(eps=sorted({place[1], 1}))).edge  # fewer than three values
    array["eps"].attrs["words"] = ("small", "medium", "large")
    assert "eps" not in best_cell(array).edge


def test_ties_allow_for_rounding() -> None:
    thirds = [[0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [0.2, 0.3, 0.1]]
    values = np.array(thirds).T[:, :, None]
    array = xr.DataArray(
        values, {"seed": range(3), "alpha": [1.0, 2.0, 3.0], "eps": [0.0]}, ("seed", "alpha", "eps")
    )
    assert best_cell(array).coordinates["alpha"] == 2.0


def test_the_best_alpha_for_each_eps() -> None:
    array = array_of([[1, 5, 2, 3], [2, 4, 2, 2], [3, 3, 9, 2]])
    best = best_along(array, axis="alpha", given="eps")
    assert best.dims == ("eps",)
    # Ties of two go to the lower: 1 and 10 in the third column, 10 and 100 in the fourth.
    assert best.values.tolist() == [1.0, 100.0, 1.0, 10.0]
    assert best["eps"].values.tolist() == [0, 1, 2, 3]
    assert best_along(array, axis="eps", given="alpha").values.tolist() == [0.0, 2.0, 3.0]


def test_an_eps_without_a_complete_cell_has_no_best_alpha() -> None:
    array = array_of([[1.0, 2.0], [2.0, 1.0]])
    array[0, :, 1] = np.nan
    assert best_along(array, axis="alpha", given="eps").values.tolist()[0] == 1.0
    assert np.isnan(best_along(array, axis="alpha", given="eps").values[1])


def test_further_axes_are_at_their_best() -> None:
    first, second = array_of([[1, 5], [2, 4]]), array_of([[3, 2], [0, 9]])
    array = xr.concat([first, second], xr.IndexVariable("beta", [0.9, 0.99]))
    best = best_along(array.transpose("seed", "alpha", "eps", "beta"), axis="alpha", given="eps")
    assert best.values.tolist() == [10.0, 1.0]


def test_unknown_axes_are_refused() -> None:
    array = array_of([[1.0, 2.0]])
    with pytest.raises(ValueError, match=r"no axis 'epss' \(did you mean 'eps'\?\): it has alpha, eps"):
        best_along(array, axis="alpha", given="epss")
    with pytest.raises(ValueError, match="a pair needs two axes, not 'alpha' twice"):
        best_along(array, axis="alpha", given="alpha")
    with pytest.raises(ValueError, match="the dimensions alpha, eps and no 'seed'"):
        best_cell(array.sel(seed=0))


def test_statistics_of_one_seed_at_a_time() -> None:
    result = landscape(full_trials(), SPACE, "validation_error")
    best = best_cell(result.sel(seed=[2]))
    assert (best.coordinates, best.seeds) == ({"alpha": 0.01, "eps": 1e-8}, 1)
    assert best.mean == pytest.approx(0.2)
    assert isinstance(best, BestCell)
