"""Run a study: what is missing in the store is planned as blocks, trained, and stored as it arrives.

Resuming is running again: the plan is computed from the store alone, so a study may be killed at any moment.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.errors import MissingDatabaseError, OtherStudyError
from storage.records import Trials, cell_key
from storage.store import Store, open_store
from study.block import Block, Outcome
from study.named import Unfused, optimizer_named, source_sha256
from study.spec import OptimizerSpec, SpecError, StudySpec
from study.train import MIN_LANES, Trainer

CACHE_BYTES = {"cpu": 8 * 2**20, "cuda": 2**30}
"""Working set of a block that still runs at full speed: a few times a core's own cache, or plenty for a GPU."""
STARTUP_SECONDS = 20.0
"""Ray, torch in the workers, and compiling with a warm cache; a first run compiles for about 15 s more."""
COMPILE_FLOPS = 2.5e11
"""Studies with less work than this are done sooner uncompiled: about 10 s on two cores against 10 to 25 to compile."""
EFFICIENCY = 0.2
"""Share of a core's matrix rate that fused training reaches, for estimates: 0.18 to 0.32 in benchmarks/trainer.py."""
UNFUSED_LANES = 8
"""Trials of a block that are trained one after another: few, so that all workers stay busy and results come early."""
PACKAGES = ("tunability", "torch", "ray", "optuna", "sqlalchemy", "numpy")


@dataclass(frozen=True)
class Plan:
    """What is left to train, and how many trials are stored already."""

    blocks: tuple[Block, ...]
    compile: bool
    stored: int

    @property
    def trials(self) -> int:
        return sum(block.lanes for block in self.blocks)


@dataclass
class Report:
    """How a run went: trials of the study now stored and newly stored by this run, training time in seconds.

    `extra` are trials of seeds that the study does not ask for, among those newly stored.
    """

    done: int
    new: int = 0
    extra: int = 0
    elapsed: float = 0.0
    warnings: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    interrupted: bool = False


def plan(spec: StudySpec, store: Store | None, workers: int) -> Plan:
    """The blocks that a study still needs; all of them when `store`, which has the study declared, is None."""
    cells = spec.space.cells()
    keys = [cell_key(dict(zip(spec.space.names, row, strict=True))) for row in cells.tolist()]
    blocks: list[Block] = []
    for optimizer in spec.optimizers:
        stored: set[tuple[str, int]] = set()
        if store and optimizer.name in store.optimizers(spec.name):
            stored = store.stored(spec.name, optimizer.name)
        lanes = lanes_per_block(spec, optimizer, workers)
        for seed in range(spec.seeds):
            missing = [i for i, key in enumerate(keys) if (key, seed) not in stored]
            for start in range(0, len(missing), lanes):
                chosen = cells[missing[start : start + lanes]]
                blocks.append(make_block(spec, optimizer, seed, chosen, lanes))
    return Plan(tuple(blocks), worth_compiling(spec), spec.trials - sum(block.lanes for block in blocks))


def worth_compiling(spec: StudySpec) -> bool:
    """By the whole study, like the lanes: compiled and uncompiled results differ in their last bits."""
    return spec.trials * spec.workload.steps * spec.workload.workload.flops_per_step > COMPILE_FLOPS


def lanes_per_block(spec: StudySpec, optimizer: OptimizerSpec, workers: int) -> int:
    """Trials trained together: as many as fit the cache, fewer when a small study would leave workers idle.

    It depends on the whole study, not on what is left, so that a resumed study finds its programs compiled.
    """
    if spec.lanes:
        return min(spec.lanes, spec.space.size)
    if isinstance(optimizer.kind, Unfused):
        return min(UNFUSED_LANES, spec.space.size)
    word = 2 if spec.dtype == "float64" else 1
    budget = CACHE_BYTES[spec.device]
    workload = spec.workload.workload
    state = 4 * optimizer.kind.state_size(workload.init(0), optimizer.options)
    fit = max(MIN_LANES, budget // (word * (workload.bytes_per_lane + state)))
    share = math.ceil(spec.trials / workers)
    blocks_per_seed = math.ceil(spec.space.size / min(fit, share))
    return max(MIN_LANES, math.ceil(spec.space.size / blocks_per_seed))


def make_block(
    spec: StudySpec, optimizer: OptimizerSpec, seed: int, cells: NDArray[np.float64], width: int
) -> Block:
    """A block of the given cells (B, d)."""
    axes = {axis: cells[:, i] for i, axis in enumerate(spec.space.names)}
    return Block(spec.recipe(optimizer), seed, optimizer.hyperparameters(axes), axes, width)


def trials_of(spec: StudySpec, block: Block, outcome: Outcome) -> Trials:
    """A trained block as the store takes it, its hyperparameters under the names of the space's axes."""
    metric = spec.workload.workload.metric
    finished = datetime.now(UTC)
    return Trials(
        hyperparameters=block.cells,
        seed=block.seed,
        value=outcome.metrics[metric],
        metrics={name: values for name, values in outcome.metrics.items() if name != metric},
        curve_steps=outcome.curve_steps,
        curve=outcome.curve,
        diverged_at=outcome.diverged_at,
        seconds=outcome.seconds / block.lanes,
        started=finished - timedelta(seconds=outcome.seconds),
        finished=finished,
    )


def run(
    spec: StudySpec,
    storage: str,
    address: str | None = None,
    *,
    further: Callable[[Store, int], Sequence[Block]] | None = None,
    on_progress: Callable[[int, int], None],
) -> Report:
    """Train every missing trial of the study on a Ray cluster and store it; the local machine without `address`.

    Then, again and again, the blocks of further seeds that `further(store, workers)` gives, until it gives none.

    `on_progress(trials stored, trials to be stored)` is called as blocks arrive. Blocks that fail for good and a
    Ctrl-C are told in the report; what was stored stays. Raises StoreError when the database cannot be used or has
    the study with another spec or other data, LaunchError when the cluster cannot be reached; nothing is written then.
    """
    from study import launch

    todo = stored_plan(spec, storage, 1)
    if todo and not todo.blocks and not (further and further_blocks(further, storage)):
        return Report(spec.trials)
    check_unfused(spec)
    with launch.cluster(address, spec.device) as workers, open_store(storage, create=True) as store:
        declare(spec, store)
        todo = plan(spec, store, workers)
        report = Report(todo.stored)
        total, in_flight = spec.trials, 0
        on_progress(report.done, total)

        def blocks() -> Iterator[Block | None]:
            nonlocal total, in_flight
            wanted: Sequence[Block] = todo.blocks
            while True:
                in_flight += len(wanted)
                yield from wanted
                while in_flight:
                    yield None  # further ones depend on all outcomes
                wanted = further(store, workers) if further and not report.failures else ()
                if not wanted:
                    return
                total += sum(block.lanes for block in wanted)

        def keep(block: Block, outcome: Outcome) -> None:
            nonlocal in_flight
            in_flight -= 1
            new = store.append(spec.name, block.recipe.optimizer, trials_of(spec, block, outcome))
            report.new += new
            report.extra += new if block.seed >= spec.seeds else 0
            if outcome.warning:
                report.warnings.add(outcome.warning)
            on_progress(report.done + report.new, total)

        def give_up(block: Block, error: str) -> None:
            nonlocal in_flight
            in_flight -= 1
            report.failures.append(failure_text(block, error))

        started = time.perf_counter()
        try:
            launch.train_blocks(
                blocks() if further else todo.blocks,
                workers,
                spec.device,
                compile=todo.compile,
                on_outcome=keep,
                on_failure=give_up,
            )
        except KeyboardInterrupt:
            report.interrupted = True
        report.elapsed = time.perf_counter() - started
        report.done = plan(spec, store, workers).stored  # another driver may have stored some of them
    return report


def further_blocks(further: Callable[[Store, int], Sequence[Block]], storage: str) -> Sequence[Block]:
    """What further trials an existing database asks for."""
    with open_store(storage, create=False) as store:
        return further(store, 1)


def declare(spec: StudySpec, store: Store) -> None:
    """Make the store ready for the study's trials."""
    store.declare(
        spec.name,
        [optimizer.name for optimizer in spec.optimizers],
        space=spec.space,
        metric=spec.workload.workload.metric,
        spec=spec.identity(),
        provenance=provenance(spec),
    )


def failure_text(block: Block, error: str) -> str:
    return f"{block.recipe.optimizer}, seed {block.seed}, {block.lanes} trials: {error}"


def stored_plan(spec: StudySpec, storage: str, workers: int) -> Plan | None:
    """What an existing database leaves to train; None when it does not have the study yet. Writes nothing.

    Raises StoreError when it cannot be read, or has the study with another spec or on other data.
    """
    try:
        with open_store(storage, create=False) as store:
            if not store.is_declared(spec.name, spec.identity()):
                return None
            first = store.optimizers(spec.name)[0]
            before = store.provenance(spec.name, first)
            now = spec.workload.workload.data_hash()
            then = before.get("data_sha256", now)
            if then != now:
                raise OtherStudyError(
                    f"study {spec.name!r} was run on other data (SHA-256 {then[:12]}, here {now[:12]}): install the "
                    "package versions of its provenance, or give this one another name"
                )
            for path, digest in foreign_sources(spec).items():
                if before.get("sources", {}).get(path, digest) != digest:
                    raise OtherStudyError(
                        f"study {spec.name!r} was run with another source of {path}: bring that back, or give this "
                        "study another name"
                    )
            return plan(spec, store, workers)
    except MissingDatabaseError:
        return None


def estimate_seconds(spec: StudySpec, todo: Plan, workers: int) -> tuple[float, dict[str, float]]:
    """Rough time to train a plan, and seconds of a trial of each optimizer that does not run fused.

    Fused trials by their floating-point operations at a share of this machine's matrix rate, the others by a few steps
    of one. Raises SpecError when an optimizer cannot take a step.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        each = unfused_seconds(todo.blocks, steps=40)
        fused = spec.workload.steps * spec.workload.workload.flops_per_step / (EFFICIENCY * matrix_rate())
        seconds = sum(block.lanes * each.get(block.recipe.optimizer, fused) for block in todo.blocks)
    finally:
        torch.set_num_threads(threads)
    return STARTUP_SECONDS + seconds / workers, each


def matrix_rate() -> float:
    """Floating-point operations per second of a float32 matrix product."""
    import torch

    a = torch.rand(512, 512)
    a @ a
    started = time.perf_counter()
    for _ in range(20):
        a @ a
    return 20 * 2 * 512**3 / (time.perf_counter() - started)


def check_unfused(spec: StudySpec) -> None:
    """Raise SpecError, one line, when an optimizer that does not run fused cannot take a step on the workload."""
    unfused = [optimizer for optimizer in spec.optimizers if isinstance(optimizer.kind, Unfused)]
    if unfused:
        cell = spec.space.cells()[:1]
        unfused_seconds([make_block(spec, optimizer, 0, cell, 1) for optimizer in unfused], steps=1)


def unfused_seconds(blocks: Iterable[Block], steps: int) -> dict[str, float]:
    """Seconds of a trial of each optimizer that does not run fused, from `steps` steps of the first.

    Raises SpecError, one line, when an optimizer cannot take a step on the workload.
    """
    seconds = {}
    for block in blocks:
        recipe = block.recipe
        if recipe.optimizer in seconds or not isinstance(optimizer_named(recipe.optimizer), Unfused):
            continue
        one = {name: values[:1] for name, values in block.hyperparameters.items()}
        try:
            for count in (1, min(recipe.steps, steps)):  # the first imports
                short = Block(replace(recipe, steps=count), block.seed, one)
                seconds[recipe.optimizer] = Trainer().train(short).seconds * recipe.steps / count
        except Exception as error:  # whatever a foreign class raises
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise SpecError(f"{recipe.optimizer} cannot train {recipe.workload} ({reason})") from error
    return seconds


def provenance(spec: StudySpec) -> dict[str, Any]:
    """With what a study was first run: code and package versions, machine, seeds, hash of the data."""
    return {
        "packages": {name: importlib.metadata.version(name) for name in (*PACKAGES, *foreign_packages(spec))},
        "python": platform.python_version(),
        "machine": {"platform": platform.platform(), "processor": processor(), "cores": os.cpu_count()},
        "device": spec.device,
        "seeds": list(range(spec.seeds)),
        "sources": foreign_sources(spec),
        "data_sha256": spec.workload.workload.data_hash(),
        "declared": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def import_paths(spec: StudySpec) -> list[str]:
    names = [spec.workload.name, *(optimizer.name for optimizer in spec.optimizers)]
    return [name for name in names if ":" in name]


def foreign_packages(spec: StudySpec) -> list[str]:
    """The distributions that the study's import paths come from, as far as they are installed as such."""
    modules = {path.partition(":")[0].partition(".")[0] for path in import_paths(spec)}
    if not modules:
        return []  # listing what is installed takes a moment
    owners = importlib.metadata.packages_distributions()
    return sorted({name for module in modules for name in owners.get(module, [])} - set(PACKAGES))


def foreign_sources(spec: StudySpec) -> dict[str, str]:
    """SHA-256 of the module of every import path."""
    return {path: source_sha256(path) for path in import_paths(spec)}


def processor() -> str:
    """The processor's name as Linux tells it, or what Python knows."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
