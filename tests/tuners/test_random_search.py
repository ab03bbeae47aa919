"""Random and grid search: the exact number of trials until the first of k good cells among N."""

import numpy as np
import pytest

from search_spaces import Axis, SearchSpace
from tuners import make_tuner

SPACE = SearchSpace([Axis("a", range(1, 8)), Axis("b", range(1, 10))])


@pytest.mark.parametrize("name", ["random", "grid"])
@pytest.mark.parametrize("good", [1, 3, 10])
def test_trials_until_a_good_cell(name: str, good: int) -> None:
    counts = []
    for seed in range(1000):
        cells = SPACE.flat_index(SPACE.unit_to_index(make_tuner(name, SPACE, seed).ask(SPACE.size)))
        counts.append(1 + int(np.argmax(cells < good)))
    expected = (SPACE.size + 1) / (good + 1)
    assert abs(np.mean(counts) - expected) < 4 * np.std(counts) / np.sqrt(len(counts))


def test_grid_refines_continuous_axes_without_repeating_a_point() -> None:
    space = SearchSpace([Axis("a", low=0, high=1), Axis("b", [1, 2, 3])])
    tuner = make_tuner("grid", space, 0)
    levels = []
    for expected in (9, 6, 12):  # 3, 5, 9 values of a: 2 and 4 new ones
        points = tuner.ask(1000)
        assert len(points) == expected
        tuner.tell(points, np.zeros(len(points)))
        levels += points.tolist()
    assert len({tuple(point) for point in levels}) == 27
