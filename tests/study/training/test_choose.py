"""The method of a study: what is allowed, what is timed, and that it is the faster one."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from study.spec import parse_spec
from study.training import choose as choosing
from study.training import program
from study.training.block import Block, Choice, curve_steps
from study.training.choose import Timer, choose, seconds_of, untimed
from study.training.resolve import Study, resolve
from study.training.trainer import Trainer


def small(**changes: Any) -> Study:
    given = {
        "name": "small",
        "workload": {"name": "known_workloads:plain", "steps": 20},
        "optimizers": ["adam", "torch.optim:SGD"],
        "space": {"lr": {"low": 1e-3, "high": 1, "num": 9, "scale": "log"}},
        "seeds": 2,
    }
    return resolve(parse_spec(given | changes))


def times(
    monkeypatch: pytest.MonkeyPatch, seconds: dict[tuple[str, bool], float], share: float
) -> list[tuple[str, bool, int]]:
    """Has the timer find these seconds a trial and share of the matrix rate; returns what it was asked for."""
    asked: list[tuple[str, bool, int]] = []

    def found(self: Timer, method: str, compile: bool, lanes: int) -> Choice:
        asked.append((method, compile, lanes))
        return Choice(method, compile, lanes, seconds[method, compile])

    monkeypatch.setattr(Timer, "choice", found)
    monkeypatch.setattr(Timer, "in_turns", lambda self, choices: choices)
    monkeypatch.setattr(Timer, "matrix_share", lambda self, choice: share)
    monkeypatch.setattr(choosing, "COMPILE_FLOPS", 0)
    return asked


def test_a_study_of_seconds_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Timer, "choice", None)
    study = small(workload={"name": "digits-mlp", "steps": 20})
    assert choose(study, study.optimizers[0]) == untimed(study, study.optimizers[0])
    assert untimed(study, study.optimizers[0]).method == "fused"
    assert not untimed(study, study.optimizers[0]).compile


def test_other_optimizers_train_one_by_one_and_are_timed() -> None:
    study = small()
    choice = choose(study, study.optimizers[1])
    assert (choice.method, choice.compile) == ("one-by-one", False)
    assert choice.seconds is not None
    assert 0 < choice.seconds < 5


def test_where_overhead_rules_fused_is_taken_without_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = times(monkeypatch, {("fused", False): 1.5, ("one-by-one", False): 1.0}, share=0.1)
    choice = choose(small(), small().optimizers[0])
    assert (choice.method, choice.compile, choice.seconds) == ("fused", True, None)
    assert not any(compile for _, compile, _ in asked)


@pytest.mark.parametrize(
    ("fused", "alone", "expected"),
    [
        (30.0, 60.0, ("fused", True)),
        (80.0, 60.0, ("one-by-one", True)),
        (120.0, 120.0, ("one-by-one", False)),
    ],
)
def test_where_arithmetic_rules_compiled_programs_are_timed(
    monkeypatch: pytest.MonkeyPatch, fused: float, alone: float, expected: tuple[str, bool]
) -> None:
    seconds = {
        ("fused", False): 130.0,
        ("one-by-one", False): 100.0,
        ("fused", True): fused,
        ("one-by-one", True): alone,
    }
    asked = times(monkeypatch, seconds, share=0.6)
    choice = choose(small(), small().optimizers[0])
    assert (choice.method, choice.compile) == expected
    assert {(method, compile) for method, compile, _ in asked} == seconds.keys()


@pytest.mark.parametrize(
    ("fused", "again", "expected"),
    [(95.0, {"fused", "one-by-one"}, "one-by-one"), (50.0, {"fused"}, "fused")],
)
def test_what_is_nearly_as_fast_is_timed_again_in_turns(
    monkeypatch: pytest.MonkeyPatch, fused: float, again: set[str], expected: str
) -> None:
    """The machine was faster when the fused one was timed first."""
    seconds = {("fused", True): fused, ("one-by-one", True): 100.0}
    times(monkeypatch, {("fused", False): 400.0, ("one-by-one", False): 300.0} | seconds, share=0.6)
    asked: set[str] = set()

    def in_turns(self: Timer, choices: list[Choice]) -> list[Choice]:
        asked.update(each.method for each in choices)
        return [replace(each, seconds=110.0 if each.method == "fused" else 100.0) for each in choices]

    monkeypatch.setattr(Timer, "in_turns", in_turns)
    assert choose(small(), small().optimizers[0]).method == expected
    assert asked == again


def test_in_turns_a_pace_that_changes_makes_nobody_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first one's first turn the machine is half as fast."""
    seconds = iter([1.0, 1.8, 2.0, 1.8, 2.0, 1.8])
    monkeypatch.setattr(Timer, "_calls", lambda self, choice: ())
    monkeypatch.setattr(Timer, "_seconds", lambda self, choice, calls, least: next(seconds))
    study = small()
    slow, fast = Choice("fused", False, 8), Choice("one-by-one", False, 1)
    turned = Timer(study, study.optimizers[0]).in_turns([slow, fast])
    assert min(turned, key=seconds_of).method == "one-by-one"


def test_timed_in_turns_seconds_are_those_of_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a block's step and evaluation, each of two seconds, the share of a lane."""
    monkeypatch.setattr(Timer, "_time", lambda self, call, least: 2.0)
    study = small()
    timer = Timer(study, study.optimizers[0], compile=False)
    fused, alone = Choice("fused", False, 8), Choice("one-by-one", False, 8)
    whole = 2.0 * (20 + len(curve_steps(20)))
    assert timer.in_turns([fused, alone]) == [
        replace(fused, seconds=whole / 8),
        replace(alone, seconds=whole),
    ]


def test_a_short_study_does_not_earn_back_timing_compiled_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = times(monkeypatch, {("fused", False): 1.2, ("one-by-one", False): 1.0}, share=0.6)
    choice = choose(small(), small().optimizers[0])
    assert (choice.method, choice.compile) == ("one-by-one", False)
    assert not any(compile for _, compile, _ in asked)


def test_where_operations_are_not_counted_time_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    times(monkeypatch, {("fused", False): 3.0, ("one-by-one", False): 1.0}, share=0.01)
    choice = choose(small(), small().optimizers[0])
    assert (choice.method, choice.compile) == ("one-by-one", False)


def test_small_nets_are_mostly_overhead() -> None:
    study = small(workload={"name": "digits-mlp", "steps": 20})
    timer = Timer(study, study.optimizers[0], compile=False)
    assert 0.001 < timer.matrix_share(timer.choice("one-by-one", False, 1)) < choosing.OVERHEAD_RULES


def test_choosing_compiles_nothing_where_overhead_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "COMPILE_FLOPS", 0)
    monkeypatch.setattr(program, "compiled", None)
    study = small(workload={"name": "digits-mlp", "steps": 20})
    assert choose(study, study.optimizers[0]).compile


@pytest.mark.parametrize("method", ["fused", "one-by-one"])
def test_the_study_file_may_say_it(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    times(monkeypatch, {("fused", False): 1.0, ("one-by-one", False): 1.0}, share=0.1)
    study = small(method=method, optimizers=["adam"])
    assert choose(study, study.optimizers[0]).method == method


def test_a_method_that_does_not_train_an_optimizer_is_refused() -> None:
    study = small(method="fused")
    with pytest.raises(
        ValueError, match=r"method = 'fused' does not train torch\.optim:SGD: it takes one-by-one"
    ):
        choose(study, study.optimizers[1])


def test_a_module_that_cannot_be_fused_is_trained_one_by_one() -> None:
    study = small(workload={"name": "known_workloads:deciding", "steps": 20}, optimizers=["adam"])
    choice = choose(study, study.optimizers[0])
    assert choice.method == "one-by-one"
    assert choice.note.startswith("adam is not trained fused: vmap: It looks like you're")
    assert "\n" not in choice.note
    block = Block(study.recipe_by(study.optimizers[0], choice), 0, {"lr": np.array([0.01, 0.1])})
    outcome = Trainer().train(block)
    assert outcome.warning is None  # gradients and metrics are torch's own
    assert (outcome.diverged_at == -1).all()
    traced = Trainer().train(replace(block, recipe=replace(block.recipe, compile=True)))
    assert traced.warning is not None
    assert traced.warning.startswith("training runs untraced, much slower (")
    theirs = replace(block, recipe=replace(block.recipe, optimizer="torch.optim:Adam"))
    np.testing.assert_allclose(
        Trainer().train(theirs).metrics["train_loss"], outcome.metrics["train_loss"], rtol=1e-4
    )
