"""What a tuner is: it proposes points of a search space and learns from their losses."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from search_spaces import SearchSpace
from tuners.errors import TunerError

FloatArray = NDArray[np.float64]
Seed = int | np.random.SeedSequence


class Tuner(ABC):
    """Proposes points in the unit cube of a space, to minimise a loss.

    `ask` and `tell` take turns. Equal seeds and equal losses give equal proposals, whatever else the process does.
    On grid axes a proposal means the cell it lies in; its exact place in the bin has no meaning.

    Attributes:
        space: the search space, d axes, grids or continuous.
        rng: the tuner's only source of randomness.
    """

    def __init__(self, space: SearchSpace, seed: Seed) -> None:
        self.space = space
        self.rng = np.random.default_rng(seed)
        self._open: FloatArray | None = None

    def ask(self, n: int = 1) -> FloatArray:
        """Points (m, d) in [0, 1], 1 <= m <= n as suits the tuner; none (0, d) when it has finished.

        Raises:
            TunerError: n is below 1, or the losses of the points asked before were not told.
        """
        if n < 1:
            raise TunerError(f"asked for {n} points: ask for 1 or more")
        if self._open is not None:
            raise TunerError(f"tell the losses of the {len(self._open)} points asked before, then ask again")
        points = self._propose(n)
        if len(points):
            self._open = points
        return points

    def tell(self, points: ArrayLike, losses: ArrayLike) -> None:
        """Learn the losses (m,) of the points (m, d) asked last; +inf stands for a failure.

        Raises:
            TunerError: nothing was asked, these are other points, or a loss is NaN or -inf.
        """
        if self._open is None:
            raise TunerError("nothing was asked: ask first, then tell the losses of these points")
        if not np.array_equal(points, self._open):
            raise TunerError(f"tell the losses of all {len(self._open)} points asked, as they were returned")
        values = np.asarray(losses, dtype=np.float64)
        if values.shape != (len(self._open),):
            raise TunerError(f"{len(self._open)} points were asked: give as many losses, not {values.shape}")
        if np.isnan(values).any() or (values == -np.inf).any():
            raise TunerError(f"losses {values} are not allowed: give numbers, or +inf for a failure")
        asked, self._open = self._open, None
        self._learn(asked, values)

    @abstractmethod
    def _propose(self, n: int) -> FloatArray:
        """At most n points (m, d)."""

    @abstractmethod
    def _learn(self, points: FloatArray, losses: FloatArray) -> None:
        """Take the losses (m,) of the points (m, d) proposed last."""
