"""A training step and an evaluation of one trial, as pure functions that can be traced, vmapped and compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import grad_and_value, jvp

from study.optimizers.rule import Rule, State
from study.training.block import Recipe
from study.workloads.draws import SIGNS, Drawn, Draws, Site, generator, given, seeded
from study.workloads.workload import Batch, Carry, Params, Phase, Workload, turns_of


class Trial(NamedTuple):
    """Everything a step changes, of one trial, or with a leading lane axis of many."""

    params: Params
    carry: Carry
    states: tuple[State, ...]  # one an optimizer: a phase's, or that of phases that train the same
    hyperparameters: dict[str, Tensor]  # 0-d float64
    diverged_at: Tensor  # 0-d int64, -1: not yet
    loss_sum: Tensor  # 0-d, since the last curve point, all phases


class Shared(NamedTuple):
    """What all trials of a step have in common."""

    step: Tensor  # 0-d float64, from 1
    batch: Batch
    drawn: Drawn  # the step's random numbers, phase by phase
    signs: Params  # random signs like the parameters for a second-order rule, else empty
    rate: Tensor  # 0-d float64, the schedule's multiplier


def step_function(workload: Workload, rule: Rule, recipe: Recipe) -> Callable[[Trial, Shared], Trial]:
    """One training step of a trial: its phases, one after another.

    The step returns new tensors: torch 2.13's C++ backend miscompiles some programs that write in place
    (pytorch#196570).
    """
    move = update_function(rule, recipe)

    def step(trial: Trial, shared: Shared) -> Trial:
        params, carry, states = trial.params, trial.carry, list(trial.states)
        diverged_at, loss_sum = trial.diverged_at, trial.loss_sum
        turns = turns_of(workload, params)
        for phase, turn, drawn in zip(workload.phases, turns, shared.drawn, strict=True):
            old, rest = parts(params, phase)
            grads, loss, new_carry, hessian = differentiate(
                phase, rule, old, rest, carry, shared, given(drawn)
            )
            state, count = states[turn.optimizer], turn.count(shared.step)
            new, state = move(grads, state, old, trial.hyperparameters, count, shared.rate, hessian)
            new = phase.project(new) if phase.project else new
            params, carry = in_order({**rest, **new}, params), in_order(new_carry, carry)
            states[turn.optimizer] = state
            stops = ~loss.isfinite() & (diverged_at < 0)
            diverged_at = torch.where(stops, shared.step.long(), diverged_at)
            loss_sum = loss_sum + loss
        return trial._replace(
            params=params, carry=carry, states=tuple(states), diverged_at=diverged_at, loss_sum=loss_sum
        )

    return step


def update_function(rule: Rule, recipe: Recipe) -> Callable[..., tuple[Params, State]]:
    """From gradients to new parameters and optimizer state, keys in the order in which they came.

    `move(grads, state, params, hyperparameters, step, rate, hessian)`: gradients are clipped, weights decay, then the
    rule updates; `rate` multiplies the learning rate.
    """
    options = rule.settings(dict(recipe.options))[1]

    def move(
        grads: Params,
        state: State,
        params: Params,
        hyperparameters: Params,
        step: Tensor,
        rate: Tensor,
        hessian: Params,
    ) -> tuple[Params, State]:
        base_lr = hyperparameters["lr"]
        hyperparameters = {**hyperparameters, "lr": base_lr * rate, "base_lr": base_lr}
        grads, decayed = regularise(grads, params, hyperparameters["lr"], rate, recipe)
        more = (hessian,) if rule.second_order else ()
        new_params, new_state = rule.update(grads, state, decayed, hyperparameters, step, options, *more)
        return in_order(new_params, params), in_order(new_state, state)

    return move


def trained_by_each(workload: Workload, params: Params) -> list[Params]:
    """The parameters that each optimizer of a workload trains: phases that train the same ones have one."""
    turns = turns_of(workload, params)
    return [
        parts(params, phase)[0] for phase, turn in zip(workload.phases, turns, strict=True) if turn.place == 0
    ]


def parts(params: Params, phase: Phase) -> tuple[Params, Params]:
    """The parameters that a phase trains, and the others."""
    trained = {name: w for name, w in params.items() if phase.trains(name)}
    return trained, {name: w for name, w in params.items() if name not in trained}


def differentiate(
    phase: Phase, rule: Rule, trained: Params, rest: Params, carry: Carry, shared: Shared, draws: Draws
) -> tuple[Params, Tensor, Carry, Params]:
    """Gradients, loss, the next carry, and Hz·z for a second-order rule."""

    def loss_of(at: Params) -> tuple[Tensor, Carry]:
        return phase.loss({**rest, **at}, carry, shared.batch, draws)

    def gradient(at: Params) -> tuple[tuple[Params, Tensor], Carry]:
        grads, (loss, after) = grad_and_value(loss_of, has_aux=True)(at)
        return (grads, loss), after

    if not rule.second_order:
        (grads, loss), after = gradient(trained)
        return grads, loss, after, {}
    signs = {name: shared.signs[name] for name in trained}
    result: Any = jvp(gradient, (trained,), (signs,), has_aux=True)
    (grads, loss), (products, _), after = result
    return grads, loss, after, {name: products[name] * sign for name, sign in signs.items()}


def regularise(
    grads: Params, params: Params, lr: Tensor, rate: Tensor, recipe: Recipe
) -> tuple[Params, Params]:
    """Gradients clipped, then with L2 decay; parameters with decoupled decay."""
    decay = recipe.weight_decay
    if recipe.clip_norm is not None:
        norm = torch.stack([g.square().sum() for g in grads.values()]).sum().sqrt()
        scale = torch.clamp(recipe.clip_norm / (norm + 1e-6), max=1)
        grads = {name: g * scale for name, g in grads.items()}
    if decay.value and decay.kind == "L2":
        grads = {name: g + decay.value * params[name] for name, g in grads.items()}
    elif decay.value:
        by = lr if decay.reference_lr is None else rate * decay.reference_lr
        params = {name: w * (1 - by * decay.value).to(w.dtype) for name, w in params.items()}
    return grads, params


def in_order(new: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """`new` with its keys, and those of dicts in it, in the order of `old`: programs know tensors by their places."""
    if new.keys() != old.keys():
        raise ValueError(f"a step returns {', '.join(new)} where there were {', '.join(old)}")
    return {
        key: in_order(new[key], value) if isinstance(value, dict) else new[key] for key, value in old.items()
    }


def sites_of(workload: Workload) -> list[list[Site]]:
    """What each phase of a step asks for in random numbers, found by taking a step of seed 0 without an update."""
    params, carry = workload.init(0)
    batch, sites = next(workload.batches(0)), []
    with torch.no_grad():
        for phase in workload.phases:
            draws = seeded(0, 1)
            _, carry = phase.loss(params, carry, batch, draws)
            sites.append(draws.sites)
    return sites


def random_signs(seed: int, params: Params) -> Iterator[Params]:
    """Rademacher signs like `params`, new ones each time; the same for every block of a seed."""
    source = generator(seed, SIGNS)
    while True:
        yield {
            name: (2 * torch.randint(2, w.shape, generator=source) - 1).to(w.device, w.dtype)
            for name, w in params.items()
        }
