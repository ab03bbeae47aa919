"""Sensitivity over several workloads (Adkins, Bowling & White, 2024), https://arxiv.org/abs/2412.07165

    score of setting h on workload e   s(e, h) = (p95 - L(e, h)) / (p95 - p5)
    sensitivity                        mean over e of max over h of s(e, h), minus max over h of mean over e of s(e, h)
    effective dimensionality           least k: the best choice of k hyperparameters tuned for each workload, the others
                                       at the setting that is best for all, has a mean score of 95% of the tuned one

p5 and p95 are percentiles of the metric on that workload over all settings of all optimizers that are compared; where
nine tenths of them are alike, the two coincide and scores say nothing.

*Differs from the paper.* The metric is minimised, so that scores are turned round; the number is whole, where the paper
interpolates; and all of it is computed of each draw of the landscapes, percentiles too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from analysis.estimate import over_draws
from analysis.sensitivity.draws import LandscapeDraws
from analysis.sensitivity.result import AcrossWorkloads
from analysis.sensitivity.statistics import ENOUGH, best_by_tuned
from search_spaces import SearchSpace

FloatArray = NDArray[np.float64]

PERCENTILES = (5, 95)


def across(
    drawn: Mapping[str, Mapping[str, LandscapeDraws]], spaces: Mapping[str, SearchSpace]
) -> Iterator[AcrossWorkloads]:
    """Of each optimizer that two or more studies have on the same grid; draws by study and optimizer."""
    optimizers = dict.fromkeys(name for each in drawn.values() for name in each)
    for optimizer in optimizers:
        by_space: dict[SearchSpace, list[str]] = {}
        for study, of_study in drawn.items():
            if optimizer in of_study:
                by_space.setdefault(spaces[study], []).append(study)
        for space, studies in by_space.items():
            if len(studies) > 1:
                yield over_workloads(optimizer, {study: drawn[study] for study in studies}, space)


def over_workloads(
    optimizer: str, drawn: Mapping[str, Mapping[str, LandscapeDraws]], space: SearchSpace
) -> AcrossWorkloads:
    """Of an optimizer on two or more studies."""
    means = [{name: each.means[None] for name, each in of_study.items()} for of_study in drawn.values()]
    mean = np.stack([scores(of_study, optimizer)[0] for of_study in means])
    setting = np.unravel_index(mean.mean(axis=0).argmax(), space.shape)
    levels = []
    for place, of_study in enumerate(drawn.values()):
        own = of_study[optimizer].means
        size = float(own[setting] - own.min())
        at = {name: each.about(size) for name, each in of_study.items()}
        score = scores(at, optimizer)
        # draws of studies are made with equal random numbers, and are paired anew
        levels.append(score[np.random.default_rng(place).permutation(len(score))])
    drawn_scores = np.stack(levels, axis=1)
    found = [statistics(each) for each in drawn_scores]
    tuned, shared, numbers = (np.array(each) for each in zip(*found, strict=True))
    sensitivity = over_draws(tuned - shared)
    # a draw's own is never below zero: how little it may be, another draw tells of the settings that this one chooses
    judged = [
        judged_sensitivity(*pair) for pair in zip(drawn_scores, np.roll(drawn_scores, 1, axis=0), strict=True)
    ]
    sensitivity = replace(sensitivity, low=min(sensitivity.low, max(over_draws(judged).low, 0.0)))
    axes = zip(space.axes, setting, strict=True)
    return AcrossWorkloads(
        optimizer,
        tuple(drawn),
        over_draws(tuned),
        over_draws(shared),
        sensitivity,
        over_draws(numbers),
        tuple(float((numbers == count).mean()) for count in range(len(space.axes) + 1)),
        {axis.name: axis.values[place] for axis, place in axes},
    )


def scores(levels: Mapping[str, FloatArray], optimizer: str) -> FloatArray:
    """Scores (D, *shape) of an optimizer's draws, by the percentiles of all optimizers' (D, *shape)."""
    everything = np.concatenate([each.reshape(len(each), -1) for each in levels.values()], axis=1)
    low, high = np.percentile(everything, PERCENTILES, axis=1)
    own = levels[optimizer]
    low, high = (each.reshape(-1, *[1] * (own.ndim - 1)) for each in (low, high))
    return np.asarray((high - own) / np.maximum(high - low, np.finfo(float).tiny))


def judged_sensitivity(choosing: FloatArray, judging: FloatArray) -> float:
    """Of settings that some scores (E, *shape) choose, as others judge them."""
    first, second = (each.reshape(len(each), -1) for each in (choosing, judging))
    tuned = np.take_along_axis(second, first.argmax(axis=1)[:, None], axis=1).mean()
    return float(tuned - second[:, first.mean(axis=0).argmax()].mean())


def statistics(each: FloatArray) -> tuple[float, float, int]:
    """Of scores (E, *shape): the tuned score, the shared one, and how many hyperparameters must be tuned."""
    shared = np.unravel_index(each.mean(axis=0).argmax(), each.shape[1:])
    least, _ = best_by_tuned(-each, tuple(map(int, shared)))
    reached = -least
    return float(reached[-1]), float(reached[0]), int(np.argmax(reached >= ENOUGH * reached[-1]))
