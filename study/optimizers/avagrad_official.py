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

from study.optimizers.avagrad import ARGUMENTS
from study.optimizers.rule import Options, Rule, State, Tensors, each_tensor, pick
from study.optimizers.torch_rule import bias_correction, optimizer_class, zeros


def init(params: Tensors, options: Options) -> State:
    del options
    # gamma is 0 so that t = 1 moves nothing
    return {**zeros(params, "m", "v"), "gamma": next(iter(params.values())).new_zeros(())}


def update(
    grads: Tensors, state: State, params: Tensors, hyperparameters: Tensors, step: Tensor, options: Options
) -> tuple[Tensors, State]:
    del options
    lr, beta1, beta2, eps, decay = pick(hyperparameters, "lr beta1 beta2 eps weight_decay")
    step_size = lr / bias_correction(beta1, step) * state["gamma"]
    # v is 0 at t = 1, where 1 - beta2^0 = 0 would divide it
    lagged_scale = bias_correction(beta2, torch.clamp(step - 1, min=1)).rsqrt()
    scale = bias_correction(beta2, step).rsqrt()
    squares = [(1 / (v.sqrt() * scale + eps)).square().sum() for v in state["v"].values()]
    entries = sum(w.numel() for w in params.values())
    gamma = (torch.stack(squares).sum() / entries).rsqrt()

    def one(w: Tensor, g: Tensor, m: Tensor, v: Tensor) -> tuple[Tensor, Tensors]:
        g = g + decay * w
        m = beta1 * m + (1 - beta1) * g
        change = step_size * m / (v.sqrt() * lagged_scale + eps)
        v = beta2 * v + (1 - beta2) * g * g
        return w - change, {"m": m, "v": v}

    new_params, new_state = each_tensor(one, params, grads, state)
    return new_params, {**new_state, "gamma": gamma}


RULE = Rule(init, update, ARGUMENTS, shared=("gamma",))
AvaGradOfficial = optimizer_class("AvaGradOfficial", RULE, __doc__, __name__)
