"""RAdam (Liu et al., 2020). https://arxiv.org/abs/1908.03265, Algorithm 2

    rho_inf = 2 / (1 - beta2) - 1;   rho = rho_inf - 2 t beta2^t / (1 - beta2^t)
    rho > 5:  w -= lr · r · m / (1 - beta1^t) · sqrt(1 - beta2^t) / (sqrt(v) + eps)
    else:     w -= lr · m / (1 - beta1^t)

with r the variance rectification and m, v as in Adam. As in `torch.optim.RAdam`: eps is added before v's bias
correction, and the threshold is 5 where the paper has 4. Weight decay is L2, or decoupled.
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
    shrink,
)
from study.optimizers.torch_rule import bias_correction, optimizer_class, without_decay, zeros

ARGUMENTS: Arguments = {
    "lr": Hyperparameter(1e-3, "torch.optim.RAdam"),
    "beta1": beta(0.9, "torch.optim.RAdam"),
    "beta2": beta(0.999, "torch.optim.RAdam"),
    "eps": divisor(1e-8, "torch.optim.RAdam"),
    "weight_decay": Hyperparameter(0.0, "torch.optim.RAdam"),
    "decoupled_weight_decay": Option(False, "torch.optim.RAdam", FLAG),
}


def init(params: Tensors, options: Options) -> State:
    del options
    return zeros(params, "m", "v")


def rectification(beta2: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """rho, the length of the average that v is, and the factor r of a step that divides by sqrt(v)."""
    bc2 = bias_correction(beta2, step)
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * step * (1 - bc2) / bc2
    r = (rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)
    return rho, r.sqrt()


def update(
    grads: Tensors, state: State, params: Tensors, hyperparameters: Tensors, step: Tensor, options: Options
) -> tuple[Tensors, State]:
    if options["decoupled_weight_decay"]:
        params = shrink(params, hyperparameters["lr"] * hyperparameters["weight_decay"])
        hyperparameters = without_decay(hyperparameters)
    lr, beta1, beta2, eps, decay = pick(hyperparameters, "lr beta1 beta2 eps weight_decay")
    rho, r = rectification(beta2, step)
    rectified = rho > 5
    step_size = lr / bias_correction(beta1, step)
    rectified_size = step_size * r * bias_correction(beta2, step).sqrt()

    def one(w: Tensor, g: Tensor, m: Tensor, v: Tensor) -> tuple[Tensor, Tensors]:
        g = g + decay * w
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        change = torch.where(rectified, rectified_size * m / (v.sqrt() + eps), step_size * m)
        return w - change, {"m": m, "v": v}

    return each_tensor(one, params, grads, state)


RULE = Rule(init, update, ARGUMENTS)
RAdam = optimizer_class("RAdam", RULE, __doc__, __name__)
