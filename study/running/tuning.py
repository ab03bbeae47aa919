"""Tuning runs: tuners ask for cells; a cell that the store holds is free, a missing one is trained.

On a finished grid every run is a replay, made in parallel on the cluster. Else all runs go on together in this process
and share the fused blocks that train what they ask for. A run is fixed by its tuner and the number of its replicate, so
it is stored as the list of its cells and resumed by asking again.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.replay import Search
from analysis.tuning_runs import SLOW_TUNERS, loss_table
from search_spaces import SearchSpace
from storage import PATIENCE
from storage.records import Trials, TuningRun
from storage.runs import check_same
from storage.store import Store, open_store
from study.running.choices import settled, with_stored
from study.running.drive import Report, drive, place
from study.running.plan import cut, stored_plan
from study.running.run import declare
from study.spec import TuningSpec
from study.training.block import Block
from study.training.resolve import Study, StudyOptimizer

FloatArray = NDArray[np.float64]

CHECKED_TRIALS, CHECKED_WHOLE = 10, 3
"""How much of a slow tuner's stored runs is made again before they are used: trials of each, and whole runs."""
JOBS_PER_WORKER = 4
RUNS_START_SECONDS = 6.0
"""Until workers that replay are there."""
RUN_SECONDS = {"tpe": (0.88, 3.1), "gp": (0.26, 1.5), "tpe-multivariate": (0.15, 2.1), "cma-es": (0.017, 1.2)}
"""Of the slow tuners, a run of 100 trials on 441 cells on one core, and the power of the trials that it grows with: a
tuner that has found the best cells proposes them again and again. Measured with 40, 100 and 200 trials."""
FAST_SECONDS = (0.002, 1.0)
"""The same of the others."""


class TuningError(ValueError):
    """A landscape that cannot be tuned on, or stored runs that do not fit; the message is one line."""


@dataclass(frozen=True)
class Landscapes:
    """What all replays share: each optimizer's complete losses (cells, seeds), and how they are searched."""

    space: SearchSpace
    tables: Mapping[str, FloatArray]
    tuning: TuningSpec


@dataclass(frozen=True)
class Job:
    """Runs of one tuner on one landscape."""

    optimizer: str
    tuner: str
    replicates: tuple[int, ...]


def replay(landscapes: Landscapes, job: Job) -> list[TuningRun]:
    """Make the runs of a job, on one thread."""
    from threadpoolctl import threadpool_limits

    runs, table = [], landscapes.tables[job.optimizer]
    with threadpool_limits(1):
        for replicate in job.replicates:
            search = new_search(landscapes.space, job.tuner, replicate, landscapes.tuning, table.shape[1])
            search.advance(search.seen(table))
            runs.append(search.run)
    return runs


def new_search(space: SearchSpace, tuner: str, replicate: int, tuning: TuningSpec, seeds: int) -> Search:
    return Search(space, tuner, replicate, tuning.trials, tuning.noise, tuning.repeats, seeds)


def seconds_a_run(tuner: str, tuning: TuningSpec, cells: int) -> float:
    """Roughly how long a replayed run takes on so many cells, which it may have for nothing after the first time."""
    seconds, power = RUN_SECONDS.get(tuner, FAST_SECONDS)
    trials = min(tuning.trials, cells) if tuning.repeats == "free" else tuning.trials
    return float(seconds * (trials / 100) ** power)


@dataclass
class TuningReport(Report):
    """How tuning went: trials trained for it on top of what a `Report` tells of runs."""

    trained: int = 0


def tune(
    name: str,
    storage: str,
    tuning: TuningSpec,
    study: Study | None = None,
    address: str | None = None,
    *,
    local: bool = False,
    patience: float = PATIENCE,
    on_progress: Callable[[int, int], None],
    on_share: Callable[[float], None] | None = None,
) -> TuningReport:
    """Make and store every tuning run that is not stored yet.

    With a study file, cells that are missing in the store are trained; without, the landscapes must be complete. With
    `local` all of it is done in this process, without a cluster. A database that is gone or locked is waited for,
    `patience` seconds.
    `on_progress(runs made, runs to make)` is called as they finish, `on_share` before with the share of the work that
    these are: slow tuners' runs count for more. Raises TuningError when a landscape lacks cells,
    StoreError when a stored run is not what its tuner and seed give, and both it and LaunchError as `run` does.
    """
    where = place(local)
    fresh = study is not None and stored_plan(study, storage, 1) is None
    if study is not None:
        # else timing here says nothing
        here = study.is_black_box or local or (address is None and study.spec.device == "cpu")
        study = settled(study, storage) if here else with_stored(study, storage)
    else:
        open_store(storage, create=False).close()  # raises when there is none
    amounts = study.spec.amounts if study else {"CPU": 1.0}  # for replays
    with contextlib.ExitStack() as stack:
        # a new database is made when the cluster has answered
        workers = stack.enter_context(where.cluster(address, amounts)) if fresh else 0
        store = stack.enter_context(open_store(storage, create=True, patience=patience))
        if study is not None:
            study = declare(study, store)
        space = store.space(name)
        landscapes = {each: loss_table(store, name, each) for each in store.optimizers(name)}
        if study is None:
            for optimizer, table in landscapes.items():
                require_complete(store, name, optimizer, table)
        todo = {
            each: missing_runs(space, store.runs(name, each), table, tuning)
            for each, table in landscapes.items()
        }
        total = sum(len(keys) for keys in todo.values())
        report = TuningReport(done=0)
        work = sum(seconds_a_run(tuner, tuning, space.size) for keys in todo.values() for tuner, _ in keys)
        worked = 0.0
        on_progress(0, total)
        if total == 0:
            return report
        workers = workers or stack.enter_context(where.cluster(address, amounts))
        started = time.perf_counter()

        def keep(optimizer: str, runs: Sequence[TuningRun]) -> None:
            nonlocal worked
            report.new += store.append_runs(name, optimizer, runs)
            report.done += len(runs)
            worked += sum(seconds_a_run(run.tuner, tuning, space.size) for run in runs)
            if on_share is not None:
                on_share(worked / work)
            on_progress(report.done, total)

        live = {each: keys for each, keys in todo.items() if keys and np.isnan(landscapes[each]).any()}
        try:
            if live and study is not None:
                train_and_tune(study, store, landscapes, live, tuning, workers, keep, report, local)
            jobs = replays({each: keys for each, keys in todo.items() if each not in live}, workers)
            shared = Landscapes(space, {job.optimizer: landscapes[job.optimizer] for job in jobs}, tuning)
            for job, runs in where.map_jobs(replay, shared, jobs, workers):
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
        f"{axis.name} = {axis.text(value)}"
        for axis, value in zip(space.axes, space.cells()[cell], strict=True)
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
            run = stored.get((tuner, replicate, tuning.noise, tuning.repeats, seeds, space))
            if run is None or run.budget < tuning.trials:
                missing.append((tuner, replicate))
                continue
            budget = (
                run.budget
                if tuner not in SLOW_TUNERS or replicate in whole
                else min(CHECKED_TRIALS, run.budget)
            )
            again = Search(space, tuner, replicate, budget, tuning.noise, tuning.repeats, seeds)
            again.advance(again.seen(table))
            check_same(run, again.run)
    return missing


def replays(todo: Mapping[str, Sequence[tuple[str, int]]], workers: int) -> list[Job]:
    """The runs of each optimizer and tuner in a few jobs a worker; slow ones first, or one is left alone at the end."""
    jobs = []
    for optimizer, keys in todo.items():
        for tuner in dict.fromkeys(tuner for tuner, _ in keys):
            replicates = [replicate for name, replicate in keys if name == tuner]
            size = math.ceil(len(replicates) / (workers * JOBS_PER_WORKER))
            starts = range(0, len(replicates), size)
            jobs += [Job(optimizer, tuner, tuple(replicates[start : start + size])) for start in starts]
    return sorted(jobs, key=lambda job: [*SLOW_TUNERS, job.tuner].index(job.tuner))


def train_and_tune(
    study: Study,
    store: Store,
    landscapes: dict[str, FloatArray],
    todo: dict[str, list[tuple[str, int]]],
    tuning: TuningSpec,
    workers: int,
    keep: Callable[[str, Sequence[TuningRun]], None],
    report: TuningReport,
    local: bool,
) -> None:
    """Go on with all runs of the given optimizers at once, training the cells they ask for, with all seeds."""
    space, seeds = study.spec.space, study.spec.seeds
    searches = {
        name: [new_search(space, tuner, replicate, tuning, seeds) for tuner, replicate in keys]
        for name, keys in todo.items()
    }
    ordered: dict[str, set[int]] = {name: set() for name in todo}

    def wanted(optimizer: StudyOptimizer) -> NDArray[np.int64]:
        """Cells that runs wait for and nobody trains yet; finished runs are stored on the way."""
        table, needed = landscapes[optimizer.key], set[int]()
        going = []
        for search in searches[optimizer.key]:
            needed |= set(search.advance(search.seen(table)).tolist())
            if not search.ended:
                going.append(search)
        finished = [search.run for search in searches[optimizer.key] if search.ended]
        searches[optimizer.key] = going
        if finished:
            keep(optimizer.key, finished)
        new = needed - ordered[optimizer.key]
        ordered[optimizer.key] |= new
        return np.array(sorted(new), dtype=np.int64)

    def ask(in_flight: int) -> list[Block]:
        del in_flight  # cells are asked for as soon as a run needs them
        made: list[Block] = []
        for optimizer in study.optimizers:
            if optimizer.key not in searches:
                continue
            chosen = wanted(optimizer)
            for seed in range(seeds):
                missing = chosen[np.isnan(landscapes[optimizer.key][chosen, seed])]
                made += cut(study, optimizer, workers, seed, missing)
        return made

    def cells_of(block: Block) -> NDArray[np.int64]:
        values = np.stack([block.cells[axis] for axis in space.names], axis=1)
        return space.flat_index(space.value_to_index(values))

    def stored(block: Block, trials: Trials, new: int) -> None:
        report.trained += new
        landscapes[block.optimizer][cells_of(block), block.seed] = trials.value

    def stored_by_others(block: Block) -> None:
        cells, table = cells_of(block), loss_table(store, study.name, block.optimizer)
        landscapes[block.optimizer][cells, block.seed] = table[cells, block.seed]

    drive(study, store, workers, report, ask, stored, stored_by_others, local=local)
