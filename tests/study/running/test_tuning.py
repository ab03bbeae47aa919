"""Tuning runs: searches on known landscapes, and through a real Ray cluster stored, resumed, refused."""

import dataclasses
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from patience import wait_until
from sqlalchemy import create_engine, text
from trained_here import quiet, train_here

from analysis.errors import AnalysisError
from analysis.suboptimality import TrialsToTarget, compare, incumbent_suboptimality
from analysis.tuning_runs import NOISES, Choice, drawn_seeds, loss_table, seeds_seen, stored_curves
from search_spaces import SearchSpace, get_space
from storage.records import TuningRun
from storage.store import StoreError, open_store
from study.running.address import LaunchError
from study.running.tuning import Search, TuningError, missing_runs, tune
from study.spec import TuningSpec
from study.training.resolve import Study, load_study
from tuners import TUNERS

WriteStudy = Callable[..., Path]
PAPER = get_space("avagrad-cifar")
ROW, COLUMN = np.indices(PAPER.shape)
QUICK = TuningSpec(tuners=("random", "cgld"), trials=8, replicates=6)


def search(tuner: str, losses: np.ndarray, replicate: int, budget: int, space: SearchSpace = PAPER) -> Search:
    made = Search(space, tuner, replicate, budget, "mean", "free", 1)
    assert len(made.advance(losses)) == 0
    return made


def trials_to(
    tuner: str, losses: np.ndarray, target: float, runs: int = 200, space: SearchSpace = PAPER
) -> TrialsToTarget:
    budget = space.size
    curves = [
        incumbent_suboptimality(search(tuner, losses, r, budget, space).cells, losses, losses, budget)
        for r in range(runs)
    ]
    return TrialsToTarget.of(np.array(curves), target)


@pytest.mark.parametrize("tuner", ["random", "grid"])
@pytest.mark.parametrize("good", [1, 4, 20])
def test_trials_until_one_of_k_good_cells(tuner: str, good: int) -> None:
    losses = np.random.default_rng(0).permutation(PAPER.size).astype(float)
    found = trials_to(tuner, losses, good - 1, runs=1000)
    error = found.times.std() / np.sqrt(len(found.times))
    assert abs(found.mean - (PAPER.size + 1) / (good + 1)) < 2.58 * error


def test_line_search_solves_a_separable_landscape_and_not_a_rotated_one() -> None:
    separable = np.abs(ROW - 6.0) ** 1.5 + np.abs(COLUMN - 14.0)
    assert trials_to("line-search", separable.ravel(), 0).times.max() <= sum(PAPER.shape)
    rotated = 100.0 * (ROW - COLUMN) ** 2 + (ROW + COLUMN - 20.0) ** 2
    assert np.median(trials_to("line-search", rotated.ravel(), 0).times) > sum(PAPER.shape)


def test_cgld_beats_gld_where_the_axes_separate_and_loses_where_they_do_not() -> None:
    separable = (np.abs(ROW - 6) / 20) ** 1.5 + (np.abs(COLUMN - 14) / 20) ** 1.5
    coupled = 3 * ((ROW - COLUMN) / 20.0) ** 2 + ((ROW + COLUMN - 24) / 40.0) ** 2
    for losses, wins in ((separable, True), (coupled, False)):
        found = {tuner: trials_to(tuner, losses.ravel(), 0.005) for tuner in ("cgld", "gld")}
        pair = compare(found).iloc[0]
        assert pair["p"] < 0.001
        if wins:
            assert pair["ratio_high"] < 1
            assert pair["faster_low"] > 0.5
        else:
            assert pair["ratio_low"] > 1
            assert pair["faster_high"] < 0.5


@pytest.mark.parametrize("tuner", TUNERS)
def test_a_search_waits_for_what_it_does_not_know(tuner: str) -> None:
    """Fed cell by cell, it is the search of the complete landscape; a shorter budget is its beginning."""
    space = SearchSpace.from_table({"a": [1, 2, 3, 4, 5, 6], "b": [1, 2, 3, 4, 5]})
    losses = np.random.default_rng(0).random(space.size)
    whole = search(tuner, losses, 3, 20, space)
    known, fed = np.full(space.size, np.nan), Search(space, tuner, 3, 20, "mean", "free", 1)
    while len(needed := fed.advance(known)):
        assert np.isnan(known[needed]).all()
        known[needed] = losses[needed]
    assert fed.cells == whole.cells
    assert search(tuner, losses, 3, 7, space).cells == whole.cells[:7]
    assert len(set(whole.cells)) == len(whole.cells)


def test_repeats_are_free_or_count() -> None:
    space = SearchSpace.from_table({"a": [1, 2, 3], "b": [1, 2]})
    losses = np.arange(6.0)
    free = search("tpe", losses, 0, 50, space)
    assert sorted(free.cells) == list(range(6))  # there are no more, so it ends
    assert free.ended
    counted = Search(space, "tpe", 0, 50, "mean", "count", 1)
    counted.advance(losses)
    assert len(counted.cells) == 50


def test_what_a_run_sees() -> None:
    assert NOISES[0] == TuningSpec().noise == "run"
    assert [np.asarray(seeds_seen("run", 3, each, 2)).tolist() for each in range(3)] == [
        [0] * 3,
        [1] * 3,
        [0] * 3,
    ]
    np.testing.assert_array_equal(seeds_seen("seed", 5, 7, 3), drawn_seeds(5, 7, 3))
    assert seeds_seen("mean", 3, 0, 2) is None


def test_seeds_are_drawn_once_for_a_run_and_differ_between_runs() -> None:
    drawn = [drawn_seeds(441, replicate, 3) for replicate in range(50)]
    np.testing.assert_array_equal(drawn[0], drawn_seeds(441, 0, 3))
    assert np.abs(np.bincount(np.concatenate(drawn)) / (50 * 441) - 1 / 3).max() < 0.02
    assert not np.array_equal(drawn[0], drawn[1])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    """A small study, run to its end."""
    folder = tmp_path_factory.mktemp("finished")
    path = folder / "small.toml"
    path.write_text(
        'name = "small"\nworkload = { name = "digits-mlp", steps = 20 }\noptimizers = ["adam", "avagrad"]\n'
        "space = { alpha = [0.001, 0.01, 0.1, 1], eps = [1e-8, 1e-4, 1] }\nseeds = 2\nlanes = 12\n"
    )
    spec = load_study(path)
    assert train_here(spec, f"sqlite:///{folder}/t.db").done == 48
    return spec, folder / "t.db"


@pytest.fixture
def database(finished: tuple[Study, Path], tmp_path: Path) -> str:
    """A copy of its database."""
    (tmp_path / "t.db").write_bytes(finished[1].read_bytes())
    return f"sqlite:///{tmp_path}/t.db"


def tune_quietly(
    url: str, tuning: TuningSpec, spec: Study | None = None, local: bool = True
) -> tuple[int, int]:
    """Runs made and trials trained."""
    report = tune("small", url, tuning, spec, local=local, on_progress=quiet)
    assert not report.failures
    return report.done, report.trained


def all_runs(url: str) -> dict[tuple[object, ...], list[int]]:
    with open_store(url, create=False) as store:
        return {
            (optimizer, *each.key): each.cells.tolist()
            for optimizer in ("adam", "avagrad")
            for each in store.runs("small", optimizer)
        }


def test_runs_are_stored_extended_and_not_made_twice(database: str) -> None:
    assert tune_quietly(database, QUICK) == (24, 0)
    first = all_runs(database)
    assert len(first) == 24
    assert tune_quietly(database, QUICK) == (0, 0)
    longer = QUICK.model_copy(update={"trials": 11, "replicates": 7})
    assert tune_quietly(database, longer) == (28, 0)
    second = all_runs(database)
    assert all(second[key][:8] == cells for key, cells in first.items())
    with open_store(database, create=False) as store:
        curves = stored_curves(store, "small")
        table = loss_table(store, "small", "adam")
    assert dict(curves.sizes) == {"optimizer": 2, "tuner": 2, "replicate": 7, "trial": 11}
    mean = table.mean(axis=1)
    one = curves.sel(optimizer="adam", tuner="random", replicate=0).values
    seen = table[:, 0]  # all trials of a run have one seed
    (cells,) = (each for key, each in second.items() if key[:6] == ("adam", "random", 0, "run", "free", 2))
    best = [cells[np.argmin(seen[cells[: t + 1]])] for t in range(11)]
    np.testing.assert_allclose(one, mean[best] - mean.min())


@pytest.mark.parametrize("tuner", ["cgld", "gld", "line-search", "random", "gp", "tpe", "cma-es"])
def test_a_stored_run_that_its_seed_does_not_give_is_refused(tuner: str) -> None:
    """The check before anything is run: on another landscape than the stored runs were made on."""
    source = np.random.default_rng(0)
    table, other = source.random((2, PAPER.size, 1))
    tuning = TuningSpec(tuners=(tuner,), trials=40, replicates=3, noise="mean")
    runs = [search(tuner, table[:, 0], replicate, 40).run for replicate in range(3)]
    assert missing_runs(PAPER, runs, table, tuning) == []
    longer = tuning.model_copy(update={"trials": 41})
    assert missing_runs(PAPER, runs, table, longer) == [(tuner, 0), (tuner, 1), (tuner, 2)]
    changed = [dataclasses.replace(run, cells=run.cells[::-1]) for run in runs]
    with pytest.raises(
        StoreError, match=f"the stored run of {tuner}, replicate 0, is not what that tuner and seed"
    ):
        missing_runs(PAPER, changed, table, tuning)
    if tuner != "random":
        with pytest.raises(StoreError, match=f"the stored run of {tuner}, replicate [0-2], is not what"):
            missing_runs(PAPER, runs, other, tuning)


def test_a_run_of_another_version_is_refused_and_stays(database: str) -> None:
    tune_quietly(database, QUICK)
    with (
        pytest.raises(StoreError, match="run of cgld, replicate 2, is not"),
        open_store(database, create=True) as store,
    ):
        store.append_runs(
            "small", "adam", [TuningRun("cgld", 2, "run", "free", 2, store.space("small"), 9, np.arange(9))]
        )
    engine = create_engine(database)
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE tunability_runs SET points = (SELECT points FROM tunability_runs WHERE "
                "tuner = 'cgld' AND replicate = 3 LIMIT 1) WHERE tuner = 'cgld' AND replicate = 2"
            )
        )
    engine.dispose()
    before = all_runs(database)
    for trials in (8, 12):  # as it is, and when it has to be extended
        with pytest.raises(StoreError, match="replicate 2, is not what that tuner and seed give"):
            tune_quietly(database, QUICK.model_copy(update={"trials": trials}))
    assert before.keys() <= all_runs(database).keys()


def test_runs_of_different_lengths_and_kinds_are_not_mixed(database: str) -> None:
    tune_quietly(database, QUICK)
    longer = QUICK.model_copy(update={"tuners": ("cgld",), "trials": 11, "replicates": 9})
    tune_quietly(database, longer)
    tune_quietly(database, longer.model_copy(update={"repeats": "count", "tuners": ("tpe",)}))
    with open_store(database, create=False) as store:
        assert dict(stored_curves(store, "small").sizes) == {
            "optimizer": 2,
            "tuner": 2,
            "replicate": 6,
            "trial": 8,
        }
        only = stored_curves(store, "small", choice=Choice(tuners=["cgld"]))
        assert (only.sizes["replicate"], only.sizes["trial"]) == (9, 11)
        counted = stored_curves(store, "small", choice=Choice(repeats="count"))
        assert counted["tuner"].values.tolist() == ["tpe"]
        with pytest.raises(AnalysisError, match="has no runs of tpe on every optimizer"):
            stored_curves(store, "small", choice=Choice(repeats="free", tuners=["cgld", "tpe"]))
        with pytest.raises(AnalysisError, match=r"small/adam has no tuning runs \(noise 'mean'\)"):
            stored_curves(store, "small", choice=Choice(noise="mean"))


def test_a_cluster_that_is_not_there_leaves_nothing(finished: tuple[Study, Path], tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="cannot reach a Ray cluster"):
        tune("small", f"sqlite:///{tmp_path}/new.db", QUICK, finished[0], "127.0.0.1:1", on_progress=quiet)
    assert not (tmp_path / "new.db").exists()


def test_a_landscape_with_missing_cells_is_named(database: str) -> None:
    engine = create_engine(database)
    with engine.begin() as connection:
        connection.execute(
            text("DELETE FROM tunability_trials WHERE cell = 'alpha=0.01,eps=0.0001' AND seed = 1")
        )
    engine.dispose()
    with pytest.raises(TuningError) as caught:
        tune_quietly(database, QUICK)
    assert str(caught.value).startswith(
        "the landscape of small/adam lacks 1 of 24 trials, the first at alpha = 0.01, eps = 0.0001 (seed number 1): run"
    )
    with pytest.raises(StoreError, match="there is no study 'small'"):
        tune_quietly(empty_copy(database), QUICK)


def empty_copy(database: str) -> str:
    url = database.replace("t.db", "empty.db")
    open_store(url, create=True).close()
    return url


def test_live_tuning_trains_what_is_missing_and_equals_the_replay(
    finished: tuple[Study, Path], database: str, tmp_path: Path
) -> None:
    spec = finished[0]
    few = QUICK.model_copy(update={"trials": 3, "replicates": 1})
    live = f"sqlite:///{tmp_path}/live.db"
    made, trained = tune_quietly(live, few, spec, local=False)
    assert made == 4
    assert 0 < trained < 48
    tune_quietly(database, few)
    assert all_runs(live) == all_runs(database)
    assert tune_quietly(live, few, spec) == (0, 0)
    here = f"sqlite:///{tmp_path}/here.db"
    assert tune_quietly(here, few, spec) == (made, trained)
    assert all_runs(here) == all_runs(live)
    with open_store(live, create=False) as store, open_store(database, create=False) as other:
        ours, theirs = (loss_table(each, "small", "adam") for each in (store, other))
        assert "adam: relative to the best of" in stored_curves(store, "small").attrs["incomplete"]
        assert stored_curves(other, "small").attrs["incomplete"] == ""
    known = ~np.isnan(ours)
    assert 0 < known.sum() < known.size
    np.testing.assert_array_equal(ours[known], theirs[known])


def test_killed_in_the_middle_it_resumes_to_the_same_runs(
    finished: tuple[Study, Path], database: str, tmp_path: Path, start: Callable[..., object]
) -> None:
    many = ("--tuners", "random,gp", "--trials", "12", "--replicates", "40")
    process = start("tune", "small", *many, "--storage", database)
    partial = wait_until(lambda: all_runs(database))
    os.killpg(process.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    process.communicate()  # type: ignore[attr-defined]
    assert 0 < len(partial) < 160
    tuning = TuningSpec(tuners=("random", "gp"), trials=12, replicates=40)
    tune_quietly(database, tuning)
    undisturbed = f"sqlite:///{tmp_path}/whole.db"
    (tmp_path / "whole.db").write_bytes(finished[1].read_bytes())
    tune_quietly(undisturbed, tuning)
    assert all_runs(database) == all_runs(undisturbed)
    assert len(all_runs(database)) == 160
