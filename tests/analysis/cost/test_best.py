"""The best cell's value on unseen seeds, where the truth is known."""

import math

import numpy as np
import pytest
import xarray as xr

from analysis.cost.best import held_out_best
from analysis.landscape import best_cell

SIDE, NOISE = 9, 0.01
PLATEAU = np.where(np.add(*np.indices((SIDE, SIDE))) < 8, 0.1, 0.3)


def made(values: np.ndarray) -> xr.DataArray:
    steps = np.arange(1.0, values.shape[1] + 1)
    return xr.DataArray(
        values, {"seed": range(len(values)), "alpha": steps, "eps": steps}, ("seed", "alpha", "eps")
    )


def test_by_hand() -> None:
    values = np.array([[[1.0, 2.0], [3.0, 9.0]], [[4.0, 2.0], [5.0, 9.0]]])
    # chosen by the second seed: 2, which the first gives 2; by the first: 1, which the second gives 4
    assert held_out_best(made(values)) == 3.0
    assert math.isnan(held_out_best(made(values[:1])))


def test_the_best_of_many_is_no_better_than_expected() -> None:
    """On a plateau the least of 36 means of three seeds is two standard errors too low."""
    landscapes = [
        made(PLATEAU + np.random.default_rng(source).normal(0, NOISE, (3, SIDE, SIDE)))
        for source in range(200)
    ]
    error = NOISE / 3**0.5
    assert np.mean([best_cell(each).mean for each in landscapes]) < 0.1 - 1.8 * error
    assert np.mean([held_out_best(each) for each in landscapes]) == pytest.approx(0.1, abs=0.25 * error)


def test_extra_seeds_and_cells_without_all_seeds_do_not_count() -> None:
    values = np.full((3, 2, 2), 0.5)
    values[:, 0, 0] = 0.1
    values[1, 0, 1] = np.nan
    values[0, 0, 1] = 0.0
    values[2] = np.nan  # an extra seed
    landscape = made(values).assign_attrs(asked_seeds=2)
    assert held_out_best(landscape) == pytest.approx(0.1)
