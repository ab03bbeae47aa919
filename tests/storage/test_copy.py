"""Copies between databases, SQLite and a real PostgreSQL, in every direction; merging and renaming."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import optuna
import pytest
from sqlalchemy import text

from search_spaces import SearchSpace
from storage.copy import copy_study, merge_study
from storage.errors import OtherStudyError, StoreError, UnknownStudyError
from storage.records import Trials, TuningRun
from storage.store import Store, open_store
from study.running.plan import stored_plan
from study.spec import parse_spec
from study.training.resolve import resolve

OLD = Path(__file__).parent / "data" / "version-1.db"
WRITER = Path(__file__).parent / "writer.py"
SPACE = SearchSpace.from_table({"eps": [1e-8, 1e-4, 1.0], "alpha": [0.01, 0.1, 1, 10]})
Declare = Callable[..., None]
Batch = Callable[..., Trials]
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture(params=["sqlite", "postgresql"])
def target_url(request: pytest.FixtureRequest, prepared: Callable[[str], str]) -> str:
    return prepared(str(request.param))


@pytest.fixture
def target(target_url: str) -> Iterator[Store]:
    with open_store(target_url, create=True) as opened:
        yield opened


@pytest.fixture
def two(prepared: Callable[[str], str]) -> Iterator[tuple[Store, Store]]:
    """For what does not depend on the kinds of database."""
    with (
        open_store(prepared("sqlite"), create=True) as source,
        open_store(prepared("sqlite"), create=True) as target,
    ):
        yield source, target


def run_of(cells: list[int], replicate: int = 0, space: SearchSpace = SPACE) -> TuningRun:
    return TuningRun("cgld", replicate, "run", "free", 2, space, len(cells), np.array(cells, dtype=int))


def fill(store: Store, declare: Declare, batch: Batch) -> None:
    """A study with odd numbers, two launches, tuning runs, and an optimizer that its file names no longer."""
    declare(store, optimizers=("sgd",))
    store.append("digits", "sgd", batch(slice(4), seed=7))
    declare(store)
    curve = np.linspace(0, 1, 36).reshape(12, 3)
    curve[2:5, 1] = [np.nan, np.inf, -np.inf]
    odd = {
        "curve": curve,
        "value": np.where(np.arange(12) == 3, -0.0, 1 / 3),
        "diverged_at": np.arange(12) - 1,
    }
    store.append("digits", "adam", batch(**odd))
    declare(store, provenance={"torch": "99"})
    none = {"curve_steps": np.array([], dtype=int), "curve": np.zeros((12, 0))}
    store.append("digits", "adam", batch(seed=1, metrics={"loss": np.full(12, np.nan)}, **none))
    store.append("digits", "avagrad", batch(slice(3, 9), seed=2**63 - 1))
    store.append_runs("digits", "adam", [run_of([3, 1, 2]), run_of([], 1)])


def contents(store: Store, study: str = "digits") -> object:
    """All that there is of a study."""
    about = store.about(study)
    trials = {name: list(store.read(study, name)) for name in about.recipes}
    rows = {
        name: [(cell, each.seed, each.launch, repr(each.value[i]), repr(each.curve[i]), repr(each.curve_steps))
               for each in found for i, cell in enumerate(each.cells())]
        + [{key: column.tolist() for key, column in each.metrics.items()} for each in found]
        for name, found in trials.items()
    }  # fmt: skip
    runs = {name: [(run.key, run.budget, run.cells.tolist()) for run in store.runs(study, name)]
            for name in about.optimizers}  # fmt: skip
    return about, rows, runs, {name: store.provenances(study, name) for name in about.optimizers}


def test_a_copy_is_the_same_and_goes_on(
    store: Store, target: Store, target_url: str, declare: Declare, batch: Batch,
    plain: Callable[[str], optuna.storages.RDBStorage],
) -> None:  # fmt: skip
    fill(store, declare, batch)
    seen: list[tuple[int, int]] = []
    copied = copy_study(store, target, "digits", lambda *given: seen.append(given))
    assert (copied.found.trials, copied.new, copied.runs, copied.foreign, copied.before) == (34, 34, 2, 0, 0)
    assert (seen[0], seen[-1]) == ((0, 34), (34, 34))
    assert repr(contents(target)).replace("-0.0", "0.0") == repr(contents(store)).replace("-0.0", "0.0")
    assert target.trials("digits").equals(store.trials("digits"))
    assert target.versions()["digits"].identities != store.versions()["digits"].identities
    there = optuna.load_study(study_name="digits/adam", storage=plain(target_url))
    assert (len(there.trials), there.metric_names) == (24, ["error"])
    before, identities = repr(contents(target)), target.versions()
    again = copy_study(store, target, "digits")
    assert (again.found, again.new, again.runs, again.before) == (copied.found, 0, 0, 34)
    assert (repr(contents(target)), target.versions()) == (before, identities)
    declare(target, provenance={"torch": "100"})
    assert target.append("digits", "avagrad", batch(seed=2**63 - 1)) == 6
    assert [each["launch"] for each in target.provenances("digits", "adam")] == [1, 2, 3]


def test_a_copy_killed_in_the_middle_goes_on(
    store: Store, url: str, target: Store, target_url: str, declare: Declare, batch: Batch, tmp_path: Path
) -> None:
    fill(store, declare, batch)
    marker = tmp_path / "marker"
    process = subprocess.Popen([sys.executable, str(WRITER), url, "copy", str(marker), target_url])
    while not marker.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = sum(len(target.stored("digits", name)) for name in target.about("digits").recipes)
    assert 0 < there < 34
    copied = copy_study(store, target, "digits")
    assert (copied.found.trials, copied.new, copied.before) == (34, 34 - there, there)
    assert repr(contents(target)).replace("-0.0", "0.0") == repr(contents(store)).replace("-0.0", "0.0")


@pytest.mark.parametrize("study", ["grown", "plain"])
def test_there_is_nothing_to_train_in_a_copy(
    tmp_path: Path, target: Store, target_url: str, study: str
) -> None:
    shutil.copy(OLD, tmp_path / "old.db")
    with open_store(f"sqlite:///{tmp_path}/old.db", create=False) as source:
        copy_study(source, target, study)
        spec = target.spec(study)
        assert spec == source.spec(study)
    again = resolve(parse_spec(spec))
    todo = stored_plan(again, target_url, 2)
    assert todo is not None
    assert (len(todo.blocks), todo.stored) == (0, again.spec.trials)


def test_a_wrong_copy_is_noticed(
    store: Store, target: Store, declare: Declare, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were one number of one curve stored otherwise, the checksum would tell."""
    import storage.copy

    fill(store, declare, batch)
    insert = storage.copy.insert_trials

    def wrong(
        connection: object,
        tables: object,
        study_id: object,
        space: object,
        batches: list[Trials],
        *rest: object,
    ) -> int:
        for trials in batches:
            if trials.seed == 7:
                trials.curve[1, 2] += 1e-16
        return insert(connection, tables, study_id, space, batches, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(storage.copy, "insert_trials", wrong)
    with pytest.raises(
        StoreError, match=r"digits/sgd was copied, but .* 4 trials, checksum .* there, 4 trials"
    ):
        copy_study(store, target, "digits")


def test_what_others_added_stays_behind(
    store: Store, url: str, target: Store, declare: Declare, batch: Batch,
    plain: Callable[[str], optuna.storages.RDBStorage],
) -> None:  # fmt: skip
    fill(store, declare, batch)
    study = optuna.load_study(study_name="digits/adam", storage=plain(url))
    study.tell(study.ask(), 1.0)
    copied = copy_study(store, target, "digits")
    assert (copied.foreign, copied.new) == (1, 34)


def test_cells_that_the_file_no_longer_names_are_copied(
    store: Store, target: Store, declare: Declare, batch: Batch
) -> None:
    declare(store)
    store.append("digits", "adam", batch())
    declare(store, space=SearchSpace.from_table({"eps": [1e-4], "alpha": [0.1, 1]}))
    assert copy_study(store, target, "digits").new == 12
    assert target.stored("digits", "adam") == store.stored("digits", "adam")
    assert target.space("digits").size == 2


def test_names_that_are_taken(two: tuple[Store, Store], declare: Declare, batch: Batch) -> None:
    source, target = two
    fill(source, declare, batch)
    declare(target, "digits", spec={"steps": 400}, recipe={"steps": 800})
    before = repr(contents(target))
    with pytest.raises(
        OtherStudyError, match=r"has another study 'digits' \(recipes.adam.steps = 800 there, 400"
    ):
        copy_study(source, target, "digits")
    with pytest.raises(
        OtherStudyError, match=r"digits/\w+ was trained otherwise .*\(steps = 800 there, 400 here\)"
    ):
        merge_study(source, target, "digits")
    assert repr(contents(target)) == before
    with pytest.raises(UnknownStudyError, match="there is no study 'other'"):
        copy_study(source, target, "other")
    declare(source, "mine")
    with pytest.raises(UnknownStudyError, match="there is no study 'mine'"):
        merge_study(source, target, "mine")


def test_somebody_elses_trials_of_the_name(
    two: tuple[Store, Store],
    declare: Declare,
    batch: Batch,
    plain: Callable[[str], optuna.storages.RDBStorage],
) -> None:
    source, target = two
    fill(source, declare, batch)
    url = target.database.engine.url.render_as_string(hide_password=False)
    theirs = optuna.create_study(study_name="digits/adam", storage=plain(url))
    theirs.tell(theirs.ask(), 1.0)
    with pytest.raises(OtherStudyError, match="an Optuna study 'digits/adam' with trials of somebody else"):
        copy_study(source, target, "digits")
    assert target.studies().empty


def test_trials_with_other_values_are_not_mixed(
    two: tuple[Store, Store], declare: Declare, batch: Batch
) -> None:
    source, target = two
    for store, seeds in ((source, (0, 1, 2)), (target, (1, 3))):
        declare(store)
        for seed in seeds:
            store.append("digits", "adam", batch(seed=seed))
    assert copy_study(source, target, "digits").new == 24
    declare(target, "other")
    declare(source, "other")
    target.append("other", "adam", batch(slice(4), value=np.full(4, 0.5)))
    source.append("other", "adam", batch())
    with pytest.raises(OtherStudyError, match=r"other/adam has trials in .* with other values"):
        copy_study(source, target, "other")
    assert len(target.stored("other", "adam")) == 4
    copied = merge_study(source, target, "other")
    assert (copied.new, copied.kept, copied.before) == (8, ("adam",), 4)
    assert sum(target.values("other", "adam")["error"] == 0.5) == 4


@pytest.mark.parametrize("on_server", [False, True])
def test_one_database_twice(
    prepared: Callable[[str], str], declare: Declare, tmp_path: Path, on_server: bool
) -> None:
    url = prepared("postgresql" if on_server else "sqlite")
    other = f"{url}&application_name=other" if on_server else f"sqlite:///{tmp_path}/link.db"
    if not on_server:
        (tmp_path / "link.db").symlink_to(url.removeprefix("sqlite:///"))
    with open_store(url, create=True) as source, open_store(other, create=True) as target:
        declare(source)
        for act in (copy_study, merge_study):
            with pytest.raises(StoreError, match="are one database"):
                act(source, target, "digits")


def test_merging_makes_the_union(store: Store, target: Store, declare: Declare, batch: Batch) -> None:
    entries = {
        "sgd": {"name": "sgd", "label": "", "lr": 1},
        "adam": {"name": "adam"},
        "apollo-2": {"name": "apollo", "label": "apollo-2"},
    }
    coarse = SearchSpace.from_table({"eps": [1e-8, 1.0], "alpha": [0.01, 0.1]})

    def spec(seeds: int, *names: str, **more: object) -> dict[str, object]:
        return {"workload": "w", "seeds": seeds, "optimizers": [entries[each] for each in names], **more}

    declare(target, optimizers=("sgd", "adam"), space=coarse, recipe={"steps": 4}, provenance={"at": "there"},
            spec=spec(3, "sgd", "adam", space=coarse.to_table(), tuning={"trials": 9}))  # fmt: skip
    target.append("digits", "adam", batch(slice(1), seed=2))
    target.append_runs("digits", "adam", [run_of([0, 3], space=coarse)])
    declare(store, optimizers=("apollo-2", "adam"), recipe={"steps": 4}, provenance={"at": "here"},
            spec=spec(2, "apollo-2", "adam", space=SPACE.to_table()))  # fmt: skip
    for seed in (0, 1, 2):
        store.append("digits", "adam", batch(seed=seed))
    store.append("digits", "apollo-2", batch())
    store.append_runs("digits", "adam", [run_of([5])])
    for new in (47, 0):  # the second time there is nothing to do
        merged = merge_study(store, target, "digits")
        assert (merged.new, merged.runs, merged.kept) == (new, int(new > 0), ())
        about = target.about("digits")
        assert about.optimizers == ("sgd", "adam", "apollo-2")
        assert about.space == SPACE
        expected = spec(3, "sgd", "adam", "apollo-2", space=SPACE.to_table(), tuning={"trials": 9})
        assert about.spec == expected
        assert about.recipes == {key: {"steps": 4} for key in about.optimizers}
        counts = {name: [(each["at"], each["launch"], each["trials"]) for each in target.provenances("digits", name)]
                  for name in about.optimizers}  # fmt: skip
        assert counts == {
            "sgd": [("there", 0, 0)],
            "adam": [("there", 0, 1), ("here", 1, 35)],
            "apollo-2": [("here", 1, 12)],
        }
        assert sorted(run.cells.tolist() for run in target.runs("digits", "adam")) == [[0, 3], [5]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"spec": {"workload": "v"}},
            r"digits was trained otherwise .* \(workload = \"v\" there, \"w\" here\)",
        ),
        ({"metric": "loss"}, r"\(metric = \"loss\" there, \"error\" here\)"),
        ({"space": SearchSpace.from_table({"lr": [1, 2]})}, "has the axes lr there, eps, alpha here"),
        (
            {"space": SearchSpace.from_table({"eps": {"low": 1e-9, "high": 1}, "alpha": [1, 2]})},
            "axis 'eps' is a grid in one and continuous in the other",
        ),
    ],
)
def test_what_cannot_be_merged(
    two: tuple[Store, Store], declare: Declare, batch: Batch, change: dict[str, object], message: str
) -> None:
    source, target = two
    given = {"spec": {"workload": "w"}, "recipe": {}}
    declare(source, **given)
    source.append("digits", "adam", batch())
    declare(target, **(given | change))
    before = repr(contents(target))
    with pytest.raises(StoreError, match=message):
        merge_study(source, target, "digits")
    assert repr(contents(target)) == before


def test_other_tuning_runs_of_a_key_change_nothing(
    two: tuple[Store, Store], declare: Declare, batch: Batch
) -> None:
    source, target = two
    for store, cells in ((source, [1, 2]), (target, [2, 1])):
        declare(store)
        store.append_runs("digits", "adam", [run_of(cells)])
    source.append("digits", "adam", batch())
    before = repr(contents(target))
    with pytest.raises(StoreError, match="run of cgld, replicate 0, is not what that tuner and seed give"):
        merge_study(source, target, "digits")
    assert repr(contents(target)) == before


def test_rename(
    store: Store, url: str, declare: Declare, batch: Batch, plain: Callable[[str], optuna.storages.RDBStorage]
) -> None:
    declare(store, spec={"name": "digits", "steps": 400})
    store.append("digits", "adam", batch())
    store.append_runs("digits", "adam", [run_of([1])])
    store.set_launch("digits", {"job": "j"})
    declare(store, "taken")
    before = store.trials("digits")
    for name, message in (
        ("taken", "a study 'taken' already"),
        ("a/b", "no slash"),
        ("x" * 510, "give at most"),
    ):
        with pytest.raises(StoreError, match=message):
            store.rename("digits", name)
    with pytest.raises(UnknownStudyError):
        store.rename("digit", "new")
    optuna.create_study(study_name="new/adam", storage=plain(url))  # what an interrupted declaration leaves
    optuna.create_study(study_name="theirs/adam", storage=plain(url)).add_trial(
        optuna.trial.create_trial(value=1.0)
    )
    with pytest.raises(OtherStudyError, match="with trials of somebody else"):
        store.rename("digits", "theirs")
    store.rename("digits", "new")
    assert store.trials("new").equals(before)
    assert len(store.runs("new", "adam")) == 1
    assert store.spec("new") == {"name": "new", "steps": 400}
    assert store.launches() == {}
    with pytest.raises(UnknownStudyError, match="there is no study 'digits'"):
        store.append("digits", "adam", batch(seed=1))
    assert not store.has_trials("taken")
    with store.database.reading() as connection:
        names = connection.scalars(text("SELECT study_name FROM studies ORDER BY study_name")).all()
    assert names == ["new/adam", "new/avagrad", "taken/adam", "taken/avagrad", "theirs/adam"]
