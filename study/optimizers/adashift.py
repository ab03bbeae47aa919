"""AdaShift (Zhou et al., 2019). https://arxiv.org/abs/1810.00143, Algorithm 2

    m = sum_i beta1^i g_(t-i) / sum_i beta1^i           i from 0 to keep_num - 1
    v = beta2 v + (1 - beta2) phi(g_(t-keep_num)^2)
    w -= lr · m / (sqrt(v / (1 - beta2^(t - keep_num))) + eps)

phi takes the maximum (`op = "max"`) or mean over a parameter's tensor, or leaves it ("none"). Nothing moves during
the first keep_num steps. The sum is kept as a running one: the newest gradient comes in, the oldest goes out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from study.optimizers.rule import (
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
    "lr": Hyperparameter(1e-3, "authors' release"),
    "beta1": beta(0.9, "authors' release"),
    "beta2": beta(0.999, "authors' release"),
    "eps": divisor(1e-10, "authors' release"),
    "keep_num": Option(10, "authors' release"),
    "op": Option("max", "authors' release", ("max", "mean", "none")),
}


def init(params: Tensors, options: Options) -> State:
    # one entry a remembered gradient: growing older is a change of name, and costs nothing
    state = zeros(params, "m", "v", *(f"g{age}" for age in range(1, options["keep_num"] + 1)))
    if options["op"] != "none":  # all entries of v are equal
        state["v"] = {key: w.new_zeros(()) for key, w in params.items()}
    return state


def update(
    grads: Tensors, state: State, params: Tensors, hyperparameters: Tensors, step: Tensor, options: Options
) -> tuple[Tensors, State]:
    lr, beta1, beta2, eps = pick(hyperparameters, "lr beta1 beta2 eps")
    keep = options["keep_num"]
    weight = (1 - beta1) / (1 - beta1**keep)  # 1 / sum_i beta1^i
    started = step > keep
    v_scale = bias_correction(beta2, torch.clamp(step - keep, min=1)).rsqrt()

    def phi(square: Tensor) -> Tensor:
        match options["op"]:
            case "max":
                return square.amax()
            case "mean":
                return square.mean()
            case _:
                return square

    def one(w: Tensor, g: Tensor, m: Tensor, v: Tensor, **past: Tensor) -> tuple[Tensor, Tensors]:
        oldest = past[f"g{keep}"]  # zero during the first keep_num steps
        m = beta1 * m + weight * (g - beta1**keep * oldest)
        v = beta2 * v + (1 - beta2) * phi(oldest * oldest)
        change = torch.where(started, lr * m / (v.sqrt() * v_scale + eps), 0.0)
        younger = [g, *(past[f"g{age}"] for age in range(1, keep))]
        return w - change, {"m": m, "v": v, **{f"g{age + 1}": each for age, each in enumerate(younger)}}

    return each_tensor(one, params, grads, state)


RULE = Rule(init, update, ARGUMENTS)
AdaShift = optimizer_class("AdaShift", RULE, __doc__, __name__)
