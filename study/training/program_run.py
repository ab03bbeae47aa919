"""Trials with an optimizer's rule, trained by programs: many lanes together, or one alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import _pytree as pytree

from study.optimizers.rule import Rule, State
from study.spec.schedules import CONSTANT
from study.training.block import Block
from study.training.forms import FastForms
from study.training.loop import DTYPES, Step, take
from study.training.named import optimizer_named, workload_named
from study.training.program import Program, Programs
from study.training.step import Shared, Trial, random_signs, sites_of, step_function, trained_by_each
from study.workloads.draws import Drawn, Site
from study.workloads.workload import Batch, Carry, Params, metrics_of


class ProgramRun:
    """Trials trained by programs: `width` lanes together, or without a lane axis the lane `lane` alone."""

    stopped = False

    def __init__(
        self, block: Block, width: int, device: torch.device, programs: Programs, lane: int | None = None
    ) -> None:
        recipe = block.recipe
        self.workload, rule = workload_named(recipe.workload, recipe.settings), rule_of(recipe.optimizer)
        self._programs, self._device, self._recipe, self._rule = programs, device, recipe, rule
        # the schedule and the number of steps are no part of a program
        self._key = replace(recipe, schedule=CONSTANT, steps=0)
        self._width = width if lane is None else None
        self.sites: Sequence[Sequence[Site]] = programs.once(
            ("sites", *recipe.data), lambda: sites_of(self.workload)
        )
        trial = self._start(block, width, lane)
        self._state: Sequence[Tensor] = ()
        self._shape = pytree.tree_structure(trial)
        self.trial = trial
        params = trial.params if lane is not None else {k: w[0] for k, w in trial.params.items()}
        self._signs = random_signs(block.seed, params) if rule.second_order else itertools.repeat({})
        self._run: Program | None = None

    @property
    def trial(self) -> Trial:
        """The trial as it is now; steps pass its tensors on without nesting them, which takes as long as a kernel."""
        return cast(Trial, pytree.tree_unflatten(self._state, self._shape))

    @trial.setter
    def trial(self, trial: Trial) -> None:
        self._state = pytree.tree_leaves(trial)

    @property
    def tensors(self) -> Sequence[Tensor]:
        """All that the trial consists of, in an order of its own; each has the lane axis, if there is one."""
        return self._state

    @tensors.setter
    def tensors(self, tensors: Sequence[Tensor]) -> None:
        self._state = tensors

    def step(self, number: int, batch: Batch, drawn: Drawn, rate: float) -> None:
        count, factor = (
            torch.tensor(value, dtype=torch.float64, device=self._device) for value in (number, rate)
        )
        shared = Shared(count, batch, drawn, next(self._signs), factor)
        if self._run is None:
            function = step_function(self.workload, self._rule, self._recipe)
            self._run = self._program(
                ("step", self._width, self._key), function, (0, None), self.trial, shared
            )
        self._state = self._run.flat(*self._state, *pytree.tree_leaves(shared))

    def advance(self, steps: Sequence[Step]) -> None:
        take(self, steps)

    def losses(self) -> Tensor:
        trial = self.trial
        total = trial.loss_sum
        self.trial = trial._replace(loss_sum=torch.zeros_like(total))
        return total.reshape(-1)

    def diverged_at(self) -> Tensor:
        return self.trial.diverged_at.reshape(-1).clone()

    def evaluate(self, batches: Sequence[Batch]) -> dict[str, Tensor]:
        totals: dict[str, Tensor] = {}
        items = 0
        trial = self.trial
        for batch in batches:
            counted: list[int] = []

            def evaluate(
                params: Params, carry: Carry, batch: Batch, counted: list[int] = counted
            ) -> dict[str, Tensor]:
                sums, count = self.workload.evaluate(params, carry, batch)
                counted.append(count)
                return sums

            given = (trial.params, trial.carry, batch)
            shapes = tuple(tuple(part.shape) for part in batch)
            key = ("evaluate", self._width, *self._recipe.data, self._recipe.compile, shapes)
            sums = self._evaluation(key, evaluate, *given)
            for name, total in sums.items():
                totals[name] = totals.get(name, 0.0) + total.double()
            items += self._programs.once(("count", *key), counted.pop)  # a kept program calls nobody
        if self._width is None:
            return stacked([metrics_of(self.workload, totals, items)])
        return stacked(
            [
                metrics_of(self.workload, {name: total[lane] for name, total in totals.items()}, items)
                for lane in range(self._width)
            ]
        )

    def leave_out(self, diverged: NDArray[np.bool_]) -> None:
        del diverged

    def state(self) -> dict[str, Any]:
        return {"tensors": pytree.tree_leaves(self.trial)}

    def restore(self, state: Mapping[str, Any], steps: int) -> None:
        self.trial = pytree.tree_unflatten(state["tensors"], self._shape)
        for _ in range(steps):
            next(self._signs)

    def finite(self) -> Tensor:
        weights = self.trial.params.values()
        lanes = self._width or 1
        return torch.stack([weight.isfinite().view(lanes, -1).all(1) for weight in weights]).all(0)

    def _evaluation(
        self, key: tuple[object, ...], function: Callable[..., dict[str, Tensor]], *given: Any
    ) -> dict[str, Tensor]:
        """The sums that `function` gives for a batch."""
        sums: dict[str, Tensor] = self._program(key, function, (0, 0, None), *given)(*given)
        return sums

    def _program(
        self, key: tuple[object, ...], function: Callable[..., Any], in_dims: tuple[Any, ...], *example: Any
    ) -> Program:
        function = formed(function) if self._width is None else fused(function, in_dims)
        return self._programs.get(key, function, *example, compile=self._recipe.compile)

    def _start(self, block: Block, width: int, lane: int | None) -> Trial:
        dtype, options = DTYPES[block.recipe.dtype], dict(block.recipe.options)
        values = fill(self._rule, block.hyperparameters, block.lanes, width)
        if lane is not None:
            values = {name: each[lane] for name, each in values.items()}
        params, carry = (
            {
                name: value.to(self._device, dtype if value.is_floating_point() else value.dtype)
                for name, value in part.items()
            }
            for part in self.workload.init(block.seed)
        )
        settings = self._rule.settings(options)[1]
        states: list[State] = [
            self._rule.init(trained, settings) for trained in trained_by_each(self.workload, params)
        ]
        started = Trial(
            params=params,
            carry=carry,
            states=tuple(states),
            hyperparameters={},
            diverged_at=torch.tensor(-1, device=self._device),
            loss_sum=torch.zeros((), dtype=dtype, device=self._device),
        )
        spread = (width,) if lane is None else ()
        lanes = pytree.tree_map(lambda t: t.to(self._device).expand((*spread, *t.shape)).clone(), started)
        numbers = {name: torch.as_tensor(each).to(self._device) for name, each in values.items()}
        return Trial(*lanes)._replace(hyperparameters=numbers)


def stacked(metrics: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Metrics (B,) of B trials."""
    return {name: torch.stack([each[name] for each in metrics]) for name in metrics[0]}


def fused(function: Callable[..., Any], in_dims: tuple[Any, ...]) -> Callable[..., Any]:
    """What a function of one trial is for all lanes, its layers in their fast formulations."""
    lanes = vmap(function, in_dims=in_dims, randomness="same")

    def run(*given: Any) -> Any:
        with FastForms(), sdpa_kernel(SDPBackend.MATH):  # the others take no lane axis
            return lanes(*given)

    return run


def formed(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of one trial with its layers in their fast formulations."""

    def run(*given: Any) -> Any:
        with FastForms(lanes=False):
            return function(*given)

    return run


def fill(
    rule: Rule, given: Mapping[str, NDArray[np.float64]], lanes: int, width: int
) -> dict[str, NDArray[np.float64]]:
    """All hyperparameters of a rule (width,): those given (lanes,), checked, defaults, the last lane repeated."""
    checked = {
        name: np.array([rule.hyperparameters[name].check(name, value) for value in values.tolist()])
        for name, values in given.items()
    }
    return {
        name: np.pad(
            np.broadcast_to(np.asarray(values, dtype=np.float64), lanes), (0, width - lanes), mode="edge"
        )
        for name, values in rule.fill(checked).items()
    }


def rule_of(optimizer: str) -> Rule:
    """The rule of an optimizer's name. Raises ValueError when it is none."""
    kind = optimizer_named(optimizer)
    if not isinstance(kind, Rule):
        raise ValueError(f"{optimizer} is no rule: it trains one by one")
    return kind
