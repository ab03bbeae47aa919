"""What the optimizer's update costs: a fused step with each rule beside one that only computes the gradients.

One core, compiled, float32, as many lanes as a study would have for a grid of 441 cells. The gradient-only step
returns the loss and all gradients, the least that any optimizer needs; share = 1 - gradients / step. All programs take
turns within each repeat, every figure is the median of the repeats. Every first-order rule must stay at or below 35%
on digits-mlp. AdaHessian is shown for comparison: it needs a Hessian product as well.

Limit: the update has to read weights, gradients and state and to write weights and state once. `GB/s` is those bytes
over the time above the gradient-only step, beside this core's rate of copying an array of the block's size.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import islice
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.func import grad_and_value, vmap
from trainer import chosen_lanes

from study.optimizers import OPTIMIZERS, Rule
from study.shown import show_table
from study.training.block import Block, Recipe
from study.training.fused import Fused
from study.training.named import optimizer_named
from study.training.program import Programs, prepare_process
from study.training.step import Lanes, random_signs, step_function
from study.workloads import WORKLOADS

TARGET = 0.35
STEPS = 60
GRADIENTS = "gradients only"


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
    fused = Fused(0, torch.device("cpu"), Programs())
    lanes = {name: chosen_lanes(options.workload, name) for name in options.optimizers}
    runs: dict[str, Callable[[], float]] = {}
    bytes_moved: dict[str, int] = {}
    for name in options.optimizers:
        runs[name], bytes_moved[name], gradients = programs(fused, options.workload, name, lanes[name])
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


def programs(
    fused: Fused, workload_name: str, optimizer: str, lanes: int
) -> tuple[Callable[[], float], int, Callable[[], float]]:
    """Seconds of `STEPS` steps, bytes that the update of one lane moves, and the same without an update."""
    workload, rule = WORKLOADS[workload_name], optimizer_rule(optimizer)
    recipe = Recipe(workload_name, optimizer)
    block = Block(recipe, 0, {"lr": np.geomspace(1e-4, 1e-2, lanes)})
    start = fused._start(block, lanes, workload, rule)
    batches = [fused._cast(batch, recipe) for batch in islice(workload.batches(0), STEPS)]
    signs = random_signs(block, start.params) if rule.second_order else iter(dict, None)
    signed = list(islice(signs, STEPS))
    rate = torch.ones((), dtype=torch.float64)
    step = fused._programs.build(step_function(workload, rule, recipe), (start, batches[0], signed[0], rate))

    def gradients(lanes: Lanes, batch: Any) -> tuple[Any, Lanes]:
        grads, loss = vmap(grad_and_value(workload.loss), in_dims=(0, None))(lanes.params, batch)
        return grads, lanes._replace(step=lanes.step + 1, loss_sum=lanes.loss_sum + loss)

    bare = fused._programs.build(gradients, (start, batches[0]))

    def run_step() -> float:
        state, started = start, time.perf_counter()
        for batch, sign in zip(batches, signed, strict=True):
            state = step(state, batch, sign, rate)
        return time.perf_counter() - started

    def run_bare() -> float:
        state, started = start, time.perf_counter()
        for batch in batches:
            _, state = bare(state, batch)
        return time.perf_counter() - started

    weights = sum(w[0].numel() for w in start.params.values())
    changed = sum(1 for entry in start.state.values() if isinstance(entry, dict))
    if optimizer == "adashift":
        changed = 3  # m, v, and one gradient each in and out; the others only change names
    return run_step, 4 * weights * (3 + 2 * changed), run_bare


def copy_rate(bytes_moved: dict[str, int], lanes: int) -> float:
    """GB/s of copying an array as large as what the block's update moves (bytes read and written)."""
    size = next(iter(bytes_moved.values())) * lanes // 8
    source, target = torch.rand(size), torch.empty(size)
    best = float("inf")
    for _ in range(20):
        started = time.perf_counter()
        target.copy_(source)
        best = min(best, time.perf_counter() - started)
    return 8 * size / best / 1e9


if __name__ == "__main__":
    main()
