"""AvaGrad as its authors released it (Savarese et al., 2021). https://arxiv.org/abs/1912.01823

    m = beta1 m + (1 - beta1) g
    t = 1: w stays.  t > 1: w -= lr · gamma / (1 - beta1^t) · m / (sqrt(v / (1 - beta2^(t-1))) + eps)
    gamma = 1 / sqrt(mean(1 / (sqrt(v / (1 - beta2^t)) + eps)^2))       over all entries of all parameters
    v = beta2 v + (1 - beta2) g^2

In each line v is the one of the step before. Weight decay is L2: it enters g.

Differs from the paper: both moments are bias-corrected, the first step moves nothing, and the normaliser gamma lags
one step behind the eta it normalises. With a tiny eps the second step is therefore far too small.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch import zeros_like as zeros

from study.optimizers.avagrad import HYPERPARAMETERS
from study.optimizers.rule import Rule, State, Tensors, bias_correction, optimizer_class


def init(params: Tensors) -> State:
    any_param = next(iter(params.values()))
    return {
        "m": {k: zeros(w) for k, w in params.items()},
        "v": {k: zeros(w) for k, w in params.items()},
        "gamma": any_param.new_zeros(()),  # so that t = 1 moves nothing
    }


def update(
    grads: Tensors, state: State, params: Tensors, hyperparameters: Tensors, step: Tensor
) -> tuple[Tensors, State]:
    lr, beta1, beta2, eps, decay = (hyperparameters[name] for name in HYPERPARAMETERS)
    step_size = lr / bias_correction(beta1, step)
    # v is 0 at t = 1, where 1 - beta2^0 = 0 would divide it
    lagged_scale = bias_correction(beta2, torch.clamp(step - 1, min=1)).rsqrt()
    scale = bias_correction(beta2, step).rsqrt()
    entries = sum(w.numel() for w in params.values())
    inverse_squares: Tensor | float = 0.0
    new_params, m, v = {}, {}, {}
    for k, w in params.items():
        g = grads[k] + decay * w
        root = state["v"][k].sqrt()
        m[k] = beta1 * state["m"][k] + (1 - beta1) * g
        v[k] = beta2 * state["v"][k] + (1 - beta2) * g * g
        new_params[k] = w - step_size * state["gamma"] * m[k] / (root * lagged_scale + eps)
        inverse_squares = inverse_squares + (root * scale + eps).pow(-2).sum()
    gamma = (inverse_squares / entries) ** -0.5
    return new_params, {"m": m, "v": v, "gamma": gamma}


RULE = Rule(init, update, HYPERPARAMETERS, symbols={"alpha": "lr"}, shared=("gamma",))
AvaGradOfficial = optimizer_class("AvaGradOfficial", RULE, __doc__)
