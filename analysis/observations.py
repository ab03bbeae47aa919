"""Trials of one optimizer, on a grid or anywhere in a continuous space: what landscapes and surrogates are views of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.trained import nothing_trained
from search_spaces import Axis, SearchSpace, nearest_name
from storage.records import STOPPED_AT, Trials, cell_keys

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Curve = tuple[IntArray, FloatArray]
NO_TRIALS = "there are no trials: run the study first, or widen the filter"


@dataclass(frozen=True, eq=False)
class Observations:
    """N trials.

    Attributes:
        space: its d axes; of a grid each point is a cell, and a trial may be missing.
        points: hyperparameters, (N, d).
        seeds: (N,).
        values: the metric, (N,), lower is better; of a diverged trial the worst there is.
        metric: its name.
        diverged_at: the step, (N,), NaN where a trial did not diverge; None where nobody knows.
        stopped_at: the step at which a trial was stopped early or pruned, (N,), NaN where it ended; its value is that
            of this step. None where none was.
        curves: steps (P,) and values (P,) of each trial's learning curve, of as many points as each has; () where they
            were not asked for.
    """

    space: SearchSpace
    points: FloatArray
    seeds: IntArray
    values: FloatArray
    metric: str
    diverged_at: FloatArray | None = None
    stopped_at: FloatArray | None = None
    curves: Sequence[Curve] = ()

    @classmethod
    def of_trials(cls, trials: pd.DataFrame, space: SearchSpace, metric: str) -> Observations:
        """Take the rows of a frame: the columns ``seed``, `metric`, the axes, maybe ``diverged_at`` and ``stopped_at``.

        Raises:
            AnalysisError: a column is missing, or an axis is called ``seed``.
        """
        require_columns(trials, space.names, metric)

        def steps(column: str) -> FloatArray | None:
            if column not in trials.columns:
                return None
            return trials[column].to_numpy(dtype=np.float64, na_value=np.nan)

        return cls(
            space,
            trials[list(space.names)].to_numpy(dtype=np.float64),
            trials["seed"].to_numpy(dtype=np.int64),
            trials[metric].to_numpy(dtype=np.float64),
            metric,
            steps("diverged_at"),
            steps(STOPPED_AT),
        )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def units(self) -> FloatArray:
        """The points in the unit cube, (N, d)."""
        return self.space.value_to_unit(self.points)

    @property
    def stopped(self) -> NDArray[np.bool_]:
        """Which were stopped early, (N,)."""
        if self.stopped_at is None:
            return np.zeros(len(self), dtype=bool)
        return ~np.isnan(self.stopped_at)

    @property
    def diverged(self) -> NDArray[np.bool_]:
        """Which diverged, (N,), none where nobody knows."""
        if self.diverged_at is None:
            return np.zeros(len(self), dtype=bool)
        return ~np.isnan(self.diverged_at)

    @property
    def nothing_trained(self) -> str | None:
        """In words that every trial diverged; None where one did not, or nobody knows."""
        return nothing_trained(len(self), int(self.diverged.sum()))

    def require_some(self) -> None:
        """Raise AnalysisError when there are no trials."""
        if not len(self):
            raise AnalysisError(NO_TRIALS)

    def on_occurring(self) -> Observations:
        """The same on the grid of the values that occur, each axis on its own scale still."""
        axes = zip(self.space.axes, self.points.T, strict=True)
        return replace(
            self,
            space=SearchSpace(
                Axis(axis.name, np.unique(values).tolist(), scale=axis.scale, words=axis.words)
                for axis, values in axes
            ),
        )

    def only(self, kept: NDArray[np.bool_]) -> Observations:
        """Those that are kept (N,)."""
        return replace(
            self,
            points=self.points[kept],
            seeds=self.seeds[kept],
            values=self.values[kept],
            diverged_at=None if self.diverged_at is None else self.diverged_at[kept],
            stopped_at=None if self.stopped_at is None else self.stopped_at[kept],
            curves=[curve for curve, keep in zip(self.curves, kept, strict=True) if keep]
            if self.curves
            else (),
        )

    def with_curves(self, batches: Iterable[Trials]) -> Observations:
        """The same with the learning curves that batches of trials, such as those of `Store.read`, have of them."""
        keys = (cell_keys(dict(zip(self.space.names, self.points.T, strict=True))), self.seeds.tolist())
        places = {key: place for place, key in enumerate(zip(*keys, strict=True))}
        curves: list[Curve] = [(np.empty(0, dtype=np.int64), np.empty(0))] * len(self)
        for batch in batches:
            for cell, curve in zip(cell_keys(batch.hyperparameters), batch.curve, strict=True):
                place = places.get((cell, int(batch.seed)))
                if place is not None:
                    curves[place] = batch.curve_steps, curve
        return replace(self, curves=curves)

    def after(self, step: int) -> Observations:
        """The trials as they were after so many steps of training: the last point of each curve up to then.

        What had diverged by then has its final value, the worst; what was stopped later counts as not stopped. Trials
        whose curves begin later are left out.

        Raises:
            AnalysisError: no curve has a point up to that step.
        """
        places = np.array([int(np.searchsorted(steps, step, "right")) - 1 for steps, _ in self.curves])
        kept = places >= 0
        if not kept.any():
            first = min((int(steps[0]) for steps, _ in self.curves if len(steps)), default=None)
            known = (
                "no trial has a learning curve" if first is None else f"learning curves begin at step {first}"
            )
            raise AnalysisError(f"no trial is known after {step} step{'s' * (step > 1)}: {known}")
        then = np.array(
            [curve[place] for (_, curve), place in zip(self.curves, places, strict=True) if place >= 0]
        )
        seen = self.only(kept)

        def until(steps: FloatArray | None) -> FloatArray | None:
            return None if steps is None else np.where(steps > step, np.nan, steps)

        return replace(
            seen,
            values=np.where(np.isfinite(then), then, seen.values),
            diverged_at=until(seen.diverged_at),
            stopped_at=until(seen.stopped_at),
        )


def require_columns(trials: pd.DataFrame, axes: Sequence[str], metric: str) -> None:
    """Raise AnalysisError when a column is missing, or an axis is called ``seed``."""
    if "seed" in axes:
        raise AnalysisError(
            "an axis is called 'seed', which is the name of the landscape's first dimension: rename it"
        )
    for column in ("seed", *axes, metric):
        if column not in trials.columns:
            known = [str(name) for name in trials.columns]
            raise AnalysisError(
                f"the trials have no column {column!r}{nearest_name(column, known)}: "
                f"they have {', '.join(known)}"
            )
