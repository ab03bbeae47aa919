"""GLD and coordinate GLD: radii, acceptance, rounding, restarts."""

import numpy as np
import pytest

from search_spaces import Axis, SearchSpace, get_space
from tuners.cgld import CGLD
from tuners.gld import GLD

SPACE = get_space("avagrad-cifar")


def indices(points: np.ndarray) -> np.ndarray:
    return SPACE.unit_to_index(points)


@pytest.mark.parametrize("cls", [GLD, CGLD])
def test_radii_on_the_papers_grid(cls: type[GLD]) -> None:
    assert cls(SPACE, 0).radii.tolist() == [10, 5, 2.5, 1.25]


def test_radii_on_other_spaces() -> None:
    assert GLD(SearchSpace([Axis("a", low=0, high=1)]), 0).radii.tolist() == [10, 5, 2.5, 1.25]
    assert GLD(SearchSpace([Axis("a", range(1, 14)), Axis("b", [1, 2])]), 0).radii.tolist() == [6, 3, 1.5]
    assert GLD(SearchSpace([Axis("a", [1, 2])]), 0).radii.tolist() == [1]


@pytest.mark.parametrize("cls", [GLD, CGLD])
def test_four_evaluations_an_iteration_within_their_radii(cls: type[GLD]) -> None:
    for seed in range(50):
        tuner = cls(SPACE, seed)
        start = tuner.ask(10)
        assert len(start) == 1
        tuner.tell(start, [1.0])
        candidates = tuner.ask(10)
        assert 1 <= len(candidates) <= 4
        steps = indices(candidates) - indices(start)
        assert (np.abs(steps).sum(1) > 0).all()
        assert (np.linalg.norm(steps, axis=1) <= 10 + 0.75).all()  # rounding moves a point by 0.71 at most
        if cls is CGLD:
            assert (np.count_nonzero(steps, axis=1) == 1).all()
            assert len(set(np.nonzero(steps)[1])) == 1  # one axis an iteration
    assert len(candidates) == 4


@pytest.mark.parametrize("cls", [GLD, CGLD])
def test_directions_are_uniform(cls: type[GLD]) -> None:
    tuner = cls(SPACE, 0)
    steps = tuner._directions((100, 200)).reshape(-1, 2)
    if cls is GLD:
        length = np.linalg.norm(steps, axis=1)
        assert length.max() <= 1
        np.testing.assert_allclose(np.mean(length**2), 1 / 2, atol=0.01)  # uniform in the disc
        np.testing.assert_allclose(steps.mean(0), 0, atol=0.02)
    else:
        (axis,) = np.flatnonzero(steps.any(0))
        assert np.abs(steps).max() <= 1
        np.testing.assert_allclose(np.mean(steps[:, axis] ** 2), 1 / 3, atol=0.01)


@pytest.mark.parametrize("cls", [GLD, CGLD])
def test_it_moves_only_to_something_strictly_better(cls: type[GLD]) -> None:
    tuner = cls(SPACE, 3)
    start = tuner.ask(1)
    tuner.tell(start, [1.0])
    for losses in (1.0, 2.0):
        tuner.tell(asked := tuner.ask(10), np.full(len(asked), losses))
        assert tuple(indices(start)[0]) == tuner._x
    asked = tuner.ask(10)
    tuner.tell(asked, np.linspace(0.5, 0.9, len(asked)))
    assert tuple(indices(asked)[0]) == tuner._x


def test_cgld_takes_the_axes_in_turn() -> None:
    tuner = CGLD(SPACE, 1)
    tuner.tell(tuner.ask(1), [1.0])
    axes = []
    for _ in range(6):
        asked = tuner.ask(10)
        steps = indices(asked) - np.array(tuner._x)
        axes.append(int(np.flatnonzero(steps.any(0))[0]))
        tuner.tell(asked, np.full(len(asked), 2.0))
    assert axes in ([0, 1] * 3, [1, 0] * 3)


def test_cgld_restarts_when_idle_and_reaches_every_cell() -> None:
    """A surface that no single axis improves: without restarts it would stay at its first local optimum."""
    row, column = np.indices(SPACE.shape)
    surface = np.abs(row - column) * 10.0 + np.abs(row + column - 4)
    for seed in range(20):
        tuner, seen = CGLD(SPACE, seed), set()
        while len(points := tuner.ask(50)):
            at = indices(points)
            tuner.tell(points, surface[at[:, 0], at[:, 1]])
            seen |= set(map(tuple, at.tolist()))
        assert len(seen) == SPACE.size
