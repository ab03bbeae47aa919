"""Run a study: what is missing in the store is trained and stored as it arrives. Resuming is running again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from storage import PATIENCE
from storage.errors import MissingDatabaseError, StoreError
from storage.records import Trials
from storage.store import Store, open_store
from study.running.choices import (
    METHODS,
    are_settled,
    as_provenance,
    stored_choices,
    with_stored,
    with_timed,
    with_untimed,
)
from study.running.drive import Report, drive, place
from study.running.plan import plan, stored_plan
from study.running.provenance import other_versions, provenance
from study.spec import StudySpec
from study.training.block import Block, Choice
from study.training.resolve import Study, resolve

Further = Callable[[Store, int], Sequence[Block]]


def run(
    study: Study,
    storage: str,
    address: str | None = None,
    *,
    further: Further | None = None,
    strict: bool = False,
    local: bool = False,
    patience: float = PATIENCE,
    on_progress: Callable[[int, int], None],
) -> Report:
    """Train every missing trial of the study on a Ray cluster and store it; the local machine without `address`.

    With `local` in this process, one block after another, without a cluster: a small study is done sooner.

    Then, again and again, the blocks of further seeds that `further(store, workers)` gives, until it gives none.

    Once it has begun, a database that is gone or locked is waited for, `patience` seconds.

    `on_progress(trials stored, trials to be stored)` is called as blocks arrive. Blocks that fail for good and a
    Ctrl-C are told in the report; what was stored stays. Raises StoreError when the database cannot be used or has
    trials of an optimizer by another recipe, LaunchError when the cluster cannot be reached; nothing is written then.
    """
    todo = stored_plan(study, storage, 1)
    note = None
    with contextlib.suppress(MissingDatabaseError), open_store(storage, create=False) as store:
        note = other_versions(study, store)
    if note and strict:
        raise StoreError(f"{note}; without --strict the study goes on, and each trial knows its launch")
    if todo and not todo.blocks and not (further and further_blocks(further, storage)):
        show(study, storage)
        return Report(study.spec.trials)
    here = study.is_black_box or local or (address is None and study.spec.device == "cpu")
    study = with_stored(study, storage)
    where = place(local)
    with ThreadPoolExecutor(1) as beside, contextlib.ExitStack() as open_ones:
        timing = beside.submit(with_timed, study) if here else None  # a cluster takes seconds to start
        workers = open_ones.enter_context(where.cluster(address, study.spec.amounts))
        study = timing.result() if timing else study  # before the store is made, for it may refuse
        store = open_ones.enter_context(open_store(storage, create=True, patience=patience))
        if not here and not are_settled(study):
            timed = where.map_jobs(time_there, study.spec, [dict(study.choices)], 1, study.spec.amounts)
            ((_, choices),) = timed
            study = replace(study, choices=choices)
        study = declare(study, store)
        todo = plan(study, store, workers)
        report = Report(todo.stored, warnings={each.note for each in study.choices.values() if each.note})
        if note:
            report.warnings.add(note)
        total = study.spec.trials
        planned: Sequence[Block] | None = staggered(todo.blocks, workers) or None
        on_progress(report.done, total)

        def ask(in_flight: int) -> Sequence[Block]:
            nonlocal planned, total
            if planned is not None:
                wanted, planned = planned, None
                return wanted
            if in_flight or further is None or report.failures:
                return ()  # further ones depend on all outcomes
            wanted = further(store, workers)
            total += sum(block.lanes for block in wanted)
            return wanted

        def stored(block: Block, trials: Trials, new: int) -> None:
            del trials
            report.new += new
            report.extra += new if block.seed >= study.spec.seeds else 0
            on_progress(report.done + report.new, total)

        def stored_by_others(block: Block) -> None:
            report.done += block.lanes
            on_progress(report.done + report.new, total)

        started = time.perf_counter()
        try:
            drive(study, store, workers, report, ask, stored, stored_by_others, local=local)
        except KeyboardInterrupt:
            report.interrupted = True
        report.elapsed = time.perf_counter() - started
        report.done = plan(study, store, workers).stored  # another driver may have stored some of them
    return report


def staggered(blocks: Sequence[Block], workers: int) -> Sequence[Block]:
    """The blocks, with as many different optimizers first as there are workers: each compiles another program.

    Then they find one another's in the compiler's cache.
    """
    first: dict[str, int] = {}
    for index, block in enumerate(blocks):
        first.setdefault(block.optimizer, index)
    ahead = list(first.values())[:workers]
    return [blocks[i] for i in ahead] + [block for i, block in enumerate(blocks) if i not in ahead]


def further_blocks(further: Further, storage: str) -> Sequence[Block]:
    """What further trials an existing database asks for."""
    with open_store(storage, create=False) as store:
        return further(store, 1)


def declare(study: Study, store: Store) -> Study:
    """Make the store ready for the study's trials; the study with the choices that it is trained by."""
    chosen = with_untimed(stored_choices(study, store))  # another driver may have been first
    store.declare(
        chosen.name,
        chosen.identities(),
        space=chosen.spec.space,
        metric=chosen.workload.metric,
        spec=chosen.extent(),
        provenance={**provenance(chosen), METHODS: as_provenance(chosen)},
    )
    return chosen


def show(study: Study, storage: str) -> None:
    """Make the file's seeds, cells and optimizers those that are shown of a study of which every trial is stored."""
    with open_store(storage, create=False) as store:
        shown = store.spec(study.name) == study.extent()
    if not shown:
        with open_store(storage, create=True) as store:
            declare(study, store)


def time_there(spec: StudySpec, choices: dict[str, Choice]) -> dict[str, Choice]:
    """Choices timed where it is called: on a worker, which has the device but may not have the database."""
    return dict(with_timed(replace(resolve(spec), choices=choices)).choices)
