"""What tuning runs are replayed on: draws of a landscape on a grid, from a grid's seeds or from scattered trials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from analysis.cost.posterior import Draws, LandscapePosterior
from analysis.cost.seen import seen_by_runs
from analysis.errors import AnalysisError
from analysis.observations import Observations
from analysis.surrogate import Surrogate
from search_spaces import Axis, SearchSpace

FloatArray = NDArray[np.float64]

GRID_PLACES = {2: 21, 3: 11}
"""Values of each axis, by the number of axes, on which a surrogate is drawn: about a thousand cells can be."""


class DrawnLandscape(Protocol):
    """D draws of the true landscape of N cells.

    Attributes:
        seeds: training seeds that a run may see.
        levels: expected metric of every cell, (D, N).
    """

    @property
    def seeds(self) -> int: ...

    @property
    def levels(self) -> FloatArray: ...

    def seen(self, place: int, runs: int, noise: str, rng: np.random.Generator) -> FloatArray:
        """Losses (runs, N) that each run sees if the draw with the number `place` is the truth."""


@dataclass(frozen=True)
class GridDraws:
    """Draws of a grid's posterior."""

    posterior: LandscapePosterior
    draws: Draws

    @property
    def seeds(self) -> int:
        return self.posterior.seeds

    @property
    def levels(self) -> FloatArray:
        return self.draws.levels

    def seen(self, place: int, runs: int, noise: str, rng: np.random.Generator) -> FloatArray:
        return seen_by_runs(self.posterior, self.draws, place, runs, noise, rng)


@dataclass(frozen=True)
class SurrogateDraws:
    """Draws of a surrogate on a grid; every trial has white noise of its own, whose standard deviation is `noise`."""

    space: SearchSpace
    levels: FloatArray
    noise: float
    seeds: int = 1

    def seen(self, place: int, runs: int, noise: str, rng: np.random.Generator) -> FloatArray:
        del noise
        level = self.levels[place]
        return np.asarray(level + self.noise * rng.standard_normal((runs, len(level))))


def draw_surrogate(surrogate: Surrogate, count: int) -> SurrogateDraws:
    """So many draws, over the range that is drawn of each axis, see `surrogate.INSIDE`.

    Raises AnalysisError as `require_drawable`.
    """
    observations = surrogate.observations
    require_drawable(observations)
    places = GRID_PLACES[len(observations.space.axes)]
    ends = surrogate.ends(observations.space.names)
    space = SearchSpace(
        Axis(axis.name, axis.unit_to_value(np.linspace(low, high, places)).tolist(), scale=axis.scale)
        for axis, low, high in zip(observations.space.axes, *ends, strict=True)
    )
    _, _, drawn = surrogate.draw(observations.space.value_to_unit(space.cells()), count)
    return SurrogateDraws(space, drawn, surrogate.noise)


def require_drawable(observations: Observations) -> None:
    """Raise AnalysisError when there are too many axes for a grid."""
    axes = len(observations.space.axes)
    if axes not in GRID_PLACES:
        raise AnalysisError(
            f"tuners are replayed on surrogates of two or three axes, not of {axes}: import fewer with --axes"
        )
