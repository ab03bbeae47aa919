"""The one driver of a study: has blocks trained and keeps what arrives, asking again for more as outcomes come in."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from storage.records import STOPPED_AT, Trials, cell_keys
from storage.store import Store
from study.black_boxes import TrialError
from study.running.claims import Claims
from study.running.split import Splitter
from study.spec import BlackBoxSpec
from study.training.black_box import name_of
from study.training.block import Block, Outcome
from study.training.resolve import Study

if TYPE_CHECKING:
    from study.running.stopping import Stopping


Shared = TypeVar("Shared")
Job = TypeVar("Job")
Result = TypeVar("Result")
SECONDS_BETWEEN_LOOKS = 1.0
"""Between looks at what other drivers train."""


class Place(Protocol):
    """Where blocks are trained and jobs done; `study.running.launch` says what each of these does."""

    def cluster(
        self, address: str | None, amounts: Mapping[str, float] = ...
    ) -> AbstractContextManager[int]: ...

    def train_blocks(
        self,
        blocks: Iterable[Block | None],
        workers: int,
        device: str,
        amounts: Mapping[str, float] = ...,
        *,
        on_outcome: Callable[[Block, Outcome], None],
        on_failure: Callable[[Block, TrialError], None],
        hopeless: Callable[[Block, Outcome], bool] | None = None,
        checkpoints: Mapping[str, Path] = ...,
    ) -> None: ...

    def map_jobs(
        self,
        function: Callable[[Shared, Job], Result],
        shared: Shared,
        jobs: Sequence[Job],
        workers: int,
        amounts: Mapping[str, float] = ...,
    ) -> Iterator[tuple[Job, Result]]: ...


@dataclass
class Report:
    """How a run went: what it was to do that is now stored and newly stored, training time in seconds.

    `extra` are trials of seeds that the study does not ask for, among those newly stored.
    """

    done: int
    new: int = 0
    extra: int = 0
    elapsed: float = 0.0
    warnings: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    interrupted: bool = False


def drive(
    study: Study,
    store: Store,
    workers: int,
    report: Report,
    ask: Callable[[int], Sequence[Block]],
    on_stored: Callable[[Block, Trials, int], None],
    on_others: Callable[[Block], None],
    *,
    local: bool = False,
) -> None:
    """Train what `ask` gives until it gives nothing while nothing is in training: on the cluster, or in this process.

    `ask(blocks in training)` is called at first, when its blocks are handed out, and after every block. Outcomes are
    stored, then told by `on_stored(block, trials, new trials)`; of a block that failed the halves are tried, and so on;
    trials that fail alone are stored as failures, and go into the report, as do warnings.

    What another driver is training is left to it, waited for when nothing else is to be done, and told by
    `on_others(block)` once it is stored; what that driver does not finish is trained here.
    """
    in_flight = 0
    elsewhere: list[Block] = []
    looked = time.monotonic()
    splitter, claims = Splitter(), Claims(store, study.name)
    stopping, checkpoints = stopping_of(study, store), checkpoints_of(study, store)

    def claimed(block: Block) -> Iterator[Block]:
        """What is to be trained of a block here and now."""
        nonlocal in_flight
        for part in splitter.fitting(block):
            found = claims.take(part)
            if found.stored:
                on_others(found.stored)
            if found.others:
                elsewhere.append(found.others)
            if found.ours:
                in_flight += 1
                yield found.ours
            yield from splitter.waiting()

    def blocks() -> Iterator[Block | None]:
        nonlocal looked
        while True:
            wanted = ask(in_flight + len(elsewhere))
            for block in wanted:
                yield from claimed(block)
            yield from splitter.waiting()
            if wanted:
                continue
            if elsewhere and time.monotonic() - looked >= SECONDS_BETWEEN_LOOKS:
                again = elsewhere.copy()
                elsewhere.clear()
                for block in again:
                    yield from claimed(block)
                looked = time.monotonic()
            elif in_flight:
                yield None  # wait for an outcome
            elif elsewhere:
                time.sleep(SECONDS_BETWEEN_LOOKS)
            else:
                return

    def keep(block: Block, outcome: Outcome) -> None:
        nonlocal in_flight
        in_flight -= 1
        splitter.trained(block)
        if stopping:
            stopping.ended(block, outcome)
        trials = trials_of(study, block, outcome)
        new = store.append(study.name, block.optimizer, trials)
        if outcome.stopped:
            shutil.rmtree(checkpoints[block.optimizer] / name_of(block), ignore_errors=True)
        if outcome.warning:
            report.warnings.add(outcome.warning)
        on_stored(block, trials, new)

    def give_up(block: Block, error: TrialError) -> None:
        nonlocal in_flight
        in_flight -= 1
        parts = splitter.split(block, error)
        report.warnings.update(splitter.said)
        if parts:
            in_flight += parts
            return
        if stopping:
            stopping.ended(block, None)
        report.failures.append(failure_text(study, block, error))
        cells = cell_keys(block.cells)
        store.append_failures(study.name, block.optimizer, cells, block.seed, error.headline, error.lines)

    with claims:
        place(local).train_blocks(
            blocks(),
            workers,
            study.spec.device,
            study.spec.amounts,
            on_outcome=keep,
            on_failure=give_up,
            hopeless=stopping.hopeless if stopping else None,
            checkpoints=checkpoints,
        )


def place(local: bool) -> Place:
    """Where blocks are trained: in this process, or on a Ray cluster."""
    if local:
        from study.running import local as here

        return here
    from study.running import launch  # with Ray, which takes a while

    return launch


def stopping_of(study: Study, store: Store) -> Stopping | None:
    """What stops hopeless trials early, if the study file asks for it."""
    workload = study.spec.workload
    if not (isinstance(workload, BlackBoxSpec) and workload.stop):
        return None
    from study.running.stopping import Stopping  # with Optuna, which takes a while

    return Stopping(workload.stop, study, store)


def checkpoints_of(study: Study, store: Store) -> dict[str, Path]:
    """A folder for the checkpoints of each optimizer's trials, by their recipe, as it is called on every machine."""
    workload = study.spec.workload
    if not isinstance(workload, BlackBoxSpec):
        return {}
    from analysis.cost.kept import folder as cache_folder

    base = (cache_folder() or Path(tempfile.gettempdir())) / "checkpoints"
    if workload.checkpoints:
        base = Path(workload.checkpoints).absolute()
    url = store.database.engine.url
    database = Path(url.database or "").absolute() if url.get_backend_name() == "sqlite" else url
    return {
        optimizer: base
        / hashlib.sha256(f"{database},{study.name},{json.dumps(identity)}".encode()).hexdigest()[:16]
        for optimizer, identity in study.identities().items()
    }


def trials_of(study: Study, block: Block, outcome: Outcome) -> Trials:
    """A trained block as the store takes it, its hyperparameters under the names of the space's axes."""
    metric = study.workload.metric
    finished = datetime.now(UTC)
    return Trials(
        hyperparameters=block.cells,
        seed=block.seed,
        value=outcome.metrics[metric],
        metrics={name: values for name, values in outcome.metrics.items() if name != metric}
        | ({STOPPED_AT: outcome.curve_steps[-1:].astype(float)} if outcome.stopped else {}),
        curve_steps=outcome.curve_steps,
        curve=outcome.curve,
        diverged_at=outcome.diverged_at,
        seconds=outcome.seconds,
        started=finished - timedelta(seconds=float(outcome.seconds.sum())),
        finished=finished,
    )


def failure_text(study: Study, block: Block, error: TrialError) -> str:
    """Whose trials failed, and how: a line, and of a black box's trial the lines that it wrote last."""
    said = str(error) if block.recipe.method == "black-box" else error.headline
    if block.lanes == 1:
        axes = study.spec.space.axes
        cell = ", ".join(f"{axis.name} = {axis.text(block.cells[axis.name][0])}" for axis in axes)
        return f"{block.optimizer}, {cell}, seed {block.seed}: {said}"
    return f"{block.optimizer}, seed {block.seed}, {block.lanes} trials: {said}"
