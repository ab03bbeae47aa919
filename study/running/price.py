"""What comes on top of a study's own trials: tuning runs, and further seeds that decide; nothing is written."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from storage.errors import MissingDatabaseError, UnknownStudyError
from storage.store import open_store
from study.running.decide import DECISIONS, stored_extra
from study.running.forecast import STARTUP_SECONDS, forecast, seconds_a_trial, seconds_of
from study.running.plan import Plan
from study.running.tuning import RUNS_START_SECONDS, seconds_a_run
from study.training.resolve import Study


def tuning_seconds(study: Study, storage: str, workers: int) -> float:
    """Roughly how long the tuning runs take that are not stored, on complete landscapes."""
    tuning, space = study.spec.tuning, study.spec.space
    stored: dict[str, set[Any]] = {}
    with (
        contextlib.suppress(MissingDatabaseError, UnknownStudyError),
        open_store(storage, create=False) as store,
    ):
        for optimizer in store.optimizers(study.name):
            runs = store.runs(study.name, optimizer)
            stored[optimizer] = {run.key for run in runs if run.budget >= tuning.trials}
    seconds = sum(
        seconds_a_run(tuner, tuning, space.size)
        for optimizer in study.optimizers
        for tuner in tuning.tuners
        for replicate in range(tuning.replicates)
        if (tuner, replicate, tuning.noise, tuning.repeats, study.spec.seeds, space)
        not in stored.get(optimizer.key, ())
    )
    return RUNS_START_SECONDS + seconds / workers if seconds else 0.0


@dataclass(frozen=True)
class Price:
    """What deciding takes; seconds are of this machine, None where nothing tells.

    Attributes:
        own: trials of the study itself that are missing, which are trained before.
        spent: further trials that are stored and count towards the budget.
        step: further trials that are trained before it is looked at again; None before the study's own are there.
        most: the most further trials.
        step_seconds, most_seconds: with the study's own trials, and its tuning runs where they are part of it.
    """

    own: int
    spent: int
    step: int | None
    most: int
    step_seconds: float | None
    most_seconds: float | None


def price(study: Study, storage: str, decision: str, budget: int, workers: int) -> Price:
    """What a decision of `DECISIONS` takes of at most `budget` further trials; writes nothing.

    Raises SpecError when there is nothing to decide, StoreError as `stored_plan`.
    """
    further = DECISIONS[decision](study, budget)
    study, todo, seconds = forecast(study, storage, workers)
    before = tuning_seconds(study, storage, workers) if decision == "cost" else 0.0
    with open_store(storage, create=False) as store:
        spent = stored_extra(study, store)
        blocks = () if todo.blocks else tuple(further(store, workers))
    most, own = max(budget - spent, 0), todo.trials
    step_seconds = seconds_of(study, Plan(blocks, todo.stored), storage, workers)

    def all_of(more: float | None) -> float | None:
        return None if seconds is None or more is None else seconds + before + more

    step = sum(block.lanes for block in blocks)
    if study.is_black_box:
        each = None if not step or step_seconds is None else (step_seconds - STARTUP_SECONDS) / step
    else:
        each = max(seconds_a_trial(study, choice) for choice in study.choices.values()) / workers
    return Price(
        own=own,
        spent=spent,
        step=step if not own else None,
        most=most,
        step_seconds=all_of(step_seconds),
        most_seconds=all_of(None if each is None else STARTUP_SECONDS + most * each),
    )
