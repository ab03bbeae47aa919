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
from study.training.checkpoints import prune
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
    driver = _Driver(study, store, report, ask, on_stored, on_others)
    with driver.claims:
        place(local).train_blocks(
            driver.blocks(),
            workers,
            study.spec.device,
            study.spec.amounts,
            on_outcome=driver.keep,
            on_failure=driver.give_up,
            hopeless=driver.stopping.hopeless if driver.stopping else None,
            checkpoints=driver.checkpoints,
        )


class _Driver:
    """What `drive` is given, and which blocks are in training, here and elsewhere."""

    def __init__(
        self,
        study: Study,
        store: Store,
        report: Report,
        ask: Callable[[int], Sequence[Block]],
        on_stored: Callable[[Block, Trials, int], None],
        on_others: Callable[[Block], None],
    ) -> None:
        self.study, self.store, self.report = study, store, report
        self.ask, self.on_stored, self.on_others = ask, on_stored, on_others
        self.claims, self.splitter = Claims(store, study.name), Splitter()
        self.stopping, self.checkpoints = stopping_of(study, store), checkpoints_of(study, store)
        self.in_flight = 0
        self.elsewhere: list[Block] = []
        self.looked = time.monotonic()

    def blocks(self) -> Iterator[Block | None]:
        """What to train next, None to wait for an outcome, until there is nothing more."""
        while True:
            wanted = self.ask(self.in_flight + len(self.elsewhere))
            for block in wanted:
                yield from self.claimed(block)
            yield from self.splitter.waiting()
            if wanted:
                continue
            if self.elsewhere and time.monotonic() - self.looked >= SECONDS_BETWEEN_LOOKS:
                again, self.elsewhere = self.elsewhere, []
                for block in again:
                    yield from self.claimed(block)
                self.looked = time.monotonic()
            elif self.in_flight:
                yield None
            elif self.elsewhere:
                time.sleep(SECONDS_BETWEEN_LOOKS)
            else:
                return

    def claimed(self, block: Block) -> Iterator[Block]:
        """What is to be trained of a block here and now."""
        for part in self.splitter.fitting(block):
            found = self.claims.take(part)
            if found.stored:
                self.on_others(found.stored)
            if found.others:
                self.elsewhere.append(found.others)
            if found.ours:
                self.in_flight += 1
                yield found.ours
            yield from self.splitter.waiting()

    def keep(self, block: Block, outcome: Outcome) -> None:
        """Store what a block gave."""
        self.in_flight -= 1
        self.splitter.trained(block)
        if self.stopping:
            self.stopping.ended(block, outcome)
        trials = trials_of(self.study, block, outcome)
        new = self.store.append(self.study.name, block.optimizer, trials)
        if outcome.stopped:
            shutil.rmtree(self.checkpoints[block.optimizer] / name_of(block), ignore_errors=True)
        if outcome.warning:
            self.report.warnings.add(outcome.warning)
        self.on_stored(block, trials, new)

    def give_up(self, block: Block, error: TrialError) -> None:
        """Have the parts of a block that failed tried by themselves, or store that its trials failed."""
        self.in_flight -= 1
        parts = self.splitter.split(block, error)
        self.report.warnings.update(self.splitter.said)
        if parts:
            self.in_flight += parts
            return
        if self.stopping:
            self.stopping.ended(block, None)
        self.report.failures.append(failure_text(self.study, block, error))
        cells = cell_keys(block.cells)
        self.store.append_failures(
            self.study.name, block.optimizer, cells, block.seed, error.headline, error.lines
        )


def place(local: bool) -> Place:
    """Where blocks are trained: in this process, or on a Ray cluster."""
    if local:
        from study.running import local as here

        return here
    from study.running.launch import blocks  # with Ray, which takes a while

    return blocks


def stopping_of(study: Study, store: Store) -> Stopping | None:
    """What stops hopeless trials early, if the study file asks for it."""
    workload = study.spec.workload
    if not (isinstance(workload, BlackBoxSpec) and workload.stop):
        return None
    from study.running.stopping import Stopping  # with Optuna, which takes a while

    return Stopping(workload.stop, study, store)


def checkpoints_of(study: Study, store: Store) -> dict[str, Path]:
    """A folder for the checkpoints of each optimizer's trials, by their recipe, as it is called on every machine."""
    from analysis.cost.kept import folder as cache_folder

    workload, cache = study.spec.workload, cache_folder()
    if cache is None and not isinstance(workload, BlackBoxSpec):
        return {}  # others may write among temporary files
    base = (cache or Path(tempfile.gettempdir())) / "checkpoints"
    if cache is not None:
        prune(base)
    if isinstance(workload, BlackBoxSpec) and workload.checkpoints:
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
