"""Adam (Kingma & Ba, 2015). https://arxiv.org/abs/1412.6980

    m = beta1 m + (1 - beta1) g;   v = beta2 v + (1 - beta2) g^2
    w -= lr · m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)

eps sits outside the root and after the bias correction, as in `torch.optim.Adam`. Weight decay is L2: it enters g.
"""

from __future__ import annotations

from torch import Tensor
from torch import zeros_like as zeros

from study.optimizers.rule import Hyperparameter, Rule, State, Tensors, bias_correction, optimizer_class

HYPERPARAMETERS = {
    "lr": Hyperparameter(1e-3, "Algorithm 1"),
    "beta1": Hyperparameter(0.9, "Algorithm 1", high=1.0),
    "beta2": Hyperparameter(0.999, "Algorithm 1", high=1.0),
    "eps": Hyperparameter(1e-8, "Algorithm 1"),
    "weight_decay": Hyperparameter(0.0, "torch.optim.Adam"),
}


def init(params: Tensors) -> State:
    return {"m": {k: zeros(w) for k, w in params.items()}, "v": {k: zeros(w) for k, w in params.items()}}


def update(
    grads: Tensors, state: State, params: Tensors, hyperparameters: Tensors, step: Tensor
) -> tuple[Tensors, State]:
    lr, beta1, beta2, eps, decay = (hyperparameters[name] for name in HYPERPARAMETERS)
    step_size = lr / bias_correction(beta1, step)
    v_scale = bias_correction(beta2, step).rsqrt()
    new_params, m, v = {}, {}, {}
    for k, w in params.items():
        g = grads[k] + decay * w
        m[k] = beta1 * state["m"][k] + (1 - beta1) * g
        v[k] = beta2 * state["v"][k] + (1 - beta2) * g * g
        new_params[k] = w - step_size * m[k] / (v[k].sqrt() * v_scale + eps)
    return new_params, {"m": m, "v": v}


RULE = Rule(init, update, HYPERPARAMETERS, symbols={"alpha": "lr"})
Adam = optimizer_class("Adam", RULE, __doc__)
