import dataclasses
import math
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from sqlalchemy import func, select, text

from search_spaces import SearchSpace
from storage.errors import OtherStudyError, StoreError, UnknownStudyError
from storage.records import Trials, TuningRun, cell_key
from storage.store import Store, open_store

SPACE = SearchSpace.from_table({"eps": [1e-8, 1e-4, 1.0], "alpha": [0.01, 0.1, 1, 10]})
Declare = Callable[..., None]
Batch = Callable[..., Trials]
Plain = Callable[[str], optuna.storages.RDBStorage]
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture
def sqlite_store(prepared: Callable[[str], str]) -> Iterator[Store]:
    """For what does not depend on the kind of database."""
    with open_store(prepared("sqlite"), create=True) as store:
        yield store


def test_plain_optuna_reads_everything(
    store: Store, url: str, plain: Plain, declare: Declare, batch: Batch
) -> None:
    declare(store)
    curve = np.array([[0.9, 0.5, 0.25], [np.nan, np.inf, -np.inf]])
    trials = batch(
        slice(5, 7),
        seed=3,
        value=np.array([0.25, 1.0]),
        curve=curve,
        diverged_at=np.array([-1, 130]),
        metrics={"train_loss": np.array([0.1 + 0.2, np.nan])},
    )
    assert store.append("digits", "adam", trials) == 2

    study = optuna.load_study(study_name="digits/adam", storage=plain(url))
    assert study.direction is optuna.study.StudyDirection.MINIMIZE
    assert study.metric_names == ["error"]
    assert study.user_attrs["tunability:spec"] == {"steps": 400}
    first, second = study.get_trials()
    assert study.best_trial == first
    assert [trial.number for trial in (first, second)] == [0, 1]
    assert [trial.state.name for trial in (first, second)] == ["COMPLETE", "COMPLETE"]
    assert [trial.value for trial in (first, second)] == [0.25, 1.0]
    assert first.params == {"eps": 1e-4, "alpha": 0.1}
    assert second.params == {"eps": 1e-4, "alpha": 1.0}
    assert first.distributions == {
        "eps": optuna.distributions.FloatDistribution(1e-8, 1.0, log=True),
        "alpha": optuna.distributions.FloatDistribution(0.01, 10, log=True),
    }
    assert first.intermediate_values == {0: 0.9, 200: 0.5, 400: 0.25}
    assert math.isnan(second.intermediate_values[0])
    assert (second.intermediate_values[200], second.intermediate_values[400]) == (math.inf, -math.inf)
    assert first.user_attrs == {"seed": 3, "seconds": 0.25, "train_loss": 0.1 + 0.2}
    assert second.user_attrs == {"seed": 3, "seconds": 0.25, "diverged_at": 130}
    assert first.datetime_start == trials.started.astimezone().replace(tzinfo=None)
    assert first.duration == timedelta(seconds=90)
    assert second.last_step == 400


def test_ask_and_tell_go_on_beside_ours(
    store: Store, url: str, plain: Plain, declare: Declare, batch: Batch
) -> None:
    declare(store)
    store.append("digits", "adam", batch(slice(6)))
    study = optuna.load_study(study_name="digits/adam", storage=plain(url))
    for _ in range(2):
        trial = study.ask()
        alpha = trial.suggest_float("alpha", 0.01, 10, log=True)
        trial.report(alpha, 1)
        study.tell(trial, -alpha)
    assert store.append("digits", "adam", batch()) == 6
    trial = study.ask()
    assert [entry.number for entry in study.get_trials()] == list(range(15))
    assert trial.number == 14
    study.tell(trial, -100)
    assert study.best_trial.number == 14
    ours = store.trials("digits", "adam")
    assert ours["number"].to_list() == [*range(6), *range(8, 14)]
    assert store.studies()["trials"].to_list() == [12, 0]


def test_what_is_stored_is_skipped(store: Store, declare: Declare, batch: Batch) -> None:
    declare(store)
    assert store.append("digits", "adam", batch(slice(8))) == 8
    before = store.trials("digits")
    assert store.append("digits", "adam", batch(slice(4, 8), value=np.zeros(4))) == 0
    assert store.trials("digits").equals(before)
    assert store.append("digits", "adam", batch(slice(4, 12))) == 4
    assert store.append("digits", "adam", batch(seed=1)) == 12
    assert store.append("digits", "avagrad", batch(slice(2))) == 2
    twice = batch(slice(2), hyperparameters={"eps": np.full(2, 1.0), "alpha": np.full(2, 10.0)})
    assert store.append("digits", "avagrad", twice) == 1
    keys = set(batch().cells())
    assert store.stored("digits", "adam") == {(key, seed) for key in keys for seed in (0, 1)}
    assert store.stored("digits", "avagrad") == {
        (cell_key({"alpha": alpha, "eps": eps}), 0) for alpha, eps in ((0.01, 1e-8), (0.1, 1e-8), (10, 1))
    }


def test_a_batch_without_trials_or_curves_is_stored(store: Store, declare: Declare, batch: Batch) -> None:
    declare(store)
    assert store.append("digits", "adam", batch(slice(0, 0))) == 0
    no_curve = batch(slice(2), curve_steps=np.array([], dtype=int), curve=np.zeros((2, 0)), metrics={})
    assert store.append("digits", "adam", no_curve) == 2
    assert list(store.trials("digits").columns) == [
        *("optimizer", "number", "seed", "eps", "alpha", "error", "diverged_at", "seconds")
    ]


def test_a_batch_larger_than_one_query_may_name(
    sqlite_store: Store, declare: Declare, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.insert.CELLS_PER_QUERY", 5)
    declare(sqlite_store)
    assert sqlite_store.append("digits", "adam", batch(slice(3, 9))) == 6
    assert sqlite_store.append("digits", "adam", batch()) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hyperparameters": {"alpha": np.ones(1)}}, "have the axes alpha: this study has eps, alpha"),
        (
            {"hyperparameters": {"alpha": np.array([10.5]), "eps": np.ones(1)}},
            r"alpha=10.5 is outside its axis: give values from 0.01 to 10",
        ),
        ({"metrics": {"error": np.ones(1)}}, "'error' is the study's metric: give it as value"),
    ],
)
def test_trials_that_do_not_fit_the_study_are_refused(
    sqlite_store: Store, declare: Declare, batch: Batch, change: dict[str, object], message: str
) -> None:
    declare(sqlite_store)
    with pytest.raises(StoreError, match=message):
        sqlite_store.append("digits", "adam", batch(slice(1), **change))
    assert sqlite_store.stored("digits", "adam") == set()


def test_declaring_again_loses_nothing_and_keeps_every_launch(
    store: Store, declare: Declare, batch: Batch
) -> None:
    spec = {"steps": 400, "space": {"eps": [1, 2], "alpha": [3]}, "optimizers": ("adam", "avagrad")}
    declare(store, spec=spec)
    store.append("digits", "adam", batch(slice(5)))
    declare(store, spec=dict(reversed(spec.items())), provenance={"torch": "99"})
    store.append("digits", "adam", batch())
    assert len(store.stored("digits", "adam")) == 12
    first = {"torch": "2.13.0", "launch": 0}
    assert store.provenance("digits", "adam") == first
    assert store.provenances("digits", "adam") == [
        first | {"trials": 5},
        {"torch": "99", "launch": 1, "trials": 7},
    ]
    assert len(store.trials("digits", where="launch = 1")) == 7
    assert "launch" not in store.trials("digits")
    assert store.metric("digits") == "error"
    assert store.space("digits") == SPACE
    assert store.space("digits").names == ("eps", "alpha")


def test_another_recipe_is_refused_and_nothing_written(
    store: Store, url: str, plain: Plain, declare: Declare, batch: Batch
) -> None:
    declare(store, optimizers=("avagrad",), recipe={"steps": 400, "schedule": {"at": 3}})
    store.append("digits", "avagrad", batch(slice(1)))
    with pytest.raises(OtherStudyError) as caught:
        declare(store, recipe={"steps": 800, "schedule": {"at": 3, "factor": 1}})
    message = str(caught.value)
    assert "(schedule.factor = null there, 1 here; steps = 400 there, 800 here)" in message
    assert "give the optimizer a label of its own, such as label = 'avagrad-2'" in message
    assert optuna.get_all_study_names(plain(url)) == ["digits/avagrad"]
    assert store.optimizers("digits") == ["avagrad"]


def test_an_extent_grows_and_shrinks_and_loses_no_trial(store: Store, declare: Declare, batch: Batch) -> None:
    declare(store, recipe={}, spec={"seeds": 1})
    store.append("digits", "adam", batch())
    store.append("digits", "avagrad", batch())
    before = store.versions()["digits"]
    few = SearchSpace.from_table({"eps": [1e-8, 1.0], "alpha": [0.01, 10]})
    more = SearchSpace.from_table({"eps": [1e-8, 1e-4, 1.0], "alpha": [0.01, 0.1, 1, 10, 100]})
    declare(store, optimizers=("sgd", "adam"), recipe={}, spec={"seeds": 2}, space=few)
    assert not store.versions()["digits"].follows(before)
    assert (store.optimizers("digits"), store.space("digits")) == (["sgd", "adam"], few)
    assert store.spec("digits") == {"seeds": 2}
    assert len(store.stored("digits", "avagrad")) == 12  # not shown, and there
    assert set(store.recipes("digits")) == {"adam", "avagrad", "sgd"}
    assert store.studies()["trials"].tolist() == [12, 12, 0]
    declare(store, optimizers=("adam", "avagrad"), recipe={}, spec={"seeds": 1}, space=more)
    assert store.optimizers("digits") == ["adam", "avagrad"]
    assert set(store.recipes("digits")) == {"adam", "avagrad", "sgd"}
    assert len(store.trials("digits")) == 24
    wider = dataclasses.replace(
        batch(slice(1)), hyperparameters={"eps": np.array([1.0]), "alpha": np.array([100.0])}
    )
    assert store.append("digits", "adam", wider) == 1


def test_a_driver_of_a_larger_extent_goes_on(store: Store, url: str, declare: Declare, batch: Batch) -> None:
    declare(store, recipe={}, spec={"seeds": 2})
    few = SearchSpace.from_table({"eps": [1e-8], "alpha": [0.01, 0.1]})
    with open_store(url, create=True) as second:
        declare(second, optimizers=("adam",), recipe={}, spec={"seeds": 1}, space=few)
        assert store.append("digits", "adam", batch(seed=1)) == 12
        assert second.append("digits", "adam", batch(slice(2))) == 2
        assert [each["trials"] for each in second.provenances("digits", "adam")] == [12, 2]


def test_an_extent_below_what_tuning_runs_need_is_refused(store: Store, declare: Declare) -> None:
    declare(store, recipe={}, spec={"seeds": 2})
    store.append_runs("digits", "adam", [dataclasses.replace(RUN, seeds=2)])
    few = SearchSpace.from_table({"eps": [1e-8, 1.0], "alpha": [0.01, 0.1, 1, 10]})
    with pytest.raises(StoreError, match="made on 12 cells and 2 seeds, and the study would have 1 seeds"):
        declare(store, recipe={}, spec={"seeds": 1})
    with pytest.raises(StoreError, match="would have fewer values of eps: keep what they need"):
        declare(store, recipe={}, spec={"seeds": 2}, space=few)
    declare(store, recipe={}, spec={"seeds": 3})
    assert store.runs("digits", "adam")[0].seeds == 2


OTHER = SearchSpace.from_table({"lr": [0.1, 1.0]})
RUN = TuningRun("random", 0, "seed", "free", 1, SPACE, 2, np.array([1, 2]))


def test_without_trials_another_spec_takes_the_place(
    store: Store, url: str, plain: Plain, declare: Declare, batch: Batch
) -> None:
    declare(store, "beside")
    store.append("beside", "adam", batch())
    declare(store)
    store.set_launch("digits", {"job": "old"})
    before = store.versions()["digits"]
    assert not store.has_trials("digits")
    declare(
        store,
        optimizers=("sgd", "avagrad"),
        spec={"steps": 800},
        space=OTHER,
        metric="loss",
        provenance={"torch": "3"},
    )
    assert sorted(store.optimizers("digits")) == ["avagrad", "sgd"]
    assert store.recipes("digits") == {key: {"steps": 800} for key in ("avagrad", "sgd")}
    assert (store.spec("digits"), store.metric("digits")) == ({"steps": 800}, "loss")
    assert (store.space("digits"), store.provenance("digits", "avagrad")) == (
        OTHER,
        {"torch": "3", "launch": 0},
    )
    assert store.launches() == {}  # that was of the other one
    assert not store.versions()["digits"].follows(before)
    storage = plain(url)
    names = {f"{study}/{name}" for study in ("beside", "digits") for name in ("adam", "avagrad", "sgd")}
    assert set(optuna.get_all_study_names(storage)) == names - {"beside/sgd", "digits/adam"}
    for name in ("avagrad", "sgd"):
        study = optuna.load_study(study_name=f"digits/{name}", storage=storage)
        assert (study.metric_names, study.directions[0].name) == (["loss"], "MINIMIZE")
        assert study.user_attrs["tunability:spec"] == {"steps": 800}
    trials = dataclasses.replace(batch(slice(2)), hyperparameters={"lr": np.array([0.1, 1.0])})
    assert store.append("digits", "avagrad", trials) == 2
    assert store.has_trials("digits")
    assert len(store.trials("beside")) == 12


@pytest.mark.parametrize("what", ["a trial", "somebody's trial", "a tuning run"])
def test_with_anything_stored_it_stays(
    store: Store, url: str, plain: Plain, declare: Declare, batch: Batch, what: str
) -> None:
    declare(store)
    if what == "a trial":
        store.append("digits", "avagrad", batch(slice(1)))
    elif what == "a tuning run":
        store.append_runs("digits", "avagrad", [RUN])
    else:
        optuna.load_study(study_name="digits/avagrad", storage=plain(url)).ask()
    assert store.has_trials("digits")
    with pytest.raises(OtherStudyError, match="with another recipe"):
        declare(store, spec={"steps": 800})
    with pytest.raises(OtherStudyError, match="with another recipe"):
        store.check("digits", {"avagrad": {"steps": 800}})
    store.check("digits", {"avagrad": {"steps": 400}, "sgd": {"steps": 800}})


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"steps": 800}},
        {"spec": {"steps": 800}, "optimizers": ("sgd",)},
        {"recipe": {"data_sha256": "b"}},
    ],
)
def test_who_declared_it_before_stores_nothing(
    store: Store, url: str, declare: Declare, batch: Batch, change: dict[str, object]
) -> None:
    """Two drivers: the first one's trials are of another study by now."""
    declare(store)
    with open_store(url, create=True) as second, open_store(url, create=True) as same:
        declare(same, provenance={"torch": "99"})
        declare(second, **change)
        for each in (store, same):
            for store_something in (
                lambda each=each: each.append("digits", "adam", batch()),
                lambda each=each: each.append_runs("digits", "adam", [RUN]),
            ):
                with pytest.raises(StoreError, match=r"declared anew meanwhile|has no optimizer 'adam'"):
                    store_something()
        first = second.optimizers("digits")[0]
        assert not second.has_trials("digits")
        assert second.append("digits", first, batch()) == 12


def test_an_interrupted_declaration_is_completed(
    store: Store, url: str, plain: Plain, declare: Declare
) -> None:
    optuna.create_study(storage=plain(url), study_name="digits/adam", direction="minimize")
    with pytest.raises(StoreError, match="no study 'digits'"):
        store.optimizers("digits")
    declare(store)
    assert store.optimizers("digits") == ["adam", "avagrad"]


def test_an_optuna_study_of_somebody_else_is_not_taken_over(
    store: Store, url: str, plain: Plain, declare: Declare
) -> None:
    storage = plain(url)
    theirs = optuna.create_study(storage=storage, study_name="digits/avagrad")
    theirs.optimize(lambda _: 0.0, n_trials=1)
    optuna.create_study(storage=storage, study_name="words/adam", direction="maximize")
    with pytest.raises(StoreError, match="'digits/avagrad' with trials of somebody else: give this study"):
        declare(store)
    assert "digits/adam" not in optuna.get_all_study_names(storage)
    with pytest.raises(StoreError, match="'words/adam' does not minimize one metric: use another name"):
        declare(store, "words", ("adam",))
    assert store.studies().empty


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"study": "a/b"}, "study name 'a/b' is not allowed"),
        ({"study": ""}, "study name '' is not allowed"),
        ({"optimizers": ("adam", "a/b")}, "optimizer name 'a/b' is not allowed"),
        ({"study": "a" * 507}, "and an optimizer's have 514 characters: give at most 511 together"),
        ({"optimizers": ()}, "has no optimizers: give at least one"),
        ({"metric": "seed"}, "'seed' is the name of a column"),
        ({"space": SearchSpace.from_table({"number": [1, 2]})}, "'number' is the name of a column"),
        ({"metric": "alpha"}, "'alpha' names both the metric and an axis"),
        ({"spec": {"alpha": math.nan}}, "the spec is not JSON"),
        ({"provenance": {"path": Path()}}, "the provenance is not JSON"),
    ],
)
def test_wrong_declarations_are_refused(
    sqlite_store: Store, plain: Plain, declare: Declare, change: dict[str, object], message: str
) -> None:
    with pytest.raises(StoreError, match=message):
        declare(sqlite_store, **change)
    url = sqlite_store.database.engine.url.render_as_string()
    assert optuna.get_all_study_names(plain(url)) == []


def test_declaring_leaves_optuna_as_talkative_as_it_was(
    sqlite_store: Store, declare: Declare, capfd: pytest.CaptureFixture[str]
) -> None:
    optuna.logging.set_verbosity(optuna.logging.INFO)
    declare(sqlite_store)
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
    assert capfd.readouterr() == ("", "")


def test_a_study_deleted_through_optuna_leaves_nothing_that_looks_filled(
    store: Store, url: str, plain: Plain, declare: Declare, batch: Batch
) -> None:
    declare(store, "first", ("adam",))
    declare(store, "second", ("adam",))
    store.append("first", "adam", batch(slice(4)))
    store.append("second", "adam", batch())
    optuna.delete_study(study_name="second/adam", storage=plain(url))
    with pytest.raises(StoreError, match=r"no study 'second' .*: stored are first"):
        store.append("second", "adam", batch())
    # SQLite gives these the ids of the deleted trials, and our rows of the deleted study are still there.
    assert store.append("first", "adam", batch(seed=1)) == 12
    assert store.stored("first", "adam") == {
        *((cell, 0) for cell in batch(slice(4)).cells()),
        *((cell, 1) for cell in batch().cells()),
    }
    # And the id of the deleted study to this one.
    declare(store, "third", ("adam",))
    assert store.stored("third", "adam") == set()
    assert store.append("third", "adam", batch()) == 12
    assert store.studies()["trials"].to_list() == [16, 12]
    assert store.trials("third").equals(store.trials("third").drop_duplicates())
    assert len(store.trials("third")) == 12


def test_a_study_can_be_run_anew_after_deletion(
    store: Store, url: str, plain: Plain, declare: Declare, batch: Batch
) -> None:
    declare(store)
    store.append("digits", "avagrad", batch())
    for optimizer in ("adam", "avagrad"):
        optuna.delete_study(study_name=f"digits/{optimizer}", storage=plain(url))
    declare(store, spec={"steps": 800})
    assert store.stored("digits", "adam") == store.stored("digits", "avagrad") == set()
    assert store.append("digits", "avagrad", batch()) == 12
    assert store.trials("digits")["number"].to_list() == list(range(12))


def test_studies_are_summed_up(store: Store, declare: Declare, batch: Batch) -> None:
    empty = store.studies()
    assert empty.empty
    declare(store, "words", ("sgd",), metric="perplexity")
    declare(store)
    trials = batch(diverged_at=np.array([-1, 5, 0] + [-1] * 9))
    store.append("digits", "avagrad", trials)
    store.append("words", "sgd", batch(slice(2), diverged_at=np.array([0, 7])))
    frame = store.studies()
    assert frame.dtypes.equals(empty.dtypes)
    expected = pd.DataFrame(
        {
            "study": ["digits", "digits", "words"],
            "optimizer": ["adam", "avagrad", "sgd"],
            "metric": ["error", "error", "perplexity"],
            "trials": [0, 12, 2],
            "diverged": [0, 2, 2],
            "best": [math.nan, np.delete(trials.value, [1, 2]).min(), math.nan],
            "last_finished": pd.to_datetime([None, trials.finished, trials.finished], utc=True).astype(
                "datetime64[us, UTC]"
            ),
            "failed": [0, 0, 0],
        }
    )
    pd.testing.assert_frame_equal(frame, expected)


def test_unknown_names_are_answered_with_the_known(sqlite_store: Store, declare: Declare) -> None:
    with pytest.raises(StoreError, match=r"no study 'digit' in sqlite.*: run a study first"):
        sqlite_store.spec("digit")
    declare(sqlite_store)
    declare(sqlite_store, "words")
    for read in (sqlite_store.spec, sqlite_store.space, sqlite_store.trials, sqlite_store.optimizers):
        with pytest.raises(StoreError, match=r"did you mean 'digits'\?\): stored are digits, words"):
            read("digit")
    for ask in (sqlite_store.stored, sqlite_store.provenance, sqlite_store.trials):
        with pytest.raises(
            StoreError, match=r"no optimizer 'adm' \(did you mean 'adam'\?\): it has adam, av"
        ):
            ask("digits", "adm")


def test_values_are_those_of_the_table(
    store: Store, declare: Callable[..., None], batch: Callable[..., Trials]
) -> None:
    declare(store)
    assert store.values("digits", "adam").empty
    for seed in (0, 1):
        store.append("digits", "adam", batch(seed=seed, diverged_at=np.array([-1, 5, 0] + [-1] * 9)))
    order = ["seed", "eps", "alpha"]
    found = store.values("digits", "adam").sort_values(order, ignore_index=True)
    table = store.trials("digits", "adam").sort_values(order, ignore_index=True)
    pd.testing.assert_frame_equal(found, table[[*order, "error", "diverged_at"]])


def test_a_version_changes_with_trials_and_runs(
    store: Store, declare: Callable[..., None], batch: Callable[..., Trials]
) -> None:
    declare(store)
    declare(store, "other", ("adam",))
    versions = [store.versions()]
    store.append("digits", "avagrad", batch())
    versions.append(store.versions())
    run = TuningRun("random", 0, "seed", "free", 1, SPACE, 2, np.array([1, 2]))
    store.append_runs("digits", "adam", [run])
    versions.append(store.versions())
    store.append_runs("digits", "adam", [dataclasses.replace(run, budget=3, cells=np.array([1, 2, 3]))])
    versions.append(store.versions())
    assert store.versions() == versions[-1]
    of_digits = [each["digits"] for each in versions]
    assert len(set(of_digits)) == len(of_digits)
    assert len({each["other"] for each in versions}) == 1
    assert of_digits[-1].last_trials == (0, 12)
    assert (of_digits[-1].runs, of_digits[-1].budget) == (1, 3)


def test_a_study_made_anew_has_another_version(
    store: Store, declare: Callable[..., None], batch: Callable[..., Trials]
) -> None:
    """SQLite gives it the ids of the deleted one, and its trials theirs."""
    versions = []
    for _ in range(2):
        declare(store)
        store.append("digits", "avagrad", batch())
        versions.append(store.versions()["digits"])
        store.delete("digits")
    assert versions[0] != versions[1]
    assert not versions[1].follows(versions[0])
    if store.database.engine.dialect.name == "sqlite":
        assert versions[0].last_trials == versions[1].last_trials


def test_a_learning_curve(store: Store, declare: Callable[..., None], batch: Callable[..., Trials]) -> None:
    declare(store)
    curve = np.array([[0.5, np.nan, np.inf]])
    store.append("digits", "avagrad", batch())
    store.append("digits", "adam", batch(slice(0, 1), curve=curve))
    frame, points = store.trial("digits", "adam", 0)
    pd.testing.assert_frame_equal(frame, store.trials("digits", "adam"))
    steps, values = zip(*points, strict=True)
    assert steps == (0, 200, 400)
    np.testing.assert_array_equal(values, curve[0])
    with pytest.raises(UnknownStudyError, match="digits/adam has no trial 1"):
        store.trial("digits", "adam", 1)
    with store.database.writing() as connection:  # numbers that are no places
        connection.execute(text("UPDATE trials SET number = 40 WHERE number = 0"))
    assert len(store.trial("digits", "adam", 40)[1]) == 3
    with pytest.raises(UnknownStudyError, match="digits/adam has no trial 0"):
        store.trial("digits", "adam", 0)


def test_a_deleted_study_is_gone_and_others_stay(
    store: Store,
    url: str,
    declare: Callable[..., None],
    batch: Callable[..., Trials],
    plain: Callable[[str], optuna.storages.RDBStorage],
) -> None:
    for study in ("digits", "other"):
        declare(store, study)
        store.append(study, "adam", batch())
        store.append_runs(
            study, "adam", [TuningRun("random", 0, "seed", "free", 1, SPACE, 2, np.array([1, 2]))]
        )
    store.delete("digits")
    assert list(store.versions()) == ["other"]
    assert len(store.trials("other")) == 12
    assert len(store.runs("other", "adam")) == 1
    names = optuna.get_all_study_names(plain(url))
    assert sorted(names) == ["other/adam", "other/avagrad"]
    with store.database.reading() as connection:
        counts = {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in store.database.tables.items()
        }
    assert counts["trials"] == counts["tunability_trials"] == counts["trial_values"] == 12
    assert counts["trial_params"] == counts["trial_user_attributes"] / 3 * 2 == 24
    assert counts["tunability_runs"] == 1
    with pytest.raises(UnknownStudyError, match="no study 'digits'"):
        store.delete("digits")
    declare(store)
    assert store.append("digits", "adam", batch()) == 12


def test_what_is_kept_about_a_launch(store: Store, declare: Callable[..., None]) -> None:
    declare(store)
    declare(store, "other")
    assert store.launches() == {}
    assert store.set_launch("digits", {"job": "a", "tune": True}) == {"job": "a", "tune": True}
    store.set_launch("digits", {"job": "b"})
    assert store.launches() == {"digits": {"job": "b", "tune": True}}
    assert store.spec("digits") == {"steps": 400}
