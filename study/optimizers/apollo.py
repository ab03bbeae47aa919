"""Apollo (Ma, 2020 and 2021). https://arxiv.org/abs/2009.13586, Algorithm 1; for each parameter's tensor:

    a = (1 - beta) / (1 - beta^t);   D_g = g - m;   m += a D_g
    B -= (a <D_g, d> + <B, d^2>) / N^4 · d^2           with N = ||d||_4 + eps'
    d = m / D;   w -= lr · d                            with D = max(|B|, sigma)

B is a diagonal Hessian estimate, d the last direction. With `rebound = "constant"`, eps' = eps / sigma: only then does
the trajectory depend on lr / sigma alone (Theorem 1); `scale_eps = False` has eps' = eps. With `rebound = "belief"`
the bound is max |D_g| of the tensor, eps' = eps, and D has eps / a added.

Warm-up: lr goes from init_lr linearly to its full value during the first `warmup` steps. Weight decay: "L2" enters g;
"decoupled" adds weight_decay · w to d; "stable" adds weight_decay / mean(D) · w. The last two stay in d and so enter
the next update of B.

Differs from the paper: sigma is a hyperparameter, where the release has 0.01 (2021 paper) and the 2020 paper has 1.
A learning-rate schedule goes on during the warm-up, where the release ignores it. Weight decay is "L2" by default also
in the belief mode, where the release has "decoupled".
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
    "lr": Hyperparameter(0.01, "2021 paper, section 4"),
    "beta": beta(0.9, "authors' release"),
    "eps": divisor(1e-4, "authors' release"),
    "sigma": divisor(0.01, "authors' release"),
    "rebound": Option("constant", "authors' release", ("constant", "belief")),
    "warmup": Hyperparameter(500, "authors' release"),
    "init_lr": Hyperparameter(1e-3, "authors' release", of="lr"),
    "weight_decay": Hyperparameter(0.0, "authors' release"),
    "weight_decay_type": Option("L2", "authors' release", ("L2", "decoupled", "stable")),
    "scale_eps": Option(True, "authors' release", FLAG),
}


def init(params: Tensors, options: Options) -> State:
    del options
    return zeros(params, "m", "B", "d")


def update(
    grads: Tensors, state: State, params: Tensors, hyperparameters: Tensors, step: Tensor, options: Options
) -> tuple[Tensors, State]:
    lr, beta, eps, sigma, decay = pick(hyperparameters, "lr beta eps sigma weight_decay")
    warmup, init_lr, base_lr = pick(hyperparameters, "warmup init_lr base_lr")
    decay_type, belief = options["weight_decay_type"], options["rebound"] == "belief"
    warming = init_lr + (base_lr - init_lr) * (step - 1) / torch.clamp(warmup, min=1)
    schedule = torch.where(base_lr > 0, lr / base_lr, 1.0)
    lr = torch.where(step <= warmup, warming * schedule, lr)
    a = (1 - beta) / bias_correction(beta, step)
    eps_d = eps / sigma if options["scale_eps"] and not belief else eps

    def one(w: Tensor, g: Tensor, m: Tensor, B: Tensor, d: Tensor) -> tuple[Tensor, Tensors]:
        if decay_type == "L2":
            g = g + decay * w
        difference = g - m
        m = m + a * difference
        # the three sums in one pass; <.,.> / N^4 · d^2 as <.,.> / N^2 · (d / N)^2, which stays in float32's range
        norm = (d * d * (d * d)).sum().sqrt().sqrt() + eps_d
        product = (a * (difference * d).sum() + (B * d * d).sum()) / norm / norm
        d = d / norm
        B = B - product * d * d
        if belief:
            D = torch.maximum(B.abs(), difference.abs().amax()) + eps / a
        else:
            D = torch.maximum(B.abs(), sigma.to(w.dtype))
        d = m / D
        if decay_type != "L2":
            d = d + (decay / D.mean() if decay_type == "stable" else decay) * w
        return w - lr * d, {"m": m, "B": B, "d": d}

    return each_tensor(one, params, grads, state)


RULE = Rule(init, update, ARGUMENTS)
Apollo = optimizer_class("Apollo", RULE, __doc__, __name__)
