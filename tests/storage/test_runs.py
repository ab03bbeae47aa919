"""Tuning runs in our own table, on SQLite and a real PostgreSQL."""

from collections.abc import Callable

import numpy as np
import optuna
import pytest

from search_spaces import SearchSpace
from storage.errors import StoreError
from storage.records import TuningRun
from storage.store import Store

SPACE = SearchSpace.from_table({"eps": [1e-8, 1e-4, 1.0], "alpha": [0.01, 0.1, 1, 10]})
Declare = Callable[..., None]
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def made(replicate: int = 0, budget: int = 5, tuner: str = "cgld", **changes: object) -> TuningRun:
    fields = {
        "noise": "seed",
        "repeats": "free",
        "seeds": 3,
        "space": SPACE,
        "cells": np.arange(budget) + replicate,
    } | changes
    return TuningRun(tuner=tuner, replicate=replicate, budget=budget, **fields)  # type: ignore[arg-type]


def test_runs_come_back_as_they_were(store: Store, declare: Declare) -> None:
    declare(store)
    assert store.runs("digits", "adam") == []
    nothing = made(0, tuner="random", cells=np.array([], dtype=int))
    assert store.append_runs("digits", "adam", [made(1), made(0), nothing]) == 3
    assert store.append_runs("digits", "adam", [made(1), made(2)]) == 1
    store.append_runs("digits", "avagrad", [made(7)])
    runs = store.runs("digits", "adam")
    assert [run.key for run in runs] == [made(0).key, made(1).key, made(2).key, made(0, tuner="random").key]
    assert [run.cells.tolist() for run in runs] == [[0, 1, 2, 3, 4], [1, 2, 3, 4, 5], [2, 3, 4, 5, 6], []]
    assert [run.budget for run in runs] == [5, 5, 5, 5]
    assert [run.replicate for run in store.runs("digits", "avagrad")] == [7]


def test_the_longer_run_stays(store: Store, declare: Declare) -> None:
    declare(store)
    for budget in (5, 9, 6):
        store.append_runs("digits", "adam", [made(budget=budget), made(1, budget=4)])
    (first, second) = store.runs("digits", "adam")
    assert (first.budget, len(first.cells), second.budget) == (9, 9, 4)


def test_another_run_of_the_same_key_is_refused(store: Store, declare: Declare) -> None:
    declare(store)
    store.append_runs("digits", "adam", [made()])
    for other in (made(cells=np.array([5, 4, 3, 2, 1])), made(budget=6, cells=np.array([0, 1, 2, 9]))):
        with pytest.raises(
            StoreError, match="run of cgld, replicate 0, is not what that tuner and seed give"
        ):
            store.append_runs("digits", "adam", [made(7), other])
    (only,) = store.runs("digits", "adam")
    assert only.cells.tolist() == [0, 1, 2, 3, 4]


def test_other_noise_repeats_and_seeds_are_other_runs(store: Store, declare: Declare) -> None:
    declare(store)
    store.append_runs("digits", "adam", [made(), made(noise="mean"), made(repeats="count"), made(seeds=4)])
    assert len(store.runs("digits", "adam")) == 4


def test_a_deleted_study_takes_its_runs_along(
    store: Store, url: str, declare: Declare, plain: Callable[[str], optuna.storages.RDBStorage]
) -> None:
    """SQLite gives its id to the next study."""
    declare(store)
    store.append_runs("digits", "adam", [made()])
    for name in ("digits/adam", "digits/avagrad"):
        optuna.delete_study(study_name=name, storage=plain(url))
    declare(store)
    assert store.runs("digits", "adam") == []
