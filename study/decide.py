"""Add seeds to a study until its separability is decided, only in the cells that the verdict hangs on.

What to train next is computed from the store alone, so a killed run goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from analysis.power import further_trials
from analysis.stored import stored_landscapes
from storage.records import cell_key
from storage.store import Store
from study.block import Block
from study.run import lanes_per_block, make_block
from study.spec import OptimizerSpec, SpecError, StudySpec


def until_decided(spec: StudySpec, budget: int) -> Callable[[Store, int], Sequence[Block]]:
    """For `study.run.run`: the blocks of further seeds that would decide the verdicts, at most `budget` trials in all.

    Trials of further seeds that the store already has count towards the budget. Raises SpecError when there is no pair
    of axes to decide about.
    """
    if sum(len(axis.values) > 1 for axis in spec.space.axes) < 2:
        raise SpecError(
            f"{spec.name} has fewer than two axes with several values: there is no separability to decide"
        )

    def further(store: Store, workers: int) -> Sequence[Block]:
        left = budget - stored_extra(spec, store)
        blocks: list[Block] = []
        for optimizer in spec.optimizers:
            made = _blocks_of(spec, optimizer, store, workers, left)
            left -= sum(block.lanes for block in made)
            blocks += made
        return blocks

    return further


def stored_extra(spec: StudySpec, store: Store) -> int:
    """Trials of seeds that the study does not ask for."""
    return sum(
        seed >= spec.seeds
        for optimizer in spec.optimizers
        for _, seed in store.stored(spec.name, optimizer.name)
    )


def _blocks_of(
    spec: StudySpec, optimizer: OptimizerSpec, store: Store, workers: int, left: int
) -> list[Block]:
    (values,) = stored_landscapes(store, [f"{spec.name}/{optimizer.name}"], extra=True).values()
    wanted = further_trials(values)
    if wanted is None:
        return []
    stored = store.stored(spec.name, optimizer.name)
    cells = spec.space.cells()[wanted.cells.transpose(*spec.space.names).values.ravel()]
    keys = [cell_key(dict(zip(spec.space.names, row, strict=True))) for row in cells.tolist()]
    lanes = lanes_per_block(spec, optimizer, workers)
    blocks: list[Block] = []
    for seed in range(spec.seeds, wanted.seeds):
        missing = np.array([(key, seed) not in stored for key in keys])
        left -= int(missing.sum())
        if left < 0:  # a seed is of use only if it has all of the cells
            break
        chosen = cells[missing]
        for start in range(0, len(chosen), lanes):
            blocks.append(make_block(spec, optimizer, seed, chosen[start : start + lanes], lanes))
    return blocks
