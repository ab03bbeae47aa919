"""Training one trial after another: rules as programs without a lane axis, torch's optimizers as users write it."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils import _pytree as pytree

from study.black_boxes import Label
from study.training.block import Block, Outcome
from study.training.checkpoints import Checkpoints
from study.training.loop import DTYPES, Run, Step, follow, take
from study.training.named import optimizer_named, workload_named
from study.training.program import Program, Programs
from study.training.program_run import ProgramRun, formed, stacked
from study.training.resolve import Study, StudyOptimizer
from study.training.step import Trial, in_order, parts, sites_of, trained_by_each, update_function
from study.training.torch_class import AnyKind, TorchClass
from study.workloads.draws import Drawn, Site
from study.workloads.draws import given as draws_of
from study.workloads.workload import Batch, Carry, Params, Phase, metrics_of, turns_of

LANES = 8


class OneByOne:
    """Trains the lanes of a block one after another."""

    def __init__(self, device: torch.device, programs: Programs, checkpoints: Checkpoints) -> None:
        self.device = device
        self.programs = programs
        self.checkpoints = checkpoints

    @staticmethod
    def takes(kind: AnyKind) -> bool:
        """Whether it can train with an optimizer."""
        return not isinstance(kind, Label)

    @staticmethod
    def most_lanes(study: Study, optimizer: StudyOptimizer) -> int:
        """Trials of a block: few, so that all workers stay busy and results come early."""
        del study, optimizer
        return LANES

    @torch.no_grad()
    def train(self, block: Block) -> Outcome:
        """Train every lane of `block`. Raises what the optimizer's class raises when it refuses an argument."""
        lanes = [alone(block, lane) for lane in range(block.lanes)]
        outcomes = [
            follow(
                functools.partial(run_of, one, self.device, self.programs),
                one,
                self.device,
                self.programs,
                self.checkpoints.of(one),
            )
            for one in lanes
        ]
        for one in lanes:  # not before: after a kill those that had ended go on from near their ends
            self.checkpoints.of(one).forget()
        return together(outcomes)


def alone(block: Block, lane: int) -> Block:
    """One trial of a block, by itself."""
    return replace(block.part(slice(lane, lane + 1)), width=0)


def run_of(one: Block, device: torch.device, programs: Programs) -> Run:
    """The training of the only trial of a block."""
    kind = optimizer_named(one.recipe.optimizer)
    if isinstance(kind, TorchClass):
        return TorchRun(one, kind, device, programs)
    if one.recipe.compile or kind.second_order:
        return ProgramRun(one, 1, device, programs, lane=0)
    return RuleRun(one, 1, device, programs, lane=0)


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcomes of a block's lanes as the block's."""
    return Outcome(
        {name: np.concatenate([each.metrics[name] for each in outcomes]) for name in outcomes[0].metrics},
        outcomes[0].curve_steps,
        np.concatenate([each.curve for each in outcomes]),
        np.concatenate([each.diverged_at for each in outcomes]),
        np.concatenate([each.seconds for each in outcomes]),
    )


class RuleRun(ProgramRun):
    """One trial whose gradients and metrics are torch's own, neither traced nor compiled; the update is a program.

    Tracing takes some kernels apart, such as oneDNN's recurrent layers, which are then slower, also compiled.
    """

    def __init__(
        self, block: Block, width: int, device: torch.device, programs: Programs, lane: int | None = None
    ) -> None:
        super().__init__(block, width, device, programs, lane)
        turns = turns_of(self.workload, self.trial.params)
        self._phases = [
            (phase, gradient_function(phase), turn)
            for phase, turn in zip(self.workload.phases, turns, strict=True)
        ]
        self._updates: dict[int, Program] = {}

    @property
    def trial(self) -> Trial:
        states = [
            pytree.tree_unflatten(numbers, shape)
            for numbers, shape in zip(self._numbers, self._shapes, strict=True)
        ]
        return self._trial._replace(states=tuple(states))

    @trial.setter
    def trial(self, trial: Trial) -> None:
        flat = [pytree.tree_flatten(state) for state in trial.states]
        self._numbers, self._shapes = [numbers for numbers, _ in flat], [shape for _, shape in flat]
        self._trial = trial._replace(states=())

    def step(self, number: int, batch: Batch, drawn: Drawn, rate: float) -> None:
        trial = self._trial
        params, carry, total = trial.params, trial.carry, trial.loss_sum
        count, factor = (torch.tensor(value, dtype=torch.float64) for value in (number, rate))
        for index, (phase, gradients, turn) in enumerate(self._phases):
            old, rest = parts(params, phase)
            grads, loss, after = gradients(old, rest, carry, batch, drawn[index])
            carry = in_order(after, carry)
            if index not in self._updates:
                state = self.trial.states[turn.optimizer]
                given: tuple[Any, ...] = (
                    grads,
                    state,
                    old,
                    trial.hyperparameters,
                    turn.count(count),
                    factor,
                    {},
                )
                move = update_function(self._rule, self._recipe)
                self._updates[index] = self._programs.get(("update", index, self._key), move, *given)
            # flat, in the order of what the program was made of: nesting takes as long as the update
            moved = self._updates[index].flat(
                *grads.values(),
                *self._numbers[turn.optimizer],
                *old.values(),
                *trial.hyperparameters.values(),
                turn.count(count),
                factor,
            )
            new = dict(zip(old, moved, strict=False))
            self._numbers[turn.optimizer] = list(moved[len(old) :])
            params = {**params, **(phase.project(new) if phase.project else new)}
            total = total + loss
            if not loss.isfinite() and trial.diverged_at < 0:
                trial = trial._replace(diverged_at=torch.tensor(number))
                self.stopped = True
        self._trial = trial._replace(params=params, carry=carry, loss_sum=total)

    def _evaluation(
        self, key: tuple[object, ...], function: Callable[..., dict[str, Tensor]], *given: Any
    ) -> dict[str, Tensor]:
        del key
        return function(*given)


class TorchRun:
    """One trial trained by a `torch.optim.Optimizer`: its gradients are a program where that works."""

    def __init__(self, block: Block, kind: TorchClass, device: torch.device, programs: Programs) -> None:
        recipe = block.recipe
        self.workload = workload_named(recipe.workload, recipe.settings)
        self.sites: Sequence[Sequence[Site]] = programs.once(
            ("sites", *recipe.data), lambda: sites_of(self.workload)
        )
        self.stopped = False
        self._recipe, self._programs = recipe, programs
        dtype = DTYPES[recipe.dtype]
        self.params, self.carry = (
            {
                name: value.to(device, dtype if value.is_floating_point() else value.dtype, copy=True)
                for name, value in part.items()
            }
            for part in self.workload.init(block.seed)
        )
        values = {name: float(each[0]) for name, each in block.hyperparameters.items()}
        self._turns = turns_of(self.workload, self.params)
        self._optimizers = [
            kind.make(list(trained.values()), dict(recipe.options), values)
            for trained in trained_by_each(self.workload, self.params)
        ]
        self._needs_closure = needs_closure(kind.cls)
        self._rate = 1.0  # what the learning rates are multiplied with now
        self._losses: list[float] = []
        self._diverged_at = -1

    def step(self, number: int, batch: Batch, drawn: Drawn, rate: float) -> None:
        if rate != self._rate:  # else they are the optimizer's own business: some change them
            for optimizer in self._optimizers:
                for group in optimizer.param_groups:
                    group["lr"] *= rate / self._rate if self._rate else 0.0
            self._rate = rate
        total = 0.0
        for index, turn in enumerate(self._turns):
            optimizer = self._optimizers[turn.optimizer]
            gradients = functools.partial(self._gradients, index, batch, drawn[index])
            loss, carry = gradients()
            self._decay(optimizer, rate)
            if self._needs_closure:
                optimizer.step(functools.partial(loss_alone, gradients))
            else:
                optimizer.step()
            self._project(index)
            self.carry, total = carry, total + loss
            if not math.isfinite(loss):
                self._diverged_at, self.stopped = number, True
                break
        self._losses.append(total)

    def advance(self, steps: Sequence[Step]) -> None:
        take(self, steps)

    def losses(self) -> Tensor:
        total, self._losses = math.fsum(self._losses) if not self.stopped else math.nan, []
        return torch.tensor([total], dtype=torch.float64)

    def diverged_at(self) -> Tensor:
        return torch.tensor([self._diverged_at])

    def evaluate(self, batches: Sequence[Batch]) -> dict[str, Tensor]:
        self._switch("eval")
        totals: dict[str, Tensor] = {}
        items = 0
        for batch in batches:
            sums, count = self.workload.evaluate(self.params, self.carry, batch)
            for name, value in sums.items():
                totals[name] = totals.get(name, 0.0) + value.double()
            items += count
        self._switch("train")
        return stacked([metrics_of(self.workload, totals, items)])

    def leave_out(self, diverged: NDArray[np.bool_]) -> None:
        del diverged

    def state(self) -> dict[str, Any]:
        return {
            "params": self.params,
            "carry": self.carry,
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "own": [own_numbers(optimizer) for optimizer in self._optimizers],
            "rate": self._rate,
            "losses": self._losses,
        }

    def restore(self, state: Mapping[str, Any], steps: int) -> None:
        del steps
        for name, weight in state["params"].items():
            self.params[name].copy_(weight)
        self.carry, self._rate, self._losses = state["carry"], state["rate"], state["losses"]
        for optimizer, kept, own in zip(self._optimizers, state["optimizers"], state["own"], strict=True):
            optimizer.load_state_dict(kept)
            weights = [weight for group in optimizer.param_groups for weight in group["params"]]
            # torch gives a weight's state the weight's dtype, which may be another; some keep state under words
            for place, each in kept["state"].items():
                optimizer.state[weights[place] if isinstance(place, int) else place] = each
            vars(optimizer).update(own)

    def finite(self) -> Tensor:
        return torch.tensor([all(bool(weight.isfinite().all()) for weight in self.params.values())])

    def _gradients(self, index: int, batch: Batch, drawn: tuple[Tensor, ...]) -> tuple[float, Carry]:
        """Give a phase's weights their gradients, clipped, then with L2 decay; loss and next carry."""
        phase, recipe = self.workload.phases[index], self._recipe
        trained, rest = parts(self.params, phase)
        key = ("gradients", index, *recipe.data)
        given = (trained, rest, self.carry, batch, drawn)
        program = gradient_function(phase)
        if recipe.compile:
            program = self._programs.get(key, formed(program), *given)
        grads, loss, carry = program(*given)
        weights = list(trained.values())
        for name, weight in trained.items():
            weight.grad = grads[name]
        if recipe.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(weights, recipe.clip_norm)
        decay = recipe.weight_decay
        if decay.kind == "L2" and decay.value:
            for weight in weights:
                if weight.grad is not None:
                    weight.grad = weight.grad.add(weight, alpha=decay.value)
        return loss.item(), carry

    def _project(self, index: int) -> None:
        phase = self.workload.phases[index]
        if phase.project:
            for name, allowed in phase.project(parts(self.params, phase)[0]).items():
                self.params[name].copy_(allowed)

    def _decay(self, optimizer: torch.optim.Optimizer, rate: float) -> None:
        decay = self._recipe.weight_decay
        if decay.kind == "L2":
            return
        for group in optimizer.param_groups:
            lr = decay.reference_lr * rate if decay.reference_lr else group["lr"]
            for weight in group["params"]:
                weight.mul_(1 - lr * decay.value)

    def _switch(self, mode: str) -> None:
        """Schedule-free optimizers evaluate other weights than they train."""
        for optimizer in self._optimizers:
            switch = getattr(optimizer, mode, None)
            if callable(switch):
                switch()


def gradient_function(phase: Phase) -> Callable[..., tuple[Params, Tensor, Carry]]:
    """Gradients of a phase's weights, its loss and the next carry."""

    def gradients(
        trained: Params, rest: Params, carry: Carry, batch: Batch, drawn: tuple[Tensor, ...]
    ) -> tuple[Params, Tensor, Carry]:
        with torch.enable_grad():
            leaves = {name: w.detach().requires_grad_() for name, w in trained.items()}
            loss, after = phase.loss({**rest, **leaves}, carry, batch, draws_of(drawn))
            grads = torch.autograd.grad(loss, list(leaves.values()))
        return dict(zip(leaves, grads, strict=True)), loss.detach(), {k: v.detach() for k, v in after.items()}

    return gradients


def own_numbers(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What an optimizer remembers as its own attributes, beside its state dictionary, if it is a number."""
    return {name: value for name, value in vars(optimizer).items() if isinstance(value, int | float)}


def loss_alone(gradients: Callable[[], tuple[float, Carry]]) -> float:
    """What a closure of torch's optimizers gives: the loss, gradients being there."""
    return gradients()[0]


def needs_closure(cls: type[torch.optim.Optimizer]) -> bool:
    """Whether `step` insists on evaluating the loss itself, as L-BFGS does."""
    closure = inspect.signature(cls.step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty
