"""One suite for every tuner: the protocol, seeds, grids and boxes of any dimension, failures."""

import numpy as np
import pytest

from search_spaces import Axis, SearchSpace
from tuners import TUNERS, TunerError, make_tuner

GRID = SearchSpace([Axis("alpha", np.geomspace(1e-3, 10, 9)), Axis("eps", np.geomspace(1e-8, 1, 5))])
BOX = SearchSpace([Axis("alpha", low=1e-3, high=10), Axis("eps", low=1e-8, high=1)])
MIXED = SearchSpace(
    [Axis("alpha", low=1e-3, high=10), Axis("eps", [1e-8, 1e-4, 1]), Axis("beta", low=0, high=1)]
)
SPACES = {
    "grid": GRID,
    "box": BOX,
    "mixed": MIXED,
    "one axis": SearchSpace([Axis("alpha", np.geomspace(1e-3, 10, 30))]),
    "a line": SearchSpace([Axis("alpha", low=0, high=1)]),
    "one value": SearchSpace([Axis("alpha", [0.1]), Axis("eps", [1e-8, 1e-4, 1])]),
    "five": SearchSpace([Axis(name, low=0, high=1) for name in "abcde"]),
}


def bowl(points: np.ndarray) -> np.ndarray:
    return ((points - 0.6) ** 2).sum(1)


def search(
    name: str, space: SearchSpace, trials: int, seed: int = 0, batch: int = 7
) -> tuple[np.ndarray, np.ndarray]:
    """Points (m, d) in the unit cube, asked in batches of up to `batch`, and their losses (m,)."""
    tuner, points = make_tuner(name, space, seed), [np.empty((0, len(space.axes)))]
    count = 0
    while count < trials:
        asked = tuner.ask(min(batch, trials - count))
        if not len(asked):
            break
        tuner.tell(asked, bowl(asked))
        points.append(asked)
        count += len(asked)
    every = np.concatenate(points)
    return every, bowl(every)


@pytest.mark.parametrize("name", TUNERS)
@pytest.mark.parametrize("space", SPACES)
def test_proposals_are_points_of_the_space(name: str, space: str) -> None:
    points, _ = search(name, SPACES[space], 40)
    assert points.shape[1] == len(SPACES[space].axes)
    assert ((points >= 0) & (points <= 1)).all()
    if SPACES[space].is_grid:
        SPACES[space].unit_to_index(points)
    else:
        assert len(points) == 40  # a continuous space has no end


@pytest.mark.parametrize("name", TUNERS)
@pytest.mark.parametrize("space", ["grid", "mixed"])
def test_equal_seeds_give_equal_searches(name: str, space: str) -> None:
    first, _ = search(name, SPACES[space], 30, seed=5)
    np.random.seed(99)  # noqa: NPY002 -- somebody else's use of the global state
    again, _ = search(name, SPACES[space], 30, seed=5)
    np.testing.assert_array_equal(first, again)
    other, _ = search(name, SPACES[space], 30, seed=6)
    assert not np.array_equal(first[: len(other)], other[: len(first)])


@pytest.mark.parametrize("name", TUNERS)
def test_the_global_random_state_is_left_alone(name: str) -> None:
    np.random.seed(1)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    search(name, GRID, 20)
    assert np.random.random() == expected  # noqa: NPY002


@pytest.mark.parametrize("name", TUNERS)
def test_the_batch_size_does_not_change_the_search(name: str) -> None:
    one, _ = search(name, GRID, 30, batch=1)
    many, _ = search(name, GRID, 30, batch=30)
    np.testing.assert_array_equal(one[: len(many)], many[: len(one)])


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name == "gp" else name
        for name in TUNERS
        if name not in ("random", "grid")
    ],
)
def test_it_does_better_than_the_first_points(name: str) -> None:
    best = [search(name, BOX, 80, seed)[1].min() for seed in range(10)]
    chance = [search("random", BOX, 80, seed)[1].min() for seed in range(10)]
    assert np.median(best) < np.median(chance)


@pytest.mark.parametrize("name", ["random", "grid", "gp", "gld", "cgld", "line-search"])
def test_on_a_grid_every_cell_comes_once_and_then_nothing(name: str) -> None:
    points, _ = search(name, GRID, 100)
    cells = GRID.flat_index(GRID.unit_to_index(points))
    assert sorted(cells) == list(range(GRID.size))


@pytest.mark.parametrize("name", TUNERS)
def test_failures_are_taken_as_infinite_losses(name: str) -> None:
    for space in (GRID, BOX):
        tuner = make_tuner(name, space, 0)
        for i in range(11):
            asked = tuner.ask(4)
            losses = bowl(asked)
            losses[i % 2 :: 2] = np.inf
            tuner.tell(asked, np.full(len(asked), np.inf) if i < 4 else losses)
            assert ((asked >= 0) & (asked <= 1)).all()


@pytest.mark.parametrize("name", TUNERS)
def test_misuse_is_refused_and_changes_nothing(name: str) -> None:
    tuner = make_tuner(name, GRID, 0)
    with pytest.raises(TunerError, match="nothing was asked: ask first"):
        tuner.tell([[0.5, 0.5]], [1.0])
    with pytest.raises(TunerError, match="asked for 0 points: ask for 1 or more"):
        tuner.ask(0)
    asked = tuner.ask(1)
    with pytest.raises(TunerError, match="tell the losses of the 1 points asked before"):
        tuner.ask(1)
    with pytest.raises(TunerError, match="tell the losses of all 1 points asked"):
        tuner.tell(asked + 0.01, [1.0])
    with pytest.raises(TunerError, match="give as many losses"):
        tuner.tell(asked, [1.0, 2.0])
    for bad in (np.nan, -np.inf):
        with pytest.raises(TunerError, match="are not allowed: give numbers, or"):
            tuner.tell(asked, [bad])
    tuner.tell(asked, bowl(asked))
    undisturbed, _ = search(name, GRID, 2, batch=1)
    np.testing.assert_array_equal(tuner.ask(1), undisturbed[1:])


def test_an_unknown_tuner_is_named_with_the_nearest() -> None:
    with pytest.raises(
        TunerError, match=r"unknown tuner 'cmaes' \(did you mean 'cma-es'\?\): known are random, grid"
    ):
        make_tuner("cmaes", GRID, 0)
