"""Blocks through Ray Tune: the only file that imports ray.

One Ray Tune trial is one block, one actor is one core. Actors are reused, so a worker imports torch and compiles once.
A worker that dies gets its block again on a new one, up to `RETRIES` times.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # they would write every curve to disk again
os.environ.setdefault(
    "TUNE_GLOBAL_CHECKPOINT_S", "3600"
)  # resuming is computed from the store, not from Ray's files
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Ctrl-C is ours to tell of
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")

import ray
from ray import tune
from ray.tune.search import Searcher

from study.training.block import Block, Outcome
from study.training.program import prepare_process
from study.training.trainer import Trainer

logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failures are reported by us, a line each

RETRIES = 2
Job = TypeVar("Job")
Result = TypeVar("Result")


class LaunchError(RuntimeError):
    """The cluster cannot be reached or has no room."""


class BlockTrainable(tune.Trainable):
    """Trains one block a step; kept alive and given the next block by `reset_config`."""

    def setup(self, config: dict[str, Any]) -> None:
        prepare_process()
        self.trainer = Trainer(device=config["device"])
        self.block: Block = config["block"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.block = new_config["block"]
        return True

    def step(self) -> dict[str, Any]:
        return {"outcome": self.trainer.train(self.block), "done": True}


class BlockSearcher(Searcher):
    """Hands Ray Tune the blocks in order; None among them means that more come after the next outcome."""

    def __init__(self, blocks: Iterator[Block | None], settings: dict[str, Any]) -> None:
        super().__init__()
        self._blocks = blocks
        self._settings = settings

    def suggest(self, trial_id: str) -> Any:
        try:
            block = next(self._blocks)
        except StopIteration:
            return Searcher.FINISHED
        return None if block is None else {"block": block, **self._settings}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        pass

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("a study is resumed by running it again")

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Ray pickles a tuner for its own way of resuming, which is not ours


class Reporter(tune.Callback):
    """Passes outcomes and final failures on as they arrive, in the driver's process."""

    def __init__(
        self, on_outcome: Callable[[Block, Outcome], None], on_failure: Callable[[Block, str], None]
    ) -> None:
        self._on_outcome = on_outcome
        self._on_failure = on_failure
        self.error: Exception | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as above; the callables hold the open store

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        try:
            self._on_outcome(trial.config["block"], result["outcome"])
        except Exception as error:
            self.error = error  # Tune raises another one in its place
            raise

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        lines = (
            Path(trial.error_file).read_text(encoding="utf-8").strip().splitlines()
            if trial.error_file
            else []
        )
        self._on_failure(trial.config["block"], lines[-1].strip() if lines else "the worker died")


def check_address(address: str) -> None:
    """Raise LaunchError when nothing listens at `address`: Ray itself would try for more than a minute."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5):
            pass
    except (OSError, ValueError) as error:
        raise unreachable(address, error) from None


def unreachable(address: str | None, error: Exception) -> LaunchError:
    return LaunchError(
        f"cannot reach a Ray cluster at {address!r} ({str(error).splitlines()[0]}): give HOST:PORT of a running "
        "head node, with RAY_AUTH_MODE=token in the environment if it asks for a token; "
        "or leave --address out to use this machine"
    )


@contextlib.contextmanager
def cluster(address: str | None, device: str) -> Iterator[int]:
    """Start a local cluster, or join the one at `address`; yields how many blocks it can train at once.

    Raises LaunchError when it cannot be reached or has nothing to train on.
    """
    if address:
        check_address(address)
    try:
        ray.init(
            address or "local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
        )
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise unreachable(address, error) from None
    try:
        resource = "GPU" if device == "cuda" else "CPU"
        slots = int(ray.cluster_resources().get(resource, 0))  # type: ignore[no-untyped-call]
        if slots == 0:
            raise LaunchError(f"the cluster has no {resource}, which device = {device!r} needs")
        yield slots
    finally:
        ray.shutdown()


def train_blocks(
    blocks: Iterable[Block | None],
    workers: int,
    device: str,
    *,
    on_outcome: Callable[[Block, Outcome], None],
    on_failure: Callable[[Block, str], None],
) -> None:
    """Train `blocks` on the cluster of `cluster`, `workers` of them at once. A None among them means: ask again later.

    Every block ends in one call, in this process: `on_outcome`, or `on_failure` with the error's last line when
    it failed `RETRIES` times again. An exception of `on_outcome` ends the run and passes through, as does Ctrl-C.
    """
    settings = {"device": device}
    resources = {"cpu": 1.0, "gpu": 1.0} if device == "cuda" else {"cpu": 1.0}
    reporter = Reporter(on_outcome, on_failure)
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(BlockTrainable, resources),
            tune_config=tune.TuneConfig(
                search_alg=BlockSearcher(iter(blocks), settings),
                num_samples=-1,
                max_concurrent_trials=workers,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                storage_path=folder,
                verbose=0,
                callbacks=[reporter],
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        try:
            tuner.fit()
        except tune.TuneError:
            if reporter.error:
                raise reporter.error from None
            raise


def map_jobs(
    function: Callable[[Job], Result], jobs: Sequence[Job], workers: int
) -> Iterator[tuple[Job, Result]]:
    """Call `function` on every job, `workers` at once on the cluster; yields each job with its result as they finish.

    What the function raises is raised here.
    """
    if not jobs:
        return
    task = ray.remote(num_cpus=1)(function)
    waiting = list(jobs)[::-1]
    running: dict[Any, Job] = {}
    while waiting or running:
        while waiting and len(running) < workers:
            job = waiting.pop()
            running[task.remote(job)] = job
        (done,), _ = ray.wait(list(running), num_returns=1)
        try:
            result = ray.get(done)
        except ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, Exception) else error from None
        yield running.pop(done), result
