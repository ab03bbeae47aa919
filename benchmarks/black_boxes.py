"""What a black box's trial costs beside its own time: a function that does nothing, against plain Ray Tune.

Ours: `study.running.run` of a function study, each trial called in a process of its worker's, stored exactly once in
SQLite. Plain: Ray Tune's class Trainable with reused actors, `OptunaSearch` on Optuna's SQLite storage with its
cheapest sampler (random), which returns the same number. Both on this machine's cores, one a trial, in turn in this
process. A trial's time is a worker's between results that the driver has stored, after each worker's first.

`python benchmarks/black_boxes.py [--trials 400] [--plain 60] [--repeats 3]`
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import optuna
from optuna.distributions import FloatDistribution

from study.running.launch import blocks as launch
from study.running.run import run
from study.shown.console import show_table
from study.spec import parse_spec
from study.training.resolve import resolve

from ray import tune  # isort: skip  # after study.running.launch, which sets Ray's switches for both sides
from ray.tune.search.optuna import OptunaSearch  # isort: skip

MOST_MILLISECONDS = 60.0
MODULE = "def train(hyperparameters, optimizer, seed):\n    return hyperparameters['x']\n"


class Nothing(tune.Trainable):
    """A trial that does nothing."""

    def setup(self, config: dict[str, Any]) -> None:
        self._x = config["x"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._x = new_config["x"]
        return True

    def step(self) -> dict[str, Any]:
        return {"loss": self._x, "done": True}


class Arrivals(tune.Callback):
    """Notes when results have come."""

    def __init__(self, at: list[float]) -> None:
        self._at = at

    def on_trial_complete(self, *_: Any, **__: Any) -> None:
        self._at.append(time.perf_counter())


def run_ours(trials: int, database: Path) -> float:
    """Seconds a trial and worker."""
    spec = {
        "name": "nothing",
        "workload": {"function": "does_nothing:train", "metric": "loss"},
        "optimizers": ["mine"],
        "space": {"x": {"low": 0, "high": 1, "num": trials, "scale": "linear"}},
        "seeds": 1,
    }
    at: list[float] = []
    report = run(
        resolve(parse_spec(spec)),
        f"sqlite:///{database}",
        on_progress=lambda *_: at.append(time.perf_counter()),
    )
    if report.done != trials:
        sys.exit(f"{report.done} of {trials} trials were stored: {report.failures[:1]}")
    return seconds_a_trial(at[1:])  # the first call comes before any trial


def run_plain(trials: int, database: Path) -> float:
    """Seconds a trial and worker."""
    at: list[float] = []
    search = OptunaSearch(
        {"x": FloatDistribution(0, 1)},
        metric="loss",
        mode="min",
        sampler=optuna.samplers.RandomSampler(seed=0),
        study_name="nothing",
        storage=optuna.storages.RDBStorage(f"sqlite:///{database}"),
    )
    with launch.cluster(None) as workers, tempfile.TemporaryDirectory() as folder:
        tune.Tuner(
            tune.with_resources(Nothing, {"cpu": 1.0}),
            tune_config=tune.TuneConfig(
                search_alg=search, num_samples=trials, max_concurrent_trials=workers, reuse_actors=True
            ),
            run_config=tune.RunConfig(
                storage_path=folder,
                verbose=0,
                callbacks=[Arrivals(at)],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()
    return seconds_a_trial(at)


def seconds_a_trial(at: list[float]) -> float:
    """Of a worker, after each one's first result."""
    workers = os.cpu_count() or 1
    return workers * (at[-1] - at[workers - 1]) / (len(at) - workers)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--plain", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    optuna.logging.set_verbosity(logging.WARNING)
    ours, plain = [], []
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "does_nothing.py").write_text(MODULE)
        sys.path.insert(0, folder)
        os.environ["PYTHONPATH"] = os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])
        for repeat in range(given.repeats):
            ours.append(1e3 * run_ours(given.trials, Path(folder, f"ours{repeat}.db")))
            plain.append(1e3 * run_plain(given.plain, Path(folder, f"plain{repeat}.db")))
    few = [f"{value:.1f}" for value in (median(ours), min(ours), max(ours))]
    many = [f"{value:.1f}" for value in (median(plain), min(plain), max(plain))]
    show_table(
        ("a trial that does nothing", "trials", "ms, median", "least", "most"),
        [
            ("a black box, stored exactly once", f"{given.trials}", *few),
            ("Ray Tune, reused actors, OptunaSearch, SQLite", f"{given.plain}", *many),
        ],
    )
    met = "met" if median(ours) <= MOST_MILLISECONDS else "MISSED"
    print(
        f"at most {MOST_MILLISECONDS:g} ms: {met}; {median(plain) / median(ours):.1f}x less than plain Ray Tune"
    )


if __name__ == "__main__":
    main()
