"""Add seeds to a study until its separability is decided, only in the cells that the verdict hangs on.

What to train next is computed from the store alone, so a killed run goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from analysis.power import further_trials
from analysis.stored import stored_landscapes
from storage.store import Store
from study.running.choices import stored_choices
from study.running.plan import cut, missing_cells
from study.spec import SpecError
from study.training.block import Block
from study.training.resolve import Study, StudyOptimizer


def until_decided(study: Study, budget: int) -> Callable[[Store, int], Sequence[Block]]:
    """For `run`: the blocks of further seeds that would decide the verdicts, at most `budget` trials in all.

    Trials of further seeds that the store already has count towards the budget. Raises SpecError when there is no pair
    of axes to decide about.
    """
    if sum(len(axis.values) > 1 for axis in study.spec.space.axes) < 2:
        raise SpecError(
            f"{study.name} has fewer than two axes with several values: there is no separability to decide"
        )

    def further(store: Store, workers: int) -> Sequence[Block]:
        left = budget - stored_extra(study, store)
        chosen = stored_choices(study, store)
        blocks: list[Block] = []
        for optimizer in study.optimizers:
            made = _blocks_of(chosen, optimizer, store, workers, left)
            left -= sum(block.lanes for block in made)
            blocks += made
        return blocks

    return further


def stored_extra(study: Study, store: Store) -> int:
    """Trials of seeds that the study does not ask for."""
    return sum(
        seed >= study.spec.seeds
        for optimizer in study.optimizers
        for _, seed in store.stored(study.name, optimizer.name)
    )


def _blocks_of(study: Study, optimizer: StudyOptimizer, store: Store, workers: int, left: int) -> list[Block]:
    (values,) = stored_landscapes(store, [f"{study.name}/{optimizer.name}"], extra=True).values()
    wanted = further_trials(values)
    if wanted is None:
        return []
    stored = store.stored(study.name, optimizer.name)
    cells = np.flatnonzero(wanted.cells.transpose(*study.spec.space.names).values)
    blocks: list[Block] = []
    for seed in range(study.spec.seeds, wanted.seeds):
        missing = missing_cells(study, cells, seed, stored)
        left -= len(missing)
        if left < 0:  # a seed is of use only if it has all of the cells
            break
        blocks += cut(study, optimizer, workers, seed, missing)
    return blocks
