"""What is wrong with a database is found, changes nothing, and is put right where it can be."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from storage import health
from storage.records import Trials
from storage.store import Store, open_store

Declare = Callable[..., None]
Batch = Callable[..., Trials]


def problems(url: str) -> dict[str, str]:
    return {each.check: each.problem for each in health.examine(url) if each.problem}


@pytest.fixture
def filled(store: Store, declare: Declare, batch: Batch) -> Store:
    declare(store)
    store.append("digits", "adam", batch(), batch(seed=1))
    store.append("digits", "avagrad", batch())
    return store


def test_a_sound_database_has_no_problems(filled: Store, url: str) -> None:
    assert problems(url) == {}
    assert {each.check: each.detail for each in health.examine(url)}["exactly once"] == "36 trials"


BREAKS = {
    "orphaned trials": "UPDATE tunability_trials SET trial_id = trial_id + 1000 WHERE seed = 1",
    "orphaned runs": "INSERT INTO tunability_failures VALUES (99, 0, 'a=1', 'no', '', '2026-01-01', NULL)",
    "counts": "UPDATE tunability_counts SET best = 0.5, trials = 7",
    "exactly once": "DELETE FROM tunability_trials WHERE seed = 1",
    "nothing half-done": "DELETE FROM trial_values WHERE trial_id = 3",
}


@pytest.mark.parametrize("check", BREAKS)
def test_what_is_wrong_is_found_and_put_right(filled: Store, url: str, kind: str, check: str) -> None:
    if check == "orphaned runs" and kind == "postgresql":
        pytest.skip("its foreign keys do not let it happen")
    with filled.database.writing() as connection:
        connection.execute(text(BREAKS[check]))
    before = problems(url)
    assert check in before
    assert problems(url) == before  # looking changes nothing
    findings = [each for each in health.examine(url) if each.problem]
    health.repair(url, findings)
    after = problems(url)
    assert (check in after) == (check in ("exactly once", "nothing half-done"))
    if check == "orphaned trials":
        health.repair(url, [each for each in health.examine(url) if each.problem])
        assert len(filled.stored("digits", "adam")) == 12  # the others would be trained again


def test_an_earlier_version_is_said_and_left_alone(tmp_path: Path) -> None:
    old = Path(__file__).parent / "data" / "version-3.db"
    url = f"sqlite:///{shutil.copy(old, tmp_path / 'old.db')}"
    content = (tmp_path / "old.db").read_bytes()
    (found,) = (each for each in health.examine(url) if each.problem)
    assert found.check == "version"
    assert (tmp_path / "old.db").read_bytes() == content
    health.repair(url, [found])
    assert problems(url) == {}
    with open_store(url, create=False) as store:
        assert store.studies()["trials"].tolist() == [6, 9]


def test_files_that_were_never_finished(prepared: Callable[[str], str]) -> None:
    url = prepared("sqlite")
    path = Path(url.removeprefix("sqlite:///"))
    left, fresh = (path.with_name(f".{path.name}.{each}") for each in ("abc", "def"))
    for each in (left, fresh):
        each.touch()
    os.utime(left, (time.time() - 7_200,) * 2)
    findings = [each for each in health.examine(url) if each.problem]
    assert [each.check for each in findings] == ["files never finished"]
    health.repair(url, findings)
    assert (left.exists(), fresh.exists()) == (False, True)
