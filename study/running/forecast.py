"""How long a study would take."""

from __future__ import annotations

import os
from collections.abc import Iterator

from storage.store import open_store
from study.running.choices import settled
from study.running.plan import Plan, plan, stored_plan
from study.training.block import Choice
from study.training.choose import matrix_rate
from study.training.resolve import Study
from study.workloads.measure import flops_per_step

STARTUP_SECONDS = 20.0
"""Ray, torch in the workers, and compiling with a warm cache; a first run compiles for about 15 s more."""
EFFICIENCY = {True: 0.2, False: 0.07}
"""Share of a core's matrix rate that fused trials reach, compiled or not: benchmarks/trainer.py."""


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def forecast(study: Study, storage: str, workers: int) -> tuple[Study, Plan, float | None]:
    """The study with its choices, what is left to train, and roughly how many seconds that takes; writes nothing.

    Of a black box without stored trials the seconds are not known, None.

    Raises SpecError when an optimizer cannot take a step on the workload, StoreError as `stored_plan`.
    """
    todo = stored_plan(study, storage, workers)
    study = settled(study, storage)
    todo = todo or plan(study, None, workers)
    return study, todo, seconds_of(study, todo, storage, workers)


def seconds_of(study: Study, todo: Plan, storage: str, workers: int) -> float | None:
    """Roughly how long training what is left takes, of a study with its choices; None where nothing tells."""
    if study.is_black_box:
        return black_box_seconds(study, todo, storage, workers)
    each = {name: seconds_a_trial(study, choice) for name, choice in study.choices.items()}
    seconds = sum(block.lanes * each[block.optimizer] for block in todo.blocks)
    return STARTUP_SECONDS + seconds / workers if todo.blocks else 0.0


def black_box_seconds(study: Study, todo: Plan, storage: str, workers: int) -> float | None:
    """What is left at the mean time of stored trials; None where there are none."""
    if not todo.blocks:
        return 0.0
    if not todo.stored:
        return None
    with open_store(storage, create=False) as store:
        each = float(store.trials(study.name)["seconds"].mean())
    at_once = max(1, int(workers / max(study.spec.resources.cpu, 1 / workers)))
    return STARTUP_SECONDS + todo.trials * each / at_once


def seconds_a_trial(study: Study, choice: Choice) -> float:
    """As timed, or else by the floating-point operations at a share of this machine's matrix rate."""
    if choice.seconds is not None:
        return choice.seconds
    return study.training.steps * flops_per_step(study.trained) / (EFFICIENCY[choice.compile] * matrix_rate())


def notes(study: Study) -> Iterator[str]:
    """A line about each optimizer: how it is trained, and how long a trial takes. None of a black box."""
    if study.is_black_box:
        return
    for name, choice in study.choices.items():
        how = f"{choice.method}, {'compiled' if choice.compile else 'uncompiled'}"
        yield f"{name}: {how}, about {seconds_a_trial(study, choice):.2g} s a trial and core"
        if choice.note:
            yield f"note: {choice.note}"
