"""Learning curves, a row a point."""

from collections.abc import Callable

import numpy as np

from storage.curves import learning_curves
from storage.records import Trials
from storage.store import Store


def test_curves_of_chosen_trials(
    store: Store, declare: Callable[..., None], batch: Callable[..., Trials]
) -> None:
    declare(store)
    given = {seed: batch(seed=seed) for seed in (0, 1)}
    for seed in (1, 0):
        store.append("digits", "adam", given[seed])
    store.append("digits", "avagrad", batch(slice(0, 1)))
    chosen = store.trials("digits", where="alpha = 10 and eps = 1 or optimizer = avagrad")
    found = learning_curves(store, "digits", chosen)
    assert list(found.columns) == ["optimizer", "number", "seed", "eps", "alpha", "step", "error"]
    assert found["step"].tolist() == [0, 200, 400] * 3
    assert found["optimizer"].tolist() == ["adam"] * 6 + ["avagrad"] * 3
    for seed, curve in found[found["optimizer"] == "adam"].groupby("seed"):
        np.testing.assert_array_equal(curve["error"], given[int(str(seed))].curve[-1])
        assert curve["alpha"].unique() == [10]
    assert found.groupby("optimizer")["number"].nunique().to_dict() == {"adam": 2, "avagrad": 1}


def test_no_trials_have_no_points(
    store: Store, declare: Callable[..., None], batch: Callable[..., Trials]
) -> None:
    declare(store)
    store.append("digits", "adam", batch())
    found = learning_curves(store, "digits", store.trials("digits", where="alpha > 10"))
    assert list(found.columns) == ["optimizer", "number", "seed", "eps", "alpha", "step", "error"]
    assert len(found) == 0
