"""Looks, the error they spend, and cells that are open."""

import numpy as np
import pytest

from analysis.cost.sequential import confidence_at, look_of, open_cells


def test_wrong_verdicts_at_any_look_add_up_to_five_percent() -> None:
    assert confidence_at(1) == pytest.approx(0.975)
    assert sum(1 - confidence_at(look) for look in range(1, 10_000)) == pytest.approx(0.05, abs=1e-5)


@pytest.mark.parametrize(("seeds", "look"), [(3, 1), (4, 2), (6, 2), (7, 3), (12, 3), (24, 4)])
def test_looks_are_told_by_the_seeds_that_there_are(seeds: int, look: int) -> None:
    table = np.full((5, seeds), np.nan)
    table[:, :3] = 0.1
    table[2] = 0.1
    assert look_of(table, 3) == look


def test_cells_are_open_where_draws_disagree() -> None:
    levels = np.tile([0.10, 0.105, 0.5, 0.11, 0.3], (100, 1))
    levels[:30, 3] = 0.2  # within the target of 0.02 in 70 of 100 draws
    levels[:10, 4] = 0.05  # the best in ten draws, and then cells at 0.1 are beyond it
    assert open_cells(levels, 0.02).tolist() == [0, 1, 3, 4]
    assert open_cells(levels[50:], 0.02).tolist() == [0]  # the best for sure: its level matters
