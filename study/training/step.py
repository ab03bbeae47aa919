"""A training step and an evaluation of many lanes, as functions that can be traced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import grad_and_value, jvp, vmap

from study.optimizers.rule import Rule, State
from study.training.block import Block, Recipe
from study.workloads import Batch, Params, Workload

SIGNS_STREAM = 2**40
"""Added to a trial's seed for the random signs of second-order optimizers, far from the workloads' own streams."""


class Lanes(NamedTuple):
    """Everything a step changes, each tensor with a leading lane axis, but for `step`."""

    params: Params
    state: State
    hyperparameters: dict[str, Tensor]
    step: Tensor  # 0-d float64, the number of the coming step, from 1
    diverged_at: Tensor  # (B,) int64, -1: not yet
    loss_sum: Tensor  # (B,) since the last curve point


def step_function(workload: Workload, rule: Rule, recipe: Recipe) -> Callable[..., Lanes]:
    """One training step of all lanes: `step(lanes, batch, signs, rate)`, `rate` the schedule's multiplier (0-d).

    `signs` are random signs like one lane's parameters for a second-order rule, empty otherwise. The step returns new
    tensors: torch 2.13's C++ backend miscompiles some programs that write in place (pytorch#196570).
    """
    options = rule.settings(dict(recipe.options))[1]
    decay = recipe.weight_decay

    def differentiate(params: Params, batch: Batch, signs: Params) -> tuple[Params, Tensor, Params]:
        def gradient(at: Params) -> tuple[Params, Tensor]:
            return grad_and_value(workload.loss)(at, batch)

        if not rule.second_order:
            grads, loss = gradient(params)
            return grads, loss, {}
        result: Any = jvp(gradient, (params,), (signs,))
        (grads, loss), (products, _) = result
        return grads, loss, {key: products[key] * sign for key, sign in signs.items()}

    def step(lanes: Lanes, batch: Batch, signs: Params, rate: Tensor) -> Lanes:
        params = lanes.params
        grads, loss, hessian = vmap(differentiate, in_dims=(0, None, None))(params, batch, signs)
        if recipe.clip_norm is not None:
            squares = [g.square().flatten(1).sum(1) for g in grads.values()]
            norm = torch.stack(squares).sum(0).sqrt()
            scale = torch.clamp(recipe.clip_norm / (norm + 1e-6), max=1)
            grads = {key: g * per_lane(scale, g) for key, g in grads.items()}
        base_lr = lanes.hyperparameters["lr"]
        hyperparameters = {**lanes.hyperparameters, "lr": base_lr * rate, "base_lr": base_lr}
        if decay.value and decay.kind == "L2":
            grads = {key: g + decay.value * params[key] for key, g in grads.items()}
        elif decay.value:
            lr = hyperparameters["lr"] if decay.reference_lr is None else rate * decay.reference_lr
            keep = (1 - lr * decay.value).to(loss.dtype).expand(loss.shape)
            params = {key: w * per_lane(keep, w) for key, w in params.items()}
        more = (hessian,) if rule.second_order else ()
        update = vmap(rule.update, in_dims=(0, 0, 0, 0, None, None, *(0 for _ in more)))
        new_params, state = update(grads, lanes.state, params, hyperparameters, lanes.step, options, *more)
        new_params, state = in_order(new_params, params), in_order(state, lanes.state)
        stops = ~loss.isfinite() & (lanes.diverged_at < 0)
        return lanes._replace(
            params=new_params,
            state=state,
            step=lanes.step + 1,
            diverged_at=torch.where(stops, lanes.step.long(), lanes.diverged_at),
            loss_sum=lanes.loss_sum + loss,
        )

    return step


def in_order(new: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """`new` with its keys, and those of dicts in it, in the order of `old`: programs know tensors by their places."""
    if new.keys() != old.keys():
        raise ValueError(f"the rule's update returns {', '.join(new)} where its init has {', '.join(old)}")
    return {
        key: in_order(new[key], value) if isinstance(value, dict) else new[key] for key, value in old.items()
    }


def per_lane(values: Tensor, like: Tensor) -> Tensor:
    """Values (B,) shaped to multiply a tensor (B, ...)."""
    return values.reshape(-1, *(1 for _ in like.shape[1:]))


def random_signs(block: Block, params: Params) -> Iterator[Params]:
    """Rademacher signs like one lane of `params`, new ones each time; the same for every block of a seed."""
    source = torch.Generator().manual_seed(SIGNS_STREAM + block.seed)
    while True:
        yield {
            key: (2 * torch.randint(2, w.shape[1:], generator=source) - 1).to(w.device, w.dtype)
            for key, w in params.items()
        }


def evaluate_function(workload: Workload) -> Callable[[Params, Batch], tuple[dict[str, Tensor], Tensor]]:
    """The workload's metrics of all lanes, and which lanes have only finite metrics and weights."""

    def evaluate(params: Params, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        metrics = vmap(workload.evaluate, in_dims=(0, None))(params, batch)
        finite = [value.isfinite() for value in metrics.values()]
        finite += [weight.isfinite().flatten(1).all(1) for weight in params.values()]
        return metrics, torch.stack(finite).all(0)

    return evaluate
