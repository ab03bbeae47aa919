"""What replaying tuning runs costs.

First table: RUNS runs of TRIALS trials on a landscape of 441 cells, through the command's own jobs on a local Ray
cluster of all cores (started before the clock). The landscape is made up: coupled axes, with noise over three seeds.
The targets are for 1,000 runs of 200 trials on two cores; fewer runs are scaled up.

Second table: a search of ours beside a plain loop around the library alone, both on this core and in turns, asking
equally often (repeats count as trials). The GP's plain side is scikit-optimize's own parts in the same order.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from statistics import median

import cma
import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, IntDistribution
from sklearn.exceptions import ConvergenceWarning
from skopt.acquisition import gaussian_ei
from threadpoolctl import threadpool_limits

from analysis.replay import Search
from search_spaces import get_space
from study.running.launch import blocks as launch
from study.running.tuning import Job, Landscapes, replay
from study.shown.console import show_table
from study.spec import TuningSpec
from tuners import make_tuner
from tuners.gp import GP

SPACE = get_space("avagrad-cifar")
SEEDS, BATCHES = 3, 16
TARGETS = {"random": 10.0, "grid": 10.0, "gld": 10.0, "cgld": 10.0, "line-search": 10.0, "cma-es": 60.0}
"""Tuner -> most seconds for 1,000 runs of 200 trials on two cores."""
MOST_RATIO = 1.2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    replays(options)
    overheads(options)


def landscape() -> NDArray[np.float64]:
    """Losses (441, seeds): a valley along the diagonal."""
    row, column = np.indices(SPACE.shape) / 20
    surface = 0.3 * np.tanh(6 * (row - column) ** 2 + (row + column - 1.2) ** 2)
    noise = np.random.default_rng(0).normal(0, 0.01, (SEEDS, *SPACE.shape))
    losses: NDArray[np.float64] = np.clip(surface + noise, 0, 1).reshape(SEEDS, -1).T
    return losses


def replays(options: argparse.Namespace) -> None:
    table, rows = landscape(), []
    tuning = TuningSpec(tuners=tuple(TARGETS), trials=options.trials, replicates=options.runs)
    edges = np.linspace(0, options.runs, BATCHES + 1).astype(int).tolist()
    shared = Landscapes(SPACE, {"x": table}, tuning)
    with launch.cluster(None) as workers:
        warm = [Job("x", tuner, (0,)) for tuner in TARGETS for _ in range(2 * workers)]
        list(launch.map_jobs(replay, shared, warm, workers))
        for tuner, target in TARGETS.items():
            jobs = [Job("x", tuner, tuple(range(*edge))) for edge in pairwise(edges)]
            started = time.perf_counter()
            replays = launch.map_jobs(replay, shared, jobs, workers)
            count = sum(len(run.cells) for _, runs in replays for run in runs)
            seconds = time.perf_counter() - started
            scaled = seconds * 200_000 / (options.runs * options.trials)
            each = f"{seconds * workers / count * 1e6:.0f}"
            rows.append((tuner, f"{count:,}", f"{seconds:.1f}", each, f"{scaled:.1f}", f"<= {target:g}"))
    print(f"\n{options.runs} replays of {options.trials} trials on 441 cells, {workers} workers")
    show_table(("tuner", "trials", "seconds", "us/trial and core", "for 1,000 x 200", "target"), rows)


def overheads(options: argparse.Namespace) -> None:
    losses = landscape().mean(1)
    sides: dict[str, Callable[[int, int], None]] = {
        "tpe": plain_tpe(losses, multivariate=False),
        "tpe-multivariate": plain_tpe(losses, multivariate=True),
        "cma-es": plain_cma(losses),
        "gp": plain_gp(losses),
    }
    trials = {"gp": 60}
    rows = []
    with threadpool_limits(1):
        for tuner, plain in sides.items():
            count = trials.get(tuner, options.trials)
            ours, theirs = [], []
            for repeat in range(options.repeats + 1):
                started = time.perf_counter()
                search = Search(SPACE, tuner, repeat, count, "mean", "count", SEEDS)
                search.advance(losses)
                middle = time.perf_counter()
                plain(repeat, count)
                if repeat:  # the first ones import and warm up
                    ours.append((middle - started) / count * 1e6)
                    theirs.append((time.perf_counter() - middle) / count * 1e6)
            ratio = median(ours) / median(theirs)
            rows.append(
                (tuner, f"{median(ours):.0f}", f"{median(theirs):.0f}", f"{ratio:.2f}x", f"<= {MOST_RATIO}x")
            )
    print(
        f"one core, microseconds a trial, medians of {options.repeats} runs of {options.trials} trials (GP: 60)"
    )
    show_table(("tuner", "ours", "library alone", "ratio", "target"), rows)


def plain_tpe(losses: NDArray[np.float64], *, multivariate: bool) -> Callable[[int, int], None]:
    space: dict[str, BaseDistribution] = {"alpha": IntDistribution(0, 20), "eps": IntDistribution(0, 20)}

    def run(seed: int, trials: int) -> None:
        sampler = optuna.samplers.TPESampler(multivariate=multivariate, constant_liar=False, seed=seed)
        study = optuna.create_study(sampler=sampler)
        for _ in range(trials):
            trial = study.ask(space)
            study.tell(trial, losses[trial.params["alpha"] * 21 + trial.params["eps"]])

    return run


def plain_cma(losses: NDArray[np.float64]) -> Callable[[int, int], None]:
    def run(seed: int, trials: int) -> None:
        source, done = np.random.default_rng(seed), 0
        options = {
            "bounds": [0, 1],
            "verbose": -9,
            "seed": np.nan,
            "randn": lambda *n: source.standard_normal(n),
        }
        while done < trials:
            search = cma.CMAEvolutionStrategy(source.random(2), 0.3, options)
            while done < trials and not search.stop():
                points = search.ask()
                cells = [min(int(x[0] * 21), 20) * 21 + min(int(x[1] * 21), 20) for x in points]
                search.tell(points, [losses[cell] for cell in cells])
                done += len(points)

    return run


def plain_gp(losses: NDArray[np.float64]) -> Callable[[int, int], None]:
    """The library's part of our own GP: fitting and expected improvement, nothing else, on our points."""

    def run(seed: int, trials: int) -> None:
        tuner = make_tuner("gp", SPACE, seed)
        assert isinstance(tuner, GP)
        cells = (np.indices(SPACE.shape).reshape(2, -1).T + 0.5) / SPACE.shape
        known = np.zeros(len(cells), dtype=bool)
        points = np.random.default_rng(seed).permutation(len(cells))[:10].tolist()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            while len(points) < trials:
                known[points] = True
                tuner._points = cells[points]
                model = tuner._fit(losses[points])
                values = gaussian_ei(cells[~known], model, y_opt=losses[points].min())
                points.append(int(np.flatnonzero(~known)[np.argmax(values)]))

    return run


if __name__ == "__main__":
    main()
