"""Ways to train a workload, each of which takes a step or an evaluation when asked to, timed taking turns.

Times are processor seconds of this process, which trains on one thread, so that what else runs on the machine takes
little part in them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from plain_torch import PlainTraining

from study.training.block import Block, Choice, Recipe
from study.training.loop import to
from study.training.one_by_one import run_of
from study.training.program import Programs
from study.training.program_run import ProgramRun
from study.workloads.draws import made

SEED = 0
CPU = torch.device("cpu")
LEAST_SECONDS = 0.1
"""A contender takes steps for at least so long before the next has its turn."""


class Contender(Protocol):
    lanes: int
    """Trials that it trains together."""

    def step(self) -> object:
        """A training step of all lanes, with what it takes to get the batch."""
        ...

    def evaluate(self) -> object:
        """An evaluation of all lanes on the validation split."""
        ...


class Plain:
    """The plain loop, a trial at a time."""

    lanes = 1

    def __init__(self, workload: str, *, fused: bool = False) -> None:
        training = PlainTraining(workload, SEED, 0.001, 1e-8, 1, fused=fused)
        self.step: Callable[[], object] = training.step
        self.evaluate: Callable[[], object] = training.evaluate


class Ours:
    """A method of `study.training`, with Adam."""

    def __init__(self, workload: str, choice: Choice) -> None:
        fused = choice.method == "fused"
        self.lanes = choice.lanes if fused else 1
        recipe = Recipe(workload, "adam", method=choice.method, compile=choice.compile)
        block = Block(recipe, SEED, {"lr": np.geomspace(1e-4, 1e-2, self.lanes)})
        run = ProgramRun(block, self.lanes, CPU, Programs()) if fused else run_of(block, CPU, Programs())
        assert isinstance(run, ProgramRun)  # Adam is a rule
        self._run = run
        self._batches = self._run.workload.batches(SEED)
        held_out = self._run.workload.evaluation(SEED, "validation")
        self._validation = [to(batch, recipe.dtype, CPU) for batch in held_out]
        self._number = 0

    @torch.no_grad()
    def step(self) -> None:
        self._number += 1
        batch = to(next(self._batches), "float32", CPU)
        self._run.step(self._number, batch, made(self._run.sites, SEED, self._number, CPU), 1.0)

    @torch.no_grad()
    def evaluate(self) -> None:
        self._run.evaluate(self._validation)


def take_turns(
    contenders: Mapping[str, Contender], repeats: int, evaluations: float
) -> dict[str, NDArray[np.float64]]:
    """Seconds of a trial's step and its share of the evaluations, `evaluations` a step, in each repeat: (repeats,)."""
    counts = {
        name: (calls(each.step), calls(each.evaluate) if evaluations else 0)
        for name, each in contenders.items()
    }
    times = {name: np.empty(repeats) for name in contenders}
    for repeat in range(repeats):
        for name, each in contenders.items():
            steps, evaluated = counts[name]
            seconds = timed(each.step, steps)
            if evaluations:
                seconds += evaluations * timed(each.evaluate, evaluated)
            times[name][repeat] = seconds / each.lanes
    return times


def calls(call: Callable[[], object]) -> int:
    """How many calls take `LEAST_SECONDS`, after the first, which may build programs."""
    call()
    return max(1, round(LEAST_SECONDS / timed(call, 1)))


def timed(call: Callable[[], object], count: int) -> float:
    """Processor seconds of a call."""
    started = time.process_time()
    for _ in range(count):
        call()
    return (time.process_time() - started) / count


def sgemm_rate(side: int = 512) -> float:
    """GFLOP/s of a float32 matrix product on this thread, best of three: the rate that training could reach."""
    a = torch.rand(side, side)
    return 2 * side**3 / min(timed(lambda: a @ a, 20) for _ in range(3)) / 1e9
