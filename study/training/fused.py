"""Fused training: a block of trials as one tensor program.

Parameters, carry, optimizer state and hyperparameters have a leading lane axis, and `vmap` makes of the step of one
trial that of all. The step is compiled once per recipe and number of lanes.

A block may have several times as many trials as the program has lanes. They take turns, and where trials have diverged
the others are moved together as soon as fewer turns hold them: a lane's bits do not depend on its place.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from study.optimizers.rule import Rule
from study.training.block import Block, Outcome
from study.training.checkpoints import Checkpoints
from study.training.loop import Step, follow
from study.training.program import Programs
from study.training.program_run import ProgramRun, rule_of
from study.training.resolve import Study, StudyOptimizer
from study.training.step import trained_by_each
from study.training.torch_class import AnyKind
from study.workloads.measure import bytes_per_lane
from study.workloads.workload import Batch

MIN_LANES = 2  # a lone lane may take another convolution or matrix routine, and so other bits
CACHE_BYTES = {"cpu": 4 * 2**20, "cuda": 2**30}
"""Working set of a block that still runs at full speed: a few times a core's own cache, or plenty for a GPU."""


class Fused:
    """Trains the lanes of a block together, filling it up to its own width or else to `lanes`."""

    def __init__(
        self, lanes: int, device: torch.device, programs: Programs, checkpoints: Checkpoints
    ) -> None:
        self.lanes = lanes
        self.device = device
        self.programs = programs
        self.checkpoints = checkpoints

    @staticmethod
    def takes(kind: AnyKind) -> bool:
        """Whether it can train with an optimizer."""
        return isinstance(kind, Rule)

    @staticmethod
    def most_lanes(study: Study, optimizer: StudyOptimizer) -> int:
        """Lanes of a block that still runs at full speed: as many as fit the cache."""
        word = 2 if study.spec.dtype == "float64" else 1
        workload, rule = study.trained, rule_of(optimizer.name)
        trained = trained_by_each(workload, workload.init(0)[0])
        state = 4 * sum(rule.state_size(params, optimizer.options) for params in trained)
        return max(MIN_LANES, CACHE_BYTES[study.spec.device] // (word * (bytes_per_lane(workload) + state)))

    @torch.no_grad()
    def train(self, block: Block) -> Outcome:
        """Train every lane of `block` for `block.recipe.steps` steps.

        Raises ValueError when the optimizer is no rule, or a hyperparameter is not allowed.
        """
        width = max(block.width or self.lanes, MIN_LANES)
        make = functools.partial(Turns, block, width, self.device, self.programs)
        checkpoint = self.checkpoints.of(block)
        outcome = follow(make, block, self.device, self.programs, checkpoint)
        checkpoint.forget()
        return outcome


class Turns:
    """The trials of a block (B,) in one program of `width` lanes, as many turns a step as hold those still training."""

    stopped = False  # trials are looked at at curve points only

    def __init__(self, block: Block, width: int, device: torch.device, programs: Programs) -> None:
        self._runs = [
            ProgramRun(block.part(slice(start, start + width)), width, device, programs)
            for start in range(0, block.lanes, width)
        ]
        self.workload, self.sites = self._runs[0].workload, self._runs[0].sites
        self._width = width
        self._trials = np.arange(block.lanes)  # in the lanes of the runs, one after another
        self._diverged_at = torch.full((block.lanes,), -1, device=device)

    def advance(self, steps: Sequence[Step]) -> None:
        for run in self._runs:
            run.advance(steps)

    def losses(self) -> Tensor:
        return self._of_all([run.losses() for run in self._runs])

    def diverged_at(self) -> Tensor:
        found = torch.cat([run.diverged_at() for run in self._runs])
        self._diverged_at[self._trials] = found[: len(self._trials)]
        return self._diverged_at.clone()

    def evaluate(self, batches: Sequence[Batch]) -> dict[str, Tensor]:
        found = [run.evaluate(batches) for run in self._runs]
        return {name: self._of_all([each[name] for each in found]) for name in found[0]}

    def finite(self) -> Tensor:
        return self._of_all([run.finite() for run in self._runs])

    def leave_out(self, diverged: NDArray[np.bool_]) -> None:
        kept = np.flatnonzero(~diverged[self._trials])
        turns = -(-len(kept) // self._width)
        if not turns or turns == len(self._runs):
            return
        lanes = np.pad(kept, (0, turns * self._width - len(kept)), mode="edge").reshape(turns, self._width)
        moved = [moved_to(lanes, parts) for parts in zip(*(run.tensors for run in self._runs), strict=True)]
        del self._runs[turns:]
        for run, *tensors in zip(self._runs, *moved, strict=True):
            run.tensors = tensors
        self._trials = self._trials[kept]

    def state(self) -> dict[str, Any]:
        return {
            "runs": [run.state() for run in self._runs],
            "trials": torch.from_numpy(self._trials),
            "diverged_at": self._diverged_at,
        }

    def restore(self, state: Mapping[str, Any], steps: int) -> None:
        del self._runs[len(state["runs"]) :]
        for run, each in zip(self._runs, state["runs"], strict=True):
            run.restore(each, steps)
        self._trials, self._diverged_at = state["trials"].cpu().numpy(), state["diverged_at"]

    def _of_all(self, found: Sequence[Tensor]) -> Tensor:
        """Values (B,) from those of each run; NaN, or false, for trials that are left out."""
        values = torch.cat(list(found))[: len(self._trials)]
        empty = torch.nan if values.is_floating_point() else 0
        whole = values.new_full(self._diverged_at.shape, empty)
        whole[self._trials] = values
        return whole


def moved_to(lanes: NDArray[np.int64], parts: Sequence[Tensor]) -> list[Tensor]:
    """The lanes (T, W) of parts (W, ...), counted through all of them, as T parts.

    Their strides stay, for which programs are compiled.
    """
    whole = torch.cat(list(parts))
    return [
        torch.empty_like(old).copy_(whole[torch.as_tensor(chosen, device=whole.device)])
        for old, chosen in zip(parts, lanes, strict=False)
    ]
