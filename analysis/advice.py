"""What to tune instead of a coupled pair: the first axis divided by a power of the second, and whether that helps.

In the coordinate c = alpha / eps^k (on logarithmic axes; alpha - k eps on linear ones) the ridge is level, and c and
eps can be tuned one at a time. Where the slope differs between regimes, the power changes at the transition. The new
landscape has as many values as the old: with the second axis at the middle of its range, c has the values of the
first; elsewhere each cell is the measured one nearest to it, and cells outside the measured grid count as the worst.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.estimate import Estimate, FloatArray, quantile
from analysis.interaction import variance_share
from analysis.landscape import axis_names
from analysis.pairs import positions, whole_values
from analysis.penalty import over_left_out, penalties, regrets
from analysis.replay import Search
from analysis.ridge import Ridge
from analysis.suboptimality import TrialsToTarget, incumbent_suboptimality
from analysis.tuning_runs import drawn_seeds, seen_losses
from search_spaces import Axis, SearchSpace

TUNERS = ("cgld", "line-search")
"""Tuners that move along one axis at a time: what decoupling should help."""
REPLICATES = 100
BUDGET = 100
TARGET_SHARE = 0.01
"""Default target: suboptimality as a share of the landscape's range."""
EXPONENTS = np.linspace(-2, 2, 81)
SIMPLE = (0.25, 1 / 3, 0.5, 1.0, 2.0)
"""Exponents that are preferred to their neighbours when the interval has them."""
ALONE = 0.01
"""Share of the variance that the second axis may have for the new coordinate to be the only parameter."""


@dataclass(frozen=True)
class Cost:
    """Median trials to target of a tuner in the old and in the new coordinates, with 95% intervals.

    Infinite where fewer than half of the runs reached the target within `BUDGET` trials.
    """

    before: Estimate
    after: Estimate


@dataclass(frozen=True)
class Advice:
    """A coordinate to tune instead of the first axis.

    Attributes:
        coordinate: it in words.
        exponents: for every regime, see `best_exponent`; 0 in regimes that are not coupled.
        used: the exponents that are recommended and checked: simple numbers where the intervals allow them.
        penalty: coordinate-tuning penalty in the new coordinates, in units of the metric.
        remainder: share of the metric's variance that the new coordinate alone does not explain, where it is one power.
        target: suboptimality that counts as found, in units of the metric.
        cost: by tuner, of 100 runs each.
    """

    coordinate: str
    exponents: tuple[Estimate, ...]
    used: tuple[float, ...]
    penalty: Estimate
    remainder: Estimate
    target: float
    cost: Mapping[str, Cost]

    @property
    def one_parameter(self) -> bool:
        """Whether the second axis does not matter any more."""
        return self.remainder.estimate <= ALONE and not self.remainder.high > ALONE

    def to_json(self) -> dict[str, Any]:
        """As JSON types; a median beyond the budget is null."""
        return {
            "coordinate": self.coordinate,
            "exponents": [exponent.to_json() for exponent in self.exponents],
            "used": list(self.used),
            "penalty": self.penalty.to_json(),
            "remainder": self.remainder.to_json(),
            "one_parameter": self.one_parameter,
            "target": self.target,
            "trials": {
                tuner: {"before": cost.before.to_json(), "after": cost.after.to_json()}
                for tuner, cost in self.cost.items()
            },
        }


def advise(pair: xr.DataArray, found: Ridge, coupled: list[bool], target: float | None = None) -> Advice:
    """Find the coordinate for a ridge whose regimes are `coupled` or not, and check it by replaying tuners.

    `target` is in units of the metric, 1% of the landscape's range by default.

    Raises:
        AnalysisError: no cell has a trial of every seed.
    """
    first, second = axis_names(pair)
    x, y = positions(pair, first), positions(pair, second)
    values = whole_values(pair)
    own = pair[second].values
    exponents, used = [], []
    for regime, one_is_coupled in zip(found.regimes, coupled, strict=True):
        rows = (own >= regime.start) & (own <= regime.end)
        level = Estimate(0.0, math.nan, math.nan)
        each = best_exponent(values[:, :, rows], x, y[rows], regime.slope) if one_is_coupled else level
        exponents.append(each)
        used.append(simplest(each) if one_is_coupled else 0.0)
    places = sheared(x, shift_of(y, tuple(used), found.bend))
    new = moved(values, places)
    remainder = Estimate(math.nan, math.nan, math.nan)
    if len(used) == 1:
        remainder = _beyond_first(values, places)
    mean = values.mean(axis=0)
    wanted = TARGET_SHARE * float(np.nanmax(mean) - np.nanmin(mean)) if target is None else target
    cost = {
        tuner: Cost(trials(values, values, tuner, wanted), trials(new, values, tuner, wanted))
        for tuner in TUNERS
    }
    named = _in_words(pair, found, tuple(used))
    return Advice(
        named, tuple(exponents), tuple(used), over_left_out(penalties(new)), remainder, wanted, cost
    )


def shift_of(y: FloatArray, exponents: tuple[float, ...], bend: float) -> FloatArray:
    """How far the first axis's position moves with the second's (B,): zero at the middle of its range."""

    def moves(at: FloatArray) -> FloatArray:
        if len(exponents) == 1:
            return exponents[0] * at
        return exponents[0] * np.minimum(at - bend, 0) + exponents[1] * np.maximum(at - bend, 0)

    return moves(y) - moves(np.array([(y[0] + y[-1]) / 2]))


def sheared(x: FloatArray, shift: FloatArray) -> NDArray[np.int64]:
    """Which value of the first axis (A,) each new cell (A, B) has: the nearest, or -1 outside the grid."""
    wanted = x[:, None] + shift
    right = np.clip(np.searchsorted(x, wanted), 1, len(x) - 1)
    nearest = np.where(wanted - x[right - 1] <= x[right] - wanted, right - 1, right)
    # half a step beyond an end is still nearest to that end
    inside = (wanted >= x[0] - (x[1] - x[0]) / 2) & (wanted <= x[-1] + (x[-1] - x[-2]) / 2)
    return np.where(inside, nearest, -1)


def moved(values: FloatArray, places: NDArray[np.int64]) -> FloatArray:
    """The landscape (S, A, B) in new coordinates; what is outside or missing counts as the worst there is."""
    taken = np.take_along_axis(values, np.maximum(places, 0)[None], axis=1)
    return np.where((places < 0) | np.isnan(taken), np.nanmax(values), taken)


def best_exponent(values: FloatArray, x: FloatArray, y: FloatArray, slope: Estimate) -> Estimate:
    """The exponent with which tuning the new coordinate at one value of the second axis loses least at the others.

    That is the mean transfer regret on values (S, A, B). The coordinate-tuning penalty itself cannot tell exponents
    apart where the ridge is as good everywhere: whatever row tuning starts from, it ends well. The interval holds the
    exponents that cannot be told from the best by a paired t-test over seeds at 5%; the estimate is the one of them
    that is nearest to the ridge's slope.
    """
    shears = [moved(values, sheared(x, shift_of(y, (each,), 0.0))) for each in EXPONENTS]
    losses = np.array([regrets(each).mean(axis=(1, 2)) for each in shears])  # (exponents, seeds)
    seeds = losses.shape[1]
    excess = losses - losses[losses.mean(axis=1).argmin()]
    error = np.zeros(len(losses))
    if seeds > 1:
        error = quantile(seeds - 1) * excess.std(axis=1, ddof=1) * math.sqrt(1 / seeds + 1 / (seeds - 1))
    possible = EXPONENTS[excess.mean(axis=1) <= error + 1e-12]
    nearest = float(np.clip(slope.estimate, possible.min(), possible.max()))
    if seeds == 1:
        return Estimate(nearest, math.nan, math.nan)
    return Estimate(nearest, float(possible.min()), float(possible.max()))


def simplest(exponent: Estimate) -> float:
    """The exponent as it is recommended: a simple number if the interval has one, else two decimals."""
    simple = [sign * size for size in SIMPLE for sign in (1, -1)]
    near = [each for each in simple if abs(each - exponent.estimate) <= 0.25 * abs(each)]
    allowed = [each for each in near if exponent.low <= each <= exponent.high]
    if allowed:
        return min(allowed, key=lambda each: abs(each - exponent.estimate))
    return round(exponent.estimate, 2)


def trials(values: FloatArray, original: FloatArray, tuner: str, target: float) -> Estimate:
    """Median trials until a tuner is within the target of the original's best, on values (S, A, B) of a grid.

    Runs see one seed of each cell and are judged by the mean over seeds.
    """
    seeds, *shape = values.shape
    filled = np.where(np.isnan(values), np.nanmax(values), values)
    table = np.ascontiguousarray(filled.reshape(seeds, -1).T)
    best = float(np.nanmin(original.mean(axis=0)))
    space = SearchSpace([Axis(f"axis{place}", range(size)) for place, size in enumerate(shape)])
    budget = min(BUDGET, space.size)
    curves, spent = [], []
    for replicate in range(REPLICATES):
        search = Search(space, tuner, replicate, budget, "seed", "free", seeds)
        search.advance(search.seen(table))
        # suboptimality is relative to the original's best cell, also where the new grid lacks it
        seen = np.append(seen_losses(table, drawn_seeds(len(table), replicate, seeds)), math.inf)
        mean = np.append(table.mean(axis=1), best)
        curves.append(incumbent_suboptimality(search.cells, seen, mean, budget))
        spent.append(len(search.cells))
    found = TrialsToTarget.of(np.array(curves), target, spent)
    return Estimate(found.median, *found.median_interval())


def _beyond_first(values: FloatArray, places: NDArray[np.int64]) -> Estimate:
    """Variance share of the measured cells (S, A, B) that differs along the second axis of the new coordinates."""
    measured = (places >= 0) & ~np.isnan(np.take_along_axis(values[0], np.maximum(places, 0), axis=0))
    taken = np.where(measured, moved(values, places), 0.0)
    count = np.maximum(measured.sum(axis=1), 1)
    along = taken.sum(axis=2) / count  # (S, A)
    overall = taken.sum(axis=(1, 2)) / measured.sum()
    part = np.where(measured, taken - along[:, :, None], 0.0)
    return variance_share(part, np.where(measured, taken - overall[:, None, None], 0.0))


def _in_words(pair: xr.DataArray, found: Ridge, used: tuple[float, ...]) -> str:
    """Such as alpha/eps, or alpha/max(eps, 0.002)^0.5."""
    first, second = axis_names(pair)
    logarithmic = [pair[name].attrs.get("scale") == "log" for name in (first, second)]
    parts = []
    for place, exponent in enumerate(used):
        if exponent == 0:
            continue
        name = second
        if found.transition:
            name = f"{('min', 'max')[place]}({second}, {found.transition.estimate:.2g})"
        size = f"{abs(exponent):.2g}"
        match logarithmic:
            case [True, True]:
                parts.append(f"{'/' if exponent > 0 else '*'}{name}{'' if size == '1' else f'^{size}'}")
            case [True, False]:
                parts.append(f"{'/' if exponent > 0 else '*'}10^({size}*{name})")
            case [False, True]:
                parts.append(f" {'-' if exponent > 0 else '+'} {size}*log10({name})")
            case _:
                parts.append(f" {'-' if exponent > 0 else '+'} {size}*{name}")
    return first + "".join(parts)
