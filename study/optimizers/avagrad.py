"""AvaGrad (Savarese, McAllester, Babu & Maire, 2021), as published. https://arxiv.org/abs/1912.01823, Algorithm 1

    m = beta1 m + (1 - beta1) g
    eta = 1 / (sqrt(v) + eps)                  with v of the step before; 0 at t = 1
    w -= lr · eta / ||eta / sqrt(d)||_2 · m    the norm and d run over all entries of all parameters
    v = beta2 v + (1 - beta2) g^2

There is no bias correction. At t = 1 the normalised eta is 1 everywhere. Weight decay is L2: it enters g.

Differs from the paper: line 6 of the algorithm box prints eps under the root; sections 2, 6 and 8 use it outside,
and so do we.
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
from study.optimizers.torch_rule import optimizer_class, zeros

ARGUMENTS: Arguments = {
    "lr": Hyperparameter(0.1, "authors' release"),
    "beta1": beta(0.9, "section 5.1"),
    "beta2": beta(0.999, "section 5.1"),
    "eps": divisor(0.1, "authors' release"),
    "weight_decay": Hyperparameter(0.0, "authors' release"),
}


def init(params: Tensors, options: Options) -> State:
    del options
    return zeros(params, "m", "v")


def update(
    grads: Tensors, state: State, params: Tensors, hyperparameters: Tensors, step: Tensor, options: Options
) -> tuple[Tensors, State]:
    del step, options  # nothing depends on the time
    lr, beta1, beta2, eps, decay = pick(hyperparameters, "lr beta1 beta2 eps weight_decay")
    squares = [(1 / (v.sqrt() + eps)).square().sum() for v in state["v"].values()]
    entries = sum(w.numel() for w in params.values())
    norm = (torch.stack(squares).sum() / entries).sqrt()

    def one(w: Tensor, g: Tensor, m: Tensor, v: Tensor) -> tuple[Tensor, Tensors]:
        g = g + decay * w
        m = beta1 * m + (1 - beta1) * g
        eta = 1 / (v.sqrt() + eps)
        v = beta2 * v + (1 - beta2) * g * g
        return w - lr / norm * eta * m, {"m": m, "v": v}

    return each_tensor(one, params, grads, state)


RULE = Rule(init, update, ARGUMENTS)
AvaGrad = optimizer_class("AvaGrad", RULE, __doc__, __name__)
