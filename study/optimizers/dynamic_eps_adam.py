"""Adam with dynamic eps (Savarese et al., 2021). https://arxiv.org/abs/1912.01823, Theorem 2 and section 8

    eps_t = eps · t^eps_power
    w -= lr · eps_t · m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps_t)      m, v as in Adam

An eps that grows makes Adam behave more and more like SGD. The learning rate has to grow with it, or nothing moves:
`scale_lr = False` leaves that to the user. Their Equation (11) is run without `bias_correction`. Weight decay is L2.
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
    "lr": Hyperparameter(1e-3, "Adam"),
    "beta1": beta(0.9, "Adam"),
    "beta2": beta(0.999, "Adam"),
    "eps": divisor(1.0, "section 8"),
    "eps_power": Hyperparameter(1.5, "section 8"),
    "weight_decay": Hyperparameter(0.0, "Adam"),
    "scale_lr": Option(True, "section 3", FLAG),
    "bias_correction": Option(True, "Adam", FLAG),
}


def init(params: Tensors, options: Options) -> State:
    del options
    return zeros(params, "m", "v")


def update(
    grads: Tensors, state: State, params: Tensors, hyperparameters: Tensors, step: Tensor, options: Options
) -> tuple[Tensors, State]:
    lr, beta1, beta2, decay = pick(hyperparameters, "lr beta1 beta2 weight_decay")
    eps = hyperparameters["eps"] * torch.exp(hyperparameters["eps_power"] * torch.log(step))
    step_size, v_scale = lr, torch.ones_like(lr)
    if options["scale_lr"]:
        step_size = step_size * eps
    if options["bias_correction"]:
        step_size = step_size / bias_correction(beta1, step)
        v_scale = bias_correction(beta2, step).rsqrt()

    def one(w: Tensor, g: Tensor, m: Tensor, v: Tensor) -> tuple[Tensor, Tensors]:
        g = g + decay * w
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        return w - step_size * m / (v.sqrt() * v_scale + eps), {"m": m, "v": v}

    return each_tensor(one, params, grads, state)


RULE = Rule(init, update, ARGUMENTS)
DynamicEpsAdam = optimizer_class("DynamicEpsAdam", RULE, __doc__, __name__)
