"""Failures: one a cell and seed, gone with its trial, and none of it changes what is stored of trials."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import optuna
import pytest
from sqlalchemy import text

from search_spaces import SearchSpace
from storage.copy import copy_study, merge_study
from storage.failures import LINE_CHARACTERS, LINES_KEPT, masked, tidy
from storage.records import Trials
from storage.store import Store, UnknownStudyError, open_store

Declare = Callable[..., None]
Batch = Callable[..., Trials]
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def keys(store: Store, study: str = "digits") -> list[tuple[str, float, float, int, str]]:
    frame = store.failures(study)
    columns = ["optimizer", "eps", "alpha", "seed", "reason"]
    return sorted(frame[columns].itertuples(index=False, name=None))


def test_the_newest_failure_stays_until_the_trial_is_stored(
    store: Store, declare: Declare, batch: Batch
) -> None:
    declare(store)
    cells = batch(slice(3)).cells()
    before = store.versions()
    store.append_failures("digits", "adam", cells, 0, "the worker died")
    store.append_failures("digits", "adam", cells[:1], 0, "ValueError: no", "first\nsecond")
    store.append_failures("digits", "adam", cells[:1], 1, "another seed")
    store.append_failures("digits", "avagrad", cells[:1], 0, "another optimizer")
    assert store.versions() == before  # nothing but failures is new
    assert store.stored("digits", "adam") == set()
    assert not store.has_trials("digits")
    frame = store.failures("digits", "adam")
    assert frame.columns.tolist() == [
        "optimizer", "eps", "alpha", "seed", "failed_at", "launch", "reason", "lines",
    ]  # fmt: skip
    assert frame["reason"].tolist()[:2] == ["another seed", "ValueError: no"]  # the last first
    assert frame["reason"].tolist()[2:] == ["the worker died"] * 2
    assert (frame["lines"][1], frame["launch"].tolist()) == ("first\nsecond", [0] * 4)
    assert datetime.now(UTC) - frame["failed_at"].max() < timedelta(minutes=1)
    assert len(store.failures("digits", limit=2)) == 2
    assert (store.failure_counts()["digits"].trials, store.studies()["failed"].tolist()) == (5, [4, 1])
    assert store.append("digits", "adam", batch(slice(2))) == 2
    assert keys(store) == [
        ("adam", 1e-8, 0.01, 1, "another seed"),
        ("adam", 1e-8, 1.0, 0, "the worker died"),
        ("avagrad", 1e-8, 0.01, 0, "another optimizer"),
    ]
    # another driver has stored it meanwhile
    store.append_failures("digits", "adam", cells, 0, "too late")
    assert [each[-1] for each in keys(store)] == ["another seed", "too late", "another optimizer"]
    with pytest.raises(UnknownStudyError):
        store.failures("digits", "sgd")


def test_failures_of_a_refused_batch_stay(store: Store, declare: Declare, batch: Batch) -> None:
    declare(store)
    store.append_failures("digits", "adam", batch(slice(1)).cells(), 0, "no")
    bad = batch(seed=1, metrics={"error": batch().value})
    with pytest.raises(ValueError, match="is the study's metric"):
        store.append("digits", "adam", batch(), bad)
    assert len(keys(store)) == 1


def test_failures_of_what_a_study_no_longer_has_are_dropped(
    store: Store, declare: Declare, batch: Batch
) -> None:
    spec = {"seeds": 3}
    declare(store, spec=spec, recipe={})
    for seed in (0, 2):
        store.append_failures("digits", "adam", batch().cells(), seed, "no")
    declare(store, spec=spec, recipe={})
    assert len(keys(store)) == 24
    smaller = SearchSpace.from_table({"eps": [1e-8, 1.0], "alpha": [0.01, 0.1, 1, 10]})
    declare(store, spec={"seeds": 2}, recipe={}, space=smaller)
    assert len(keys(store)) == 8
    assert {(eps, seed) for _, eps, _, seed, _ in keys(store)} == {(1e-8, 0), (1.0, 0)}
    declare(store, spec={"seeds": 2}, recipe={"another": 1})  # no trial is stored yet
    assert keys(store) == []


def test_renamed_deleted_and_made_anew(
    store: Store, url: str, declare: Declare, batch: Batch, plain: Callable[[str], optuna.storages.RDBStorage]
) -> None:
    declare(store)
    declare(store, "other")
    for study in ("digits", "other"):
        store.append_failures(study, "avagrad", batch().cells(), 0, "no")
    store.rename("digits", "mnist")
    assert len(keys(store, "mnist")) == len(keys(store, "other")) == 12
    store.delete("other")
    storage = plain(url)
    for optimizer in ("adam", "avagrad"):
        optuna.delete_study(study_name=f"mnist/{optimizer}", storage=storage)
    declare(store, "mnist")  # SQLite gives it the ids of the deleted one
    assert keys(store, "mnist") == []
    with store.database.reading() as connection:
        assert connection.scalar(text("SELECT count(*) FROM tunability_failures")) == 0


def test_copied_and_merged(
    store: Store, prepared: Callable[[str], str], declare: Declare, batch: Batch
) -> None:
    declare(store)
    declare(store, provenance={"torch": "99"})
    cells = batch().cells()
    store.append("digits", "adam", batch(slice(2)))
    store.append_failures("digits", "adam", cells[2:6], 0, "of the source", "its lines")
    with open_store(prepared("sqlite"), create=True) as copy:
        copy_study(store, copy, "digits")
        assert copy.failures("digits").equals(store.failures("digits"))
    with open_store(prepared("sqlite"), create=True) as target:
        declare(target)
        target.append_failures("digits", "adam", cells[:4], 0, "older")
        store.append_failures("digits", "adam", cells[2:3], 0, "newer")
        target.append_failures("digits", "adam", cells[3:4], 0, "newest")
        target.append("digits", "adam", batch(slice(4, 5)))
        merge_study(store, target, "digits")
        # the first two and the fifth are stored
        assert [each[-1] for each in keys(target)] == ["newer", "newest", "of the source"]
        reasons = dict(
            zip(target.failures("digits")["reason"], target.failures("digits")["launch"], strict=True)
        )
        assert reasons == {"newest": 0, "newer": 1, "of the source": 1}


def test_what_is_kept_is_text_in_bounds_without_passwords() -> None:
    given = "one\r\x1b[31mtwo\x1b[0m\n\n \nthree\0\ud800 \u2713\n" + "x" * 1_000
    assert tidy(given, 4, 10, None) == "one\ntwo\nthree ✓\nxxxxxxxxxx"
    assert tidy("a\nb\nc", 2, 10, None) == "b\nc"
    hidden = tidy("hunter2 postgresql+psycopg://me:other%40@host/db?x=1", 1, 100, "hunter2")
    assert hidden == "*** postgresql+psycopg://me:***@host/db?x=1"
    assert masked("http://host:8265/a@b abc abcd", ["abc", "abcd", ""]) == "http://host:8265/a@b *** ***"


def test_any_output_can_be_stored(store: Store, declare: Declare, batch: Batch) -> None:
    declare(store)
    lines = "\n".join(f"{k}\0\ud800" + "é" * 2_000 for k in range(100))
    store.append_failures("digits", "adam", batch(slice(1)).cells(), 0, "\0" + "r" * 5_000, lines)
    (row,) = store.failures("digits").itertuples()
    assert set(row.reason) == {"r"}
    kept = row.lines.splitlines()
    assert [line[:2] for line in kept] == [str(k) for k in range(100 - LINES_KEPT, 100)]
    assert {len(line) for line in kept} == {LINE_CHARACTERS}
