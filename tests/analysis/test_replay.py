"""Tuning runs on losses that are known, or become known when they are asked for."""

import numpy as np
import pytest

from analysis.replay import PATIENCE, Search
from search_spaces import SearchSpace
from tuners import Tuner

SPACE = SearchSpace.from_table({"alpha": [0.1, 1, 10], "eps": [1e-8, 1e-4]})


def search(tuner: str = "grid", budget: int = 6, repeats: str = "free") -> Search:
    return Search(SPACE, tuner, 0, budget, "mean", repeats, 2)


@pytest.mark.parametrize("tuner", ["grid", "random", "gld", "line-search"])
def test_cells_are_asked_for_and_told_in_the_same_order_whether_they_were_known_or_not(tuner: str) -> None:
    losses = np.arange(6.0)
    known = search(tuner)
    assert known.advance(losses).size == 0
    assert known.ended
    learning, table, asked = search(tuner), np.full(6, np.nan), 0
    while (needed := learning.advance(table)).size:
        assert np.isnan(table[needed]).all()
        table[needed] = losses[needed]
        asked += len(needed)
    assert learning.cells == known.cells
    assert asked <= 6
    assert learning.run.cells.tolist() == known.cells


def test_a_grid_is_gone_through_once() -> None:
    run = search()
    run.advance(np.zeros(6))
    assert sorted(run.cells) == list(range(6))


def test_a_budget_ends_it() -> None:
    run = search("random", budget=4)
    run.advance(np.zeros(6))
    assert run.ended
    assert len(run.cells) == 4


class TwoCells(Tuner):
    """Asks for two cells of the six in turn, for ever."""

    turn = 0

    def _propose(self, n: int) -> np.ndarray:
        del n
        return (np.array([[self.turn % 2, 0]]) + 0.5) / self.space.shape

    def _learn(self, points: np.ndarray, losses: np.ndarray) -> None:
        del points, losses
        self.turn += 1


@pytest.mark.parametrize(("repeats", "trials"), [("free", 2), ("count", 2 + PATIENCE)])
def test_a_run_that_asks_for_nothing_new_ends(
    repeats: str, trials: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.replay.make_tuner", lambda name, space, seed: TwoCells(space, seed))
    run = search("two cells", 500, repeats)
    run.advance(np.zeros(6))
    assert run.ended
    assert run.cells[:2] == [0, 2]
    assert len(run.cells) == trials


def test_what_a_run_sees_of_seeds() -> None:
    table = np.array([[1.0, 3.0], [2.0, np.nan]])
    np.testing.assert_array_equal(search().seen(table), [2, np.nan])
    odd = Search(SPACE, "grid", 1, 6, "run", "free", 2)
    np.testing.assert_array_equal(odd.seen(np.repeat([[1.0, 3.0]], 6, axis=0)), [3] * 6)
