"""Delayed Adam (Savarese, McAllester, Babu & Maire, 2021). https://arxiv.org/abs/1912.01823, sections 6 and 8

    m = beta1 m + (1 - beta1) g
    w -= lr · m / (1 - beta1^t) / (sqrt(v / (1 - beta2^(t-1))) + eps)     with v of the step before
    v = beta2 v + (1 - beta2) g^2

The rates do not depend on the newest gradient, which is what makes Adam diverge on their Equation (11). That problem
is run without `bias_correction`. Weight decay is L2.

Differs from the paper: the first step moves nothing. v is 0 there, and lr / eps would throw the weights far away.
"""

from __future__ import annotations

import torch
from torch import Tensor

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
    each_tensor,
    pick,
)
from study.optimizers.torch_rule import bias_correction, optimizer_class, zeros

ARGUMENTS: Arguments = {
    "lr": Hyperparameter(1e-3, "Adam"),
    "beta1": beta(0.9, "Adam"),
    "beta2": beta(0.999, "Adam"),
    "eps": divisor(1e-8, "section 8"),
    "weight_decay": Hyperparameter(0.0, "Adam"),
    "bias_correction": Option(True, "Adam", FLAG),
}


def init(params: Tensors, options: Options) -> State:
    del options
    return zeros(params, "m", "v")


def update(
    grads: Tensors, state: State, params: Tensors, hyperparameters: Tensors, step: Tensor, options: Options
) -> tuple[Tensors, State]:
    lr, beta1, beta2, eps, decay = pick(hyperparameters, "lr beta1 beta2 eps weight_decay")
    step_size, v_scale = lr, torch.ones_like(lr)
    if options["bias_correction"]:
        step_size = lr / bias_correction(beta1, step)
        v_scale = bias_correction(beta2, torch.clamp(step - 1, min=1)).rsqrt()
    step_size = step_size * (step > 1)

    def one(w: Tensor, g: Tensor, m: Tensor, v: Tensor) -> tuple[Tensor, Tensors]:
        g = g + decay * w
        m = beta1 * m + (1 - beta1) * g
        change = step_size * m / (v.sqrt() * v_scale + eps)
        v = beta2 * v + (1 - beta2) * g * g
        return w - change, {"m": m, "v": v}

    return each_tensor(one, params, grads, state)


RULE = Rule(init, update, ARGUMENTS)
DelayedAdam = optimizer_class("DelayedAdam", RULE, __doc__, __name__)
