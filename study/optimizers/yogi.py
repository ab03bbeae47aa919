"""Yogi (Zaheer, Reddi, Sachan, Kale & Kumar, 2018). https://papers.nips.cc/paper/8186, Algorithm 2

    m = beta1 m + (1 - beta1) g;   v -= (1 - beta2) sign(v - g^2) g^2
    w -= lr · m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)

v starts at `initial_accumulator`. Weight decay is L2: it enters g.

Differs from the paper: both moments are bias-corrected, as the known implementations do.
"""

from __future__ import annotations

import torch
from torch import Tensor

from study.optimizers.rule import (
    Arguments,
    Hyperparameter,
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
    "lr": Hyperparameter(0.01, "section 5"),
    "beta1": beta(0.9, "section 5"),
    "beta2": beta(0.999, "section 5"),
    "eps": divisor(1e-3, "section 5"),
    "initial_accumulator": Hyperparameter(1e-6, "section 5"),
    "weight_decay": Hyperparameter(0.0, "Adam"),
}


def init(params: Tensors, options: Options) -> State:
    del options
    return zeros(params, "m", "v")


def update(
    grads: Tensors, state: State, params: Tensors, hyperparameters: Tensors, step: Tensor, options: Options
) -> tuple[Tensors, State]:
    del options
    lr, beta1, beta2, eps, decay = pick(hyperparameters, "lr beta1 beta2 eps weight_decay")
    step_size = lr / bias_correction(beta1, step)
    v_scale = bias_correction(beta2, step).rsqrt()
    start = torch.where(step == 1, hyperparameters["initial_accumulator"], 0.0)

    def one(w: Tensor, g: Tensor, m: Tensor, v: Tensor) -> tuple[Tensor, Tensors]:
        g = g + decay * w
        m = beta1 * m + (1 - beta1) * g
        v = v + start
        v = v - (1 - beta2) * torch.sign(v - g * g) * g * g
        return w - step_size * m / (v.sqrt() * v_scale + eps), {"m": m, "v": v}

    return each_tensor(one, params, grads, state)


RULE = Rule(init, update, ARGUMENTS)
Yogi = optimizer_class("Yogi", RULE, __doc__, __name__)
