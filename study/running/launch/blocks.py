"""Blocks through Ray Tune.

One Ray Tune trial is one block, one actor is one core, or what a black box's trial needs. Actors are reused, so a
worker imports torch and compiles once. A worker that dies gets its block again on a new one, up to `RETRIES` times.

Black boxes' trials that are shorter than what Ray Tune takes for one are handed out several at once, after a few were
timed. Each ends by itself; what a dead worker had is then handed out one by one.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray import tune

from study.black_boxes import TrialError
from study.running.launch.cluster import A_CORE, cluster, watched
from study.running.launch.driver import BlockSearcher, Reporter, Stopper
from study.running.launch.worker import BlockTrainable
from study.training.block import Block, Outcome
from study.training.checkpoints import NOWHERE

logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failures are reported by us, a line each

RETRIES = 2
Shared = TypeVar("Shared")
Job = TypeVar("Job")
Result = TypeVar("Result")

__all__ = ["cluster", "map_jobs", "train_blocks"]


def train_blocks(
    blocks: Iterable[Block | None],
    workers: int,
    device: str,
    amounts: Mapping[str, float] = A_CORE,
    *,
    on_outcome: Callable[[Block, Outcome], None],
    on_failure: Callable[[Block, TrialError], None],
    hopeless: Callable[[Block, Outcome], bool] | None = None,
    checkpoints: Mapping[str, Path] = NOWHERE,
) -> None:
    """Train `blocks` on the cluster of `cluster`, `workers` of them at once. A None among them means: ask again later.

    `amounts` is what each needs, by Ray's names.

    Every block ends in one call, in this process: `on_outcome`, or `on_failure` with the error when it failed `RETRIES`
    times again. A black box's trial that may be stopped early is when it is `hopeless(block, so far)`; checkpoints are
    kept in `checkpoints`, a folder for each optimizer. An exception of either call ends the run and passes through, as
    does Ctrl-C.
    """
    settings = {"device": device, "checkpoints": checkpoints}
    searcher = BlockSearcher(iter(blocks), settings)
    resources = {name if name == "memory" else name.lower(): amount for name, amount in amounts.items()}
    reporter = Reporter(searcher, on_outcome, on_failure)
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(BlockTrainable, resources),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                num_samples=-1,
                max_concurrent_trials=workers,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                storage_path=folder,
                verbose=0,
                stop=Stopper(searcher, hopeless),
                callbacks=[reporter],
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        try:
            with watched():
                tuner.fit()
        except tune.TuneError:
            if reporter.error:
                raise reporter.error from None
            raise


def map_jobs(
    function: Callable[[Shared, Job], Result],
    shared: Shared,
    jobs: Sequence[Job],
    workers: int,
    amounts: Mapping[str, float] = A_CORE,
) -> Iterator[tuple[Job, Result]]:
    """Call `function` on what all jobs share and each job, `workers` at once on the cluster.

    Yields each job with its result as they finish. What is shared is sent once to a machine. `amounts` is what each
    needs, by Ray's names. What the function raises is raised here.
    """
    if not jobs:
        return
    task = ray.remote(num_cpus=amounts.get("CPU", 0.0), num_gpus=amounts.get("GPU", 0.0))(function)
    sent = ray.put(shared)
    waiting = list(jobs)[::-1]
    running: dict[Any, Job] = {}
    with watched():
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.pop()
                running[task.remote(sent, job)] = job
            (done,), _ = ray.wait(list(running), num_returns=1)
            try:
                result = ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, Exception) else error from None
            yield running.pop(done), result
