"""Pages of trials: the same rows as the whole table, in every order, whatever the size of a page."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from storage.errors import PageError
from storage.records import Trials
from storage.store import Store
from storage.where import WhereError


@pytest.fixture
def filled(store: Store, declare: Callable[..., None], batch: Callable[..., Trials]) -> Store:
    """Two optimizers, two seeds, 12 cells; every third trial diverged, ties in the further metric."""
    declare(store)
    for seed in (0, 1):
        for optimizer in ("avagrad", "adam"):
            diverged = np.where(np.arange(12) % 3 == 0, np.arange(12), -1)
            ties = np.round(np.arange(12) / 5.0)
            trials = batch(seed=seed, diverged_at=diverged, metrics={"train_loss": ties})
            assert store.append("digits", optimizer, trials) == 12
    return store


def whole(store: Store, limit: int, **order: Any) -> pd.DataFrame:
    """All pages below each other."""
    frames, cursor = [], None
    while True:
        frame, cursor = store.page("digits", limit=limit, cursor=cursor, **order)
        assert len(frame) <= limit
        frames.append(frame)
        if cursor is None:
            return pd.concat(frames, ignore_index=True)


@pytest.mark.parametrize("limit", [1, 7, 48, 100])
def test_pages_are_the_table(filled: Store, limit: int) -> None:
    pd.testing.assert_frame_equal(whole(filled, limit), filled.trials("digits"))


@pytest.mark.parametrize("sort", ["error", "alpha", "seed", "number", "diverged_at", "train_loss", "seconds"])
@pytest.mark.parametrize("descending", [False, True])
def test_every_column_sorts_and_missing_values_come_last(filled: Store, sort: str, descending: bool) -> None:
    found = whole(filled, 5, sort=sort, descending=descending)
    assert len(found) == len(found.drop_duplicates(["optimizer", "number"])) == 48
    column = found[sort].dropna().tolist()
    assert column == sorted(column, reverse=descending)
    assert found[sort].isna().tolist() == sorted(found[sort].isna())


def test_optimizers_sort_backwards(filled: Store) -> None:
    names = whole(filled, 10, sort="optimizer", descending=True)["optimizer"].tolist()
    assert names == ["avagrad"] * 24 + ["adam"] * 24


def test_a_filter_and_one_optimizer(filled: Store) -> None:
    where = "alpha < 1 and diverged_at is not null and seed = 1"
    for optimizer in (None, "adam"):
        expected = filled.trials("digits", optimizer, where)
        assert len(expected) > 0
        found = whole(filled, 2, optimizer=optimizer, where=where)
        pd.testing.assert_frame_equal(found, expected)
    by_name = whole(filled, 4, where="optimizer = 'adam'", sort="error")
    assert set(by_name["optimizer"]) == {"adam"}


def test_trials_that_arrive_between_two_pages_shift_nothing(
    filled: Store, batch: Callable[..., Trials]
) -> None:
    first, cursor = filled.page("digits", limit=20, sort="error")
    filled.append("digits", "adam", batch(seed=2, value=np.zeros(12)))
    rest, _ = filled.page("digits", limit=100, sort="error", cursor=cursor)
    assert len(rest) == 28
    assert rest["error"].min() >= first["error"].max()


def test_an_empty_page_has_the_columns(filled: Store) -> None:
    frame, cursor = filled.page("digits", where="alpha > 1e9")
    assert cursor is None
    assert list(frame.columns) == list(filled.trials("digits").columns)


def test_what_is_not_understood(filled: Store) -> None:
    _, cursor = filled.page("digits", limit=1, sort="error")
    for wrong in (cursor, "nonsense", "e30", "é", ""):
        with pytest.raises(PageError, match="not of this list"):
            filled.page("digits", cursor=wrong)
    with pytest.raises(PageError, match=r"no column 'loss' to sort by.*error"):
        filled.page("digits", sort="loss")
    with pytest.raises(WhereError, match="no field 'loss'"):
        filled.page("digits", where="loss < 1")


def test_further_metrics_of_new_trials(filled: Store, batch: Callable[..., Trials]) -> None:
    assert filled.metrics("digits") == ["train_loss"]
    filled.append("digits", "adam", batch(seed=3, metrics={"accuracy": np.ones(12)}))
    assert filled.metrics("digits") == ["accuracy", "train_loss"]
    assert filled.page("digits", metrics=["accuracy"])[0].columns[-3] == "accuracy"
