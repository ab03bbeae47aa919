"""Optima of rows whose vertices are known."""

import known_landscapes as known
import numpy as np
import pytest
import xarray as xr

from analysis.bands import near_optimal
from analysis.optima import Optima, optima, optima_of_draws

INSIDE = np.abs(known.DECADES) <= 3


def parabolas(slope: float = 0.37, offset: float = 0.1) -> np.ndarray:
    """Whose vertices lie between grid values."""
    return 0.01 * (known.ALPHA - offset - slope * known.EPS) ** 2


def of(landscape: xr.DataArray) -> Optima:
    return optima(landscape, known.DECADES, near_optimal(landscape))


def test_a_parabola_has_its_vertex() -> None:
    found = of(known.landscape(parabolas()))
    truth = 0.1 + 0.37 * known.DECADES
    assert found.rows[INSIDE].all()
    np.testing.assert_allclose(found.places, truth[found.rows], atol=1e-6)
    np.testing.assert_allclose(found.asymmetry, 0, atol=1e-6)
    assert found.seeds.tolist() == [5] * int(found.rows.sum())


def test_rows_whose_optimum_is_at_the_edge_have_none() -> None:
    found = of(known.landscape(parabolas(slope=1.0, offset=0.0)))
    assert not found.rows[[0, 1, -2, -1]].any()
    assert found.rows[2:-2].all()


def test_the_covariance_is_how_far_seeds_move_the_vertex() -> None:
    """That of one row, with each seed's noise independent: by simulation, whose truth is the spread of the places."""
    rng, places, told = np.random.default_rng(1), [], []
    for _ in range(60):
        found = of(known.landscape(parabolas(), 0.003, seeds=5, rng=rng))
        row = int(found.rows[:10].sum())  # eps = 1
        places.append(found.places[row])
        told.append(found.covariance[row, row] ** 0.5)
    assert np.mean(places) == pytest.approx(0.1, abs=3 * np.std(places) / 60**0.5)
    assert np.median(told) == pytest.approx(np.std(places), rel=0.35)


def cubic(bow: float) -> np.ndarray:
    """Least at 0.1 in every row, steeper above where `bow` is positive."""
    distance = known.ALPHA - 0.1
    return 0.1 + 0.01 * distance**2 + bow * distance**3


def test_asymmetry_is_at_least_how_far_a_parabola_is_off() -> None:
    asymmetry = []
    for bow in (5e-4, 1.5e-3):
        found, mirrored = (of(known.landscape(cubic(each).clip(0.1))) for each in (bow, -bow))
        error = 0.1 - found.places
        assert (error > 0).all()
        assert (error < found.asymmetry).all()
        np.testing.assert_allclose(mirrored.asymmetry, -found.asymmetry, rtol=0.1)
        asymmetry.append(found.asymmetry)
    np.testing.assert_allclose(asymmetry[1] / asymmetry[0], 3, rtol=0.2)


def test_without_some_rows() -> None:
    found = of(known.landscape(parabolas()))
    gone = np.arange(len(known.DECADES)) < 10
    left = found.without(gone)
    assert not left.rows[:10].any()
    np.testing.assert_array_equal(left.places, found.places[-len(left.places) :])
    assert left.covariance.shape == left.asymmetry_covariance.shape == (len(left.places),) * 2


def test_draws_of_one_landscape_spread_as_their_vertices() -> None:
    offsets = np.array([-0.2, -0.1, 0.0, 0.1, 0.2])
    draws = known.landscape(parabolas(), seeds=5)
    draws = draws.copy(data=np.stack([parabolas(0.0, offset) for offset in offsets]))
    found = optima_of_draws(draws, known.DECADES)
    assert found.rows.all()
    np.testing.assert_allclose(found.places, 0, atol=1e-6)
    of_cells = (0.1 * np.diff(known.DECADES)[0]) ** 2
    spread = 2.0**2 * np.var(offsets, ddof=1) + of_cells
    np.testing.assert_allclose(np.diag(found.covariance), spread, rtol=1e-3)


def test_a_row_of_which_draws_know_much_less_does_not_count() -> None:
    """Where its draws spread over a cell and three times as wide as the others'; not where all rows' do."""
    step = np.diff(known.DECADES)[0]
    offsets = np.array([-2, -1, 0, 1, 2]) * step / 3
    draws = known.landscape(parabolas(), seeds=5)

    def rows(spread: np.ndarray) -> np.ndarray:
        each = [0.01 * (known.ALPHA - offset * spread[None, :]) ** 2 for offset in offsets]
        return optima_of_draws(draws.copy(data=np.stack(each)), known.DECADES).rows

    spread = np.full(len(known.DECADES), 0.2)
    spread[-3:] = 1.0
    assert rows(spread).tolist() == [True] * (len(spread) - 3) + [False] * 3
    assert rows(np.full(len(spread), 1.0)).all()
    spread[-3:] = 0.3
    assert rows(spread).all()
