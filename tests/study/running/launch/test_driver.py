"""How blocks are handed to Ray Tune's actors."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from study.running.launch import driver
from study.running.launch.driver import BlockSearcher, Reporter, Stopper
from study.training.block import Block, Recipe

ENDED = {"ended": True, "count": 1, "seconds": 0.1}


def blocks(count: int) -> list[Block]:
    return [Block(Recipe("digits-mlp", "adam"), seed, {"lr": np.array([0.1])}) for seed in range(count)]


def test_who_has_ended_waits_for_an_actor_that_is_being_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or Ray Tune would stop that one, and the block that waits for it would follow on this one."""
    monkeypatch.setattr(driver, "SECONDS_TO_REUSE", 0.0)
    searcher = BlockSearcher(iter(blocks(3)), {})
    stopper = Stopper(searcher)
    assert all(searcher.suggest(name) for name in ("a", "b"))
    searcher.started("a")
    assert not stopper("a", ENDED)
    searcher.started("b")
    assert stopper("a", ENDED)
    searcher.starting("b")  # again, for its worker died
    assert not stopper("a", ENDED)
    monkeypatch.setattr(driver, "MOST_SECONDS_TO_START", 0.0)
    assert stopper("a", ENDED)  # perhaps there is no room for it


def test_of_a_worker_that_died_when_it_had_told_its_results_nothing_is_handed_out_again() -> None:
    searcher = BlockSearcher(iter(several := blocks(2)), {})
    handed = [searcher.suggest(name)["blocks"] for name in ("a", "b")]
    assert handed == [several[:1], several[1:]]
    searcher.reported("a", 1)
    searcher.on_trial_complete("a", error=True)
    assert searcher.suggest("c") is None
    searcher.on_trial_complete("b", error=True)  # a lone block is told as failed
    assert searcher.suggest("c") == "FINISHED"


def test_results_are_told_once_and_nothing_is_when_their_worker_dies_afterwards() -> None:
    told: list[tuple[Any, ...]] = []
    searcher = BlockSearcher(iter(several := blocks(2)), {})
    reporter = Reporter(
        searcher, lambda *outcome: told.append(outcome), lambda *failure: told.append(failure)
    )
    trials = []
    for name in ("a", "b"):
        handed = searcher.suggest(name)
        trials.append(SimpleNamespace(trial_id=name, config=handed, error_file=None))
    first, second = trials
    for _ in range(2):  # one that has ended is asked again until it may have the next block
        reporter.on_trial_result(1, trials, first, ENDED | {"done": False, "results": ["an outcome"]})
    assert told == [(several[0], "an outcome")]
    for trial in trials:  # as Ray Tune does it: the searcher first
        searcher.on_trial_complete(trial.trial_id, error=True)
        reporter.on_trial_error(1, trials, trial)
    assert [(block, str(error)) for block, error in told[1:]] == [(several[1], "the worker died")]
    assert second.config["blocks"] == [several[1]]
