"""AdaL (Zhang et al., 2021). https://arxiv.org/abs/2107.01525, Algorithm 1

    g = ||g||_1 · g for each parameter's tensor, then Adam's step

With `lr_decay`, lr is divided by sqrt(t) as in Algorithm 1; the paper's experiments decay it in steps instead. Weight
decay is L2: it enters g before the norm is taken.

Differs from the paper: its (v^(-1/2) + eps) · m is infinite where the gradient has always been 0. We divide by
sqrt(v) + eps as Adam does.
"""

from __future__ import annotations

from torch import Tensor

from study.optimizers import adam
from study.optimizers.rule import (
    FLAG,
    Arguments,
    Hyperparameter,
    Option,
    Options,
    Rule,
    State,
    Tensors,
    beta,
    divisor,
    pick,
)
from study.optimizers.torch_rule import optimizer_class, without_decay

ARGUMENTS: Arguments = {
    "lr": Hyperparameter(1e-3, "Adam"),
    "beta1": beta(0.9, "Adam"),
    "beta2": beta(0.999, "Adam"),
    "eps": divisor(1e-8, "Adam"),
    "weight_decay": Hyperparameter(0.0, "Adam"),
    "lr_decay": Option(False, "section 3", FLAG),
}


def init(params: Tensors, options: Options) -> State:
    return adam.init(params, {**options, "amsgrad": False})


def update(
    grads: Tensors, state: State, params: Tensors, hyperparameters: Tensors, step: Tensor, options: Options
) -> tuple[Tensors, State]:
    lr, decay = pick(hyperparameters, "lr weight_decay")
    raw = {key: g + decay * params[key] for key, g in grads.items()}
    scaled = {key: g.abs().sum() * g for key, g in raw.items()}
    if options["lr_decay"]:
        hyperparameters = {**hyperparameters, "lr": lr * step.rsqrt()}
    return adam.update(scaled, state, params, without_decay(hyperparameters), step, options)


RULE = Rule(init, update, ARGUMENTS)
AdaL = optimizer_class("AdaL", RULE, __doc__, __name__)
