"""Tuning runs: tuners ask for cells; a cell that the store holds is free, a missing one is trained.

On a finished grid every run is a replay, made in parallel on the cluster. Else all runs go on together in this process
and share the fused blocks that train what they ask for. A run is fixed by its tuner and the number of its replicate, so
it is stored as the list of its cells and resumed by asking again.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.replay import Search
from analysis.tuning_runs import loss_table
from search_spaces import SearchSpace
from storage.records import TuningRun
from storage.runs import check_same
from storage.store import Store, open_store
from study.block import Block, Outcome
from study.run import (
    Report,
    check_unfused,
    declare,
    failure_text,
    lanes_per_block,
    make_block,
    stored_plan,
    trials_of,
    worth_compiling,
)
from study.spec import OptimizerSpec, StudySpec, TuningSpec

FloatArray = NDArray[np.float64]

CHECKED_TRIALS, CHECKED_WHOLE = 10, 3
"""How much of a slow tuner's stored runs is made again before they are used: trials of each, and whole runs."""
SLOW = ("gp", "tpe", "tpe-multivariate", "cma-es")
"""Tuners whose jobs start first, so that none of them is left alone at the end."""
JOBS_PER_WORKER = 4


class TuningError(ValueError):
    """A landscape that cannot be tuned on, or stored runs that do not fit; the message is one line."""


@dataclass(frozen=True)
class Job:
    """Runs of one tuner on one complete landscape."""

    optimizer: str
    space: SearchSpace
    table: FloatArray
    tuner: str
    replicates: tuple[int, ...]
    tuning: TuningSpec


def replay(job: Job) -> list[TuningRun]:
    """Make the runs of a job, on one thread."""
    from threadpoolctl import threadpool_limits

    runs = []
    with threadpool_limits(1):
        for replicate in job.replicates:
            search = new_search(job.space, job.tuner, replicate, job.tuning, job.table.shape[1])
            search.advance(search.seen(job.table))
            runs.append(search.run)
    return runs


def new_search(space: SearchSpace, tuner: str, replicate: int, tuning: TuningSpec, seeds: int) -> Search:
    return Search(space, tuner, replicate, tuning.trials, tuning.noise, tuning.repeats, seeds)


@dataclass
class TuningReport(Report):
    """How tuning went: trials trained for it on top of what a `Report` tells of runs."""

    trained: int = 0


def tune(
    study: str,
    storage: str,
    tuning: TuningSpec,
    spec: StudySpec | None = None,
    address: str | None = None,
    *,
    on_progress: Callable[[int, int], None],
) -> TuningReport:
    """Make and store every tuning run that is not stored yet.

    With a spec, cells that are missing in the store are trained; without, the study's landscapes must be complete.
    `on_progress(runs made, runs to make)` is called as they finish. Raises TuningError when a landscape lacks cells,
    StoreError when a stored run is not what its tuner and seed give, and both it and LaunchError as `study.run.run`.
    """
    from study import launch

    fresh = spec is not None and stored_plan(spec, storage, 1) is None
    if spec is not None:
        check_unfused(spec)
    else:
        open_store(storage, create=False).close()  # raises when there is none
    device = spec.device if spec else "cpu"
    with contextlib.ExitStack() as stack:
        # a new database is made when the cluster has answered
        workers = stack.enter_context(launch.cluster(address, device)) if fresh else 0
        store = stack.enter_context(open_store(storage, create=True))
        if spec is not None:
            declare(spec, store)
        space = store.space(study)
        landscapes = {name: loss_table(store, study, name) for name in store.optimizers(study)}
        if spec is None:
            for optimizer, table in landscapes.items():
                require_complete(store, study, optimizer, table)
        todo = {
            name: missing_runs(space, store.runs(study, name), table, tuning)
            for name, table in landscapes.items()
        }
        total = sum(len(keys) for keys in todo.values())
        report = TuningReport(done=0)
        on_progress(0, total)
        if total == 0:
            return report
        workers = workers or stack.enter_context(launch.cluster(address, device))
        started = time.perf_counter()

        def keep(optimizer: str, runs: Sequence[TuningRun]) -> None:
            report.new += store.append_runs(study, optimizer, runs)
            report.done += len(runs)
            on_progress(report.done, total)

        live = {name: keys for name, keys in todo.items() if keys and np.isnan(landscapes[name]).any()}
        try:
            if live and spec is not None:
                train_and_tune(spec, store, landscapes, live, tuning, workers, keep, report)
            jobs = [
                Job(name, space, landscapes[name], tuner, chosen, tuning)
                for name, keys in todo.items()
                if name not in live
                for tuner, chosen in chunks(keys, workers)
            ]
            jobs.sort(key=lambda job: SLOW.index(job.tuner) if job.tuner in SLOW else len(SLOW))
            for job, runs in launch.map_jobs(replay, jobs, workers):
                keep(job.optimizer, runs)
        except KeyboardInterrupt:
            report.interrupted = True
        report.elapsed = time.perf_counter() - started
    return report


def require_complete(store: Store, study: str, optimizer: str, table: FloatArray) -> None:
    """Raise TuningError, naming a missing cell, unless every trial is stored."""
    missing = np.argwhere(np.isnan(table))
    if table.size and not len(missing):
        return
    space = store.space(study)
    if not table.size:
        raise TuningError(f"{study}/{optimizer} has no trials: run the study first, or give its study file")
    cell, seed = missing[0]
    named = ", ".join(
        f"{axis} = {value:g}" for axis, value in zip(space.names, space.cells()[cell], strict=True)
    )
    raise TuningError(
        f"the landscape of {study}/{optimizer} lacks {len(missing):,} of {table.size:,} trials, the first at {named} "
        f"(seed number {seed}): run the study to its end, or give its study file, which trains what is missing"
    )


def missing_runs(
    space: SearchSpace, runs: Sequence[TuningRun], table: FloatArray, tuning: TuningSpec
) -> list[tuple[str, int]]:
    """Tuner and replicate of every run that is not stored with the budget; those that are, are made again to check.

    Of slow tuners, every run's beginning and a few runs completely. Raises StoreError when one differs.
    """
    seeds = table.shape[1]
    stored = {run.key: run for run in runs}
    missing = []
    for tuner in tuning.tuners:
        whole = {round(place * (tuning.replicates - 1) / 2) for place in range(CHECKED_WHOLE)}
        for replicate in range(tuning.replicates):
            run = stored.get((tuner, replicate, tuning.noise, tuning.repeats, seeds))
            if run is None or run.budget < tuning.trials:
                missing.append((tuner, replicate))
                continue
            budget = (
                run.budget if tuner not in SLOW or replicate in whole else min(CHECKED_TRIALS, run.budget)
            )
            again = Search(space, tuner, replicate, budget, tuning.noise, tuning.repeats, seeds)
            again.advance(again.seen(table))
            check_same(run, again.run)
    return missing


def chunks(keys: Sequence[tuple[str, int]], workers: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The runs of each tuner in a few jobs a worker."""
    for tuner in dict.fromkeys(tuner for tuner, _ in keys):
        replicates = [replicate for name, replicate in keys if name == tuner]
        size = math.ceil(len(replicates) / (workers * JOBS_PER_WORKER))
        for start in range(0, len(replicates), size):
            yield tuner, tuple(replicates[start : start + size])


def train_and_tune(
    spec: StudySpec,
    store: Store,
    landscapes: dict[str, FloatArray],
    todo: dict[str, list[tuple[str, int]]],
    tuning: TuningSpec,
    workers: int,
    keep: Callable[[str, Sequence[TuningRun]], None],
    report: TuningReport,
) -> None:
    """Go on with all runs of the given optimizers at once, training the cells they ask for, with all seeds."""
    from study import launch

    space, cells = spec.space, spec.space.cells()
    searches = {
        name: [new_search(space, tuner, replicate, tuning, spec.seeds) for tuner, replicate in keys]
        for name, keys in todo.items()
    }
    ordered: dict[str, set[int]] = {name: set() for name in todo}
    lanes_of = {optimizer.name: lanes_per_block(spec, optimizer, workers) for optimizer in spec.optimizers}
    in_flight = 0

    def wanted(optimizer: OptimizerSpec) -> list[int]:
        """Cells that runs wait for and nobody trains yet; finished runs are stored on the way."""
        table, needed = landscapes[optimizer.name], set[int]()
        going = []
        for search in searches[optimizer.name]:
            needed |= set(search.advance(search.seen(table)).tolist())
            if not search.ended:
                going.append(search)
        finished = [search.run for search in searches[optimizer.name] if search.ended]
        searches[optimizer.name] = going
        if finished:
            keep(optimizer.name, finished)
        new = needed - ordered[optimizer.name]
        ordered[optimizer.name] |= new
        return sorted(new)

    def blocks() -> Iterator[Block | None]:
        nonlocal in_flight
        while True:
            made = []
            for optimizer in spec.optimizers:
                if optimizer.name not in searches:
                    continue
                lanes = lanes_of[optimizer.name]
                chosen = wanted(optimizer)
                for seed in range(spec.seeds):
                    missing = [cell for cell in chosen if np.isnan(landscapes[optimizer.name][cell, seed])]
                    for start in range(0, len(missing), lanes):
                        picked = cells[missing[start : start + lanes]]
                        made.append(make_block(spec, optimizer, seed, picked, lanes))
            in_flight += len(made)
            yield from made
            if not made:
                if not in_flight:
                    return
                yield None  # wait for an outcome

    def arrived(block: Block, outcome: Outcome) -> None:
        nonlocal in_flight
        in_flight -= 1
        trials = trials_of(spec, block, outcome)
        report.trained += store.append(spec.name, block.recipe.optimizer, trials)
        values = np.stack([block.cells[axis] for axis in space.names], axis=1)
        landscapes[block.recipe.optimizer][space.flat_index(space.value_to_index(values)), block.seed] = (
            trials.value
        )
        if outcome.warning:
            report.warnings.add(outcome.warning)

    def failed(block: Block, error: str) -> None:
        nonlocal in_flight
        in_flight -= 1
        report.failures.append(failure_text(block, error))

    launch.train_blocks(
        blocks(),
        workers,
        spec.device,
        compile=worth_compiling(spec),
        on_outcome=arrived,
        on_failure=failed,
    )
