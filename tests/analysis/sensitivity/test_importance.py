"""Optuna's importances of our trials."""

import math

import pandas as pd

from analysis.sensitivity.importance import importances
from search_spaces import SearchSpace

SPACE = SearchSpace.from_table({"alpha": [0.01, 0.1, 1.0, 10.0, 100.0], "beta": [0.1, 0.2, 0.3, 0.4, 0.5]})
CELLS = pd.DataFrame(SPACE.cells(), columns=["alpha", "beta"])


def test_what_alone_matters_has_all_the_importance() -> None:
    found = importances(CELLS.assign(error=CELLS["beta"]), SPACE, "error")
    assert found["beta"][0] > 0.9
    assert found["beta"][1] > 0.9
    for shares in zip(*found.values(), strict=True):
        assert math.isclose(sum(shares), 1)


def test_trials_that_are_all_alike_have_none() -> None:
    found = importances(CELLS.assign(error=0.5), SPACE, "error")
    assert all(math.isnan(share) for shares in found.values() for share in shares)
