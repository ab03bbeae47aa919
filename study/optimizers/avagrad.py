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

from torch import Tensor
from torch import zeros_like as zeros

from study.optimizers.rule import Hyperparameter, Rule, State, Tensors, optimizer_class

HYPERPARAMETERS = {
    "lr": Hyperparameter(0.1, "authors' release"),
    "beta1": Hyperparameter(0.9, "section 5.1", high=1.0),
    "beta2": Hyperparameter(0.999, "section 5.1", high=1.0),
    "eps": Hyperparameter(0.1, "authors' release", low=1e-30),
    "weight_decay": Hyperparameter(0.0, "authors' release"),
}


def init(params: Tensors) -> State:
    return {"m": {k: zeros(w) for k, w in params.items()}, "v": {k: zeros(w) for k, w in params.items()}}


def update(
    grads: Tensors, state: State, params: Tensors, hyperparameters: Tensors, step: Tensor
) -> tuple[Tensors, State]:
    del step  # nothing depends on the time
    lr, beta1, beta2, eps, decay = (hyperparameters[name] for name in HYPERPARAMETERS)
    eta = {k: 1 / (state["v"][k].sqrt() + eps) for k in params}
    entries = sum(w.numel() for w in params.values())
    norm = (sum((e * e).sum() for e in eta.values()) / entries).sqrt()
    new_params, m, v = {}, {}, {}
    for k, w in params.items():
        g = grads[k] + decay * w
        m[k] = beta1 * state["m"][k] + (1 - beta1) * g
        v[k] = beta2 * state["v"][k] + (1 - beta2) * g * g
        new_params[k] = w - lr / norm * eta[k] * m[k]
    return new_params, {"m": m, "v": v}


RULE = Rule(init, update, HYPERPARAMETERS, symbols={"alpha": "lr"})
AvaGrad = optimizer_class("AvaGrad", RULE, __doc__)
