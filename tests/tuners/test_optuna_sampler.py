"""Tuners as Optuna samplers: Optuna's own published cases, and the proposals themselves."""

import warnings
from collections.abc import Callable

import numpy as np
import optuna
import pytest
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)

from tuners import TUNERS, Tuner, TunerError
from tuners.optuna_sampler import TunerSampler

warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


class ForEveryTuner:
    @pytest.fixture(params=list(TUNERS))
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], TunerSampler]:
        return lambda: TunerSampler(request.param, seed=0)


class TestBasic(ForEveryTuner, BasicSamplerTestCase):
    """sample_independent, NaN objectives, fixed and conditional parameters."""


class TestRelative(ForEveryTuner, RelativeSamplerTestCase):
    """Several parameters together, of all kinds of distribution, in one thread and two."""


class TestSingleObjective(ForEveryTuner, SingleOnlySamplerTestCase):
    """Several objectives are refused."""


def objective(trial: optuna.Trial) -> float:
    x, y = trial.suggest_float("x", 0, 1), trial.suggest_int("y", 0, 20)
    return (x - 0.3) ** 2 + (y - 13) ** 2 / 100


@pytest.mark.parametrize("name", TUNERS)
def test_equal_seeds_give_equal_studies(name: str) -> None:
    values = []
    for _ in range(2):
        study = optuna.create_study(sampler=TunerSampler(name, seed=3))
        study.optimize(objective, n_trials=25)
        values.append([trial.params for trial in study.trials])
    assert values[0] == values[1]


@pytest.mark.parametrize("name", ["gld", "cgld", "line-search", "cma-es", "gp", "tpe"])
def test_it_finds_the_minimum_sooner_than_chance(name: str) -> None:
    def best(sampler: optuna.samplers.BaseSampler) -> float:
        study = optuna.create_study(sampler=sampler)
        study.optimize(objective, n_trials=60)
        return study.best_value

    found = np.median([best(TunerSampler(name, seed=seed)) for seed in range(5)])
    assert found < np.median([best(optuna.samplers.RandomSampler(seed=seed)) for seed in range(5)])


def test_maximising_is_minimising_the_negative() -> None:
    down = optuna.create_study(sampler=TunerSampler("cgld", seed=0))
    up = optuna.create_study(sampler=TunerSampler("cgld", seed=0), direction="maximize")
    down.optimize(objective, n_trials=20)
    up.optimize(lambda trial: -objective(trial), n_trials=20)
    assert [trial.params for trial in down.trials] == [trial.params for trial in up.trials]


def test_proposals_are_the_tuners() -> None:
    """On a grid of integers, after the first trial, which Optuna needs to learn the parameters."""
    study = optuna.create_study(sampler=TunerSampler("grid", seed=0))
    study.optimize(
        lambda trial: trial.suggest_int("a", 0, 3) + trial.suggest_categorical("b", [1, 2, 3]), n_trials=13
    )
    pairs = [(trial.params["a"], trial.params["b"]) for trial in study.trials[1:]]
    assert len(set(pairs)) == 12


def told(sampler: TunerSampler, monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[float], float]]:
    """What the sampler's tuners are told from now on: the point's units and the loss."""
    record: list[tuple[list[float], float]] = []
    tell = Tuner.tell

    def listen(self: Tuner, points: np.ndarray, losses: list[float]) -> None:
        record.extend(zip(np.asarray(points).tolist(), losses, strict=True))
        tell(self, points, losses)

    monkeypatch.setattr(Tuner, "tell", listen)
    return record


def test_failed_trials_are_infinite_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    study = optuna.create_study(sampler=TunerSampler("gld", seed=0))
    record = told(study.sampler, monkeypatch)  # type: ignore[arg-type]

    def sometimes(trial: optuna.Trial) -> float:
        value = objective(trial)
        if trial.number % 3 == 2:
            raise ArithmeticError
        return value

    study.optimize(sometimes, n_trials=40, catch=ArithmeticError)
    losses = [loss for _, loss in record]
    expected = [trial.value if trial.value is not None else np.inf for trial in study.trials[1:]]
    assert losses == expected
    assert losses.count(np.inf) == 13


def test_enqueued_trials_are_not_told_as_proposals(monkeypatch: pytest.MonkeyPatch) -> None:
    study = optuna.create_study(sampler=TunerSampler("grid", seed=0))
    record = told(study.sampler, monkeypatch)  # type: ignore[arg-type]

    def both(trial: optuna.Trial) -> float:
        return trial.suggest_int("x", 0, 9) * 10 + trial.suggest_int("y", 0, 9)

    study.optimize(both, n_trials=3)
    study.enqueue_trial({"x": 9})
    study.optimize(both, n_trials=4)
    assert study.trials[3].params["x"] == 9
    for (x, y), loss in record:
        assert loss == int(x * 10) * 10 + int(y * 10)
    assert len(record) == 5


def test_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(6):
        study = optuna.create_study(sampler=TunerSampler("gp", seed=seed))
        study.optimize(
            lambda trial: float(trial.suggest_int("x", 0, 40) + trial.suggest_int("y", 0, 20)),
            n_trials=60,
            n_jobs=4,
        )
        assert len(study.trials) == 60


def test_an_unknown_tuner_is_refused() -> None:
    with pytest.raises(TunerError, match=r"unknown tuner 'cgdl' \(did you mean 'cgld'\?\)"):
        TunerSampler("cgdl")
