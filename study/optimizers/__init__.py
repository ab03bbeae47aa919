"""Optimizers: each a pure rule for fused training and a `torch.optim.Optimizer` class of the same name.

They are imported when asked for: their names and what they take are known without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from study.lazy import Lazy
from study.optimizers.rule import Hyperparameter, Option, Rule

if TYPE_CHECKING:
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
    from study.optimizers.sgd import SGD
    from study.optimizers.torch_rule import RuleOptimizer
    from study.optimizers.yogi import Yogi

OPTIMIZERS: Lazy[type[RuleOptimizer]] = Lazy(
    {
        "sgd": "study.optimizers.sgd:SGD",
        "adam": "study.optimizers.adam:Adam",
        "amsgrad": "study.optimizers.amsgrad:AMSGrad",
        "adamw": "study.optimizers.adamw:AdamW",
        "radam": "study.optimizers.radam:RAdam",
        "adabound": "study.optimizers.adabound:AdaBound",
        "adashift": "study.optimizers.adashift:AdaShift",
        "adabelief": "study.optimizers.adabelief:AdaBelief",
        "avagrad": "study.optimizers.avagrad:AvaGrad",
        "avagrad-official": "study.optimizers.avagrad_official:AvaGradOfficial",
        "avagradw": "study.optimizers.avagradw:AvaGradW",
        "delayed-adam": "study.optimizers.delayed_adam:DelayedAdam",
        "dynamic-eps-adam": "study.optimizers.dynamic_eps_adam:DynamicEpsAdam",
        "apollo": "study.optimizers.apollo:Apollo",
        "adahessian": "study.optimizers.adahessian:AdaHessian",
        "nosadam": "study.optimizers.nosadam:NosAdam",
        "adal": "study.optimizers.adal:AdaL",
        "adagrad": "study.optimizers.adagrad:AdaGrad",
        "rmsprop": "study.optimizers.rmsprop:RMSProp",
        "adadelta": "study.optimizers.adadelta:Adadelta",
        "padam": "study.optimizers.padam:Padam",
        "yogi": "study.optimizers.yogi:Yogi",
    }
)
"""Name in a study file -> class; its `rule` is what runs fused."""
_CLASSES = {place.partition(":")[2]: name for name, place in OPTIMIZERS.places.items()}


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        return OPTIMIZERS[_CLASSES[name]]
    if name == "RuleOptimizer":
        from study.optimizers.torch_rule import RuleOptimizer

        return RuleOptimizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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
