"""Adadelta (Zeiler, 2012). https://arxiv.org/abs/1212.5701, Algorithm 1

    v = rho v + (1 - rho) g^2;   delta = sqrt(u + eps) / sqrt(v + eps) · g
    u = rho u + (1 - rho) delta^2;   w -= lr · delta

As in `torch.optim.Adadelta`; eps is inside the roots. Weight decay is L2: it enters g.
"""

from __future__ import annotations

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
    "lr": Hyperparameter(1.0, "torch.optim.Adadelta"),
    "rho": beta(0.9, "torch.optim.Adadelta"),
    "eps": divisor(1e-6, "torch.optim.Adadelta"),
    "weight_decay": Hyperparameter(0.0, "torch.optim.Adadelta"),
}


def init(params: Tensors, options: Options) -> State:
    del options
    return zeros(params, "v", "u")


def update(
    grads: Tensors, state: State, params: Tensors, hyperparameters: Tensors, step: Tensor, options: Options
) -> tuple[Tensors, State]:
    del step, options  # nothing depends on the time
    lr, rho, eps, decay = pick(hyperparameters, "lr rho eps weight_decay")

    def one(w: Tensor, g: Tensor, v: Tensor, u: Tensor) -> tuple[Tensor, Tensors]:
        g = g + decay * w
        v = rho * v + (1 - rho) * g * g
        delta = (u + eps).sqrt() / (v + eps).sqrt() * g
        return w - lr * delta, {"v": v, "u": rho * u + (1 - rho) * delta * delta}

    return each_tensor(one, params, grads, state)


RULE = Rule(init, update, ARGUMENTS)
Adadelta = optimizer_class("Adadelta", RULE, __doc__, __name__)
