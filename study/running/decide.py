"""Add seeds to a study until its separability or its costs are decided, only in the cells that it hangs on.

What to train next is computed from the store alone, so a killed run goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.cost.costs import Question, further_seeds, study_costs
from analysis.cost.posterior import FEWEST_SEEDS
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


def until_cost_decided(study: Study, budget: int) -> Callable[[Store, int], Sequence[Block]]:
    """For `run`: the blocks of further seeds that would decide which optimizer is cheaper to tune, at most `budget`.

    By every tuner of the study's own tuning. Trials of further seeds that the store already has count towards the
    budget. Raises SpecError when there is nothing to compare, or one seed, which tells nothing of the noise.
    """
    names, tuning = tuple(optimizer.key for optimizer in study.optimizers), study.spec.tuning
    if len(names) < 2:
        raise SpecError(f"{study.name} has one optimizer: there is no comparison to decide")
    if study.spec.seeds < FEWEST_SEEDS:
        raise SpecError(
            f"{study.name} has one seed, which tells nothing of the noise: give seeds = 2 or more"
        )
    question = Question(
        study.name, names, tuning.tuners, tuning.trials, tuning.noise, tuning.repeats, tuning.target
    )

    def further(store: Store, workers: int) -> Sequence[Block]:
        left = budget - stored_extra(study, store)
        chosen = stored_choices(study, store)
        blocks: list[Block] = []
        wanted = further_seeds(study_costs(store, question))
        for optimizer in study.optimizers:
            if optimizer.key in wanted:
                each = wanted[optimizer.key]
                made = _new_seeds(chosen, optimizer, store, workers, left, each.cells, each.seeds)
                left -= sum(block.lanes for block in made)
                blocks += made
        return blocks

    return further


DECISIONS: Mapping[str, Callable[[Study, int], Callable[[Store, int], Sequence[Block]]]] = {
    "separability": until_decided,
    "cost": until_cost_decided,
}
"""What may be decided by further seeds; see each."""


def stored_extra(study: Study, store: Store) -> int:
    """Trials of seeds that the study does not ask for."""
    return sum(
        seed >= study.spec.seeds
        for optimizer in study.optimizers
        for _, seed in store.stored(study.name, optimizer.key)
    )


def _blocks_of(study: Study, optimizer: StudyOptimizer, store: Store, workers: int, left: int) -> list[Block]:
    (values,) = stored_landscapes(store, [f"{study.name}/{optimizer.key}"], extra=True).values()
    wanted = further_trials(values)
    if wanted is None:
        return []
    cells = np.flatnonzero(wanted.cells.transpose(*study.spec.space.names).values)
    return _new_seeds(study, optimizer, store, workers, left, cells, wanted.seeds)


def _new_seeds(
    study: Study,
    optimizer: StudyOptimizer,
    store: Store,
    workers: int,
    left: int,
    cells: NDArray[np.int64],
    seeds: int,
) -> list[Block]:
    """What is missing of `seeds` seeds in all of the flat cells, in at most `left` trials."""
    stored = store.stored(study.name, optimizer.key)
    blocks: list[Block] = []
    for seed in range(study.spec.seeds, seeds):
        missing = missing_cells(study, cells, seed, stored)
        left -= len(missing)
        if left < 0:  # a seed is of use only if it has all of the cells
            break
        blocks += cut(study, optimizer, workers, seed, missing)
    return blocks
