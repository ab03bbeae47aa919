"""AMSGrad (Reddi, Kale & Kumar, 2018). https://arxiv.org/abs/1904.09237, Algorithm 2

    Adam with v_max = max(v_max, v) in v's place

Differs from the paper: m and v_max are bias-corrected, as in `torch.optim.Adam(amsgrad=True)`, of which this is a
short form.
"""

from __future__ import annotations

from study.optimizers import adam
from study.optimizers.rule import Arguments, Hyperparameter, Options, Rule, State, Tensors
from study.optimizers.torch_rule import optimizer_class

ARGUMENTS: Arguments = {
    name: each for name, each in adam.ARGUMENTS.items() if isinstance(each, Hyperparameter)
}


def init(params: Tensors, options: Options) -> State:
    return adam.init(params, {**options, "amsgrad": True})


RULE = Rule(init, adam.update, ARGUMENTS)
AMSGrad = optimizer_class("AMSGrad", RULE, __doc__, __name__)
