"""Blocks trained in this process, one after another: no cluster to start, the same bits."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from study.black_boxes import TrialError
from study.training.black_box import may_be_stopped
from study.training.block import Block, Outcome
from study.training.checkpoints import NOWHERE
from study.training.program import prepared_process
from study.training.trainer import Trainer, attempt

Shared = TypeVar("Shared")
Job = TypeVar("Job")
Result = TypeVar("Result")


@contextlib.contextmanager
def cluster(address: str | None, amounts: Mapping[str, float] | None = None) -> Iterator[int]:
    """As `launch.cluster.cluster`, of this process alone: one block at once, whatever `amounts` it should have."""
    del address, amounts
    if threading.current_thread() is not threading.main_thread():
        yield 1
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield 1
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def train_blocks(
    blocks: Iterable[Block | None],
    workers: int,
    device: str,
    amounts: Mapping[str, float] | None = None,
    *,
    on_outcome: Callable[[Block, Outcome], None],
    on_failure: Callable[[Block, TrialError], None],
    hopeless: Callable[[Block, Outcome], bool] | None = None,
    checkpoints: Mapping[str, Path] = NOWHERE,
) -> None:
    """As `launch.blocks.train_blocks`; what fails is not tried again, for it would fail again."""
    del workers, amounts
    with prepared_process(), contextlib.closing(Trainer(device=device, checkpoints=checkpoints)) as trainer:
        for block in blocks:
            if block is None:
                raise RuntimeError("blocks are to be waited for where none is in training")
            try:
                outcome = train(trainer, block, hopeless)
            except TrialError as error:
                on_failure(block, error)
            else:
                on_outcome(block, outcome)


def train(trainer: Trainer, block: Block, hopeless: Callable[[Block, Outcome], bool] | None) -> Outcome:
    """A block's outcome, stopped early if it can be and is hopeless. Raises TrialError when it fails."""
    if not may_be_stopped(block):
        return attempt(trainer, block)
    following = trainer.follow(block)
    try:
        while True:
            so_far = next(following)()
            if hopeless and hopeless(block, so_far):
                following.close()
                trainer.forget(block)
                return replace(so_far, stopped=True)
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome


def map_jobs(
    function: Callable[[Shared, Job], Result],
    shared: Shared,
    jobs: Sequence[Job],
    workers: int,
    amounts: Mapping[str, float] | None = None,
) -> Iterator[tuple[Job, Result]]:
    """As `launch.blocks.map_jobs`, one after another."""
    del workers, amounts
    for job in jobs:
        yield job, function(shared, job)
