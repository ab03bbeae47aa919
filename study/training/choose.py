"""Which method trains an optimizer of a study fastest, found by timing steps.

Fusing pays where overhead rules and loses where arithmetic does. So a plain step is timed, nothing of it compiled, and
compared with what its products alone would take, which is done in seconds. Only where arithmetic rules, and the study
is long enough to earn it back, compiled programs are timed. Studies that are done in seconds are not timed at all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median

import numpy as np
import torch

from study.training.block import Block, Choice, Recipe, curve_steps
from study.training.loop import Run, Step, to
from study.training.one_by_one import run_of
from study.training.program import Programs, first_line
from study.training.program_run import ProgramRun
from study.training.resolve import Study, StudyOptimizer
from study.training.trainer import METHODS
from study.workloads.draws import made
from study.workloads.measure import flops_per_step
from study.workloads.threads import one_thread

COMPILE_FLOPS = 2.5e11
"""Studies with less work than this are done sooner uncompiled: about 10 s on two cores against 10 to 25 to compile."""
COMPILE_SECONDS = 15.0
"""What tracing and compiling a method's programs takes, about."""
OVERHEAD_RULES = 0.2
"""Share of this machine's matrix rate below which a plain step is mostly overhead: small nets reach 0.01 to 0.10, a
Transformer block, an LSTM and a Wide ResNet 0.3 to 0.6."""
CLEAR = 2.0
"""How many times slower than alone fused lanes may be uncompiled, if compiling is to turn that round."""
EARNS_BACK = 4.0
"""How many times longer than timing it a study must take for a compiled program to be timed."""
STEPS, SECONDS = 3, 0.2
"""A program is timed for at least so many steps, and at least about so long."""
NEAR, TURNS = 1.3, 3
"""Choices that take at most so many times as long as the fastest are timed again, so often in turns: between the first
and the last there may be minutes of compiling, in which machines change their pace. It takes each choice a step and an
evaluation a turn, or twice 0.2 s."""


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
    if study.is_black_box:
        return Choice(method, False, 1)
    work = study.spec.trials * study.training.steps * flops_per_step(study.trained)
    return Choice(method, work > COMPILE_FLOPS, METHODS[method].most_lanes(study, optimizer))


def choose(study: Study, optimizer: StudyOptimizer) -> Choice:
    """The fastest choice for an optimizer.

    Raises ValueError when no method is left, and what a foreign optimizer or workload raises at its first step.
    """
    start = untimed(study, optimizer)
    if study.is_black_box:
        return start
    known_to_fuse = start.method == "fused" and not is_foreign(study, optimizer)
    if known_to_fuse and not start.compile:
        return start
    rough = Timer(study, optimizer, compile=False)
    eager, note = able(study, optimizer, rough)
    if not start.compile:
        return start if start.method == "fused" and not note else eager[-1]
    if eager[0].method == "fused" and (len(eager) == 1 or overhead_rules(rough, *eager)):
        return replace(eager[0], compile=True, seconds=None)
    timer = Timer(study, optimizer)
    if eager[-1].method == "one-by-one":  # its update is compiled in any case
        eager[-1] = replace(timer.choice("one-by-one", False, eager[-1].lanes), note=note)
    whole = min(map(seconds_of, eager)) * study.trials_each / (os.cpu_count() or 1)
    wanted = [replace(each, compile=True) for each in eager]
    if whole >= EARNS_BACK * COMPILE_SECONDS * (len(wanted) + 2):
        wanted = [replace(each, lanes=lanes) for each in wanted for lanes in sizes(study, each)]
    elif whole < EARNS_BACK * COMPILE_SECONDS * len(wanted):
        wanted = []
    found = [*eager, *(timer.choice(each.method, True, each.lanes) for each in wanted)]
    nearly = NEAR * min(map(seconds_of, found))
    near = [each for each in found if seconds_of(each) <= nearly]
    if len(near) > 1:
        near = timer.in_turns(near)
    return replace(min(near, key=seconds_of), note=note)


def with_seconds(study: Study, optimizer: StudyOptimizer, choice: Choice) -> Choice:
    """A choice with the seconds of a trial, where these were not needed to make it."""
    if choice.seconds is not None:
        return choice
    timer = Timer(study, optimizer, compile=choice.compile)
    return timer.choice(choice.method, choice.compile, min(choice.lanes, max(2, study.trials_each)))


def overhead_rules(timer: Timer, fused: Choice, alone: Choice) -> bool:
    """Whether a plain step is mostly overhead. Fused ones tell of operations that nobody counts, as in a `nn.GRU`."""
    return seconds_of(fused) < CLEAR * seconds_of(alone) and timer.matrix_share(alone) < OVERHEAD_RULES


def is_foreign(study: Study, optimizer: StudyOptimizer) -> bool:
    """Whether it trains code that is not ours, a step of which can be taken."""
    if study.is_black_box:
        return False
    return ":" in study.training.name or ":" in optimizer.name


def take_a_step(study: Study, optimizer: StudyOptimizer, choice: Choice) -> None:
    """Raise what the first step does, if it does."""
    Timer(study, optimizer).choice(choice.method, False, min(choice.lanes, 2))


def able(study: Study, optimizer: StudyOptimizer, timer: Timer) -> tuple[list[Choice], str]:
    """Uncompiled choices with their times, and a line about a method that cannot. Raises what the last one does."""
    found: list[Choice] = []
    note = ""
    methods = methods_of(study, optimizer)
    for name in methods:
        try:
            found.append(timer.choice(name, False, METHODS[name].most_lanes(study, optimizer)))
        except Exception as error:  # whatever a foreign module raises when it is vmapped or traced
            if name == methods[-1] and not found:
                raise
            note = f"{optimizer.name} is not trained {name}: {first_line(error)[:150]}"
    return [replace(each, note=note) for each in found], note


def sizes(study: Study, choice: Choice) -> list[int]:
    """Numbers of lanes to time."""
    if choice.method != "fused" or study.spec.lanes:
        return [choice.lanes]
    return sorted({max(2, choice.lanes // 2), choice.lanes, 2 * choice.lanes})


def seconds_of(choice: Choice) -> float:
    return choice.seconds if choice.seconds is not None else float("inf")


def lanes_together(choice: Choice) -> int:
    """Lanes that a step trains."""
    return choice.lanes if choice.method == "fused" else 1


class Timer:
    """Times choices for an optimizer of a study on this machine; with `compile=False` as if there were no compiler."""

    def __init__(self, study: Study, optimizer: StudyOptimizer, *, compile: bool = True) -> None:
        self._study, self._optimizer = study, optimizer
        self._device = torch.device(study.spec.device)
        self._programs = Programs(compile=compile)
        # a CPU's own time of this thread, the only one: what else runs here has no part in it
        self._clock = time.thread_time if self._device.type == "cpu" else time.perf_counter

    def choice(self, method: str, compile: bool, lanes: int) -> Choice:
        """The choice with its seconds a trial: steps and evaluations."""
        wanted = Choice(method, compile, lanes)
        with one_thread(), torch.no_grad():
            return replace(wanted, seconds=self._seconds(wanted, self._calls(wanted)))

    def in_turns(self, choices: Sequence[Choice]) -> list[Choice]:
        """The choices with the seconds of a trial, medians over turns: each at the pace that all have had."""
        with one_thread(), torch.no_grad():
            calls = [self._calls(each) for each in choices]
            turns = [
                [self._seconds(each, of_it, least=1) for each, of_it in zip(choices, calls, strict=True)]
                for _ in range(TURNS)
            ]
        return [replace(each, seconds=median(times)) for each, *times in zip(choices, *turns, strict=True)]

    def _seconds(self, choice: Choice, calls: Sequence[Callable[[], object]], least: int = STEPS) -> float:
        """Seconds of a trial, given a step and an evaluation of a block."""
        step, evaluation = (self._time(call, least) for call in calls)
        steps = self._study.training.steps
        return (step * steps + evaluation * len(curve_steps(steps))) / lanes_together(choice)

    def _calls(self, choice: Choice) -> Sequence[Callable[[], object]]:
        """A step and an evaluation of a block, both of which were called once: that may build programs."""
        together = lanes_together(choice)
        study = self._study
        recipe: Recipe = study.recipe_by(self._optimizer, choice)
        cells = study.spec.space.cells()
        cells = cells[np.linspace(0, len(cells) - 1, together).round().astype(int)]
        axes = {axis: cells[:, i] for i, axis in enumerate(study.spec.space.names)}
        block = Block(recipe, 0, self._optimizer.hyperparameters(axes), axes, together)
        run: Run = (
            ProgramRun(block, together, self._device, self._programs)
            if choice.method == "fused"
            else run_of(block, self._device, self._programs)
        )
        batch = to(next(study.trained.batches(0)), recipe.dtype, self._device)
        drawn = made(run.sites, 0, 1, self._device)
        validation = [
            to(each, recipe.dtype, self._device) for each in study.trained.evaluation(0, "validation")
        ]
        calls = (lambda: run.advance([Step(1, batch, drawn, 1.0)]), lambda: run.evaluate(validation))
        for call in calls:
            call()
        self._wait()
        return calls

    def _time(self, call: Callable[[], object], least: int) -> float:
        """Seconds of a call, the shortest of at least so many: others may use the machine."""
        times: list[float] = []
        while len(times) < least or sum(times) < SECONDS:
            started = self._clock()
            call()
            self._wait()
            times.append(self._clock() - started)
        return min(times)

    def matrix_share(self, choice: Choice) -> float:
        """The share of this machine's matrix rate at which a choice runs, evaluations taken as free."""
        steps = self._study.training.steps
        return flops_per_step(self._study.trained) * steps / (matrix_rate() * seconds_of(choice))

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()


def matrix_rate() -> float:
    """Floating-point operations per second of a float32 matrix product on one core."""
    with one_thread():
        a, times = torch.rand(512, 512), []
        for _ in range(20):
            started = time.thread_time()
            a @ a
            times.append(time.thread_time() - started)
        return 2 * 512**3 / min(times)
