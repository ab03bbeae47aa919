"""Which method trains an optimizer of a study fastest, found by timing steps.

Fusing pays where overhead rules and loses where arithmetic does. So a few steps are timed uncompiled, which takes a
second. Only where that leaves it open, and the study is long enough to earn it back, compiled programs are timed too.
Studies that are done in seconds are not timed at all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np
import torch

from study.training.block import Block, Choice, Recipe, curve_steps
from study.training.loop import Run, to
from study.training.one_by_one import run_of
from study.training.program import Programs, one_thread
from study.training.program_run import ProgramRun
from study.training.resolve import Study, StudyOptimizer
from study.training.trainer import METHODS
from study.workloads.draws import made
from study.workloads.measure import flops_per_step

COMPILE_FLOPS = 2.5e11
"""Studies with less work than this are done sooner uncompiled: about 10 s on two cores against 10 to 25 to compile."""
COMPILE_SECONDS = 15.0
"""What tracing and compiling a method's programs takes, about."""
CLEAR = 2.0
"""A ratio of uncompiled times that compiling is taken not to turn round."""
COMPILED = 3.0
"""How many times faster compiled steps are taken to be where only uncompiled ones were timed."""
EARNS_BACK = 10.0
"""How many times longer than timing it a study must take for a compiled program to be timed."""
STEPS, SECONDS = 3, 0.2
"""A program is timed for at least so many steps, and at least about so long."""


def methods_of(study: Study, optimizer: StudyOptimizer) -> list[str]:
    """The methods that can train it, and that the study file allows. Raises ValueError when there is none."""
    able = [name for name, method in METHODS.items() if method.takes(optimizer.kind)]
    allowed = [name for name in able if study.spec.method in (None, name)]
    if not allowed:
        raise ValueError(
            f"method = {study.spec.method!r} does not train {optimizer.name}: it takes {', '.join(able)}"
        )
    return allowed


def untimed(study: Study, optimizer: StudyOptimizer) -> Choice:
    """The first method that can, compiled if the study has enough work for it."""
    (method, *_) = methods_of(study, optimizer)
    work = study.spec.trials * study.spec.workload.steps * flops_per_step(study.workload)
    return Choice(method, work > COMPILE_FLOPS, METHODS[method].most_lanes(study, optimizer))


def choose(study: Study, optimizer: StudyOptimizer) -> Choice:
    """The fastest choice for an optimizer.

    Raises ValueError when no method is left, and what a foreign optimizer or workload raises at its first step.
    """
    start = untimed(study, optimizer)
    methods = methods_of(study, optimizer)
    if start.method == "fused" and not start.compile:
        return start
    timer = Timer(study, optimizer)
    eager = {name: timer.choice(name, False, METHODS[name].most_lanes(study, optimizer)) for name in methods}
    best = min(eager.values(), key=seconds_of)
    if not start.compile:
        return best
    close = [each for each in eager.values() if seconds_of(each) <= CLEAR * seconds_of(best)]
    whole = seconds_of(best) * study.trials_each / (os.cpu_count() or 1)
    likely = eager["fused"] if eager.get("fused") in close else best  # compiling helps it most
    worth = whole / (EARNS_BACK * COMPILE_SECONDS)
    open_ = [(each.method, lanes) for each in close for lanes in sizes(study, each)]
    if worth < len(open_):
        open_ = [(each.method, each.lanes) for each in close]
    if worth < len(open_) or (len(close) == 1 and likely.method == "fused"):
        return Choice(likely.method, True, likely.lanes, seconds_of(likely) / COMPILED)
    timed = [timer.choice(method, True, lanes) for method, lanes in open_]
    return min([best, *timed], key=seconds_of)


def sizes(study: Study, choice: Choice) -> list[int]:
    """Numbers of lanes to time."""
    if choice.method != "fused" or study.spec.lanes:
        return [choice.lanes]
    return sorted({max(2, choice.lanes // 2), choice.lanes, 2 * choice.lanes})


def seconds_of(choice: Choice) -> float:
    return choice.seconds if choice.seconds is not None else float("inf")


class Timer:
    """Times choices for an optimizer of a study on this machine."""

    def __init__(self, study: Study, optimizer: StudyOptimizer) -> None:
        self._study, self._optimizer = study, optimizer
        self._device = torch.device(study.spec.device)
        self._programs = Programs()
        # a CPU's own time of this thread, the only one: what else runs here has no part in it
        self._clock = time.thread_time if self._device.type == "cpu" else time.perf_counter

    def choice(self, method: str, compile: bool, lanes: int) -> Choice:
        """The choice with its seconds a trial: steps and evaluations."""
        with one_thread(), torch.no_grad():
            return Choice(method, compile, lanes, self._seconds(method, compile, lanes))

    def _seconds(self, method: str, compile: bool, lanes: int) -> float:
        together = lanes if method == "fused" else 1
        study = self._study
        recipe: Recipe = study.recipe_by(self._optimizer, Choice(method, compile, lanes))
        cells = study.spec.space.cells()
        cells = cells[np.linspace(0, len(cells) - 1, together).round().astype(int)]
        axes = {axis: cells[:, i] for i, axis in enumerate(study.spec.space.names)}
        block = Block(recipe, 0, self._optimizer.hyperparameters(axes), axes, together)
        run: Run = (
            ProgramRun(block, together, self._device, self._programs)
            if method == "fused"
            else run_of(block, self._device, self._programs)
        )
        batch = to(next(study.workload.batches(0)), recipe.dtype, self._device)
        drawn = made(run.sites, 0, 1, self._device)
        validation = [
            to(each, recipe.dtype, self._device) for each in study.workload.evaluation(0, "validation")
        ]
        step = self._time(lambda: run.step(1, batch, drawn, 1.0))
        evaluation = self._time(lambda: run.evaluate(validation))
        return (step * recipe.steps + evaluation * len(curve_steps(recipe.steps))) / together

    def _time(self, call: Callable[[], object]) -> float:
        """Seconds of a call after the first."""
        call()
        self._wait()
        times: list[float] = []
        while len(times) < STEPS or sum(times) < SECONDS:
            started = self._clock()
            call()
            self._wait()
            times.append(self._clock() - started)
        return float(np.median(times))

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()
