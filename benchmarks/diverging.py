"""What it is worth to leave out trials that have diverged: a block in turns against the same, each program alone.

Adam on a workload, `--lanes` trials a program and `--turns` of them a block, a share of which has a learning rate that
makes the loss infinite, spread evenly over the block. `alone` trains every program's lanes as a block of their own, so
that diverged ones go on with the others; `in turns` is one block, whose trials are moved together at curve points.
Seconds of one core's processor time, taking turns, medians of `--repeats`; the results are compared bit for bit.

Limit: with a share s that diverges at once, 1 / (1 - s), less what the last turn does not fill.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np

from study.shown.console import show_table
from study.training.block import Block, Recipe
from study.training.program import prepare_process
from study.training.trainer import Trainer
from study.workloads import WORKLOADS

DIVERGING = 3e38


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workload", choices=list(WORKLOADS), default="digits-mlp")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--lanes", type=int, default=41, help="of a program")
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 1 / 3, 0.5])
    parser.add_argument("--uncompiled", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    prepare_process()
    trainer = Trainer(options.lanes, compile=not options.uncompiled)
    rows = []
    for share in options.shares:
        block = diverging(options, share)
        parts = [
            block.part(slice(i, i + options.lanes), options.lanes)
            for i in range(0, block.lanes, options.lanes)
        ]
        alone, together = [], []
        for repeat in range(options.repeats + 1):  # the first builds the programs
            started = time.process_time()
            apart = [trainer.train(part) for part in parts]
            between = time.process_time()
            whole = trainer.train(block)
            ended = time.process_time()
            if repeat:
                alone.append(between - started)
                together.append(ended - between)
        np.testing.assert_array_equal(np.concatenate([each.curve for each in apart]), whole.curve)
        diverged = (whole.diverged_at > 0).mean()
        rows.append(
            [
                f"{diverged:.0%}",
                f"{median(alone):.2f}",
                f"{median(together):.2f}",
                f"{median(alone) / median(together):.2f}x",
                f"{1 / (1 - diverged):.2f}x",
            ]
        )
    show_table(["diverged", "alone, s", "in turns, s", "ratio", "limit"], rows)


def diverging(options: argparse.Namespace, share: float) -> Block:
    count = options.lanes * options.turns
    rates = np.geomspace(1e-4, 1e-2, count)
    rates[np.linspace(0, count - 1, round(share * count)).astype(int)] = DIVERGING
    return Block(Recipe(options.workload, "adam", steps=options.steps), 0, {"lr": rates}, width=options.lanes)


if __name__ == "__main__":
    main()
