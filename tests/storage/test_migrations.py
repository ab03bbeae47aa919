"""Databases of earlier versions (data/version-N.db, by the last commit that wrote them), and what Optuna has copied."""

import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import optuna
import pytest
from sqlalchemy import text

from storage.errors import StoreError
from storage.records import Trials
from storage.store import Store, open_store
from study.running.plan import stored_plan
from study.spec import parse_spec
from study.training.resolve import resolve

OLD = Path(__file__).parent / "data" / "version-1.db"
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture
def old(tmp_path: Path) -> str:
    shutil.copy(OLD, tmp_path / "old.db")
    return f"sqlite:///{tmp_path}/old.db"


def raw(query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"{OLD.resolve().as_uri()}?mode=ro", uri=True)) as file:
        return file.execute(query).fetchall()


@pytest.mark.parametrize("create", [False, True])
def test_every_trial_and_run_of_version_1_is_there(old: str, create: bool) -> None:
    with open_store(old, create=create) as store:
        found = store.studies()
        assert found["study"].tolist() == ["grown", "grown", "plain", "plain"]
        assert found["optimizer"].tolist() == ["adam", "apollo", "sgd", "torch.optim:Adagrad"]
        assert found["trials"].tolist() == [12, 12, 6, 6]
        for study_id, optimizer in ((1, "adam"), (2, "apollo")):
            values = raw(
                "SELECT value FROM trial_values JOIN trials USING (trial_id) "
                f"WHERE study_id = {study_id} ORDER BY number"
            )
            assert store.trials("grown", optimizer)["validation_error"].tolist() == [
                each for (each,) in values
            ]
            ((launch),) = store.provenances("grown", optimizer)
            assert (launch["launch"], launch["trials"]) == (0, 12)
            runs = store.runs("grown", optimizer)
            assert [(run.tuner, run.replicate) for run in runs] == [
                (tuner, replicate) for tuner in ("gld", "random") for replicate in range(3)
            ]
            assert {run.space for run in runs} == {store.space("grown")}
        import zlib

        ((packed,),) = raw(
            "SELECT cells FROM tunability_runs WHERE study_id = 1 AND tuner = 'gld' AND replicate = 2"
        )
        assert isinstance(packed, bytes)
        expected = np.frombuffer(zlib.decompress(packed), "<u4").tolist()
        (run,) = (each for each in store.runs("grown", "adam") if (each.tuner, each.replicate) == ("gld", 2))
        assert run.cells.tolist() == expected
    with open_store(old, create=False) as again:  # a second time there is nothing to do
        assert again.studies().equals(found)


@pytest.mark.parametrize("create", [False, True])
def test_version_2_gets_a_table_of_failures_and_goes_on(tmp_path: Path, create: bool) -> None:
    url = f"sqlite:///{shutil.copy(OLD.with_name('version-2.db'), tmp_path / 'old.db')}"
    with open_store(url, create=create) as store:
        assert store.studies()["trials"].tolist() == [6, 6]
        assert store.studies()["failed"].tolist() == [0, 0]
        assert [len(store.runs("old", optimizer)) for optimizer in ("adam", "sgd")] == [4, 4]
        assert [each["trials"] for each in store.provenances("old", "adam")] == [6, 0]
        spec = store.spec("old")
    study = resolve(parse_spec(spec | {"seeds": 3}))
    plan = stored_plan(study, url, 2)
    assert plan is not None
    assert plan.stored == 12
    with open_store(url, create=True) as store:
        cells = sorted(cell for cell, seed in store.stored("old", "sgd") if seed == 0)
        store.append_failures("old", "sgd", [*cells], 2, "no")
        assert store.failures("old")["lr"].tolist() == [0.001, 0.01, 0.1]


def test_recipes_of_version_1_are_complete_and_their_studies_go_on(old: str) -> None:
    for study in ("grown", "plain"):
        with open_store(old, create=False) as store:
            spec, recipes = store.spec(study), store.recipes(study)
        again = resolve(parse_spec(spec))
        plan = stored_plan(again, old, 2)
        assert plan is not None
        assert (len(plan.blocks), plan.stored) == (0, again.spec.trials)
    settings = {"lr": 0.001, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False}
    assert recipes["sgd"]["settings"] == settings
    assert recipes["sgd"]["schedule"] == {"name": "cosine", "warmup": 0, "at": [], "factor": 0.1}
    assert recipes["torch.optim:Adagrad"]["unknown"] == ["settings"]


def test_a_default_that_changed_since_version_1_is_noticed(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from study.optimizers import OPTIMIZERS

    momentum = OPTIMIZERS["sgd"].rule.arguments["momentum"]
    monkeypatch.setitem(OPTIMIZERS["sgd"].rule.hyperparameters, "momentum", type(momentum)(0.5, "made up"))
    with open_store(old, create=False) as store:
        spec = store.spec("plain")
    with pytest.raises(StoreError, match=r"plain/sgd .* \(settings.momentum = 0.0 there, 0.5 here\)"):
        stored_plan(resolve(parse_spec(spec)), old, 2)


def test_a_file_that_may_not_be_written_says_so(old: str, public_folder: Path, unprivileged: object) -> None:
    path = public_folder / "old.db"
    shutil.copy(OLD, path)
    path.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
    with (
        unprivileged(),
        pytest.raises(StoreError, match=r"earlier version.*open it once where it may be written"),
    ):  # type: ignore[operator]
        open_store(f"sqlite:///{path}", create=False)


def test_a_database_of_a_later_version_is_refused(old: str) -> None:
    with open_store(old, create=True) as store, store.database.writing() as connection:
        connection.execute(text("UPDATE tunability_schema SET version = 99"))
    for create in (False, True):
        with pytest.raises(StoreError, match=r"is of version 99, and this program knows 5: upgrade"):
            open_store(old, create=create)


def test_what_optuna_copied_is_recognised(
    store: Store,
    url: str,
    tmp_path: Path,
    plain: Callable[[str], optuna.storages.RDBStorage],
    declare: Callable[..., None],
    batch: Callable[..., object],
) -> None:
    declare(store)
    store.append("digits", "adam", batch())  # type: ignore[arg-type]
    store.append("digits", "adam", batch(slice(5), seed=1))  # type: ignore[arg-type]
    copied = f"sqlite:///{tmp_path}/copy.db"
    here, away = plain(url), plain(copied)
    for name, new in (("digits/adam", None), ("digits/avagrad", None), ("digits/adam", "other/adam")):
        optuna.copy_study(from_study_name=name, from_storage=here, to_storage=away, to_study_name=new)
    with open_store(copied, create=False) as there:
        assert there.stored("digits", "adam") == store.stored("digits", "adam")
        columns = ["seed", "eps", "alpha", "error", "train_loss", "diverged_at", "seconds"]
        assert there.trials("digits")[columns].equals(store.trials("digits")[columns])
        versions = there.versions()
        assert versions["digits"].identities != versions["other"].identities
    with open_store(copied, create=True) as there:
        declare(there)
        assert there.append("digits", "adam", batch(seed=1)) == 7  # type: ignore[arg-type]


@pytest.mark.parametrize("create", [False, True])
def test_version_3_gets_counts_and_goes_on(tmp_path: Path, create: bool) -> None:
    url = f"sqlite:///{shutil.copy(OLD.with_name('version-3.db'), tmp_path / 'old.db')}"
    with open_store(url, create=create) as store:
        found = store.studies()
        assert found["trials"].tolist() == [6, 9]
        assert found["diverged"].tolist() == [0, 1]
        assert found["failed"].tolist() == [1, 0]
        for optimizer, best in zip(("adam", "sgd"), found["best"], strict=True):
            trials = store.trials("old", optimizer)
            assert trials[trials["diverged_at"].isna()][store.metric("old")].min() == best
        assert store.metrics("old") == ["extra_loss", "train_loss", "validation_loss"]
        version = store.versions()["old"]
        assert version.last_trials == (6, 15)
    with open_store(url, create=True) as store:
        space = store.space("old")
        cells, now = space.cells(), datetime(2026, 2, 3, tzinfo=UTC)
        none, two = np.zeros((len(cells), 0)), np.full(len(cells), 2.0)
        columns = dict(zip(space.names, cells.T, strict=True))
        never = np.full(len(cells), -1)
        more = Trials(columns, 3, two, {}, none[0].astype(np.int64), none, never, two, now, now)
        assert store.append("old", "adam", more) == len(cells)
        assert store.trials("old", "adam")["number"].tolist() == list(range(6 + len(cells)))
        assert store.studies()["trials"].tolist() == [6 + len(cells), 9]
