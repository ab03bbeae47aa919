"""What tuning one axis after the other loses, and what a best value loses where it was not tuned.

Lines along which everything is saturated are no starting points: their best cell is in the worst tenth of the
landscape's range. Choices are made on the mean of all other seeds and judged on the seed left out, so that noise is not
taken for skill.

The choices share seeds, so that the losses of different seeds left out are not independent. Intervals are t-intervals
widened for that as Nadeau and Bengio (2003) propose, with the correlation that simulations showed (see `SHARED`).
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.estimate import FEWEST_FOR_INTERVAL, Estimate, FloatArray, half_interval, mean_of
from analysis.landscape import axis_names
from analysis.pairs import whole_values

SATURATED = 0.1
"""Share of the landscape's range, from its worst end, in which nothing trains."""
SHARED = 1 / 3
"""Correlation between losses on different seeds left out: 1/S is too little from five seeds on (simulated)."""


def transfer_regret(pair: xr.DataArray) -> xr.Dataset:
    """What the first axis's best value at one value of the second loses at another.

    Entry (i, j), dimensions ``("tuned_at", "used_at")``: the metric at (best first value found at i, j) minus that at
    (best found at j, j), in units of the metric. Zero on the diagonal; NaN where a cell is missing. The variables are
    ``estimate``, ``low`` and ``high``, the ends of the 95% t-interval over seeds (NaN with fewer than 3), none of them
    below zero or beyond the landscape's range.

    Raises:
        AnalysisError: no cell has a trial of every seed.
    """
    second = axis_names(pair)[1]
    values = whole_values(pair)
    each = regrets(values)
    mean, half, labels = each.mean(axis=0), half_interval(each, SHARED), pair[second].values
    if len(each) < FEWEST_FOR_INTERVAL:
        half = np.full_like(half, np.nan)
    ends = {"estimate": mean, "low": mean - half, "high": mean + half}
    tables = {name: np.clip(table, 0, extent(values)) for name, table in ends.items()}
    return xr.Dataset(
        {name: (("tuned_at", "used_at"), table) for name, table in tables.items()},
        {"tuned_at": labels, "used_at": labels},
        attrs=pair.attrs,
    )


def coordinate_penalty(pair: xr.DataArray) -> Estimate:
    """What tuning one axis after the other loses against tuning both together, in units of the metric.

    From a value of one axis: the best value of the other there, then the best of the first for that. Averaged over all
    starting values with which anything trains, and over both orders, so that it does not depend on the order of the
    axes. Choices are as uncertain as the seeds make them. Not below zero or beyond the landscape's range; an interval
    takes 3 seeds.

    Raises:
        AnalysisError: no cell has a trial of every seed.
    """
    values = whole_values(pair)
    return mean_loss(penalties(values), extent(values))


def mean_loss(losses: FloatArray, most: float) -> Estimate:
    """The mean of losses (S,) on seeds left out, between zero and `most`."""
    found = mean_of(losses, SHARED)
    if len(losses) < FEWEST_FOR_INTERVAL:
        found = Estimate(found.estimate, np.nan, np.nan)
    return found.within(0, most)


def extent(values: FloatArray) -> float:
    """From the best to the worst of values, NaN where there is none: no loss is larger."""
    return float(np.nanmax(values) - np.nanmin(values))


def penalties(values: FloatArray, against: FloatArray | None = None) -> FloatArray:
    """The penalty (S,) on each seed left out, of values (S, A, B), against their joint optimum or that of others."""
    losses = []
    others = left_out(values if against is None else against)
    for (chosen, judged), (all_chosen, all_judged) in zip(left_out(values), others, strict=True):
        saturated = np.nanmax(chosen) - SATURATED * (np.nanmax(chosen) - np.nanmin(chosen))
        joint = all_judged[np.unravel_index(best_places(all_chosen.ravel(), axis=0), all_chosen.shape)]
        orders = []
        for choice, judge in ((chosen, judged), (chosen.T, judged.T)):
            first = best_places(choice, axis=0)  # for every starting value of the second axis
            second = best_places(choice[first], axis=1)
            trains = (choice <= saturated).any(axis=0)
            orders.append(judge[first, second][trains].mean())
        losses.append(float(np.mean(orders) - joint))
    return np.array(losses)


def regrets(values: FloatArray) -> FloatArray:
    """The transfer regret (S, B, B) on each seed left out, of values (S, A, B)."""
    tables = []
    for chosen, judged in left_out(values):
        used = judged[best_places(chosen, axis=0)]  # (tuned at, used at)
        tables.append(used - np.diagonal(used)[None, :])
    return np.array(tables)


def left_out(values: FloatArray) -> list[tuple[FloatArray, FloatArray]]:
    """For every seed of (S, A, B): the mean of the others (A, B), to choose by, and its own, to judge by."""
    if len(values) == 1:
        return [(values[0], values[0])]
    total = values.sum(axis=0)
    return [((total - own) / (len(values) - 1), own) for own in values]


def best_places(values: FloatArray, axis: int) -> NDArray[np.int64]:
    """Place of the least value, missing ones last."""
    return np.asarray(np.where(np.isnan(values), np.inf, values).argmin(axis=axis))
