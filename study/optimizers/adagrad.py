"""AdaGrad (Duchi, Hazan & Singer, 2011). https://jmlr.org/papers/v12/duchi11a.html

    s = s + g^2;   w -= lr / (1 + (t - 1) lr_decay) · g / (sqrt(s + initial_accumulator_value) + eps)

As in `torch.optim.Adagrad`. Weight decay is L2: it enters g.
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
    divisor,
    each_tensor,
    pick,
)
from study.optimizers.torch_rule import optimizer_class, zeros

ARGUMENTS: Arguments = {
    "lr": Hyperparameter(0.01, "torch.optim.Adagrad"),
    "lr_decay": Hyperparameter(0.0, "torch.optim.Adagrad"),
    "weight_decay": Hyperparameter(0.0, "torch.optim.Adagrad"),
    "initial_accumulator_value": Hyperparameter(0.0, "torch.optim.Adagrad"),
    "eps": divisor(1e-10, "torch.optim.Adagrad"),
}


def init(params: Tensors, options: Options) -> State:
    del options
    return zeros(params, "s")


def update(
    grads: Tensors, state: State, params: Tensors, hyperparameters: Tensors, step: Tensor, options: Options
) -> tuple[Tensors, State]:
    del options
    lr, lr_decay, decay, eps = pick(hyperparameters, "lr lr_decay weight_decay eps")
    initial = hyperparameters["initial_accumulator_value"]
    step_size = lr / (1 + (step - 1) * lr_decay)

    def one(w: Tensor, g: Tensor, s: Tensor) -> tuple[Tensor, Tensors]:
        g = g + decay * w
        s = s + g * g
        return w - step_size * g / ((s + initial).sqrt() + eps), {"s": s}

    return each_tensor(one, params, grads, state)


RULE = Rule(init, update, ARGUMENTS)
AdaGrad = optimizer_class("AdaGrad", RULE, __doc__, __name__)
