"""Alternating line searches: separable landscapes in one round, rotated ones not."""

import numpy as np
import pytest

from search_spaces import Axis, SearchSpace, get_space
from tuners.line_search import LineSearch

SPACE = get_space("avagrad-cifar")
ROW, COLUMN = np.indices(SPACE.shape)


def trials_to_best(surface: np.ndarray, seed: int) -> int:
    tuner, count = LineSearch(SPACE, seed), 0
    while len(points := tuner.ask(1)):
        count += 1
        index = tuple(SPACE.unit_to_index(points)[0])
        if surface[index] == surface.min():
            return count
        tuner.tell(points, [surface[index]])
    raise AssertionError("it ended without the best cell")


@pytest.mark.parametrize("best", [(0, 0), (20, 20), (7, 15)])
def test_a_separable_landscape_takes_at_most_the_sum_of_the_axis_lengths(best: tuple[int, int]) -> None:
    surface = np.abs(ROW - best[0]) ** 1.5 + np.log1p(np.abs(COLUMN - best[1]))
    assert max(trials_to_best(surface, seed) for seed in range(200)) <= sum(SPACE.shape)


def test_a_rotated_one_is_not_solved_in_that_many() -> None:
    surface = 100.0 * (ROW - COLUMN) ** 2 + (ROW + COLUMN - 20) ** 2
    counts = np.array([trials_to_best(surface, seed) for seed in range(200)])
    assert np.mean(counts > sum(SPACE.shape)) > 0.8


def test_four_axes() -> None:
    space = SearchSpace([Axis(name, range(1, 6)) for name in "abcd"])
    for seed in range(50):
        tuner, count = LineSearch(space, seed), 0
        while True:
            points = tuner.ask(1)
            count += 1
            losses = np.abs(space.unit_to_index(points) - [0, 2, 4, 1]).sum(1).astype(float)
            if losses[0] == 0:
                break
            tuner.tell(points, losses)
        assert count <= 20


def test_continuous_axes_are_searched_ever_finer() -> None:
    space = SearchSpace([Axis("a", low=0, high=1), Axis("b", low=0, high=1)])
    tuner, best = LineSearch(space, 0), np.inf
    for _ in range(300):
        points = tuner.ask(1)
        loss = np.abs(points - [0.123, 0.871]).sum(1)
        best = min(best, loss[0])
        tuner.tell(points, loss)
    assert best < 1e-3
