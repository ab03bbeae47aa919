"""Where every trial diverged there is nothing to tell, and that is said."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from analysis.landscape import best_along, best_cell, landscape
from analysis.pairs import pair_of
from analysis.power import further_trials
from analysis.separability import judge
from analysis.trained import NothingTrainedError, nothing_trained, trained, untrained
from search_spaces import SearchSpace

SPACE = SearchSpace.from_table({"alpha": [0.1, 1, 10], "eps": [0.01, 1], "beta": [0.5, 0.9]})


def made_up(diverged: int, where: slice = slice(None)) -> xr.DataArray:
    """Trials of two seeds, the first `diverged` of them with a step at which they diverged."""
    cells = np.tile(SPACE.cells(), (2, 1))
    frame = pd.DataFrame(cells, columns=list(SPACE.names)).assign(seed=np.repeat([0, 1], SPACE.size))
    steps = pd.array([3 if place < diverged else None for place in range(len(frame))], dtype="Int64")
    return landscape(frame.assign(error=0.9, diverged_at=steps)[where], SPACE, "error")


def test_one_trial_that_did_not_diverge_is_enough() -> None:
    assert untrained(made_up(24)) == "nothing trained, all 24 trials diverged"
    assert untrained(made_up(23)) is untrained(made_up(0)) is None
    assert untrained(made_up(5, slice(5))) == "nothing trained, all 5 trials diverged"  # of those there are
    assert best_cell(made_up(23)).mean == pytest.approx(0.9)


def test_counts_in_words() -> None:
    assert nothing_trained(0, 0) is None
    assert nothing_trained(1, 1) == "nothing trained, its only trial diverged"
    assert nothing_trained(1234, 1234) == "nothing trained, all 1,234 trials diverged"


def test_no_best_cell_and_no_verdict() -> None:
    nothing = made_up(24)
    for said in (untrained(pair_of(nothing, "alpha", "eps")), untrained(nothing.sel(beta=0.5))):
        assert said == "nothing trained, all 24 trials diverged"
    with pytest.raises(NothingTrainedError, match=r"^nothing trained, all 24 trials diverged$"):
        best_cell(nothing)
    with pytest.raises(NothingTrainedError, match="nothing trained"):
        best_along(nothing, "alpha", "eps")
    with pytest.raises(NothingTrainedError, match="adam: nothing trained"):
        judge("adam", nothing)
    assert further_trials(nothing) is None


def test_those_that_trained() -> None:
    told: list[str] = []
    some, none = made_up(3), made_up(24)
    assert list(trained({"adam": some, "sgd": none}, told.append)) == ["adam"]
    assert told == ["sgd: nothing trained, all 24 trials diverged"]
    assert trained({}, told.append) == {}
    with pytest.raises(NothingTrainedError, match=r"^adam: nothing trained.*; sgd: nothing trained"):
        trained({"adam": none, "sgd": none}, told.append)
    assert len(told) == 1
