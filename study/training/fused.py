"""Fused training: a block of trials as one tensor program.

Parameters, optimizer state and hyperparameters carry a leading lane axis; `vmap(grad(loss))` gives every lane's
gradient and the vmapped rule every lane's update. The step is compiled once per recipe and number of lanes.
"""

from __future__ import annotations

import functools
import itertools
import time
from dataclasses import replace

import numpy as np
import torch
from torch.utils import _pytree as pytree

from study.optimizers.rule import Rule
from study.spec.schedules import CONSTANT
from study.training.block import DTYPES, Block, Outcome, Recipe, curve_steps
from study.training.named import Kind, optimizer_named, workload_named
from study.training.program import Programs
from study.training.resolve import Study, StudyOptimizer
from study.training.step import Lanes, evaluate_function, random_signs, step_function
from study.workloads import Batch, Workload

MIN_LANES = 2  # a lone lane may take another convolution or matrix routine, and so other bits
CACHE_BYTES = {"cpu": 8 * 2**20, "cuda": 2**30}
"""Working set of a block that still runs at full speed: a few times a core's own cache, or plenty for a GPU."""


class Fused:
    """Trains the lanes of a block together, filling it up to its own width or else to `lanes`."""

    def __init__(self, lanes: int, device: torch.device, programs: Programs) -> None:
        self.lanes = lanes
        self.device = device
        self._programs = programs

    @staticmethod
    def takes(kind: Kind) -> bool:
        """Whether it can train with an optimizer."""
        return isinstance(kind, Rule)

    @staticmethod
    def most_lanes(study: Study, optimizer: StudyOptimizer) -> int:
        """Lanes of a block that still runs at full speed: as many as fit the cache."""
        word = 2 if study.spec.dtype == "float64" else 1
        workload = study.workload
        state = 4 * rule_of(optimizer.name).state_size(workload.init(0), optimizer.options)
        return max(MIN_LANES, CACHE_BYTES[study.spec.device] // (word * (workload.bytes_per_lane + state)))

    @torch.no_grad()
    def train(self, block: Block) -> Outcome:
        """Train every lane of `block` for `block.recipe.steps` steps.

        Raises ValueError when the optimizer is no rule, the block has more lanes than the trainer, or a hyperparameter
        is not allowed.
        """
        recipe = block.recipe
        workload, rule = workload_named(recipe.workload), rule_of(recipe.optimizer)
        width = max(block.width or self.lanes, MIN_LANES)
        lanes = self._start(block, width, workload, rule)
        validation = self._cast(workload.validation(block.seed), recipe)
        batches = (self._cast(batch, recipe) for batch in workload.batches(block.seed))
        signs = random_signs(block, lanes.params) if rule.second_order else itertools.repeat({})
        drawn = zip(batches, signs, strict=False)  # both endless
        batch = next(drawn)
        rates = torch.from_numpy(recipe.schedule.multipliers(recipe.steps)).to(self.device)
        program = replace(recipe, schedule=CONSTANT, steps=0)  # these two are no part of the program
        step = self._programs.get(
            ("step", width, program), step_function(workload, rule, recipe), lanes, *batch, rates[0]
        )
        evaluate = self._programs.get(
            ("evaluate", width, recipe.workload, recipe.dtype),
            evaluate_function(workload),
            lanes.params,
            validation,
        )

        started = time.perf_counter()
        points = curve_steps(recipe.steps)
        curve = np.full((width, len(points)), workload.worst)
        done = 0
        for point, until in enumerate(points):
            lanes = lanes._replace(loss_sum=torch.zeros_like(lanes.loss_sum))
            for i in range(done, until):
                lanes = step(lanes, *batch, rates[i])
                batch = next(drawn)
            metrics, finite = evaluate(lanes.params, validation)
            metrics["train_loss"] = lanes.loss_sum / (until - done)
            lanes.diverged_at[~finite & (lanes.diverged_at < 0)] = until
            alive = (lanes.diverged_at < 0).cpu().numpy()
            curve[alive, point] = metrics[workload.metric].cpu().numpy()[alive]
            done = until
            if not alive.any():
                break
        seconds = time.perf_counter() - started

        diverged_at = lanes.diverged_at.cpu().numpy()[: block.lanes]
        # a diverged lane's other metrics would depend on how long the other lanes kept the block going
        kept = diverged_at < 0
        final = {
            key: np.where(kept, value.double().cpu().numpy()[: block.lanes], np.nan)
            for key, value in metrics.items()
        }
        final[workload.metric] = curve[: block.lanes, -1]
        return Outcome(final, points, curve[: block.lanes], diverged_at, seconds, self._programs.warning)

    def _start(self, block: Block, width: int, workload: Workload, rule: Rule) -> Lanes:
        if block.lanes > width:
            raise ValueError(f"the block has {block.lanes} lanes, this trainer takes at most {width}")
        dtype, options = DTYPES[block.recipe.dtype], dict(block.recipe.options)
        given = {
            name: np.array([rule.hyperparameters[name].check(name, value) for value in values.tolist()])
            for name, values in block.hyperparameters.items()
        }
        fill = (0, width - block.lanes)
        hyperparameters = {
            name: torch.from_numpy(np.pad(np.broadcast_to(values, block.lanes), fill, mode="edge")).to(
                self.device
            )
            for name, values in rule.fill(given).items()
        }
        params = {key: value.to(self.device, dtype) for key, value in workload.init(block.seed).items()}
        each_lane = functools.partial(
            pytree.tree_map, lambda t: t.to(self.device).expand(width, *t.shape).clone()
        )
        return Lanes(
            params=each_lane(params),
            state=each_lane(rule.init(params, rule.settings(options)[1])),
            hyperparameters=hyperparameters,
            step=torch.ones((), dtype=torch.float64, device=self.device),
            diverged_at=torch.full((width,), -1, device=self.device),
            loss_sum=torch.zeros(width, dtype=dtype, device=self.device),
        )

    def _cast(self, batch: Batch, recipe: Recipe) -> Batch:
        return tuple(part.to(self.device, DTYPES[recipe.dtype]) for part in batch)


def rule_of(optimizer: str) -> Rule:
    """The rule of an optimizer's name. Raises ValueError when it is none."""
    kind = optimizer_named(optimizer)
    if not isinstance(kind, Rule):
        raise ValueError(f"{optimizer} is no rule: it trains one by one")
    return kind
