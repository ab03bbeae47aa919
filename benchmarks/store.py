"""The trial store: bulk insert against Optuna's own API, and how long the command line takes to read.

Insert: finished trials with 2 hyperparameters and 20 curve points into SQLite, by `Store.append` in blocks of 63 as a
study does, against Optuna's `study.ask` / `trial.report` / `study.tell` with its cheapest sampler (random). Ours also
writes four user attributes a trial (seed, seconds and two metrics), Optuna's side is spared them. Optuna's file has
the journal mode that Optuna gives it; a further row gives it ours (WAL). `study.add_trials` with finished trials is
the fastest that Optuna offers, for comparison. The sides take turns in each repeat, each with a new database on the
same disk; figures are medians of the repeats.

Read: `tunability trials` on 10,000 trials and `tunability --help` as whole processes, start-up included; medians of
several runs after one that fills the caches of Python and the system. Limit: `python -c pass`, and with it the
imports of pandas and sqlalchemy, without which no table is read.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution

from search_spaces import Axis, SearchSpace, get_space
from storage.records import Trials
from storage.store import Store, open_store
from study.shown.console import show_table

BLOCK = 63
POINTS = 20
STUDY, OPTIMIZER = "benchmark", "adam"
COMMAND = Path(sys.executable).with_name("tunability")
INSERT_TARGET, READ_TARGET, HELP_TARGET = 100.0, 2.0, 0.3


def main() -> None:
    options = parse_options()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        inserts = measure_inserts(Path(folder), options)
        processes = measure_processes(Path(folder), options)
    show(inserts, processes, options)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3, help="of the inserts")
    parser.add_argument(
        "--trials", type=int, default=40, help="trials a repeat through Optuna's ask and tell"
    )
    parser.add_argument("--seeds", type=int, default=3, help="times 441 trials a repeat in bulk")
    parser.add_argument("--stored", type=int, default=10_000, help="trials to read back")
    parser.add_argument("--runs", type=int, default=5, help="processes timed of each command")
    return parser.parse_args()


def measure_inserts(folder: Path, options: argparse.Namespace) -> dict[str, list[float]]:
    """Trials a second, one entry a repeat, by way of inserting."""
    ways: dict[str, Callable[[Path], float]] = {
        "bulk": lambda path: bulk_rate(path, options.seeds),
        "ask/tell": lambda path: ask_tell_rate(path, options.trials, wal=False),
        "ask/tell, WAL": lambda path: ask_tell_rate(path, options.trials, wal=True),
        "add_trials": lambda path: add_trials_rate(path, options.trials),
    }
    rates: dict[str, list[float]] = defaultdict(list)
    for repeat in range(options.repeats):
        for place, (way, rate) in enumerate(ways.items()):
            rates[way].append(rate(folder / f"insert-{repeat}-{place}.db"))
    return rates


def bulk_rate(path: Path, seeds: int) -> float:
    space = get_space("avagrad-cifar")
    with open_store(f"sqlite:///{path}", create=True) as store:
        declare(store, space)
        blocks = [block for seed in range(seeds) for block in finished_blocks(space, seed)]
        started = time.perf_counter()
        new = sum(store.append(STUDY, OPTIMIZER, block) for block in blocks)
        return new / (time.perf_counter() - started)


def declare(store: Store, space: SearchSpace) -> None:
    store.declare(
        STUDY,
        {key: {} for key in [OPTIMIZER]},
        space=space,
        metric="validation_error",
        spec={},
        provenance={},
    )


def finished_blocks(space: SearchSpace, seed: int, most: int | None = None) -> list[Trials]:
    """Made-up outcomes of the cells of a space with one seed, at most so many cells."""
    cells = space.cells()[:most]
    source = np.random.default_rng(seed)
    now = datetime.now(UTC)
    blocks = []
    for start in range(0, len(cells), BLOCK):
        block = cells[start : start + BLOCK]
        curve = source.random((len(block), POINTS))
        blocks.append(
            Trials(
                hyperparameters={name: block[:, i] for i, name in enumerate(space.names)},
                seed=seed,
                value=curve[:, -1],
                metrics={
                    "validation_loss": source.random(len(block)),
                    "train_loss": source.random(len(block)),
                },
                curve_steps=np.arange(1, POINTS + 1) * 20,
                curve=curve,
                diverged_at=np.full(len(block), -1),
                seconds=np.full(len(block), 0.01),
                started=now,
                finished=now,
            )
        )
    return blocks


def distributions() -> dict[str, BaseDistribution]:
    return {axis.name: CategoricalDistribution(axis.values) for axis in get_space("avagrad-cifar").axes}


def optuna_study(path: Path, *, wal: bool) -> optuna.Study:
    if wal:
        with closing(sqlite3.connect(path)) as file:
            file.execute("PRAGMA journal_mode=WAL")
    return optuna.create_study(
        storage=f"sqlite:///{path}", study_name=STUDY, sampler=optuna.samplers.RandomSampler(seed=0)
    )


def ask_tell_rate(path: Path, trials: int, *, wal: bool) -> float:
    study = optuna_study(path, wal=wal)
    curves = np.random.default_rng(0).random((trials, POINTS)).tolist()
    fixed = distributions()
    started = time.perf_counter()
    for curve in curves:
        trial = study.ask(fixed_distributions=fixed)
        for point, value in enumerate(curve, start=1):
            trial.report(value, point * 20)
        study.tell(trial, curve[-1])
    return trials / (time.perf_counter() - started)


def add_trials_rate(path: Path, trials: int) -> float:
    study = optuna_study(path, wal=False)
    fixed = distributions()
    curves = np.random.default_rng(0).random((trials, POINTS)).tolist()
    cells = get_space("avagrad-cifar").cells()[:trials].tolist()
    started = time.perf_counter()
    study.add_trials(
        [
            optuna.create_trial(
                params=dict(zip(fixed, cell, strict=True)),
                distributions=fixed,
                value=curve[-1],
                intermediate_values={point * 20: value for point, value in enumerate(curve, start=1)},
            )
            for cell, curve in zip(cells, curves, strict=False)
        ]
    )
    return len(study.get_trials(deepcopy=False)) / (time.perf_counter() - started)


def measure_processes(folder: Path, options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of whole processes by command line, taking turns."""
    url = fill(folder / "read.db", options.stored)
    out = folder / "trials"
    commands: dict[str, Sequence[str | Path]] = {
        "trials": [COMMAND, "trials", STUDY, "--storage", url],
        "trials --format csv": [COMMAND, "trials", STUDY, "--storage", url, "--format", "csv"],
        "--help": [COMMAND, "--help"],
        "python -c pass": [sys.executable, "-c", "pass"],
        "import pandas, sqlalchemy": [sys.executable, "-c", "import pandas, sqlalchemy"],
    }
    # a user's Python keeps its compiled modules
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    seconds: dict[str, list[float]] = defaultdict(list)
    for run in range(options.runs + 1):
        for name, command in commands.items():
            with out.open("wb") as file:
                started = time.perf_counter()
                subprocess.run(command, stdout=file, env=environment, timeout=120, check=True)
                took = time.perf_counter() - started
            if name == "trials --format csv":
                with out.open("rb") as file:
                    lines = sum(1 for _ in file) - 1
                if lines != options.stored:
                    sys.exit(f"`tunability trials` wrote {lines} trials: {options.stored} are stored")
            if run > 0:
                seconds[name].append(took)
    return seconds


def fill(path: Path, trials: int) -> str:
    """A database of so many trials: cells of a 50 x 50 grid, with as many seeds as that takes."""
    url = f"sqlite:///{path}"
    space = SearchSpace(
        [
            Axis("alpha", np.geomspace(1e-6, 1e3, 50).tolist()),
            Axis("eps", np.geomspace(1e-8, 1e2, 50).tolist()),
        ]
    )
    with open_store(url, create=True) as store:
        declare(store, space)
        for seed, start in enumerate(range(0, trials, space.size)):
            for block in finished_blocks(space, seed, trials - start):
                store.append(STUDY, OPTIMIZER, block)
    return url


def show(
    inserts: dict[str, list[float]], processes: dict[str, list[float]], options: argparse.Namespace
) -> None:
    rate = {way: median(rates) for way, rates in inserts.items()}
    seconds = {command: median(times) for command, times in processes.items()}
    ratios = {"ask/tell": f">= {INSERT_TARGET:g}x", "ask/tell, WAL": "-", "add_trials": "-"}
    print(
        f"\nInserting trials with {POINTS} curve points into SQLite, trials/s, "
        f"medians of {options.repeats} repeats taking turns"
    )
    show_table(
        ("against Optuna's", "bulk", "Optuna", "ratio", "target"),
        [
            (way, f"{rate['bulk']:,.0f}", f"{rate[way]:,.1f}", f"{rate['bulk'] / rate[way]:,.0f}x", target)
            for way, target in ratios.items()
        ],
    )
    targets = {
        "trials": f"< {READ_TARGET:g} s",
        "trials --format csv": f"< {READ_TARGET:g} s",
        "--help": f"< {HELP_TARGET:g} s",
    }
    print(f"Whole processes, {options.stored:,} trials stored, medians of {options.runs} runs taking turns")
    show_table(
        ("command", "seconds", "slowest", "target"),
        [
            (
                f"tunability {name}" if name in targets else name,
                f"{seconds[name]:.2f}",
                f"{max(processes[name]):.2f}",
                targets.get(name, "limit"),
            )
            for name in processes
        ],
    )


if __name__ == "__main__":
    main()
