"""NosAdam (Huang, Wang & Dong, 2019). https://arxiv.org/abs/1805.07557, Algorithm 2

    B_t = sum_{k <= t} k^-gamma;   v = B_(t-1) / B_t · v + (1 - B_(t-1) / B_t) g^2
    m = beta1 m + (1 - beta1) g
    w -= lr · m / (1 - beta1^t) / (sqrt(v) + eps)

v needs no correction: at t = 1 it is g^2. beta2 has no effect; it is there because the authors' release takes `betas`.
With `lr_decay`, lr is divided by sqrt(t) as in the paper's analysis. Weight decay is L2.
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
    "lr": Hyperparameter(1e-3, "authors' release"),
    "beta1": beta(0.9, "authors' release"),
    "beta2": beta(0.999, "no effect"),
    "eps": divisor(1e-8, "authors' release"),
    "weight_decay": Hyperparameter(0.0, "authors' release"),
    "gamma": Hyperparameter(0.0, "authors' release; its script has 1e-4"),
    "lr_decay": Option(False, "authors' release", FLAG),
}


def init(params: Tensors, options: Options) -> State:
    del options
    return {**zeros(params, "m", "v"), "B": torch.zeros((), dtype=torch.float64)}


def update(
    grads: Tensors, state: State, params: Tensors, hyperparameters: Tensors, step: Tensor, options: Options
) -> tuple[Tensors, State]:
    lr, beta1, eps, decay, gamma = pick(hyperparameters, "lr beta1 eps weight_decay gamma")
    B = state["B"] + torch.exp(-gamma * torch.log(step))
    beta2 = state["B"] / B
    step_size = lr / bias_correction(beta1, step)
    if options["lr_decay"]:
        step_size = step_size * step.rsqrt()

    def one(w: Tensor, g: Tensor, m: Tensor, v: Tensor) -> tuple[Tensor, Tensors]:
        g = g + decay * w
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        return w - step_size * m / (v.sqrt() + eps), {"m": m, "v": v}

    new_params, new_state = each_tensor(one, params, grads, state)
    return new_params, {**new_state, "B": B}


RULE = Rule(init, update, ARGUMENTS, shared=("B",))
NosAdam = optimizer_class("NosAdam", RULE, __doc__, __name__)
