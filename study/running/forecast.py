"""How long a study would take."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from study.running.plan import Plan, make_block
from study.spec import SpecError
from study.training.block import Block
from study.training.resolve import Study
from study.training.trainer import Trainer, method_for

STARTUP_SECONDS = 20.0
"""Ray, torch in the workers, and compiling with a warm cache; a first run compiles for about 15 s more."""
EFFICIENCY = 0.2
"""Share of a core's matrix rate that fused training reaches, for estimates: 0.18 to 0.32 in benchmarks/trainer.py."""


def estimate_seconds(study: Study, todo: Plan, workers: int) -> tuple[float, dict[str, float]]:
    """Rough time to train a plan, and seconds of a trial of each optimizer that does not run fused.

    Fused trials by their floating-point operations at a share of this machine's matrix rate, the others by a few steps
    of one. Raises SpecError when an optimizer cannot take a step.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = {each.name for each in study.optimizers if method_for(each.kind) == "one-by-one"}
        each = measured_seconds((b for b in todo.blocks if b.recipe.optimizer in alone), steps=40)
        fused = study.spec.workload.steps * study.workload.flops_per_step / (EFFICIENCY * matrix_rate())
        seconds = sum(block.lanes * each.get(block.recipe.optimizer, fused) for block in todo.blocks)
    finally:
        torch.set_num_threads(threads)
    return STARTUP_SECONDS + seconds / workers, each


def matrix_rate() -> float:
    """Floating-point operations per second of a float32 matrix product."""
    import torch

    a = torch.rand(512, 512)
    a @ a
    started = time.perf_counter()
    for _ in range(20):
        a @ a
    return 20 * 2 * 512**3 / (time.perf_counter() - started)


def check_foreign(study: Study) -> None:
    """Raise SpecError, one line, when an optimizer that does not run fused cannot take a step on the workload."""
    cell = study.spec.space.cells()[:1]
    foreign = [each for each in study.optimizers if method_for(each.kind) == "one-by-one"]
    measured_seconds((make_block(study, each, 0, cell, 1) for each in foreign), steps=1)


def measured_seconds(blocks: Iterable[Block], steps: int) -> dict[str, float]:
    """Seconds of a trial of each optimizer, from `steps` steps of the first trial of it.

    Raises SpecError, one line, when an optimizer cannot take a step on the workload.
    """
    seconds = {}
    for block in blocks:
        recipe = block.recipe
        if recipe.optimizer in seconds:
            continue
        one = {name: values[:1] for name, values in block.hyperparameters.items()}
        try:
            for count in (1, min(recipe.steps, steps)):  # the first imports
                short = Block(replace(recipe, steps=count), block.seed, one)
                seconds[recipe.optimizer] = Trainer().train(short).seconds * recipe.steps / count
        except Exception as error:  # whatever a foreign class raises
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise SpecError(f"{recipe.optimizer} cannot train {recipe.workload} ({reason})") from error
    return seconds
