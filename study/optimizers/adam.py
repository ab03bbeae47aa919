"""Adam (Kingma & Ba, 2015). https://arxiv.org/abs/1412.6980

    m = beta1 m + (1 - beta1) g;   v = beta2 v + (1 - beta2) g^2
    w -= lr · m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)

eps sits outside the root and after the bias correction, as in `torch.optim.Adam`. With `amsgrad` (Reddi, Kale & Kumar,
2018), the largest v so far takes v's place, the maximum before the correction. Weight decay is L2: it enters g.
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
    "lr": Hyperparameter(1e-3, "Algorithm 1"),
    "beta1": beta(0.9, "Algorithm 1"),
    "beta2": beta(0.999, "Algorithm 1"),
    "eps": divisor(1e-8, "Algorithm 1"),
    "weight_decay": Hyperparameter(0.0, "torch.optim.Adam"),
    "amsgrad": Option(False, "torch.optim.Adam", FLAG),
}


def init(params: Tensors, options: Options) -> State:
    return zeros(params, "m", "v", *(["v_max"] if options["amsgrad"] else []))


def update(
    grads: Tensors, state: State, params: Tensors, hyperparameters: Tensors, step: Tensor, options: Options
) -> tuple[Tensors, State]:
    del options  # the state tells
    lr, beta1, beta2, eps, decay = pick(hyperparameters, "lr beta1 beta2 eps weight_decay")
    step_size = lr / bias_correction(beta1, step)
    v_scale = bias_correction(beta2, step).rsqrt()

    def one(
        w: Tensor, g: Tensor, m: Tensor, v: Tensor, v_max: Tensor | None = None
    ) -> tuple[Tensor, Tensors]:
        g = g + decay * w
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        entries = {"m": m, "v": v}
        if v_max is not None:
            entries["v_max"] = v = torch.maximum(v_max, v)
        return w - step_size * m / (v.sqrt() * v_scale + eps), entries

    return each_tensor(one, params, grads, state)


RULE = Rule(init, update, ARGUMENTS)
Adam = optimizer_class("Adam", RULE, __doc__, __name__)
