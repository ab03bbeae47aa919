"""Optuna's importances of our trials."""

import math

import numpy as np

from analysis.observations import FloatArray, Observations
from analysis.sensitivity.importance import importances
from search_spaces import SearchSpace

SPACE = SearchSpace.from_table({"alpha": [0.01, 0.1, 1.0, 10.0, 100.0], "beta": [0.1, 0.2, 0.3, 0.4, 0.5]})


def trials(error: FloatArray) -> Observations:
    return Observations(SPACE, SPACE.cells(), np.zeros(25, dtype=np.int64), error, "error")


def test_what_alone_matters_has_all_the_importance() -> None:
    found = importances(trials(SPACE.cells()[:, 1]), SPACE)
    assert found["beta"][0] > 0.9
    assert found["beta"][1] > 0.9
    for shares in zip(*found.values(), strict=True):
        assert math.isclose(sum(shares), 1)


def test_trials_that_are_all_alike_have_none() -> None:
    found = importances(trials(np.full(25, 0.5)), SPACE)
    assert all(math.isnan(share) for shares in found.values() for share in shares)
