"""RMSProp (Tieleman & Hinton, 2012), lecture 6.5 of "Neural Networks for Machine Learning".

https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf

    v = alpha v + (1 - alpha) g^2;   b = momentum · b + g / (sqrt(v) + eps);   w -= lr · b

As in `torch.optim.RMSprop`: alpha is the smoothing constant. With `centered` (Graves, 2013), the root is of v minus
the square of g's running average. Weight decay is L2: it enters g.
"""

from __future__ import annotations

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
from study.optimizers.torch_rule import optimizer_class, zeros

ARGUMENTS: Arguments = {
    "lr": Hyperparameter(0.01, "torch.optim.RMSprop"),
    "alpha": beta(0.99, "torch.optim.RMSprop"),
    "eps": divisor(1e-8, "torch.optim.RMSprop"),
    "weight_decay": Hyperparameter(0.0, "torch.optim.RMSprop"),
    "momentum": beta(0.0, "torch.optim.RMSprop"),
    "centered": Option(False, "torch.optim.RMSprop", FLAG),
}


def init(params: Tensors, options: Options) -> State:
    return zeros(params, "v", "b", *(["mean"] if options["centered"] else []))


def update(
    grads: Tensors, state: State, params: Tensors, hyperparameters: Tensors, step: Tensor, options: Options
) -> tuple[Tensors, State]:
    del step, options  # nothing depends on the time, the state tells the option
    lr, alpha, eps, decay, momentum = pick(hyperparameters, "lr alpha eps weight_decay momentum")

    def one(w: Tensor, g: Tensor, v: Tensor, b: Tensor, mean: Tensor | None = None) -> tuple[Tensor, Tensors]:
        g = g + decay * w
        v = alpha * v + (1 - alpha) * g * g
        entries, variance = {"v": v}, v
        if mean is not None:
            entries["mean"] = mean = alpha * mean + (1 - alpha) * g
            variance = v - mean * mean
        entries["b"] = b = momentum * b + g / (variance.sqrt() + eps)
        return w - lr * b, entries

    return each_tensor(one, params, grads, state)


RULE = Rule(init, update, ARGUMENTS)
RMSProp = optimizer_class("RMSProp", RULE, __doc__, __name__)
