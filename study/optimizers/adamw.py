"""AdamW (Loshchilov & Hutter, 2019). https://arxiv.org/abs/1711.05101, Algorithm 2

    w *= 1 - lr · weight_decay, then Adam's step without weight decay

As in `torch.optim.AdamW`: the decay is multiplied by the learning rate, schedule included.
"""

from __future__ import annotations

from torch import Tensor

from study.optimizers import adam
from study.optimizers.rule import Arguments, Hyperparameter, Options, Rule, State, Tensors, pick, shrink
from study.optimizers.torch_rule import optimizer_class, without_decay

ARGUMENTS: Arguments = {**adam.ARGUMENTS, "weight_decay": Hyperparameter(0.01, "torch.optim.AdamW")}


def update(
    grads: Tensors, state: State, params: Tensors, hyperparameters: Tensors, step: Tensor, options: Options
) -> tuple[Tensors, State]:
    lr, decay = pick(hyperparameters, "lr weight_decay")
    return adam.update(
        grads, state, shrink(params, lr * decay), without_decay(hyperparameters), step, options
    )


RULE = Rule(adam.init, update, ARGUMENTS)
AdamW = optimizer_class("AdamW", RULE, __doc__, __name__)
