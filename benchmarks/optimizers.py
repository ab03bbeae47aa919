"""What the optimizer's update costs: a fused step with each rule beside one that only computes gradients.

One core (processor seconds), compiled, float32, as many lanes as a study would have for a grid of 441 cells. The
gradient-only step returns the loss and all gradients, the least that any optimizer needs; share = 1 - gradients / step.
All programs take turns within each repeat, every figure is the median of the repeats. Every first-order rule must stay
at or below 35% on digits-mlp. AdaHessian is shown for comparison: it needs a Hessian product as well.

Limit: the update has to read weights, gradients and state and to write weights and state once. `GB/s` is those bytes
over the time above the gradient-only step, beside this core's rate of copying an array of the block's size.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from trainer import fused_lanes

from study.optimizers import OPTIMIZERS, Rule
from study.shown.console import show_table
from study.training.block import Block, Recipe
from study.training.named import optimizer_named, workload_named
from study.training.program import Programs, prepare_process
from study.training.program_run import ProgramRun, fused
from study.training.step import (
    Shared,
    Trial,
    differentiate,
    parts,
    random_signs,
    sites_of,
    step_function,
)
from study.workloads import WORKLOADS, Params
from study.workloads.draws import given as drawn_from
from study.workloads.draws import made

TARGET = 0.35
STEPS = 60
GRADIENTS = "gradients only"
FIRST_ORDER = OPTIMIZERS["sgd"].rule
CPU = torch.device("cpu")
Timed = Callable[[], float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workload", choices=list(WORKLOADS), default="digits-mlp")
    parser.add_argument("--optimizers", nargs="+", choices=list(OPTIMIZERS), default=list(OPTIMIZERS))
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    prepare_process()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", folder)
        measure(options)


def measure(options: argparse.Namespace) -> None:
    lanes = {name: fused_lanes(options.workload, name) for name in options.optimizers}
    runs: dict[str, Timed] = {}
    bytes_moved: dict[str, int] = {}
    for name in options.optimizers:
        runs[name], bytes_moved[name], gradients = programs(options.workload, name, lanes[name])
        runs.setdefault(f"{GRADIENTS} {lanes[name]}", gradients)
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(options.repeats):
        for name, once in runs.items():
            of = lanes.get(name) or int(name.removeprefix(GRADIENTS))
            times[name].append(once() / STEPS / of * 1e6)
    bases = {of: median(times.pop(f"{GRADIENTS} {of}")) for of in set(lanes.values())}
    rows = []
    for name, each in sorted(times.items(), key=lambda item: median(item[1])):
        us, base = median(each), bases[lanes[name]]
        share = 1 - base / us
        second = optimizer_rule(name).second_order
        verdict = "second order" if second else "ok" if share <= TARGET else "MISSED"
        rate = bytes_moved[name] / (us - base) / 1e3
        rows.append(
            (name, str(lanes[name]), f"{us:.1f}", f"{us - base:.1f}", f"{share:.0%}", f"{rate:.0f}", verdict)
        )
    print(
        f"\n{options.workload}, one core: a trial-step of {min(bases.values()):.1f} us without an update; "
        f"copying runs at {copy_rate(bytes_moved, max(lanes.values())):.0f} GB/s"
    )
    show_table(("optimizer", "lanes", "step us", "update us", "share", "GB/s", f"at most {TARGET:.0%}"), rows)


def optimizer_rule(name: str) -> Rule:
    rule = optimizer_named(name)
    assert isinstance(rule, Rule)
    return rule


def programs(workload_name: str, optimizer: str, lanes: int) -> tuple[Timed, int, Timed]:
    """Seconds of `STEPS` steps, bytes that the update of one lane moves, and the same without an update."""
    workload, rule, recipe = (
        workload_named(workload_name),
        optimizer_rule(optimizer),
        Recipe(workload_name, optimizer),
    )
    block = Block(recipe, 0, {"lr": np.geomspace(1e-4, 1e-2, lanes)})
    kept = Programs()
    start = ProgramRun(block, lanes, CPU, kept).trial
    one = {name: w[0] for name, w in start.params.items()}
    signs = random_signs(0, one) if rule.second_order else itertools.repeat({})
    number = torch.ones((), dtype=torch.float64)
    sites = sites_of(workload)
    given = [
        Shared(number, batch, made(sites, 0, 1), sign, number)
        for batch, sign in zip(itertools.islice(workload.batches(0), STEPS), signs, strict=False)
    ]
    (phase,) = workload.phases

    def gradients(trial: Trial, shared: Shared) -> tuple[Trial, Params]:
        trained, rest = parts(trial.params, phase)
        draws = drawn_from(shared.drawn[0])
        grads, loss, carry, _ = differentiate(phase, FIRST_ORDER, trained, rest, trial.carry, shared, draws)
        return trial._replace(carry=carry, loss_sum=trial.loss_sum + loss), grads

    leaves = pytree.tree_leaves(start)
    inputs = [pytree.tree_leaves(shared) for shared in given]

    def timed(function: Callable[..., Any]) -> Timed:
        program = kept.build(fused(function, (0, None)), (start, given[0]))

        def run() -> float:
            state: Sequence[Tensor] = leaves
            started = time.process_time()
            for each in inputs:
                state = program.flat(*state, *each)[: len(leaves)]
            return time.process_time() - started

        return run

    weights = sum(w.numel() for w in one.values())
    changed = sum(1 for entry in start.states[0].values() if isinstance(entry, dict))
    if optimizer == "adashift":
        changed = 3  # m, v, and one gradient each in and out; the others only change names
    return timed(step_function(workload, rule, recipe)), 4 * weights * (3 + 2 * changed), timed(gradients)


def copy_rate(bytes_moved: dict[str, int], lanes: int) -> float:
    """GB/s of copying an array as large as what the block's update moves (bytes read and written)."""
    size = next(iter(bytes_moved.values())) * lanes // 8
    source, target = torch.rand(size), torch.empty(size)
    best = float("inf")
    for _ in range(20):
        started = time.process_time()
        target.copy_(source)
        best = min(best, time.process_time() - started)
    return 8 * size / best / 1e9


if __name__ == "__main__":
    main()
