"""Trials as they went in, a bounded number at a time, and what a study is, on SQLite and a real PostgreSQL."""

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import optuna
import pytest

from storage.errors import UnknownStudyError
from storage.records import Trials
from storage.store import About, Store, open_store

Declare = Callable[..., None]
Batch = Callable[..., Trials]
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def assert_same(found: Trials, given: Trials) -> None:
    for name in ("value", "curve_steps", "curve", "diverged_at", "seconds"):
        np.testing.assert_array_equal(getattr(found, name), getattr(given, name), strict=True)
    for name in ("hyperparameters", "metrics"):
        mine, theirs = getattr(found, name), getattr(given, name)
        assert mine.keys() == theirs.keys()
        for key in mine:
            np.testing.assert_array_equal(mine[key], theirs[key], strict=True)
    assert (found.seed, found.started, found.finished) == (given.seed, given.started, given.finished)


def test_trials_come_back_as_they_went_in(store: Store, declare: Declare, batch: Batch) -> None:
    declare(store)
    curve = np.arange(36, dtype=np.float64).reshape(12, 3) / 7
    curve[1] = [np.nan, np.inf, -np.inf]
    odd = {
        "curve": curve,
        "diverged_at": np.where(np.arange(12) == 1, 130, -1),
        "metrics": {"loss": np.linspace(0.1, 0.9, 12) / 3, "none": np.where(np.arange(12) < 4, 1.5, np.nan)},
        "seconds": np.linspace(0.01, 0.3, 12),
        "value": np.linspace(-1e-300, 1e300, 12),
    }
    given = [batch(seed=2**63 - 1, **odd), batch(seed=1)]
    given.append(batch(seed=2, curve_steps=np.array([], dtype=int), curve=np.zeros((12, 0)), metrics={}))
    for each in given:
        store.append("digits", "adam", each)
    store.append("digits", "avagrad", batch(slice(3)))
    declare(store, provenance={"torch": "99"})
    store.append("digits", "avagrad", batch(slice(3, 5), started=given[0].started - timedelta(seconds=1)))
    found = list(store.read("digits"))
    for mine, theirs in zip(found, given, strict=False):
        assert_same(mine, theirs)
    assert [(each.optimizer, each.launch, len(each)) for each in found] == [
        *[("adam", 0, 12)] * 3,
        ("avagrad", 0, 3),
        ("avagrad", 1, 2),
    ]
    assert_same(found[-2], batch(slice(3)))
    assert [each.launch for each in store.read("digits", "avagrad")] == [0, 1]


def test_a_bounded_number_is_read_at_a_time(
    store: Store, declare: Declare, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.read.AT_ONCE", 5)
    declare(store)
    for seed in (0, 1):
        store.append("digits", "adam", batch(seed=seed))
    found = list(store.read("digits", "adam"))
    assert [(each.seed, len(each)) for each in found] == [(0, 5), (0, 5), (0, 2), (1, 3), (1, 5), (1, 4)]
    assert {(cell, each.seed) for each in found for cell in each.cells()} == store.stored("digits", "adam")


def test_what_others_added_is_left_out(
    store: Store, url: str, declare: Declare, batch: Batch, plain: Callable[[str], optuna.storages.RDBStorage]
) -> None:
    declare(store)
    store.append("digits", "adam", batch(slice(2)))
    study = optuna.load_study(study_name="digits/adam", storage=plain(url))
    study.tell(study.ask(), 1.0)
    store.append("digits", "adam", batch(slice(2, 4)))
    assert [len(each) for each in store.read("digits", "adam")] == [4]
    with pytest.raises(UnknownStudyError, match="there is no study 'digit'"):
        list(store.read("digit"))


def test_about_a_study(store: Store, declare: Declare, batch: Batch) -> None:
    declare(store, spec={"seeds": 3}, recipe={"steps": 400})
    store.append("digits", "adam", batch(slice(2)))
    declare(store, "digits-2", ("sgd",), metric="loss", spec={"imported": True})
    declare(store, "DIGITS", ("sgd",))
    declare(store, optimizers=("sgd", "avagrad"), spec={"seeds": 4}, recipe={"steps": 400})
    space, steps = store.space("digits"), {"steps": 400}
    recipes = {"adam": steps, "avagrad": steps, "sgd": steps}
    about = store.about("digits")
    assert about == About(("sgd", "avagrad"), space, "error", {"seeds": 4}, recipes)
    assert (about.seeds, store.about("digits-2").seeds) == (4, None)
    with pytest.raises(UnknownStudyError, match="there is no study 'digit'"):
        store.about("digit")


def test_about_takes_one_statement(url: str, declare: Declare, batch: Batch) -> None:
    from sqlalchemy import event

    with open_store(url, create=True) as store:
        declare(store)
        asked: list[str] = []
        event.listen(store.database.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
        store.about("digits")
        assert len([each for each in asked if "SELECT" in each]) == 1
