"""AdaBound (Luo, Xiong, Liu & Sun, 2019). https://arxiv.org/abs/1902.09843, Algorithm 2

    m, v as in Adam;   final = final_lr · lr / base_lr
    low = final · (1 - 1 / (gamma t + 1));   high = final · (1 + 1 / (gamma t))
    w -= clip(lr · sqrt(1 - beta2^t) / (1 - beta1^t) / (sqrt(v) + eps), low, high) · m

With `amsbound`, the largest v so far takes v's place. base_lr is lr before any schedule. Weight decay is L2.

Differs from the paper: bias correction, eps, weight decay and the growing bounds are those of the authors' release.
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
    "beta2": beta(0.999, "authors' release"),
    "final_lr": Hyperparameter(0.1, "authors' release"),
    "gamma": divisor(1e-3, "authors' release"),
    "eps": divisor(1e-8, "authors' release"),
    "weight_decay": Hyperparameter(0.0, "authors' release"),
    "amsbound": Option(False, "authors' release", FLAG),
}


def init(params: Tensors, options: Options) -> State:
    return zeros(params, "m", "v", *(["v_max"] if options["amsbound"] else []))


def update(
    grads: Tensors, state: State, params: Tensors, hyperparameters: Tensors, step: Tensor, options: Options
) -> tuple[Tensors, State]:
    del options  # the state tells
    lr, beta1, beta2, eps, decay = pick(hyperparameters, "lr beta1 beta2 eps weight_decay")
    final_lr, gamma, base_lr = pick(hyperparameters, "final_lr gamma base_lr")
    step_size = lr * bias_correction(beta2, step).sqrt() / bias_correction(beta1, step)
    final = torch.where(base_lr > 0, final_lr * lr / base_lr, 0.0)
    low = final * (1 - 1 / (gamma * step + 1))
    high = final * (1 + 1 / (gamma * step))

    def one(
        w: Tensor, g: Tensor, m: Tensor, v: Tensor, v_max: Tensor | None = None
    ) -> tuple[Tensor, Tensors]:
        g = g + decay * w
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        entries = {"m": m, "v": v}
        if v_max is not None:
            entries["v_max"] = v = torch.maximum(v_max, v)
        rate = step_size / (v.sqrt() + eps)
        rate = torch.minimum(torch.maximum(rate, low.to(w.dtype)), high.to(w.dtype))
        return w - rate * m, entries

    return each_tensor(one, params, grads, state)


RULE = Rule(init, update, ARGUMENTS)
AdaBound = optimizer_class("AdaBound", RULE, __doc__, __name__)
