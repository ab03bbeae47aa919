"""A search space converts points column by column, lists its cells, and is written and read as a table."""

import json
import tomllib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import Axis, SearchSpace, SpaceError

numbers = st.floats(-1e9, 1e9, allow_subnormal=False).map(lambda x: float(f"{x:.6g}"))
grid_axes = st.lists(numbers, min_size=1, max_size=7, unique=True)
grid_spaces = st.lists(grid_axes, min_size=1, max_size=3).map(
    lambda lists: SearchSpace([Axis(f"x{place}", values) for place, values in enumerate(lists)])
)


@given(grid_spaces)
def test_every_cell_survives_every_round_trip_exactly(space: SearchSpace) -> None:
    values = space.cells()
    indices = space.value_to_index(values)
    units = space.index_to_unit(indices)
    np.testing.assert_array_equal(space.index_to_value(indices), values)
    np.testing.assert_array_equal(space.unit_to_index(units), indices)
    np.testing.assert_array_equal(space.value_to_unit(values), units)
    np.testing.assert_array_equal(space.unit_to_value(units), values)
    assert values.shape == indices.shape == units.shape == (space.size, len(space.names))


@given(grid_spaces)
def test_the_flat_index_is_the_row_of_cells(space: SearchSpace) -> None:
    rows = space.flat_index(space.value_to_index(space.cells()))
    np.testing.assert_array_equal(rows, np.arange(space.size))


def test_cells_run_through_the_last_axis_fastest() -> None:
    space = SearchSpace([Axis("alpha", [0.1, 1.0]), Axis("eps", [1e-8, 1e-4, 1.0])])
    assert space.shape == (2, 3)
    assert space.names == ("alpha", "eps")
    expected = [[0.1, 1e-8], [0.1, 1e-4], [0.1, 1.0], [1.0, 1e-8], [1.0, 1e-4], [1.0, 1.0]]
    assert space.cells().tolist() == expected


def test_no_points_are_points_too() -> None:
    space = SearchSpace([Axis("alpha", [0.1, 1.0]), Axis("eps", [1e-8, 1.0])])
    assert space.value_to_index(np.empty((0, 2))).shape == (0, 2)
    assert space.flat_index(np.empty((0, 2), int)).shape == (0,)


def test_mixed_axes_convert_between_values_and_units() -> None:
    space = SearchSpace([Axis("alpha", low=1e-4, high=1.0), Axis("eps", [1e-8, 1e-4, 1.0])])
    assert not space.is_grid
    np.testing.assert_allclose(space.unit_to_value([[0.5, 0.5]]), [[1e-2, 1e-4]], rtol=1e-14)
    np.testing.assert_allclose(space.value_to_unit([[1e-2, 1.0]]), [[0.5, 5 / 6]], rtol=1e-14)
    for ask in (lambda: space.shape, lambda: space.size, space.cells):
        with pytest.raises(SpaceError, match="axis 'alpha' is continuous, so there are no cells"):
            ask()


@pytest.mark.parametrize("points", [[0.1, 1.0], [[0.1]], [[0.1, 1.0, 1.0]], 0.1])
def test_points_of_the_wrong_shape_are_refused(points: object) -> None:
    space = SearchSpace([Axis("alpha", [0.1, 1.0]), Axis("eps", [1e-8, 1.0])])
    with pytest.raises(SpaceError, match=r"give one row a point .* \(m, 2\) for alpha, eps"):
        space.value_to_index(points)  # type: ignore[arg-type]


def test_a_space_needs_axes_with_different_names() -> None:
    with pytest.raises(SpaceError, match="the search space has no axes"):
        SearchSpace([])
    with pytest.raises(SpaceError, match="more than one axis 'alpha'"):
        SearchSpace([Axis("alpha", [1.0]), Axis("alpha", [2.0])])


def test_the_table_of_a_study_file() -> None:
    text = """
    alpha = [1, 0.1, 0.01]
    eps = { low = 1e-8, high = 100, num = 11 }
    beta = { low = 0.1, high = 0.5, num = 5 }
    gamma = { low = 1e-4, high = 1e-2 }
    """
    alpha, eps, beta, gamma = SearchSpace.from_table(tomllib.loads(text)).axes
    assert alpha == Axis("alpha", [0.01, 0.1, 1.0])
    assert eps.values == (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
    assert (eps.scale, beta.scale) == ("log", "linear")
    assert beta.values == (0.1, 0.2, 0.3, 0.4, 0.5)
    assert gamma == Axis("gamma", low=1e-4, high=1e-2, scale="log")


def test_a_range_through_zero_has_a_zero_in_its_middle() -> None:
    (axis,) = SearchSpace.from_table({"x": {"low": -0.3, "high": 0.3, "num": 7}}).axes
    assert axis.values == (-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3)


@given(st.integers(-12, 0), st.integers(1, 12))
def test_decades_are_exact_decimals(first: int, decades: int) -> None:
    entry = {"low": float(f"1e{first}"), "high": float(f"1e{first + decades}"), "num": decades + 1}
    (axis,) = SearchSpace.from_table({"x": entry}).axes
    assert axis.values == tuple(float(f"1e{exponent}") for exponent in range(first, first + decades + 1))


axes = st.one_of(
    grid_axes.map(lambda values: Axis("x", values)),
    st.lists(numbers.map(abs).filter(bool), min_size=1, max_size=7, unique=True).flatmap(
        lambda values: st.sampled_from(["log", "linear"]).map(lambda scale: Axis("x", values, scale=scale))
    ),
    st.sampled_from(["log", "linear"]).map(lambda scale: Axis("x", low=0.5, high=20.0, scale=scale)),
)


@given(axes)
def test_a_table_reads_back_as_the_same_space_also_through_json(axis: Axis) -> None:
    space = SearchSpace([axis, Axis("y", [1.0, 2.0])])
    assert SearchSpace.from_table(json.loads(json.dumps(space.to_table()))) == space


def test_ordered_words_stay_as_they_are() -> None:
    table = {"size": {"ordered": ["small", "large"]}, "alpha": [0.1, 1.0]}
    space = SearchSpace.from_table(table)
    assert space.to_table() == table
    assert space.words == {"size": ("small", "large")}


def test_a_plain_list_stays_a_plain_list() -> None:
    assert SearchSpace([Axis("alpha", [0.1, 1.0])]).to_table() == {"alpha": [0.1, 1.0]}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "the search space has no axes"),
        ([1, 2], r"the search space is \[1, 2\]: give a table such as"),
        ({"alpha": []}, "axis 'alpha' is empty"),
        ({"alpha": 0.1}, "axis 'alpha' is 0.1: give a list of numbers, or a table such as {low = 0.01"),
        ({"alpha": "0.1"}, "axis 'alpha' is '0.1': give a list of numbers"),
        ({"alpha": [0.1, [1]]}, r"axis 'alpha' has \[1\] where a number is needed"),
        (
            {"alpha": {"lo": 0.1, "high": 1}},
            r"unknown key 'lo' \(did you mean 'low'\?\): allowed are values, low,",
        ),
        ({"alpha": {"low": 0.1}}, "axis 'alpha' has no high: give low and high, or a list of values"),
        ({"alpha": {}}, "axis 'alpha' has no low: give low and high, or a list of values"),
        (
            {"alpha": {"low": 0.1, "high": 1, "num": 1}},
            "axis 'alpha' has num=1: give a whole number, 2 or more",
        ),
        ({"alpha": {"low": 0.1, "high": 1, "num": 5.0}}, "axis 'alpha' has num=5.0: give a whole number"),
        ({"alpha": {"low": 0.1, "high": 1, "num": True}}, "axis 'alpha' has num=True: give a whole number"),
        (
            {"alpha": {"low": 1, "high": 0.1, "num": 5}},
            "axis 'alpha' has low=1 and high=0.1: low must be below",
        ),
        ({"alpha": {"low": 0, "high": 1, "num": 5, "scale": "log"}}, "log scale and has the value 0"),
        ({"alpha": {"values": [1, 2], "num": 2}}, "axis 'alpha' has both values and num"),
        ({"alpha": {"values": 3}}, "axis 'alpha' has values=3: give a list of numbers"),
        ({"alpha": {"low": 1.0, "high": 1.0 + 1e-11, "num": 99}}, "too narrow for 99 values: lower num"),
        ({"alpha": {"low": 0.1, "high": 1, "scale": "ln"}}, "has the scale 'ln': use 'log' or 'linear'"),
        (
            {"size": {"ordered": ["small"], "scale": "log"}},
            r"give ordered words alone, \{ ordered = \['small', 'large'\] \}",
        ),
        ({"size": {"ordered": []}}, "give ordered words alone"),
        ({"size": {"ordered": "small"}}, "give ordered words alone"),
        ({"my axis": [1, 2]}, "axis name 'my axis' is not allowed"),
    ],
)
def test_wrong_tables_are_refused(table: object, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        SearchSpace.from_table(table)  # type: ignore[arg-type]
