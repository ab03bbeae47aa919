"""Padam (Chen et al., 2020). https://arxiv.org/abs/1806.06763, Algorithm 1

    m, v as in Adam;   v_max = max(v_max, v)
    w -= lr · sqrt(1 - beta2^t) / (1 - beta1^t) · m / (sqrt(v_max) + eps)^(2 partial)

partial = 1/2 is AMSGrad, 0 is SGD with momentum. Weight decay is L2. `amsgrad = False` leaves the maximum out.

Differs from the paper: bias correction and eps are those of the authors' release.
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
    "lr": Hyperparameter(0.1, "authors' release"),
    "beta1": beta(0.9, "authors' release"),
    "beta2": beta(0.999, "authors' release"),
    "eps": divisor(1e-8, "authors' release"),
    "weight_decay": Hyperparameter(0.0, "authors' release"),
    "amsgrad": Option(True, "authors' release", FLAG),
    "partial": Hyperparameter(0.25, "authors' release"),
}


def init(params: Tensors, options: Options) -> State:
    return zeros(params, "m", "v", *(["v_max"] if options["amsgrad"] else []))


def update(
    grads: Tensors, state: State, params: Tensors, hyperparameters: Tensors, step: Tensor, options: Options
) -> tuple[Tensors, State]:
    del options  # the state tells
    lr, beta1, beta2, eps, decay = pick(hyperparameters, "lr beta1 beta2 eps weight_decay")
    step_size = lr * bias_correction(beta2, step).sqrt() / bias_correction(beta1, step)
    power = 2 * hyperparameters["partial"]

    def one(
        w: Tensor, g: Tensor, m: Tensor, v: Tensor, v_max: Tensor | None = None
    ) -> tuple[Tensor, Tensors]:
        g = g + decay * w
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        entries = {"m": m, "v": v}
        if v_max is not None:
            entries["v_max"] = v = torch.maximum(v_max, v)
        return w - step_size * m * torch.exp2(-power * torch.log2(v.sqrt() + eps)), entries

    return each_tensor(one, params, grads, state)


RULE = Rule(init, update, ARGUMENTS)
Padam = optimizer_class("Padam", RULE, __doc__, __name__)
