"""A space as whole numbers, and back to the unit cube."""

import numpy as np
import pytest

from search_spaces import SearchSpace
from tuners.lattice import CONTINUOUS_EXTENT, Lattice

GRID = SearchSpace.from_table({"alpha": [0.1, 1, 10], "eps": [1e-8, 1e-4]})
MIXED = SearchSpace.from_table({"alpha": [0.1, 1, 10], "lr": {"low": 0.01, "high": 1}})


def test_extents_and_size() -> None:
    assert Lattice(GRID).extents.tolist() == [2, 1]
    assert Lattice(GRID).size == 6
    assert Lattice(MIXED).extents.tolist() == [2, CONTINUOUS_EXTENT]
    assert Lattice(MIXED).size == np.inf


def test_grid_axes_snap_and_points_may_lie_outside() -> None:
    lattice = Lattice(MIXED)
    x = np.array([[0.4, 3.7], [2.6, 3.7], [2.4, 20.1]])
    assert lattice.snap(x).tolist() == [[0, 3.7], [3, 3.7], [2, 20.1]]
    assert lattice.inside(lattice.snap(x)).tolist() == [True, False, False]


def test_units_are_the_cells_of_the_space() -> None:
    indices = np.array([[a, e] for a in range(3) for e in range(2)], dtype=float)
    np.testing.assert_array_equal(GRID.unit_to_value(Lattice(GRID).units(indices)), GRID.cells())
    ends = Lattice(MIXED).units(np.array([[0, 0], [2, CONTINUOUS_EXTENT]]))
    np.testing.assert_allclose(MIXED.unit_to_value(ends), [[0.1, 0.01], [10, 1]])


def test_draws_are_uniform() -> None:
    rng, lattice = np.random.default_rng(0), Lattice(MIXED)
    drawn = np.array([lattice.draw(rng) for _ in range(3000)])
    assert lattice.inside(drawn).all()
    np.testing.assert_allclose(np.bincount(drawn[:, 0].astype(int)) / 3000, [1 / 3] * 3, atol=0.03)
    assert drawn[:, 1].mean() == pytest.approx(CONTINUOUS_EXTENT / 2, rel=0.03)
    assert drawn[:, 1].std() == pytest.approx(CONTINUOUS_EXTENT / 12**0.5, rel=0.03)


def test_unknown_points_run_out() -> None:
    rng, lattice = np.random.default_rng(0), Lattice(GRID)
    known: dict[tuple[float, ...], float] = {}
    while (point := lattice.draw_unknown(rng, known)) is not None:
        assert point not in known
        known[point] = 0.0
    assert len(known) == 6
