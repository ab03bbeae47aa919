"""The training loop: batches, draws, schedule, curve points and divergence are the same for every method."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from study.training.block import Block, Outcome, curve_steps
from study.training.checkpoints import Checkpoint
from study.training.program import Programs
from study.workloads.draws import Drawn, Site, made
from study.workloads.module import WorkloadError
from study.workloads.workload import Batch, Workload

DTYPES = {"float32": torch.float32, "float64": torch.float64}

NOT_RESTORED = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a foreign optimizer may raise that does not take its state back."""
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

    def state(self) -> dict[str, Any]:
        """All that later steps depend on, as tensors, numbers, and containers of them."""
        ...

    def restore(self, state: Mapping[str, Any], steps: int) -> None:
        """Go on, untrained so far, from a state after so many steps."""
        ...


@dataclass
class Progress:
    """What is known of trials (B,) in training."""

    curve: NDArray[np.float64]
    """(B, points), the workload's worst value where nothing is known."""
    diverged_at: NDArray[np.int64]
    seconds: NDArray[np.float64]
    steps: int = 0

    def kept(self) -> dict[str, Any]:
        """As a checkpoint has it."""
        return {
            name: torch.from_numpy(each) if isinstance(each, np.ndarray) else each
            for name, each in vars(self).items()
        }

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Progress:
        """From what `kept` gave."""
        values: dict[str, Any] = {
            name: each.cpu().numpy() if torch.is_tensor(each) else each for name, each in kept.items()
        }
        return cls(**values)


def follow(
    make: Callable[[], Run],
    block: Block,
    device: torch.device,
    programs: Programs,
    checkpoint: Checkpoint,
) -> Outcome:
    """Train what `make` makes for the block's steps, from its checkpoint on if there is one, which is kept at the end.

    Of B trials the first `block.lanes` are told about. Raises WorkloadError when a step drew from torch's own
    generator, which no seed of ours decides.
    """
    run, so_far = make(), None
    if kept := checkpoint.load():
        try:
            so_far = Progress.of(kept["progress"])
            run.restore(kept["run"], so_far.steps)
        except NOT_RESTORED:
            checkpoint.forget()
            run, so_far, kept = make(), None, None
    begun = so_far.steps if so_far else 0
    so_far = so_far or Progress(
        np.full((block.lanes, len(curve_steps(block.recipe.steps))), run.workload.worst),
        np.full(block.lanes, -1),
        np.zeros(block.lanes),
    )
    clock = Clock(programs)
    try:
        return _follow(run, block, device, so_far, clock, kept["lap"] if kept else 0.0, checkpoint)
    except Exception:
        if begun and not checkpoint.was_saved:  # it may be the cause: the next attempt is made from the start
            checkpoint.forget()
        raise


def _follow(
    run: Run,
    block: Block,
    device: torch.device,
    so_far: Progress,
    clock: Clock,
    lap: float,
    checkpoint: Checkpoint,
) -> Outcome:
    recipe, workload = block.recipe, run.workload
    validation = [to(batch, recipe.dtype, device) for batch in workload.evaluation(block.seed, "validation")]
    rates = recipe.schedule.multipliers(recipe.steps).tolist()
    batches = workload.batches(block.seed)
    generator = torch.random.get_rng_state()
    points, done = curve_steps(recipe.steps), 0
    for _ in range(so_far.steps):
        next(batches)
    clock.put(lap)
    curve, diverged_at, seconds = so_far.curve, so_far.diverged_at, so_far.seconds
    for point, until in enumerate(points.tolist()):
        if until < so_far.steps:
            done = until
            continue
        while so_far.steps < until and not run.stopped:
            first, so_far.steps = so_far.steps, min(so_far.steps + STEPS_AT_ONCE, until)
            run.advance(
                [
                    Step(
                        i + 1,
                        to(next(batches), recipe.dtype, device),
                        made(run.sites, block.seed, i + 1, device),
                        rates[i],
                    )
                    for i in range(first, so_far.steps)
                ]
            )
            if checkpoint.is_due and not run.stopped:
                lap = clock.since()
                checkpoint.save({"progress": so_far.kept(), "lap": lap, "run": run.state()})
                clock.put(lap)
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
        passed = self.since()
        self._last += passed
        return passed

    def since(self) -> float:
        return self._now() - self._last

    def put(self, seconds: float) -> None:
        """Have so much passed since it was asked last."""
        self._last = self._now() - seconds

    def _now(self) -> float:
        return time.perf_counter() - self._programs.building


def name_on_test(metric: str) -> str:
    """What a metric of the validation split is called on the test split."""
    return f"test_{metric.removeprefix('validation_')}"


def to(batch: Batch, dtype: str, device: torch.device) -> Batch:
    """Floating tensors in a dtype, all of them on a device."""
    return tuple(part.to(device, DTYPES[dtype] if part.is_floating_point() else part.dtype) for part in batch)
