"""Tuning runs on known losses: a tuner asks for cells of a grid and is told what they cost."""

from __future__ import annotations

import math
import zlib

import numpy as np
from numpy.typing import NDArray

from analysis.tuning_runs import seeds_seen, seen_losses
from search_spaces import SearchSpace
from storage.records import TuningRun
from tuners import Tuner, make_tuner

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

PATIENCE = 100
"""Asks in a row for cells that the run knows already, after which it has ended."""


class Search:
    """A tuning run in progress, on a grid.

    Attributes:
        cells: flat index of each trial's cell so far.
        ended: whether it has spent its budget, or its tuner has nothing more to ask.
    """

    def __init__(
        self,
        space: SearchSpace,
        tuner: str,
        replicate: int,
        budget: int,
        noise: str,
        repeats: str,
        seeds: int,
    ) -> None:
        # the tuner's stream is its own; which seeds a run sees depends on the replicate alone
        stream = np.random.SeedSequence([zlib.crc32(tuner.encode()), replicate])
        self.tuner: Tuner = make_tuner(tuner, space, stream)
        self.key = (tuner, replicate, noise, repeats, seeds, space)
        self.budget = budget
        self.cells: list[int] = []
        self.ended = False
        self._drawn = seeds_seen(noise, space.size, replicate, seeds)
        self._count_repeats = repeats == "count"
        self._lengths = np.array(space.shape)
        self._strides = np.array([math.prod(space.shape[i + 1 :]) for i in range(len(space.shape))])
        self._known: set[int] = set()
        self._idle = 0
        self._points: FloatArray | None = None
        self._asked: IntArray = np.empty(0, dtype=np.int64)

    def advance(self, losses: FloatArray) -> IntArray:
        """Go on as far as the losses (N,) of the cells are known (not NaN); return the cells that are needed next."""
        while not self.ended:
            if self._points is None:
                points = self.tuner.ask(self.budget - len(self.cells))
                if len(points) == 0:
                    self.ended = True
                    break
                indices = np.minimum((points * self._lengths).astype(np.int64), self._lengths - 1)
                self._points, self._asked = points, indices @ self._strides
            told = losses[self._asked]
            unknown = np.isnan(told)
            if unknown.any():
                return self._asked[unknown]
            self.tuner.tell(self._points, told)
            self._points = None
            self._keep(self._asked.tolist())
        return np.empty(0, dtype=np.int64)

    def _keep(self, asked: list[int]) -> None:
        before = len(self._known)
        for cell in asked:
            if self._count_repeats or cell not in self._known:
                self.cells.append(cell)
            self._known.add(cell)
        self._idle = 0 if len(self._known) > before else self._idle + 1
        self.ended = len(self.cells) >= self.budget or self._idle >= PATIENCE

    def seen(self, table: FloatArray) -> FloatArray:
        """The losses (N,) that this run sees of a table (N, seeds)."""
        return seen_losses(table, self._drawn)

    @property
    def run(self) -> TuningRun:
        return TuningRun(*self.key, self.budget, np.array(self.cells, dtype=np.int64))
