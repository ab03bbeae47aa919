"""Optimizers: each a pure rule for fused training and a `torch.optim.Optimizer` class of the same name."""

from study.optimizers import adam, avagrad, avagrad_official
from study.optimizers.adam import Adam
from study.optimizers.avagrad import AvaGrad
from study.optimizers.avagrad_official import AvaGradOfficial
from study.optimizers.rule import Hyperparameter, Rule, RuleOptimizer, State

OPTIMIZERS = {
    "adam": (adam.RULE, Adam),
    "avagrad": (avagrad.RULE, AvaGrad),
    "avagrad-official": (avagrad_official.RULE, AvaGradOfficial),
}
"""Name in a study file -> (rule, class)."""

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
