"""What Optuna says of the same trials: shares of the variance over the whole grid, not what tuning loses or gains.

fANOVA (Hutter, Hoos & Leyton-Brown, 2014) of a random forest over all trials; PED-ANOVA (Watanabe, Bansal & Hutter,
2023) of the densities of the best tenth of them. Both as `optuna.importance` has them, normalised to a sum of one.
"""

from __future__ import annotations

import math

import numpy as np

from analysis.observations import Observations
from search_spaces import SearchSpace

MOST_TRIALS = 5_000
"""Of more trials so many are drawn: a forest of 64 trees takes minutes for a hundred thousand."""


def importances(trials: Observations, space: SearchSpace) -> dict[str, tuple[float, float]]:
    """By axis of a space, fANOVA's and PED-ANOVA's importance for trials of the same axes, or of more.

    NaN where Optuna has none, as of trials that are all alike.
    """
    import optuna
    from optuna.distributions import BaseDistribution, FloatDistribution
    from optuna.importance import (
        FanovaImportanceEvaluator,
        PedAnovaImportanceEvaluator,
        get_param_importances,
    )

    if len(trials) > MOST_TRIALS:
        chosen = np.zeros(len(trials), dtype=bool)
        chosen[np.random.default_rng(0).permutation(len(trials))[:MOST_TRIALS]] = True
        trials = trials.only(chosen)
    if np.unique(trials.values).size < 2:
        return dict.fromkeys(space.names, (math.nan, math.nan))
    ranges: dict[str, BaseDistribution] = {
        axis.name: FloatDistribution(axis.low, axis.high, log=axis.scale == "log") for axis in space.axes
    }
    places = [trials.space.names.index(name) for name in space.names]
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study()
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params=dict(zip(space.names, values, strict=True)), distributions=ranges, value=value
                )
                for values, value in zip(
                    trials.points[:, places].tolist(), trials.values.tolist(), strict=True
                )
            ]
        )
        evaluators = FanovaImportanceEvaluator(seed=0), PedAnovaImportanceEvaluator()
        fanova, ped_anova = (get_param_importances(study, evaluator=each) for each in evaluators)
    finally:
        optuna.logging.set_verbosity(verbosity)
    return {name: (float(fanova[name]), float(ped_anova[name])) for name in space.names}
