"""A whole study, Ray and storage included, against plain Ray Tune: 441 cells x 3 seeds x 400 steps of digits-mlp.

Ours: `tunability run`, Adam on the space avagrad-cifar, into a new SQLite file.
Plain: Ray Tune with `OptunaSearch` on Optuna's SQLite storage, one trial a training with `torch.optim.Adam` (see
plain_torch.py: the same data, weights, batches and 20 curve points, each reported), (i) as a class Trainable with
reused actors, (ii) as a function trainable with Ray's defaults, a new actor for each trial (`reuse_actors=True`, which
functions may have too, brings it near (i)). Both draw cells and seeds from the same grid with
Optuna's cheapest sampler (random), have Ray's loggers and progress output off as ours have, one CPU a trial and one
torch thread. A diverged trial reports the worst value and stops. They are too slow to run whole: a sample at steady
state is timed, and extrapolated to the study where the table says so.

Once warm: a worker's first result is its warm-up (importing torch, compiling) and not counted. Ours and (i), with
W workers, from each worker's own first result to the study's last: trials after those firsts / mean of the W
windows, so idling at the end counts against us. (ii) starts a process for each trial, so no worker is ever warm:
trials after the W-th result / time from it to the last. A result counts when the driver has stored it.

Whole command: `tunability run` as a new process, from its start to its end, with an empty compile cache (cold) and
with the one that this run filled (warm). The plain side's is its own start-up, from `ray.init` to the last worker's
first result, and the study's trials at its warm rate: its driver's imports are spared.

Ray and store: over the same windows, each cut at its worker's own last result, the share of the workers' time that is
not training. Limit: 0. Idling at the end, for want of a block, is shown apart, and so is the time to store.

The contenders run in turn, `--repeats` times; figures are medians over the repeats.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any
from unittest import mock

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from plain_torch import PlainTraining

from search_spaces import get_space
from storage.store import open_store
from study.running.choices import stored_choices
from study.running.launch import blocks as launch
from study.running.launch.driver import Reporter
from study.running.run import run as run_study
from study.shown.console import show_table
from study.spec import StudySpec, WorkloadSpec, parse_spec
from study.training.resolve import resolve

from ray import tune  # isort: skip  # after study.running.launch, which sets Ray's switches for both sides
from ray.tune.search.optuna import OptunaSearch  # isort: skip

WORKLOAD, SPACE = "digits-mlp", "avagrad-cifar"
COMMAND = Path(sys.executable).with_name("tunability")
PATIENCE = 1800  # seconds after which a command is taken to hang
CLASS_TARGET, FUNCTION_TARGET, COMMAND_TARGET, OVERHEAD_TARGET = 39.0, 300.0, 9.0, 0.1


@dataclass(frozen=True)
class Arrival:
    """A result that reached the driver and was stored."""

    at: float  # seconds, on the clock of time.perf_counter
    worker: tuple[str, int]  # host and process
    trials: int
    busy: float = 0.0  # seconds of training
    storing: float = 0.0  # seconds to store it


@dataclass(frozen=True)
class Warm:
    """A study once its workers are warm."""

    rate: float  # trials a second
    overhead: float  # share of the workers' time between their first and last result that is not training
    storing: float  # share of the same time that the driver spent storing
    idle: float  # share of the workers' time until the study's last result that they had nothing left to do
    startup: float  # seconds from the start to the last worker's first result


def main() -> None:
    options = parse_options()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("ray").setLevel(logging.ERROR)
    spec = study_spec(options)
    commands: list[tuple[float, float]] = []
    ours, classes, functions = [], [], []
    how = ""
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with compile_cache(folder / "cache"):
                cold = time_command(folder, spec, "cold")
                commands.append((cold, time_command(folder, spec, "warm")))
                say(f"whole command: cold {commands[-1][0]:.1f} s, warm {commands[-1][1]:.1f} s")
                how = how_trained(folder / "warm.db", spec)
                ours.append(run_ours(folder, spec))
            say(f"fused, once warm: {ours[-1].rate:.1f} trials/s")
            classes.append(run_plain_class(folder, spec, options.trials))
            say(f"plain Ray Tune, class: {classes[-1].rate:.2f} trials/s")
            functions.append(run_plain_function(folder, spec, options.function_trials))
            say(f"plain Ray Tune, function: {functions[-1]:.3f} trials/s")
    show(spec, options, how, commands, ours, classes, functions)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3, help="of the study: 441 trials each")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--trials", type=int, default=60, help="plain class trials timed, warm-up apart")
    parser.add_argument("--function-trials", type=int, default=8, help="plain function trials timed")
    parser.add_argument("--repeats", type=int, default=1)
    return parser.parse_args()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def study_spec(options: argparse.Namespace) -> StudySpec:
    workload = {"name": WORKLOAD, "steps": options.steps}
    return parse_spec(
        {
            "name": "benchmark",
            "workload": workload,
            "optimizers": ["adam"],
            "space": SPACE,
            "seeds": options.seeds,
        }
    )


def steps_of(spec: StudySpec) -> int:
    assert isinstance(spec.workload, WorkloadSpec)
    return spec.workload.steps


@contextmanager
def compile_cache(folder: Path) -> Iterator[None]:
    """Have this process and those it starts keep compiled programs in `folder`."""
    with mock.patch.dict(os.environ, TORCHINDUCTOR_CACHE_DIR=str(folder)):
        yield


def time_command(folder: Path, spec: StudySpec, name: str) -> float:
    """Seconds of `tunability run` into a new database."""
    file = folder / "study.toml"
    file.write_text(
        f'name = "{spec.name}"\nworkload = {{ name = "{WORKLOAD}", steps = {steps_of(spec)} }}\n'
        f'optimizers = ["adam"]\nspace = "{SPACE}"\nseeds = {spec.seeds}\n',
        encoding="utf-8",
    )
    url = f"sqlite:///{folder / name}.db"
    started = time.perf_counter()
    done = subprocess.run(
        [COMMAND, "run", file, "--storage", url],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"`tunability run` failed with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    if done.stderr:
        say(done.stderr.rstrip())
    with open_store(url, create=False) as store:
        stored = len(store.trials(spec.name))
    if stored != spec.trials:
        sys.exit(f"`tunability run` stored {stored} of {spec.trials} trials")
    return seconds


def how_trained(database: Path, spec: StudySpec) -> str:
    """The method that the command chose."""
    with open_store(f"sqlite:///{database}", create=False) as store:
        (choice,) = stored_choices(resolve(spec), store).choices.values()
    return f"{choice.method}, {choice.lanes} lanes, " + ("compiled" if choice.compile else "uncompiled")


def run_ours(folder: Path, spec: StudySpec) -> Warm:
    """The study as the command runs it, in this process, with a clock where Ray hands the outcomes over."""
    arrivals: list[Arrival] = []

    class TimedReporter(Reporter):
        def on_trial_result(
            self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
        ) -> None:
            before = time.perf_counter()
            super().on_trial_result(iteration, trials, trial, result, **info)
            at = time.perf_counter()
            outcomes = result["results"]
            lanes = sum(block.lanes for block in trial.config["blocks"][: len(outcomes)])
            busy = float(sum(outcome.seconds.sum() for outcome in outcomes))
            arrivals.append(Arrival(at, (result["hostname"], result["pid"]), lanes, busy, at - before))

    started = time.perf_counter()
    with mock.patch.object(launch, "Reporter", TimedReporter):
        report = run_study(resolve(spec), f"sqlite:///{folder / 'ours'}.db", on_progress=lambda *_: None)
    if report.new != spec.trials or report.warnings:
        sys.exit(f"the study did not run as it should: {report}")
    return warm_part(arrivals, started)


def warm_part(arrivals: list[Arrival], started: float) -> Warm:
    """See the head of this file."""
    first: dict[tuple[str, int], Arrival] = {}
    last: dict[tuple[str, int], Arrival] = {}
    for arrival in arrivals:
        first.setdefault(arrival.worker, arrival)
        last[arrival.worker] = arrival
    counted = [arrival for arrival in arrivals if first[arrival.worker] is not arrival]
    if not counted:
        sys.exit("no worker had a second result, so nothing can be timed: give more seeds or trials")
    end = arrivals[-1].at
    windows = [end - arrival.at for arrival in first.values()]
    working = sum(last[worker].at - first[worker].at for worker in first)
    return Warm(
        rate=sum(arrival.trials for arrival in counted) / mean(windows),
        overhead=1 - sum(arrival.busy for arrival in counted) / working,
        storing=sum(arrival.storing for arrival in counted) / working,
        idle=1 - working / sum(windows),
        startup=max(arrival.at for arrival in first.values()) - started,
    )


class PlainTrainable(tune.Trainable):
    """One trial, a curve point a step; the actor is kept for the next."""

    def setup(self, config: dict[str, Any]) -> None:
        import torch

        torch.set_num_threads(1)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._training = PlainTraining(**new_config)
        self._points = iter(self._training)
        return True

    def step(self) -> dict[str, Any]:
        point = next(self._points)
        diverged = not math.isfinite(point["validation_loss"])
        return point | {"done": diverged or self.iteration + 1 == len(self._training.curve_steps)}


def plain_function(config: dict[str, Any]) -> None:
    import torch

    torch.set_num_threads(1)
    for point in PlainTraining(**config):
        tune.report(point)


class Finished(tune.Callback):
    """Notes when trials are complete."""

    def __init__(self, arrivals: list[Arrival]) -> None:
        self._arrivals = arrivals

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        del iteration, trials, info
        result = trial.last_result
        worker = (result["hostname"], result["pid"])
        self._arrivals.append(Arrival(time.perf_counter(), worker, 1))


def run_plain_class(folder: Path, spec: StudySpec, trials: int) -> Warm:
    arrivals, started, _ = run_plain(PlainTrainable, folder / "class.db", spec, trials, reuse_actors=True)
    return warm_part(arrivals, started)


def run_plain_function(folder: Path, spec: StudySpec, trials: int) -> float:
    """Trials a second."""
    arrivals, _, workers = run_plain(plain_function, folder / "function.db", spec, trials, reuse_actors=False)
    return (len(arrivals) - workers) / (arrivals[-1].at - arrivals[workers - 1].at)


def run_plain(
    trainable: Any, database: Path, spec: StudySpec, trials: int, *, reuse_actors: bool
) -> tuple[list[Arrival], float, int]:
    """Run as many trials, and one a worker to warm up; gives the results, when it began, and the workers."""
    arrivals: list[Arrival] = []
    search = OptunaSearch(
        plain_space(spec),
        metric="validation_error",
        mode="min",
        sampler=optuna.samplers.RandomSampler(seed=0),
        study_name=spec.name,
        storage=optuna.storages.RDBStorage(f"sqlite:///{database}"),
    )
    started = time.perf_counter()
    with launch.cluster(None) as workers, tempfile.TemporaryDirectory() as folder:
        tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1.0}),
            param_space={"workload": WORKLOAD, "steps": steps_of(spec)},
            tune_config=tune.TuneConfig(
                search_alg=search,
                num_samples=trials + workers,
                max_concurrent_trials=workers,
                reuse_actors=reuse_actors,
            ),
            run_config=tune.RunConfig(
                storage_path=folder,
                verbose=0,
                callbacks=[Finished(arrivals)],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()
    check_plain(database, spec, trials + workers)
    return arrivals, started, workers


def plain_space(spec: StudySpec) -> dict[str, BaseDistribution]:
    axes: dict[str, BaseDistribution] = {
        axis.name: CategoricalDistribution(axis.values) for axis in get_space(SPACE).axes
    }
    return axes | {"seed": CategoricalDistribution(range(spec.seeds))}


def check_plain(database: Path, spec: StudySpec, trials: int) -> None:
    stored = optuna.load_study(study_name=spec.name, storage=f"sqlite:///{database}").trials
    complete = [trial for trial in stored if trial.state is optuna.trial.TrialState.COMPLETE]
    if len(complete) != trials:
        sys.exit(f"plain Ray Tune stored {len(complete)} complete trials of {trials}")


def show(
    spec: StudySpec,
    options: argparse.Namespace,
    how: str,
    commands: list[tuple[float, float]],
    ours: list[Warm],
    classes: list[Warm],
    functions: list[float],
) -> None:
    rate, class_rate, function_rate = (
        median(each) for each in ([w.rate for w in ours], [w.rate for w in classes], functions)
    )
    cold, warm = (median(each) for each in zip(*commands, strict=True))
    startup = median(each.startup for each in classes)
    class_whole = startup + spec.trials / class_rate
    print(
        f"\nStudy of {spec.trials:,} trials ({spec.space.size} cells x {spec.seeds} seeds x "
        f"{steps_of(spec)} steps of {WORKLOAD}), {how}, {os.cpu_count()} cores, "
        f"medians of {options.repeats} repeats"
    )
    show_table(
        ("", "ours", "plain Ray Tune", "ratio", "target"),
        [
            (
                "(i) class, reused actors: trials/s once warm",
                f"{rate:.1f}",
                f"{class_rate:.2f} (of {options.trials} trials)",
                f"{rate / class_rate:.1f}x",
                f">= {CLASS_TARGET:g}x",
            ),
            (
                "(ii) function: trials/s once warm",
                f"{rate:.1f}",
                f"{function_rate:.3f} (of {options.function_trials} trials)",
                f"{rate / function_rate:.0f}x",
                f">= {FUNCTION_TARGET:g}x",
            ),
            (
                "whole command, cold compile cache, against (i): s",
                f"{cold:.1f}",
                f"{class_whole:.0f} ({startup:.0f} + {spec.trials} extrapolated)",
                f"{class_whole / cold:.1f}x",
                f">= {COMMAND_TARGET:g}x",
            ),
            (
                "whole command, warm compile cache, against (i): s",
                f"{warm:.1f}",
                f"{class_whole:.0f} (the same)",
                f"{class_whole / warm:.1f}x",
                "-",
            ),
            (
                "start-up, warm compile cache: s to every worker's first result",
                f"{median(w.startup for w in ours):.1f}",
                f"{startup:.1f}",
                "-",
                "-",
            ),
            (
                "Ray and store, share of a warm study's time",
                f"{median(w.overhead for w in ours):.1%}",
                "-",
                "-",
                f"<= {OVERHEAD_TARGET:.0%}",
            ),
            ("  of which storing", f"{median(w.storing for w in ours):.1%}", "-", "-", "-"),
            ("idle at the end for want of a block", f"{median(w.idle for w in ours):.1%}", "-", "-", "-"),
        ],
    )


if __name__ == "__main__":
    main()
