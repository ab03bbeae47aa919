"""The one driver of a study: has blocks trained and keeps what arrives, asking again for more as outcomes come in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from storage.records import Trials, cell_keys
from storage.store import Store
from study.black_boxes import TrialError
from study.training.block import Block, Outcome
from study.training.resolve import Study


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
) -> None:
    """Train what `ask` gives until it gives nothing while nothing is in training.

    `ask(blocks in training)` is called at first, when its blocks are handed out, and after every block. Outcomes are
    stored, then told by `on_stored(block, trials, new trials)`; failures are stored, too, and go into the report, as do
    warnings.
    """
    from study.running import launch

    in_flight = 0

    def blocks() -> Iterator[Block | None]:
        nonlocal in_flight
        while True:
            wanted = ask(in_flight)
            in_flight += len(wanted)
            yield from wanted
            if not wanted:
                if not in_flight:
                    return
                yield None  # wait for an outcome

    def keep(block: Block, outcome: Outcome) -> None:
        nonlocal in_flight
        in_flight -= 1
        trials = trials_of(study, block, outcome)
        new = store.append(study.name, block.optimizer, trials)
        if outcome.warning:
            report.warnings.add(outcome.warning)
        on_stored(block, trials, new)

    def give_up(block: Block, error: TrialError) -> None:
        nonlocal in_flight
        in_flight -= 1
        report.failures.append(failure_text(block, error))
        cells = cell_keys(block.cells)
        store.append_failures(study.name, block.optimizer, cells, block.seed, error.headline, error.lines)

    launch.train_blocks(
        blocks(),
        workers,
        study.spec.device,
        study.spec.amounts,
        on_outcome=keep,
        on_failure=give_up,
    )


def trials_of(study: Study, block: Block, outcome: Outcome) -> Trials:
    """A trained block as the store takes it, its hyperparameters under the names of the space's axes."""
    metric = study.workload.metric
    finished = datetime.now(UTC)
    return Trials(
        hyperparameters=block.cells,
        seed=block.seed,
        value=outcome.metrics[metric],
        metrics={name: values for name, values in outcome.metrics.items() if name != metric},
        curve_steps=outcome.curve_steps,
        curve=outcome.curve,
        diverged_at=outcome.diverged_at,
        seconds=outcome.seconds,
        started=finished - timedelta(seconds=float(outcome.seconds.sum())),
        finished=finished,
    )


def failure_text(block: Block, error: TrialError) -> str:
    """Whose trials failed, and how: a line, and of a black box's trial the lines that it wrote last."""
    said = str(error) if block.recipe.method == "black-box" else error.headline
    if block.lanes == 1:
        cell = ", ".join(f"{axis} = {values[0]:g}" for axis, values in block.cells.items())
        return f"{block.optimizer}, {cell}, seed {block.seed}: {said}"
    return f"{block.optimizer}, seed {block.seed}, {block.lanes} trials: {said}"
