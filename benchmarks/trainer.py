"""The trainer against a plain torch loop of the same module, on one core.

Ours: each method that a study could take, with Adam: fused with several numbers of lanes, one by one compiled or not.
`chosen` is the one that `study.training.choose` takes for a study of 441 cells and 3 seeds; its time is compared.
Plain: one trial after another, the same module and `torch.optim.Adam` (see plain_torch.py).
All train from the same weights on the same batches, and take turns. Times are medians of the repeats, of a step and its
share of the 20 evaluations of a trial of 400 steps, without loading data, making the model, or compiling; ratios are
medians of those to the plain loop in the same repeat, since machines change their pace between. Of some of
the papers' workloads (plain_papers.py) steps alone are compared, though what is chosen counts evaluations, too.

Limit: this machine's own matrix rate, the product of two 512 x 512 float32 matrices on one thread. FLOPs are those of
forward and backward passes alone: the optimizer and the evaluations come on top.

That it is the same training is checked in float64, but for those: after 20 steps the validation losses of fused,
uncompiled trials and of plain ones must agree to 1e-6, or the script exits with 1.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass

import numpy as np
import torch
from contenders import SEED, Contender, Ours, Plain, sgemm_rate, take_turns
from numpy.typing import NDArray
from plain_papers import LOOPS, PlainPaper
from plain_torch import PlainTraining

from search_spaces import get_space
from study.running.choices import with_untimed
from study.running.plan import lanes_per_program
from study.shown.console import show_table
from study.spec import parse_spec
from study.training.block import CURVE_POINTS, Block, Choice, Recipe
from study.training.choose import choose, sizes, untimed
from study.training.program import prepare_process
from study.training.resolve import Study, resolve
from study.training.trainer import Trainer
from study.workloads.measure import flops_per_step

FLOOR = 0.97
TARGETS = {
    "digits-mlp": 13.0,
    "digits-cnn": FLOOR,
    "digits-cnn-bn": 4.0,
    "mnist-mlp": FLOOR,
    "mnist-cnn-bn": 1.3,
    "networks:wrn": 1.25,
    "networks:lstm": 1.0,
    "networks:transformer": 1.0,
    "char-lstm": 1.0,
    "transformer": 1.0,
    "dcgan": 1.0,
    "rosenbrock": 100.0,
    "noisy-quadratic": 100.0,
}
"""Workload -> how many times faster than the plain loop it must be."""
STEPS = 400
EVALUATIONS = CURVE_POINTS / STEPS
CHECK_STEPS, CHECK_TOLERANCE = 20, 1e-6
CHECK_LR = np.array([1e-3, 1e-2])
COMPILED, UNCOMPILED = "one by one, compiled", "one by one, uncompiled"
PLAIN, PLAIN_FUSED = "plain", "plain, Adam(fused=True)"


@dataclass(frozen=True)
class Measured:
    chosen: str
    """The contender that a study would take."""
    seconds: dict[str, NDArray[np.float64]]
    """Contender -> seconds of a trial's step, in each repeat."""
    gflops: float
    sgemm: float
    differs: float | None
    """Largest relative difference of the validation losses in float64; None where it is not compared."""

    def ratio(self, contender: str) -> float:
        """The plain loop's time to a contender's, the median over the repeats: machines change their pace between."""
        return float(np.median(self.seconds[PLAIN] / self.seconds[contender]))


def main() -> None:
    options = parse_options()
    prepare_process()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", folder)
        measured = {}
        for name in options.workloads:
            measured[name] = measure(name, options.repeats)
            print(f"{name}: {measured[name].ratio(measured[name].chosen):.2f}x", file=sys.stderr, flush=True)
    show(measured)
    compared = [each.differs for each in measured.values() if each.differs is not None]
    if compared:
        worst = float(np.max(compared))  # NaN if one is
        print(f"float64, {CHECK_STEPS} steps: validation losses differ by {worst:.1e} at most, relatively")
    if not all(each <= CHECK_TOLERANCE for each in compared):
        sys.exit("the fused and the plain trials are not the same training")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workloads", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--repeats", type=int, default=25)
    return parser.parse_args()


def measure(name: str, repeats: int) -> Measured:
    study = study_of(name)
    (optimizer,) = study.optimizers
    contenders: dict[str, Contender] = {
        label_of(choice): Ours(name, choice)
        for choice in [Choice("fused", True, lanes) for lanes in sizes(study, untimed(study, optimizer))]
        + [Choice("one-by-one", compile, 1) for compile in (True, False)]
    }
    choice = choose(study, optimizer)
    chosen = label_of(choice)
    if chosen not in contenders:
        contenders[chosen] = Ours(name, choice)
    plain = PlainPaper if name in LOOPS else Plain
    contenders |= {PLAIN: plain(name), PLAIN_FUSED: plain(name, fused=True)}
    seconds = take_turns(contenders, repeats, 0.0 if name in LOOPS else EVALUATIONS)
    gflops = flops_per_step(study.workload) / float(np.median(seconds[chosen])) / 1e9
    differs = None if name in LOOPS else compare_float64(name)
    return Measured(chosen, seconds, gflops, sgemm_rate(), differs)


def label_of(choice: Choice) -> str:
    if choice.method == "fused":
        return f"fused, {choice.lanes} lanes" + ("" if choice.compile else ", uncompiled")
    return COMPILED if choice.compile else UNCOMPILED


def study_of(workload: str, optimizer: str = "adam") -> Study:
    """A study of 441 cells and 3 seeds."""
    space = {"lr": {"low": 1e-4, "high": 1.0, "num": get_space("avagrad-cifar").size, "scale": "log"}}
    table = {"name": workload, "steps": STEPS}
    return resolve(
        parse_spec(
            {"name": "benchmark", "workload": table, "optimizers": [optimizer], "space": space, "seeds": 3}
        )
    )


def fused_lanes(workload: str, optimizer: str) -> int:
    """Lanes of a block of such a study with a worker for each core, when it is fused and not timed."""
    study = study_of(workload, optimizer)
    (only,) = study.optimizers
    return lanes_per_program(with_untimed(study), only, os.cpu_count() or 1)


def compare_float64(name: str) -> float:
    """Largest relative difference between the validation losses of fused (uncompiled) and plain trials in float64."""
    recipe = Recipe(name, "adam", steps=CHECK_STEPS, dtype="float64")
    block = Block(recipe, SEED, {"lr": CHECK_LR})
    fused = Trainer(len(CHECK_LR), compile=False).train(block).metrics["validation_loss"]
    plain = np.empty(len(CHECK_LR))
    for i, lr in enumerate(CHECK_LR.tolist()):
        *_, last = PlainTraining(name, SEED, lr, 1e-8, CHECK_STEPS, dtype=torch.float64)
        plain[i] = last["validation_loss"]
    return float(np.abs(fused / plain - 1).max())


def show(measured: dict[str, Measured]) -> None:
    print("\nOne core, milliseconds of a trial's step by method")
    rows = []
    for name, each in measured.items():
        for label, seconds in each.seconds.items():
            ratio = f"{each.ratio(label):.2f}x"
            rows.append((name, label, milliseconds(seconds), ratio, "chosen" if label == each.chosen else ""))
            name = ""
    show_table(("workload", "method", "ms", "to plain", ""), rows)
    print("The chosen method against the plain loop")
    chosen = [
        (
            name,
            each.chosen,
            milliseconds(each.seconds[each.chosen]),
            milliseconds(each.seconds[PLAIN]),
            f"{each.ratio(each.chosen):.2f}x",
            f">= {TARGETS[name]:g}x",
            "met" if each.ratio(each.chosen) >= TARGETS[name] else "MISSED",
            share(each.gflops, each.sgemm),
            "" if each.differs is None else f"{each.differs:.0e}",
        )
        for name, each in measured.items()
    ]
    show_table(
        ("workload", "chosen", "ms", "plain ms", "ratio", "target", "", "GFLOP/s of sgemm's", "float64"),
        chosen,
    )


def milliseconds(seconds: NDArray[np.float64]) -> str:
    return f"{np.median(seconds) * 1e3:.3g}"


def share(gflops: float, sgemm: float) -> str:
    return f"{gflops:.1f} of {sgemm:.0f} ({gflops / sgemm:.0%})"


if __name__ == "__main__":
    main()
