"""The fused trainer against a plain torch loop, on one core.

Fused: `study.training.trainer.Trainer`, compiled, with as many lanes as a study of 441 cells has.
Plain: one trial after another, `nn.Linear` / `nn.Conv2d` and `torch.optim.Adam` (see plain_torch.py).
Both train the same cells of the space avagrad-cifar (drawn at random) from the same weights on the same batches, with
the same 20 evaluations on the way; both are timed without loading data, making the model, or compiling.
The sides take turns within each repeat; every figure is the median of the repeats.

Limit: this machine's own matrix rate, the product of two 512 x 512 float32 matrices on one thread. FLOPs are those of
forward and backward passes alone (`Workload.flops_per_step`): the optimizer and the evaluations come on top.

That it is the same training is checked twice. In float64 the validation losses after 20 steps must agree to 1e-6, or
the script exits with 1. In float32, as timed, the largest difference of the final validation errors is shown: over the
trials that learned (error below 0.5), and over all. Training with an absurd learning rate is chaotic: there the last
bit decides where a trial is 400 steps later (in float64 as well), so the second figure is no error.

The second table times other numbers of lanes, to judge the cache budget in study/training/fused.py.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from plain_torch import PlainTraining

from search_spaces import get_space
from study.optimizers import OPTIMIZERS
from study.running.plan import lanes_per_block
from study.shown import show_table
from study.spec import parse_spec
from study.training.block import Block, Recipe
from study.training.program import prepare_process
from study.training.resolve import resolve
from study.training.trainer import Trainer
from study.workloads import WORKLOADS

SPACE = "avagrad-cifar"
SEED = 0
TARGETS = {"digits-mlp": 10.0, "digits-cnn": 3.0}
"""Workload -> how many times faster than the plain loop it must be."""
SWEEP = (0.25, 0.5, 2.0, 4.0)
"""Other lanes to try, as multiples of the chosen number."""
LEARNED = 0.5
CHECK_STEPS, CHECK_TOLERANCE = 20, 1e-6
SGEMM_SIDE = 512


@dataclass
class Measured:
    """Microseconds per trial-step, one entry a repeat, by what was timed."""

    lanes: int
    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    sgemm: list[float] = field(default_factory=list)  # GFLOP/s
    plain_errors: dict[int, float] = field(default_factory=dict)  # lane -> final validation error
    fused_errors: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    differs: float = 0.0  # largest relative difference of the validation losses in float64 after 20 steps


def main() -> None:
    options = parse_options()
    prepare_process()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", folder)
        measured = {name: measure(name, options) for name in options.workloads}
    show(measured, options)
    worst = max(each.differs for each in measured.values())
    print(f"float64, {CHECK_STEPS} steps: validation losses differ by {worst:.1e} at most, relatively")
    if not worst <= CHECK_TOLERANCE:
        sys.exit("the fused and the plain trials are not the same training")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--trials", type=int, default=2, help="plain trials a repeat")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--no-sweep", action="store_true", help="leave the second table out")
    return parser.parse_args()


def measure(name: str, options: argparse.Namespace) -> Measured:
    steps = options.steps
    cells = np.random.default_rng(0).permutation(get_space(SPACE).cells())
    result = Measured(chosen_lanes(name))
    lanes = result.lanes

    fused: dict[str, Callable[[], float]] = {
        optimizer: fused_timer(name, optimizer, cells[:lanes], steps) for optimizer in ("adam", "avagrad")
    }
    if not options.no_sweep:
        for other in sweep_lanes(lanes):
            fused[f"{other} lanes"] = fused_timer(name, "adam", cells[:other], steps)
    for once in fused.values():
        once()  # compiles

    PlainTraining(name, SEED, 0.001, 1e-8, 1)  # imports what torch.optim loads late
    mine = [lane % lanes for lane in range(options.repeats * options.trials)]
    for repeat in range(options.repeats):
        result.sgemm.append(sgemm_rate())
        turn = mine[repeat * options.trials : (repeat + 1) * options.trials]
        for kind in ("plain", "plain fused"):
            seconds = 0.0
            for lane in turn:
                took, error = time_plain(name, *cells[lane], steps, fused=kind == "plain fused")
                seconds += took
                if kind == "plain":
                    result.plain_errors[lane] = error
            result.times[kind].append(seconds / len(turn) / steps * 1e6)
        for label, once in fused.items():
            result.times[label].append(once())

    block = block_of(name, "adam", cells[:lanes], steps)
    result.fused_errors = Trainer(lanes).train(block).metrics["validation_error"]
    result.differs = compare_float64(name, cells[sorted(set(mine))])
    return result


def chosen_lanes(name: str, optimizer: str = "adam") -> int:
    """Lanes of a study of 441 cells and 3 seeds with a worker for each core."""
    space = {"lr": {"low": 1e-4, "high": 1.0, "num": get_space(SPACE).size, "scale": "log"}}
    study = resolve(
        parse_spec(
            {"name": "benchmark", "workload": name, "optimizers": [optimizer], "space": space, "seeds": 3}
        )
    )
    return lanes_per_block(study, study.optimizers[0], os.cpu_count() or 1)


def sweep_lanes(chosen: int) -> list[int]:
    cells = get_space(SPACE).size
    return sorted({min(cells, max(2, round(chosen * factor))) for factor in SWEEP} - {chosen})


def block_of(
    name: str, optimizer: str, cells: NDArray[np.float64], steps: int, dtype: str = "float32"
) -> Block:
    return Block(
        Recipe(name, optimizer, steps=steps, dtype=dtype), SEED, {"lr": cells[:, 0], "eps": cells[:, 1]}
    )


def fused_timer(name: str, optimizer: str, cells: NDArray[np.float64], steps: int) -> Callable[[], float]:
    """A function that trains the block once more and gives the microseconds per trial-step."""
    trainer = Trainer(len(cells))
    block = block_of(name, optimizer, cells, steps)
    return lambda: trainer.train(block).seconds / block.lanes / steps * 1e6


def time_plain(name: str, alpha: float, eps: float, steps: int, *, fused: bool) -> tuple[float, float]:
    """Seconds of one plain trial, and its final validation error."""
    training = PlainTraining(name, SEED, alpha, eps, steps, fused=fused)
    started = time.perf_counter()
    *_, last = training
    return time.perf_counter() - started, last["validation_error"]


def compare_float64(name: str, cells: NDArray[np.float64]) -> float:
    """Largest relative difference between the validation losses of fused (uncompiled) and plain trials in float64."""
    block = block_of(name, "adam", cells, CHECK_STEPS, "float64")
    fused = Trainer(len(cells), compile=False).train(block).metrics["validation_loss"]
    plain = np.empty(len(cells))
    for i, (alpha, eps) in enumerate(cells):
        *_, last = PlainTraining(name, SEED, alpha, eps, CHECK_STEPS, dtype=torch.float64)
        plain[i] = last["validation_loss"]
    return float(np.abs(fused / plain - 1).max())


def sgemm_rate() -> float:
    """GFLOP/s of a float32 matrix product on this thread, best of three: the rate that training could reach."""
    a = sgemm_operand()
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        for _ in range(20):
            a @ a
        best = min(best, time.perf_counter() - started)
    return 20 * 2 * SGEMM_SIDE**3 / best / 1e9


@functools.cache
def sgemm_operand() -> torch.Tensor:
    return torch.rand(SGEMM_SIDE, SGEMM_SIDE)


def show(measured: dict[str, Measured], options: argparse.Namespace) -> None:
    print(
        f"\nOne core: a trial-step fused and plain, {options.steps} steps, "
        f"medians of {options.repeats} repeats taking turns"
    )
    rows, sweep = [], []
    for name, result in measured.items():
        us = {label: median(times) for label, times in result.times.items()}
        speed = WORKLOADS[name].flops_per_step / us["adam"] / 1e3
        sgemm = median(result.sgemm)
        differs = {lane: abs(e - result.fused_errors[lane]) for lane, e in result.plain_errors.items()}
        learned = [differs[lane] for lane, error in result.plain_errors.items() if error < LEARNED]
        rows.append(
            (
                name,
                str(result.lanes),
                f"{us['adam']:.1f}",
                f"{us['avagrad']:.1f}",
                f"{us['plain']:.0f}",
                f"{us['plain'] / us['adam']:.1f}x",
                f">= {TARGETS[name]:g}x" if name in TARGETS else "-",
                f"{us['plain fused']:.0f} ({us['plain fused'] / us['adam']:.1f}x)",
                f"{speed:.1f}",
                f"{sgemm:.0f}",
                f"{speed / sgemm:.0%}",
                f"{max(learned, default=float('nan')):.4f} / {max(differs.values()):.4f}",
            )
        )
        others = {int(key.partition(" ")[0]): t for key, t in us.items() if key.endswith("lanes")}
        others[result.lanes] = us["adam"]
        workload = WORKLOADS[name]
        state = 4 * OPTIMIZERS["adam"].rule.state_size(workload.init(0), {"amsgrad": False})
        kilobytes = (workload.bytes_per_lane + state) / 2**10
        for lanes, time_ in sorted(others.items()):
            note = "chosen" if lanes == result.lanes else ""
            sweep.append(
                (
                    name,
                    str(lanes),
                    f"{lanes * kilobytes / 1024:.1f}",
                    f"{time_:.1f}",
                    f"{us['plain'] / time_:.1f}x",
                    note,
                )
            )
    show_table(
        (
            "workload",
            "lanes",
            "fused us",
            "avagrad us",
            "plain us",
            "ratio",
            "target",
            "Adam(fused=True) us",
            "GFLOP/s",
            "sgemm",
            "share",
            "errors differ (learned / all)",
        ),
        rows,
    )
    if not options.no_sweep:
        print(
            "Other numbers of lanes (adam); MiB is the working set that study/training/fused.py reckons with"
        )
        show_table(("workload", "lanes", "MiB", "fused us", "ratio", ""), sweep)


if __name__ == "__main__":
    main()
