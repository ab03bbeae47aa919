"""SGD with momentum (Polyak, 1964; Sutskever, Martens, Dahl & Hinton, 2013). https://proceedings.mlr.press/v28/sutskever13

    b = g at t = 1, then momentum · b + (1 - dampening) g
    w -= lr · b;   with nesterov: w -= lr · (g + momentum · b)

As in `torch.optim.SGD`, which refuses nesterov without momentum (where it has no effect) and with dampening. Weight
decay is L2: it enters g.
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
    each_tensor,
    pick,
)
from study.optimizers.torch_rule import optimizer_class, zeros

ARGUMENTS: Arguments = {
    "lr": Hyperparameter(1e-3, "torch.optim.SGD"),
    "momentum": beta(0.0, "torch.optim.SGD"),
    "dampening": Hyperparameter(0.0, "torch.optim.SGD"),
    "weight_decay": Hyperparameter(0.0, "torch.optim.SGD"),
    "nesterov": Option(False, "torch.optim.SGD", FLAG),
}


def init(params: Tensors, options: Options) -> State:
    del options
    return zeros(params, "b")


def update(
    grads: Tensors, state: State, params: Tensors, hyperparameters: Tensors, step: Tensor, options: Options
) -> tuple[Tensors, State]:
    lr, momentum, dampening, decay = pick(hyperparameters, "lr momentum dampening weight_decay")
    share = 1 - torch.where((step > 1) & (momentum > 0), dampening, 0.0)

    def one(w: Tensor, g: Tensor, b: Tensor) -> tuple[Tensor, Tensors]:
        g = g + decay * w
        b = momentum * b + share * g
        direction = g + momentum * b if options["nesterov"] else b
        return w - lr * direction, {"b": b}

    return each_tensor(one, params, grads, state)


RULE = Rule(init, update, ARGUMENTS)
SGD = optimizer_class("SGD", RULE, __doc__, __name__)
