"""The training loop: batches, draws, schedule, curve points and divergence are the same for every method."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from study.training.block import DTYPES, Block, Outcome, curve_steps
from study.training.program import Programs
from study.workloads.draws import Drawn, Site, made
from study.workloads.module import WorkloadError
from study.workloads.workload import Batch, Workload


class Run(Protocol):
    """Trials in training, B of them together."""

    workload: Workload
    sites: Sequence[Sequence[Site]]
    """The random numbers that a step asks for, phase by phase."""
    stopped: bool
    """Whether every trial is known to have diverged."""

    def step(self, number: int, batch: Batch, drawn: Drawn, rate: float) -> None:
        """Take step `number`, from 1, with the learning rates times `rate`."""
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


def follow(run: Run, block: Block, device: torch.device, programs: Programs) -> Outcome:
    """Train with `run` for the block's steps; of B trials the first `block.lanes` are told about.

    Raises WorkloadError when a step drew from torch's own generator, which no seed of ours decides.
    """
    recipe, workload = block.recipe, run.workload
    validation = [to(batch, recipe.dtype, device) for batch in workload.evaluation(block.seed, "validation")]
    rates = recipe.schedule.multipliers(recipe.steps).tolist()
    batches = workload.batches(block.seed)
    generator = torch.random.get_rng_state()
    started, built = time.perf_counter(), programs.building
    points = curve_steps(recipe.steps)
    curve, done = np.full((block.lanes, len(points)), workload.worst), 0
    diverged_at = np.full(block.lanes, -1)
    for point, until in enumerate(points.tolist()):
        for i in range(done, until):
            batch = to(next(batches), recipe.dtype, device)
            run.step(i + 1, batch, made(run.sites, block.seed, i + 1, device), rates[i])
            if run.stopped:
                break
        metrics = run.evaluate(validation)
        finite = torch.stack([run.finite(), *(value.isfinite() for value in metrics.values())]).all(0)
        metrics["train_loss"] = run.losses().double() / (until - done)
        diverged_at = run.diverged_at().cpu().numpy()[: block.lanes]
        diverged_at[~finite.cpu().numpy()[: block.lanes] & (diverged_at < 0)] = until
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
    test = [to(batch, recipe.dtype, device) for batch in workload.evaluation(block.seed, "test")]
    if test:
        metrics |= {name_on_test(name): value for name, value in run.evaluate(test).items()}
    seconds = time.perf_counter() - started - (programs.building - built)
    # a diverged trial's other metrics would depend on how long the others kept the block going
    final = {
        name: np.where(alive, value.cpu().numpy()[: block.lanes], np.nan) for name, value in metrics.items()
    }
    final[workload.metric] = curve[:, -1]
    shares = np.full(block.lanes, seconds / block.lanes)
    return Outcome(final, points, curve, diverged_at, shares)


def name_on_test(metric: str) -> str:
    """What a metric of the validation split is called on the test split."""
    return f"test_{metric.removeprefix('validation_')}"


def to(batch: Batch, dtype: str, device: torch.device) -> Batch:
    """Floating tensors in a dtype, all of them on a device."""
    return tuple(part.to(device, DTYPES[dtype] if part.is_floating_point() else part.dtype) for part in batch)
