"""Optimizers: each a pure rule for fused training and a `torch.optim.Optimizer` class of the same name."""

from study.optimizers.adabelief import AdaBelief
from study.optimizers.adabound import AdaBound
from study.optimizers.adadelta import Adadelta
from study.optimizers.adagrad import AdaGrad
from study.optimizers.adahessian import AdaHessian
from study.optimizers.adal import AdaL
from study.optimizers.adam import Adam
from study.optimizers.adamw import AdamW
from study.optimizers.adashift import AdaShift
from study.optimizers.amsgrad import AMSGrad
from study.optimizers.apollo import Apollo
from study.optimizers.avagrad import AvaGrad
from study.optimizers.avagrad_official import AvaGradOfficial
from study.optimizers.avagradw import AvaGradW
from study.optimizers.delayed_adam import DelayedAdam
from study.optimizers.dynamic_eps_adam import DynamicEpsAdam
from study.optimizers.nosadam import NosAdam
from study.optimizers.padam import Padam
from study.optimizers.radam import RAdam
from study.optimizers.rmsprop import RMSProp
from study.optimizers.rule import Hyperparameter, Option, Rule, RuleOptimizer
from study.optimizers.sgd import SGD
from study.optimizers.yogi import Yogi

OPTIMIZERS: dict[str, type[RuleOptimizer]] = {
    "sgd": SGD,
    "adam": Adam,
    "amsgrad": AMSGrad,
    "adamw": AdamW,
    "radam": RAdam,
    "adabound": AdaBound,
    "adashift": AdaShift,
    "adabelief": AdaBelief,
    "avagrad": AvaGrad,
    "avagrad-official": AvaGradOfficial,
    "avagradw": AvaGradW,
    "delayed-adam": DelayedAdam,
    "dynamic-eps-adam": DynamicEpsAdam,
    "apollo": Apollo,
    "adahessian": AdaHessian,
    "nosadam": NosAdam,
    "adal": AdaL,
    "adagrad": AdaGrad,
    "rmsprop": RMSProp,
    "adadelta": Adadelta,
    "padam": Padam,
    "yogi": Yogi,
}
"""Name in a study file -> class; its `rule` is what runs fused."""

__all__ = [
    "OPTIMIZERS",
    "SGD",
    "AMSGrad",
    "AdaBelief",
    "AdaBound",
    "AdaGrad",
    "AdaHessian",
    "AdaL",
    "AdaShift",
    "Adadelta",
    "Adam",
    "AdamW",
    "Apollo",
    "AvaGrad",
    "AvaGradOfficial",
    "AvaGradW",
    "DelayedAdam",
    "DynamicEpsAdam",
    "Hyperparameter",
    "NosAdam",
    "Option",
    "Padam",
    "RAdam",
    "RMSProp",
    "Rule",
    "RuleOptimizer",
    "Yogi",
]
