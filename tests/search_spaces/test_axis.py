"""An axis converts between values, grid indices and [0, 1] without loss, and refuses what it cannot hold."""

import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from search_spaces import Axis, SpaceError

numbers = st.floats(-1e9, 1e9, allow_subnormal=False).map(lambda x: float(f"{x:.6g}"))
grids = st.lists(numbers, min_size=1, max_size=60, unique=True).map(lambda values: Axis("alpha", values))


@given(grids)
def test_a_grid_survives_every_round_trip_exactly(axis: Axis) -> None:
    values, indices = np.array(axis.values), np.arange(len(axis.values))
    np.testing.assert_array_equal(axis.value_to_index(values), indices)
    np.testing.assert_array_equal(axis.index_to_value(indices), values)
    np.testing.assert_array_equal(axis.unit_to_index(axis.index_to_unit(indices)), indices)
    np.testing.assert_array_equal(axis.unit_to_value(axis.value_to_unit(values)), values)


@given(grids, st.floats(0, 1))
def test_any_unit_snaps_to_the_bin_it_falls_in(axis: Axis, unit: float) -> None:
    count = len(axis.values)
    assert axis.unit_to_index(unit) == min(int(unit * count), count - 1)
    assert axis.unit_to_value(unit) in axis.values


@given(st.floats(1e-12, 1e6), st.floats(1.001, 1e9), st.sampled_from(["log", "linear"]), st.floats(0, 1))
def test_a_continuous_axis_inverts_to_rounding_error(low: float, ratio: float, scale, unit: float) -> None:
    axis = Axis("alpha", low=low, high=low * ratio, scale=scale)
    value = axis.unit_to_value(unit)
    assert axis.low <= value <= axis.high
    np.testing.assert_allclose(axis.unit_to_value(axis.value_to_unit(value)), value, rtol=1e-12)
    np.testing.assert_allclose(axis.value_to_unit(value), unit, atol=1e-10)


@given(st.floats(1e-12, 1e6), st.floats(1.001, 1e9), st.sampled_from(["log", "linear"]))
def test_the_ends_of_a_continuous_axis_are_exact(low: float, ratio: float, scale) -> None:
    axis = Axis("alpha", low=low, high=low * ratio, scale=scale)
    assert axis.unit_to_value([0, 1]).tolist() == [axis.low, axis.high]
    assert axis.value_to_unit([axis.low, axis.high]).tolist() == [0, 1]


def test_the_middle_of_a_log_axis_is_the_geometric_mean() -> None:
    np.testing.assert_allclose(Axis("alpha", low=1e-4, high=1.0).unit_to_value(0.5), 1e-2, rtol=1e-14)
    np.testing.assert_allclose(Axis("beta", low=-1.0, high=3.0).unit_to_value(0.25), 0.0, atol=1e-15)


@pytest.mark.parametrize(
    ("values", "scale"),
    [([0.1, 1.0], "log"), ([0.2, 1.0], "linear"), ([0.0, 1.0, 100.0], "linear"), ([-1.0, 100.0], "linear")],
)
def test_the_scale_is_log_for_positive_values_over_a_decade(values: list[float], scale: str) -> None:
    assert Axis("alpha", values).scale == scale


def test_values_are_sorted_and_stored_as_floats() -> None:
    axis = Axis("alpha", [10, 1, 5])
    assert axis.values == (1.0, 5.0, 10.0)
    assert all(type(value) is float for value in axis.values)
    assert (axis.low, axis.high) == (1.0, 10.0)


def test_an_ordered_axis_is_a_linear_grid_of_places() -> None:
    axis = Axis("size", words=["small", "medium", "large"])
    assert (axis.values, axis.scale) == ((0.0, 1.0, 2.0), "linear")
    assert [axis.text(value) for value in axis.values] == ["small", "medium", "large"]
    assert axis.is_whole
    assert axis != Axis("size", range(3), scale="linear")
    some = Axis("size", [0, 2], words=axis.words)
    assert [some.text(value) for value in some.values] == ["small", "large"]
    assert Axis("size", words=["small", "medium"]).text(2.0) == "2"  # of a trial from when it had three
    assert pickle.loads(pickle.dumps(axis)) == axis == dataclasses.replace(axis, name="size")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["small", "small"], "axis 'size' has the word 'small' twice"),
        (["small", ""], "axis 'size' has '' among its ordered words: give texts"),
        (["small", 3], "axis 'size' has 3 among its ordered words: give texts"),
    ],
)
def test_wrong_words_are_refused(words: list, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Axis("size", words=words)


@given(grids)
def test_a_value_from_other_arithmetic_is_recognised(axis: Axis) -> None:
    assume(len(axis.values) > 1)
    noisy = np.nextafter(np.array(axis.values), np.inf)
    noisy[np.array(axis.values) == 0] = 0
    np.testing.assert_array_equal(axis.value_to_index(noisy), np.arange(len(axis.values)))


def test_an_axis_is_frozen_hashable_and_can_be_pickled() -> None:
    axis = Axis("alpha", [0.1, 1.0])
    with pytest.raises(dataclasses.FrozenInstanceError):
        axis.low = 0.0  # type: ignore[misc]
    assert len({axis, Axis("alpha", [1.0, 0.1])}) == 1
    assert pickle.loads(pickle.dumps(axis)) == axis
    assert dataclasses.replace(axis, name="beta") == Axis("beta", [0.1, 1.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("alpha",), "axis 'alpha' is empty: give it values, or low and high"),
        (("alpha", [1, 2, 1.0]), "axis 'alpha' has the value 1 twice"),
        (("alpha", [0.3, 0.1 + 0.2]), "axis 'alpha' has the value 0.3 twice"),
        (("alpha", [True, 2]), "axis 'alpha' has True where a number is needed"),
        (
            ("alpha", ["0.1"]),
            "axis 'alpha' has '0.1' where a number is needed: give numbers, written without",
        ),
        (("alpha", [None]), "axis 'alpha' has None where a number is needed"),
        (("alpha", [1.0, float("nan")]), "axis 'alpha' has the value nan: give finite numbers"),
        (("alpha", [1.0, float("inf")]), "axis 'alpha' has the value inf: give finite numbers"),
        (("alpha", [10**400]), "axis 'alpha' has the value inf: give finite numbers"),
        (("1st", [1.0]), "axis name '1st' is not allowed: use letters, digits and underscores"),
        (("learning rate", [1.0]), "axis name 'learning rate' is not allowed"),
        ((3, [1.0]), "axis name 3 is not allowed"),
    ],
)
def test_wrong_axes_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Axis(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": 1.0}, "is empty: give it values, or low and high"),
        ({"low": 1.0, "high": 1.0}, "has low=1 and high=1: low must be below high"),
        ({"low": 2.0, "high": 1.0}, "has low=2 and high=1: low must be below high"),
        ({"low": 0.0, "high": 1.0, "scale": "log"}, "is on a log scale and has the value 0: use positive"),
        ({"values": [-0.1, 1.0], "scale": "log"}, "is on a log scale and has the value -0.1: use positive"),
        (
            {"values": [1.0, 2.0], "scale": "logarithmic"},
            "has the scale 'logarithmic': use 'log' or 'linear'",
        ),
        ({"values": [1.0, 2.0], "low": 0.5}, "has both values and low or high"),
        ({"low": float("nan"), "high": 1.0}, "has the value nan: give finite numbers"),
        ({"low": "1", "high": 2.0}, "has '1' where a number is needed"),
    ],
)
def test_wrong_ranges_and_scales_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Axis("alpha", **arguments)


@pytest.mark.parametrize("value", [0.04, float("nan"), float("inf"), -1.0, 0.0])
def test_a_value_off_the_grid_is_refused_with_the_nearest(value: float) -> None:
    axis = Axis("alpha", [0.01, 0.05, 0.1])
    nearest = {0.04: "0.05", -1.0: "0.01", 0.0: "0.01"}.get(value, "0.1")
    with pytest.raises(
        SpaceError, match=f"'alpha': {value:g} is not one of its 3 values; the nearest is {nearest}$"
    ):
        axis.value_to_index([0.01, value])


def test_wrong_indices_and_units_are_refused() -> None:
    axis = Axis("alpha", [0.01, 0.05, 0.1])
    with pytest.raises(SpaceError, match=r"index 3 is outside 0\.\.2"):
        axis.index_to_value([0, 3])
    with pytest.raises(SpaceError, match=r"index -1 is outside 0\.\.2"):
        axis.index_to_unit([-1])
    with pytest.raises(SpaceError, match="indices must be integers, not float64"):
        axis.index_to_value([0.0])
    for unit in (-0.01, 1.01, float("nan")):
        with pytest.raises(SpaceError, match=rf"{unit:g} is outside the unit interval \[0, 1\]"):
            axis.unit_to_value(unit)


def test_a_continuous_axis_has_no_indices_and_ends_at_its_range() -> None:
    axis = Axis("alpha", low=0.01, high=1.0)
    assert not axis.is_grid
    for convert in (axis.value_to_index, axis.unit_to_index, axis.index_to_value, axis.index_to_unit):
        with pytest.raises(
            SpaceError, match="axis 'alpha' is continuous and has no grid: give it values, or num"
        ):
            convert([0])
    with pytest.raises(SpaceError, match=r"2 is outside its range, 0\.01 to 1$"):
        axis.value_to_unit([0.5, 2.0])
