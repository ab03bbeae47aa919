"""AdaBelief (Zhuang et al., 2020). https://arxiv.org/abs/2010.07468, Algorithm 2

    m = beta1 m + (1 - beta1) g;   s = beta2 s + (1 - beta2) (g - m)^2 + eps
    w -= lr · m / (1 - beta1^t) / (sqrt(s / (1 - beta2^t)) + eps)

eps is added twice, and what is added to s stays in it. With `rectify`, the step is RAdam's: SGD with momentum while
v's average is short (below 5), then rectified, dividing by sqrt(s) + eps. With `amsgrad`, the largest s so far takes
s's place. With `weight_decouple`, first w *= 1 - lr · weight_decay; without, the decay is L2.

Differs from the paper: rectification is on by default, as in the authors' release.
"""

from __future__ import annotations

import torch
from torch import Tensor

from study.optimizers.radam import rectification
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
    "lr": Hyperparameter(1e-3, "authors' release"),
    "beta1": beta(0.9, "authors' release"),
    "beta2": beta(0.999, "authors' release"),
    "eps": divisor(1e-16, "authors' release"),
    "weight_decay": Hyperparameter(0.0, "authors' release"),
    "weight_decouple": Option(True, "authors' release", FLAG),
    "rectify": Option(True, "authors' release", FLAG),
    "amsgrad": Option(False, "authors' release", FLAG),
}


def init(params: Tensors, options: Options) -> State:
    return zeros(params, "m", "s", *(["s_max"] if options["amsgrad"] else []))


def update(
    grads: Tensors, state: State, params: Tensors, hyperparameters: Tensors, step: Tensor, options: Options
) -> tuple[Tensors, State]:
    if options["weight_decouple"]:
        params = shrink(params, hyperparameters["lr"] * hyperparameters["weight_decay"])
        hyperparameters = without_decay(hyperparameters)
    lr, beta1, beta2, eps, decay = pick(hyperparameters, "lr beta1 beta2 eps weight_decay")
    step_size = lr / bias_correction(beta1, step)
    s_scale = bias_correction(beta2, step).rsqrt()
    rho, r = rectification(beta2, step)
    rectified = rho >= 5
    rectified_size = step_size * r / s_scale

    def one(
        w: Tensor, g: Tensor, m: Tensor, s: Tensor, s_max: Tensor | None = None
    ) -> tuple[Tensor, Tensors]:
        g = g + decay * w
        m = beta1 * m + (1 - beta1) * g
        s = beta2 * s + (1 - beta2) * (g - m) ** 2 + eps
        entries = {"m": m, "s": s}
        if s_max is not None:
            entries["s_max"] = s = torch.maximum(s_max, s)
        if options["rectify"]:
            change = torch.where(rectified, rectified_size * m / (s.sqrt() + eps), step_size * m)
        else:
            change = step_size * m / (s.sqrt() * s_scale + eps)
        return w - change, entries

    return each_tensor(one, params, grads, state)


RULE = Rule(init, update, ARGUMENTS)
AdaBelief = optimizer_class("AdaBelief", RULE, __doc__, __name__)
