"""The training loop: batches, draws, schedule, curve points and divergence are the same for every method."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from study.training.block import Block, Outcome, curve_steps
from study.training.program import Programs
from study.workloads.draws import Drawn, Site, made
from study.workloads.module import WorkloadError
from study.workloads.workload import Batch, Workload

DTYPES = {"float32": torch.float32, "float64": torch.float64}

STEPS_AT_ONCE = 16
"""Batches and draws of so many steps are made ahead: trials that take turns do so for as long, each in the cache."""


class Step(NamedTuple):
    """What a step is given: its number, from 1, and what the learning rates are multiplied with."""

    number: int
    batch: Batch
    drawn: Drawn
    rate: float


class Run(Protocol):
    """Trials in training, B of them together."""

    workload: Workload
    sites: Sequence[Sequence[Site]]
    """The random numbers that a step asks for, phase by phase."""
    stopped: bool
    """Whether every trial is known to have diverged."""

    def advance(self, steps: Sequence[Step]) -> None:
        """Take several steps, or fewer when every trial is known to have diverged."""
        ...

    def losses(self) -> Tensor:
        """The sum of the losses (B,) since it was asked last."""
        ...

    def diverged_at(self) -> Tensor:
        """The first step (B,) whose loss was not finite, -1 where there was none."""
        ...

    def evaluate(self, batches: Sequence[Batch]) -> dict[str, Tensor]:
        """The workload's metrics (B,), float64."""
        ...

    def finite(self) -> Tensor:
        """Which trials (B,) have only finite weights."""
        ...

    def leave_out(self, diverged: NDArray[np.bool_]) -> None:
        """Whatever is told from now on of trials (B,) that have diverged does not matter: they need not be trained."""
        ...


def follow(run: Run, block: Block, device: torch.device, programs: Programs) -> Outcome:
    """Train with `run` for the block's steps; of B trials the first `block.lanes` are told about.

    Raises WorkloadError when a step drew from torch's own generator, which no seed of ours decides.
    """
    recipe, workload = block.recipe, run.workload
    validation = [to(batch, recipe.dtype, device) for batch in workload.evaluation(block.seed, "validation")]
    rates = recipe.schedule.multipliers(recipe.steps).tolist()
    batches = workload.batches(block.seed)
    generator = torch.random.get_rng_state()
    clock = Clock(programs)
    points = curve_steps(recipe.steps)
    curve, done = np.full((block.lanes, len(points)), workload.worst), 0
    diverged_at = np.full(block.lanes, -1)
    seconds = np.zeros(block.lanes)
    for point, until in enumerate(points.tolist()):
        for first in range(done, until, STEPS_AT_ONCE):
            run.advance(
                [
                    Step(
                        i + 1,
                        to(next(batches), recipe.dtype, device),
                        made(run.sites, block.seed, i + 1, device),
                        rates[i],
                    )
                    for i in range(first, min(first + STEPS_AT_ONCE, until))
                ]
            )
            if run.stopped:
                break
        metrics = run.evaluate(validation)
        finite = torch.stack([run.finite(), *(value.isfinite() for value in metrics.values())]).all(0)
        metrics["train_loss"] = run.losses().double() / (until - done)
        alive = diverged_at < 0
        seconds[alive] += clock.lap() / alive.sum()
        found = run.diverged_at().cpu().numpy()[: block.lanes]
        found[~finite.cpu().numpy()[: block.lanes] & (found < 0)] = until
        diverged_at[alive] = found[alive]
        alive = diverged_at < 0
        curve[alive, point] = metrics[workload.metric].cpu().numpy()[: block.lanes][alive]
        done = until
        if not torch.equal(generator, torch.random.get_rng_state()):
            raise WorkloadError(
                f"{recipe.workload} trained by {recipe.optimizer} draws random numbers that its first step did not ask "
                "for, so no two runs would be equal: draw them at every step"
            )
        if not alive.any():
            break
        run.leave_out(~alive)
    test = [to(batch, recipe.dtype, device) for batch in workload.evaluation(block.seed, "test")]
    if test:
        metrics |= {name_on_test(name): value for name, value in run.evaluate(test).items()}
    shared = alive if alive.any() else np.full(block.lanes, True)
    seconds[shared] += clock.lap() / shared.sum()
    # a diverged trial's other metrics would depend on how long the others kept the block going
    final = {
        name: np.where(alive, value.cpu().numpy()[: block.lanes], np.nan) for name, value in metrics.items()
    }
    final[workload.metric] = curve[:, -1]
    return Outcome(final, points, curve, diverged_at, seconds)


class Stepping(Protocol):
    """What takes its steps one after another."""

    stopped: bool

    def step(self, number: int, batch: Batch, drawn: Drawn, rate: float) -> None:
        """Take step `number`, from 1, with the learning rates times `rate`."""
        ...


def take(run: Stepping, steps: Sequence[Step]) -> None:
    """Take the steps one after another until every trial is known to have diverged."""
    for step in steps:
        run.step(*step)
        if run.stopped:
            break


class Clock:
    """Tells the seconds since it was asked last, without those of building programs."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._last = self._now()

    def lap(self) -> float:
        last, self._last = self._last, self._now()
        return self._last - last

    def _now(self) -> float:
        return time.perf_counter() - self._programs.building


def name_on_test(metric: str) -> str:
    """What a metric of the validation split is called on the test split."""
    return f"test_{metric.removeprefix('validation_')}"


def to(batch: Batch, dtype: str, device: torch.device) -> Batch:
    """Floating tensors in a dtype, all of them on a device."""
    return tuple(part.to(device, DTYPES[dtype] if part.is_floating_point() else part.dtype) for part in batch)
