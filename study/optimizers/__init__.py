"""Optimizers: each a pure rule for fused training and a `torch.optim.Optimizer` class of the same name."""

from study.optimizers.adam import Adam
from study.optimizers.avagrad import AvaGrad
from study.optimizers.avagrad_official import AvaGradOfficial
from study.optimizers.rule import Hyperparameter, Rule, RuleOptimizer, State

OPTIMIZERS: dict[str, type[RuleOptimizer]] = {
    "adam": Adam,
    "avagrad": AvaGrad,
    "avagrad-official": AvaGradOfficial,
}
"""Name in a study file -> class; its `rule` is what runs fused."""

__all__ = [
    "OPTIMIZERS",
    "Adam",
    "AvaGrad",
    "AvaGradOfficial",
    "Hyperparameter",
    "Rule",
    "RuleOptimizer",
    "State",
]
