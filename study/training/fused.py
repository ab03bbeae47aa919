"""Fused training: a block of trials as one tensor program.

Parameters, carry, optimizer state and hyperparameters have a leading lane axis, and `vmap` makes of the step of one
trial that of all. The step is compiled once per recipe and number of lanes.
"""

from __future__ import annotations

import torch

from study.optimizers.rule import Rule
from study.training.block import Block, Outcome
from study.training.loop import follow
from study.training.named import AnyKind
from study.training.program import Programs
from study.training.program_run import ProgramRun, rule_of
from study.training.resolve import Study, StudyOptimizer
from study.training.step import trained_by_each
from study.workloads.measure import bytes_per_lane

MIN_LANES = 2  # a lone lane may take another convolution or matrix routine, and so other bits
CACHE_BYTES = {"cpu": 4 * 2**20, "cuda": 2**30}
"""Working set of a block that still runs at full speed: a few times a core's own cache, or plenty for a GPU."""


class Fused:
    """Trains the lanes of a block together, filling it up to its own width or else to `lanes`."""

    def __init__(self, lanes: int, device: torch.device, programs: Programs) -> None:
        self.lanes = lanes
        self.device = device
        self.programs = programs

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

        Raises ValueError when the optimizer is no rule, the block has more lanes than the trainer, or a hyperparameter
        is not allowed.
        """
        width = max(block.width or self.lanes, MIN_LANES)
        if block.lanes > width:
            raise ValueError(f"the block has {block.lanes} lanes, this trainer takes at most {width}")
        run = ProgramRun(block, width, self.device, self.programs)
        return follow(run, block, self.device, self.programs)
