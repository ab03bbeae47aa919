"""What is missing in the store, as blocks to train. It is computed from the store alone, so a run may be killed."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_spaces import SearchSpace
from storage.errors import MissingDatabaseError, StoreError
from storage.records import cell_key
from storage.store import Store, open_store
from study.running.choices import stored_choices, with_untimed
from study.training.block import Block
from study.training.resolve import Study, StudyOptimizer
from study.workloads.measure import flops_per_step

MOST_TURNS = 6
"""Of the programs of a block: more would save little more."""
BLOCKS_A_WORKER = 5
"""Fewer blocks of an optimizer than these may leave a worker idle for long in the end."""
MOST_FLOPS = 2e12
"""Work of a block of several programs: about a minute of a core, which is what is lost when a worker dies."""


@dataclass(frozen=True)
class Plan:
    """What is left to train, and how many trials are stored already."""

    blocks: tuple[Block, ...]
    stored: int

    @property
    def trials(self) -> int:
        return sum(block.lanes for block in self.blocks)


def plan(study: Study, store: Store | None, workers: int) -> Plan:
    """The blocks that a study still needs; all of them when `store`, which has the study declared, is None."""
    study = with_untimed(study)
    every_cell = np.arange(study.spec.space.size)
    declared = store.recipes(study.name) if store else {}
    blocks: list[Block] = []
    for optimizer in study.optimizers:
        known = store.stored(study.name, optimizer.key) if store and optimizer.key in declared else set()
        for seed in range(study.spec.seeds):
            blocks += cut(study, optimizer, workers, seed, missing_cells(study, every_cell, seed, known))
    return Plan(tuple(blocks), study.spec.trials - sum(b.lanes for b in blocks))


def missing_cells(
    study: Study, cells: NDArray[np.int64], seed: int, stored: Container[tuple[str, int]]
) -> NDArray[np.int64]:
    """Those of the given cells (flat indices) that are not stored with a seed."""
    names, values = study.spec.space.names, study.spec.space.cells()[cells].tolist()
    keys = [cell_key(dict(zip(names, row, strict=True))) for row in values]
    missing: NDArray[np.int64] = cells[np.array([(key, seed) not in stored for key in keys], dtype=bool)]
    return missing


def cut(
    study: Study, optimizer: StudyOptimizer, workers: int, seed: int, cells: NDArray[np.int64]
) -> Iterator[Block]:
    """Cells (flat indices) of one seed as blocks."""
    values = study.spec.space.cells()
    lanes = lanes_per_program(study, optimizer, workers)
    apiece = math.ceil(len(cells) / lanes / workers)  # so that those of one seed are shared, too
    together = lanes * max(1, min(turns_per_block(study, optimizer, workers, lanes), apiece))
    for start in range(0, len(cells), together):
        yield make_block(study, optimizer, seed, values[cells[start : start + together]], lanes)


def lanes_per_program(study: Study, optimizer: StudyOptimizer, workers: int) -> int:
    """Trials that are trained together: as many as were chosen, fewer when a small study would leave workers idle.

    It depends on the whole study, not on what is left, so that a resumed study finds its programs compiled.
    """
    spec = study.spec
    if spec.lanes:
        return min(spec.lanes, spec.space.size)
    share = math.ceil(spec.trials / workers)
    blocks_per_seed = math.ceil(spec.space.size / min(study.choices[optimizer.key].lanes, share))
    return math.ceil(spec.space.size / blocks_per_seed)


def turns_per_block(study: Study, optimizer: StudyOptimizer, workers: int, lanes: int) -> int:
    """How many programs of a fused block take turns: several, so that those of diverged trials are saved.

    One where a block would take long, a worker would get few, or the study file says how many lanes.
    """
    if study.spec.lanes or study.choices[optimizer.key].method != "fused":
        return 1
    programs = math.ceil(study.spec.space.size / lanes) * study.spec.seeds
    most = min(MOST_TURNS, programs // (BLOCKS_A_WORKER * workers))
    if most <= 1:
        return 1
    work = flops_per_step(study.trained) * study.training.steps * lanes
    return max(1, min(most, int(MOST_FLOPS // max(work, 1))))


def make_block(
    study: Study, optimizer: StudyOptimizer, seed: int, cells: NDArray[np.float64], width: int
) -> Block:
    """A block of the given cells (B, d)."""
    axes = {axis: cells[:, i] for i, axis in enumerate(study.spec.space.names)}
    return Block(study.recipe(optimizer), seed, optimizer.hyperparameters(axes), axes, width, optimizer.key)


def check_integers(study: Study, stored: SearchSpace) -> None:
    """Raise StoreError when an axis of a black box that has trials is not one of integers any longer, or is now.

    They are given as integers where every value of the axis is whole, and else as floats.
    """
    for axis in study.spec.space.axes:
        before = next((each for each in stored.axes if each.name == axis.name), axis)
        if before.is_whole != axis.is_whole:
            kinds = ("integers", "floats")
            then, now = kinds if before.is_whole else kinds[::-1]
            raise StoreError(
                f"{study.name} has trials that were given {axis.name} as {then}, and all would be {now} with these: "
                "keep its values whole or not whole as they were, or give the study another name"
            )


def stored_plan(study: Study, storage: str, workers: int) -> Plan | None:
    """What an existing database leaves to train; None when it does not have the study yet. Writes nothing.

    Raises StoreError when it cannot be read, or has trials of an optimizer by another recipe, or of an axis of
    integers where it is one of floats now.
    """
    try:
        with open_store(storage, create=False) as store:
            if not store.recipes(study.name):
                return None
            study = stored_choices(study, store)
            store.check(study.name, study.identities())
            if study.is_black_box and store.has_trials(study.name):
                check_integers(study, store.space(study.name))
            return plan(study, store, workers)
    except MissingDatabaseError:
        return None
