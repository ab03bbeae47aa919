"""Studies made through plain Optuna, read from their database."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pytest

from search_spaces import Axis, SearchSpace
from storage.errors import StoreError
from storage.foreign import import_trials, space_of
from storage.foreign_optuna import WHY, read_optuna
from storage.store import open_store

Plain = Callable[[str], optuna.storages.RDBStorage]
optuna.logging.set_verbosity(optuna.logging.WARNING)


def objective(trial: optuna.Trial) -> float:
    """Of 20 trials, every tenth is pruned, every seventh fails, one diverges."""
    lr = trial.suggest_float("lr", 1e-5, 1.0, log=True)
    decay = trial.suggest_float("decay", 0.0, 0.1)
    trial.suggest_int("width", 8, 64)
    error = abs(np.log10(lr) + 2) / 5 + decay
    for step in (1, 10):
        trial.report(error + 1 / step, step)
    if trial.number % 10 == 9:
        raise optuna.TrialPruned
    if trial.number % 7 == 6:
        return float("nan")
    return float("inf") if trial.number == 0 else error


@pytest.fixture
def theirs(plain: Plain, tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/theirs.db"
    study = optuna.create_study(
        storage=plain(url), study_name="tpe/1", sampler=optuna.samplers.TPESampler(seed=0)
    )
    study.optimize(objective, n_trials=20)
    return url


@pytest.mark.filterwarnings("ignore:.*value nan is not acceptable")
def test_finished_trials_are_read_and_the_others_counted(theirs: str, tmp_path: Path) -> None:
    name, trials = read_optuna(theirs)
    assert name == "tpe/1"
    assert trials.axes == ("lr", "decay", "width")
    assert trials.metric == "value"
    assert (len(trials.values), trials.stopped_at[~np.isnan(trials.stopped_at)].tolist()) == (18, [10, 10])
    assert [each.reason for each in trials.failed] == [WHY] * 2
    assert trials.left_out == {"pruned": 0, "failed": 0, "unfinished": 0, "waiting": 0}
    assert space_of(trials) == SearchSpace(
        [
            Axis("lr", low=1e-5, high=1.0, scale="log"),
            Axis("decay", low=0.0, high=0.1, scale="linear"),
            Axis("width", low=8, high=64, scale="linear"),
        ]
    )
    lr, decay, _ = trials.points.T
    then = np.where(np.isnan(trials.stopped_at), 0, 0.1)  # a pruned one's value is that of its last step
    np.testing.assert_allclose(trials.values[1:], (abs(np.log10(lr) + 2) / 5 + decay + then)[1:])
    assert all(steps.tolist() == [1, 10] for steps, _ in trials.curves)
    with open_store(f"sqlite:///{tmp_path}/ours.db", create=True) as store:
        assert import_trials(store, trials, "theirs", "adam") == 18
        plainly = [
            each for each in optuna.load_study(study_name="tpe/1", storage=theirs).trials if each.last_step
        ]
        kept = [each for each in plainly if each.state.name != "FAIL"]
        times = store.times("theirs")  # in local time, as Optuna's
        assert times["started"].tolist() == [each.datetime_start for each in kept]
        assert times["finished"].tolist() == [each.datetime_complete for each in kept]
        assert store.trials("theirs")["lr"].tolist() == [each.params["lr"] for each in kept]
        assert import_trials(store, trials, "theirs", "adam") == 0
        pruned = store.trials("theirs", where="stopped_at = 10")
        assert set(pruned["lr"]) == set(lr[~np.isnan(trials.stopped_at)])
        assert store.failures("theirs")["reason"].tolist() == [WHY] * 2
        assert store.studies()["diverged"].tolist() == [1]
        number = int(store.trials("theirs", where="diverged_at is null")["number"].iloc[0])
        assert [step for step, _ in store.trial("theirs", "adam", number)[1]] == [1, 10]
    _, fewer = read_optuna(theirs, "tpe/1", ["decay", "lr"], "error")
    assert (fewer.axes, fewer.metric) == (("decay", "lr"), "error")
    np.testing.assert_array_equal(fewer.points, trials.points[:, [1, 0]])


def test_a_grid_sampler_makes_a_grid_and_attributes_hold_seeds(plain: Plain, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/grid.db"
    grid = {"lr": [0.1, 0.01, 1.0], "wd": [0.5, 1.0, 2.0], "seed": [3, 4]}
    study = optuna.create_study(
        storage=plain(url), sampler=optuna.samplers.GridSampler(grid, seed=0), direction="maximize"
    )

    def accuracy(trial: optuna.Trial) -> float:
        trial.set_user_attr("replicate", trial.suggest_int("seed", 0, 9))
        return trial.suggest_float("lr", 0.01, 1, log=True) - trial.suggest_float("wd", 0.5, 2)

    study.optimize(accuracy)
    for seed in ("seed", "replicate"):
        _, trials = read_optuna(url, axes=["lr", "wd"], seed=seed)
        assert trials.maximize
        assert sorted(trials.seeds.tolist()) == [3] * 9 + [4] * 9
        axes = space_of(trials).axes
        assert [(axis.values, axis.scale) for axis in axes] == [
            ((0.01, 0.1, 1.0), "log"), ((0.5, 1.0, 2.0), "linear"),
        ]  # fmt: skip
    with pytest.raises(StoreError, match=r"lr of trial 0 is .* whole numbers"):
        read_optuna(url, axes=["wd"], seed="lr")


def test_what_is_refused(plain: Plain, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/theirs.db"
    with pytest.raises(StoreError, match="no such file"):
        read_optuna(url)
    assert not (tmp_path / "theirs.db").exists()
    storage = plain(url)
    with pytest.raises(StoreError, match="has 0 Optuna studies"):
        read_optuna(url)
    many = optuna.create_study(storage=storage, study_name="many", directions=["minimize", "minimize"])
    many.add_trial(optuna.trial.create_trial(values=[1, 2]))
    with pytest.raises(StoreError, match="'many' has 2 objectives"):
        read_optuna(url)
    study = optuna.create_study(storage=storage, study_name="mixed")
    with pytest.raises(StoreError, match="has 2 Optuna studies: name one with --study; it has many, mixed"):
        read_optuna(url)
    with pytest.raises(StoreError, match=r"no Optuna study 'mixd' in .*did you mean 'mixed'"):
        read_optuna(url, "mixd")
    with pytest.raises(StoreError, match="'mixed' has no finished trials"):
        read_optuna(url, "mixed")
    study.enqueue_trial({"kind": "a", "lr": 0.1})

    def sometimes(trial: optuna.Trial) -> float:
        if trial.suggest_categorical("kind", ["a", "b"]) == "a":
            return trial.suggest_float("lr", 0.1, 1)
        return trial.suggest_float("wd", 0.1, 1)

    study.optimize(sometimes, n_trials=20)
    for axes, message in (
        (None, "kind is one of a, b, and axes are of numbers: leave it out, as in --axes lr$"),
        (["lr"], "has no lr: name the axes that every trial has"),
        (["momentum"], "has no parameter 'momentum'"),
    ):
        with pytest.raises(StoreError, match=message):
            read_optuna(url, "mixed", axes)


def test_numeric_choices_are_the_values_of_an_axis(plain: Plain, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/choices.db"
    lrs, widths = [1.0, 0.01, 0.1], [64, 16, 32, 48]

    def grid(trial: optuna.Trial) -> float:
        trial.suggest_categorical("nesterov", [True, False])
        return trial.suggest_categorical("lr", lrs) + trial.suggest_categorical("width", widths)

    sampler = optuna.samplers.GridSampler({"lr": lrs, "width": widths, "nesterov": [True]}, seed=0)
    optuna.create_study(storage=plain(url), study_name="grid", sampler=sampler).optimize(grid)
    with pytest.raises(StoreError, match=r"nesterov is one of True, False, .* as in --axes lr,width$"):
        read_optuna(url)
    _, trials = read_optuna(url, axes=["lr", "width"])
    assert space_of(trials) == SearchSpace.from_table(
        {"lr": sorted(lrs), "width": {"values": sorted(widths), "scale": "linear"}}
    )

    def scattered(trial: optuna.Trial) -> float:
        return trial.suggest_categorical("lr", lrs) + trial.suggest_float("wd", 1e-6, 1e-2, log=True)

    sampler = optuna.samplers.RandomSampler(seed=0)
    optuna.create_study(storage=plain(url), study_name="random", sampler=sampler).optimize(
        scattered, n_trials=9
    )
    assert space_of(read_optuna(url, "random")[1]) == SearchSpace(
        [Axis("lr", low=0.01, high=1.0, scale="log"), Axis("wd", low=1e-6, high=1e-2, scale="log")]
    )
