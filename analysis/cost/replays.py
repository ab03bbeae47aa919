"""Tuning runs on draws of a landscape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.cost.drawn import DrawnLandscape
from analysis.replay import Search
from analysis.suboptimality import TOLERANCE, incumbent_suboptimality
from search_spaces import SearchSpace

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

DRAWS, RUNS = 120, 20
"""Draws of the landscape, and runs on each."""
SLOW = {"gp": (40, 4), "tpe": (40, 4), "tpe-multivariate": (40, 4), "cma-es": (60, 8)}
"""The same of tuners that take a hundred times as long as others; the slowest first."""


@dataclass(frozen=True)
class Asked:
    """Which runs are made: a tuner's on a space, of a budget; `noise` and `repeats` as for `TuningRun`."""

    space: SearchSpace
    tuner: str
    budget: int
    noise: str
    repeats: str


def replay_draws(drawn: DrawnLandscape, asked: Asked, seed: int = 0) -> FloatArray:
    """Suboptimality (D, R, T) of R runs on each of the first D draws, judged by the draw."""
    count, runs = SLOW.get(asked.tuner, (DRAWS, RUNS))
    levels = drawn.levels[:count]
    curves = np.empty((len(levels), runs, asked.budget))
    for place, truth in enumerate(levels):
        rng = np.random.default_rng([seed, place])
        for run, losses in enumerate(drawn.seen(place, runs, asked.noise, rng)):
            search = Search(
                asked.space,
                asked.tuner,
                place * runs + run,
                asked.budget,
                asked.noise,
                asked.repeats,
                drawn.seeds,
            )
            search.advance(losses)
            curves[place, run] = incumbent_suboptimality(search.cells, losses, truth, asked.budget)
    return curves


def trials_to(curves: FloatArray, target: float) -> IntArray:
    """The first trial at which curves (..., T) are at most the target; T + 1 where none is."""
    reached = curves <= target + TOLERANCE
    return np.asarray(np.where(reached.any(axis=-1), reached.argmax(axis=-1) + 1, curves.shape[-1] + 1))
