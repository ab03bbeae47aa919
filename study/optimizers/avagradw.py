"""AvaGradW (Savarese et al., 2021), as released: AvaGrad with decoupled weight decay. https://arxiv.org/abs/1912.01823

t > 1: w *= 1 - lr · weight_decay, then the released AvaGrad's step without weight decay
"""

from __future__ import annotations

from torch import Tensor

from study.optimizers import avagrad_official
from study.optimizers.avagrad import ARGUMENTS
from study.optimizers.rule import Options, Rule, State, Tensors, pick, shrink
from study.optimizers.torch_rule import optimizer_class, without_decay


def update(
    grads: Tensors, state: State, params: Tensors, hyperparameters: Tensors, step: Tensor, options: Options
) -> tuple[Tensors, State]:
    lr, decay = pick(hyperparameters, "lr weight_decay")
    params = shrink(params, lr * decay * (step > 1))
    return avagrad_official.update(grads, state, params, without_decay(hyperparameters), step, options)


RULE = Rule(avagrad_official.init, update, ARGUMENTS, shared=("gamma",))
AvaGradW = optimizer_class("AvaGradW", RULE, __doc__, __name__)
