"""Tuning cost: how far a tuner's best configuration is from the landscape's best, and how many trials that takes.

*Suboptimality* is the metric's mean over seeds at the best configuration found so far, minus the least mean of the
landscape. A tuner that sees single seeds picks its best by what it saw; it is judged by the mean. *Trials to target* is
the first trial after which the suboptimality is at most the target; a run that never gets there is censored at its
budget.

Curves are an `xarray.DataArray` with the dimensions ``("optimizer", "tuner", "replicate", "trial")``, trials from 1.
The run, or replicate, is the unit of replication.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from analysis.errors import AnalysisError
from analysis.target import check_target

FloatArray = NDArray[np.float64]

TOLERANCE = 1e-9
"""Suboptimalities this close to the target have reached it: means over seeds differ by rounding."""
CONFIDENCE = 0.95
RESAMPLES = 2000
FEWEST_RUNS = 5
"""Runs from which a median has an upper end of its 95% interval."""


def incumbent_suboptimality(cells: ArrayLike, seen: FloatArray, mean: FloatArray, budget: int) -> FloatArray:
    """Suboptimality (budget,) of the best cell so far after each trial of one run.

    Args:
        cells: flat index of every trial's cell, (m,) with m <= budget; after the last one nothing changes.
        seen: loss of every cell as the run saw it, (N,).
        mean: mean loss of every cell over seeds, (N,); NaN where it is not known.

    Raises:
        AnalysisError: there is no trial.
    """
    order = np.asarray(cells, dtype=np.int64)[:budget]
    if not order.size:
        raise AnalysisError("a tuning run has no trials: give a budget of at least 1")
    losses = seen[order]
    # the first trial that is strictly better than all before
    is_record = np.concatenate([[True], losses[1:] < np.minimum.accumulate(losses)[:-1]])
    best = order[np.maximum.accumulate(np.where(is_record, np.arange(order.size), 0))]
    curve = mean[best] - np.nanmin(mean)
    return np.concatenate([curve, np.full(budget - curve.size, curve[-1])])


@dataclass(frozen=True)
class TrialsToTarget:
    """Trials to target of R runs: `times` (R,), the budget where `reached` (R,) is False.

    `spent` (R,) are the trials that each run made until then, fewer than the budget when its tuner ended before.
    """

    times: FloatArray
    reached: NDArray[np.bool_]
    spent: FloatArray

    @classmethod
    def of(cls, curves: FloatArray, target: float, spent: ArrayLike | None = None) -> TrialsToTarget:
        """From suboptimality curves (R, T) and the trials of each run (R,), T where they are not given.

        Raises AnalysisError when the target is no number of at least 0.
        """
        check_target(target)
        hit: NDArray[np.bool_] = np.asarray(curves <= target + TOLERANCE)
        reached = np.asarray(hit.any(axis=1))
        times = np.where(reached, hit.argmax(axis=1) + 1, curves.shape[1]).astype(np.float64)
        return cls(times, reached, np.where(reached, times, curves.shape[1] if spent is None else spent))

    @property
    def median(self) -> float:
        """Kaplan-Meier median; infinity when fewer than half of the runs reached the target."""
        return _first_at_most_half(*self._survival())

    def median_interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Interval of the median: where the log-log confidence band of the survival curve crosses one half.

        (Brookmeyer & Crowley, 1982; Klein & Moeschberger, 2003, section 4.5.) An end may be infinite: the upper one is
        with fewer than 5 runs, whose largest is below the median too often.
        """
        times, survival = self._survival()
        if not times.size:
            return math.inf, math.inf
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", RuntimeWarning
            )  # not defined where no run is left: filled in below
            band = self._estimate().sf.confidence_interval(confidence, method="log-log")
        low, high = (
            np.nan_to_num(end.probabilities, nan=fill) for end, fill in ((band.low, 0.0), (band.high, 1.0))
        )
        high = np.where(survival <= 0, 0.0, high)  # all have reached it by then
        upper = _first_at_most_half(times, high) if len(self.times) >= FEWEST_RUNS else math.inf
        return _first_at_most_half(times, low), upper

    @property
    def mean(self) -> float:
        """Mean number of trials; NaN when a run is censored, for then it is not known."""
        return float(self.times.mean()) if self.reached.all() else math.nan

    @property
    def expected_running_time(self) -> float:
        """The trials of all runs over the number of runs that reached the target (COCO's ERT); may be infinite."""
        return float(self.spent.sum() / self.reached.sum()) if self.reached.any() else math.inf

    def success_interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Wilson interval of the share of runs that reach the target within the budget."""
        test = stats.binomtest(int(self.reached.sum()), len(self.reached))
        interval = test.proportion_ci(confidence, method="wilson")
        return float(interval.low), float(interval.high)

    def _estimate(self) -> Any:
        return stats.ecdf(
            stats.CensoredData(uncensored=self.times[self.reached], right=self.times[~self.reached])
        )

    def _survival(self) -> tuple[FloatArray, FloatArray]:
        """Times (n,) and the share (n,) of runs that took longer, by Kaplan and Meier."""
        if not self.reached.any():
            return np.empty(0), np.empty(0)
        survival = self._estimate().sf
        return survival.quantiles, survival.probabilities


def _first_at_most_half(times: FloatArray, survival: FloatArray) -> float:
    below = np.flatnonzero(survival <= 0.5 + 1e-12)
    return float(times[below[0]]) if below.size else math.inf


def trials_to_target(curves: xr.DataArray, optimizer: str, tuner: str, target: float) -> TrialsToTarget:
    """Of one tuner on one landscape; the coordinate ``spent`` of the curves, if there, tells each run's trials."""
    chosen = curves.sel(optimizer=optimizer, tuner=tuner)
    spent = chosen["spent"].values if "spent" in chosen.coords else None
    return TrialsToTarget.of(chosen.values, target, spent)


def running_times(curves: xr.DataArray, target: float) -> pd.DataFrame:
    """One row for each optimizer and tuner: optimizer, tuner, ert (NaN when no run reached the target)."""
    rows = [
        (str(optimizer), str(tuner), trials_to_target(curves, str(optimizer), str(tuner), target))
        for optimizer, tuner in itertools.product(curves["optimizer"].values, curves["tuner"].values)
    ]
    found = [(optimizer, tuner, each.expected_running_time) for optimizer, tuner, each in rows]
    return pd.DataFrame(found, columns=["optimizer", "tuner", "ert"]).replace({math.inf: math.nan})


def compare(found: dict[str, TrialsToTarget], seed: int = 0) -> pd.DataFrame:
    """Every pair of tuners (or optimizers), runs censored at the same budget.

    Columns: first, second; ratio, ratio_low, ratio_high: median of the first over that of the second with a 95%
    bootstrap interval, NaN when a median is beyond the budget; faster, faster_low, faster_high: probability that a run
    of the first reaches the target before one of the second, ties and pairs of censored runs halved, with a 95%
    bootstrap interval; p: Mann-Whitney's two-sided rank test, corrected for all pairs by Holm's method.

    Raises:
        AnalysisError: there are fewer than two.
    """
    if len(found) < 2:
        raise AnalysisError("a comparison needs two or more tuners or optimizers")
    rows = []
    for (first, a), (second, b) in itertools.combinations(found.items(), 2):
        times = [np.where(each.reached, each.times, np.inf) for each in (a, b)]
        faster, ratio = _bootstrap(times, seed)
        ranks = stats.mannwhitneyu(*[np.where(np.isinf(each), 1e300, each) for each in times])
        rows.append(
            {
                "first": first,
                "second": second,
                **dict(zip(("ratio", "ratio_low", "ratio_high"), ratio, strict=True)),
                **dict(zip(("faster", "faster_low", "faster_high"), faster, strict=True)),
                "p": float(ranks.pvalue),
            }
        )
    frame = pd.DataFrame(rows)
    frame["p"] = holm(frame["p"].to_numpy())
    return frame


def holm(p: FloatArray) -> FloatArray:
    """Holm's step-down correction (1979) of p-values (n,)."""
    order = np.argsort(p)
    steps = p[order] * np.arange(len(p), 0, -1)
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected


def _bootstrap(times: Sequence[FloatArray], seed: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Probability of being faster and ratio of medians, each with its interval, resampling runs."""

    def faster(a: FloatArray, b: FloatArray) -> float:
        # by ranks: the share of b above each a, ties halved
        ordered = np.sort(b)
        above = len(b) - np.searchsorted(ordered, a, side="right")
        ties = len(b) - above - np.searchsorted(ordered, a, side="left")
        return float((above + ties / 2).mean() / len(b))

    def ratio(a: FloatArray, b: FloatArray) -> float:
        medians = [float(np.sort(each)[(len(each) - 1) // 2]) for each in (a, b)]
        return medians[0] / medians[1] if all(map(math.isfinite, medians)) else math.nan

    a, b = times
    source = np.random.default_rng(seed)
    draws = [
        (a[source.integers(len(a), size=len(a))], b[source.integers(len(b), size=len(b))])
        for _ in range(RESAMPLES)
    ]
    result = []
    for statistic in (faster, ratio):
        resampled = np.array([statistic(*draw) for draw in draws])
        tail = (1 - CONFIDENCE) / 2
        ends = (
            np.quantile(resampled, [tail, 1 - tail]) if np.isfinite(resampled).all() else (math.nan, math.nan)
        )
        result.append((statistic(a, b), float(ends[0]), float(ends[1])))
    return result[0], result[1]


def performance_profile(costs: pd.DataFrame) -> xr.DataArray:
    """Dolan and Moré's (2002) profile of tuners over several landscapes.

    `costs` has the columns landscape, tuner and ert. Returns the share of landscapes, ``("tuner", "factor")``, on which
    a tuner's expected running time is at most `factor` times that of the best tuner there.

    Raises:
        AnalysisError: a tuner is missing on a landscape, or a landscape is given twice.
    """
    twice = costs[costs.duplicated(["landscape", "tuner"])]
    if len(twice):
        raise AnalysisError(f"the landscape {twice['landscape'].iloc[0]} is given twice: give it once")
    table = costs.pivot(index="landscape", columns="tuner", values="ert")
    present = costs.groupby("tuner", sort=False)["landscape"].nunique()
    if (present != len(table)).any():
        lacking = str(present.index[present != len(table)][0])
        raise AnalysisError(f"tuner {lacking!r} was not run on every landscape: run it, or leave it out")
    ratios = table.div(table.min(axis=1), axis=0).fillna(np.inf)
    finite = ratios.to_numpy()[np.isfinite(ratios.to_numpy())]
    factors = np.geomspace(1, max(2.0, float(finite.max(initial=2.0))), 200)
    tuners = [str(name) for name in present.index]
    shares = [(ratios[name].to_numpy()[:, None] <= factors + TOLERANCE).mean(0) for name in tuners]
    return xr.DataArray(np.array(shares), {"tuner": tuners, "factor": factors}, ("tuner", "factor"))
