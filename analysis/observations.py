"""Scattered trials of one optimizer: points anywhere in a continuous space, each with its seed and its metric."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from search_spaces import SearchSpace

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Observations:
    """N trials.

    Attributes:
        space: its d axes.
        points: hyperparameters, (N, d).
        seeds: (N,).
        values: the metric, (N,), lower is better; of a diverged trial the worst there is.
        metric: its name.
    """

    space: SearchSpace
    points: FloatArray
    seeds: NDArray[np.int64]
    values: FloatArray
    metric: str

    @classmethod
    def of_trials(cls, trials: pd.DataFrame, space: SearchSpace, metric: str) -> Observations:
        """Take the rows of a frame with the columns ``seed``, `metric` and the axes.

        Raises:
            AnalysisError: there are no trials.
        """
        if trials.empty:
            raise AnalysisError("there are no trials: run the study first, or widen the filter")
        return cls(
            space,
            trials[list(space.names)].to_numpy(dtype=np.float64),
            trials["seed"].to_numpy(dtype=np.int64),
            trials[metric].to_numpy(dtype=np.float64),
            metric,
        )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def units(self) -> FloatArray:
        """The points in the unit cube, (N, d)."""
        return self.space.value_to_unit(self.points)
