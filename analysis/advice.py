"""What to tune instead of a coupled pair: the first axis divided by a power of the second, and whether that helps.

In the coordinate c = alpha / eps^k (on logarithmic axes; alpha - k eps on linear ones) the ridge is level, and c and
eps can be tuned one at a time. Where the slope differs between regimes, the power changes at the transition. The new
landscape has as many values as the old: in the middle of the rows that have an optimum, c has the values of the first
axis; elsewhere each cell is the measured one nearest to it, and cells outside the measured grid count as the worst.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.documents import AdviceDocument
from analysis.estimate import Estimate, FloatArray, half_interval, jackknife
from analysis.landscape import axis_names
from analysis.pairs import is_logarithmic, positions, whole_values
from analysis.penalty import SHARED, extent, mean_loss, penalties, regrets
from analysis.replay import Search
from analysis.ridge import COUPLED, Ridge
from analysis.suboptimality import TrialsToTarget, compare, incumbent_suboptimality
from analysis.tuning_runs import drawn_seeds, seen_losses
from search_spaces import Axis, SearchSpace

TUNERS = ("cgld", "line-search")
"""Tuners that move along one axis at a time: what decoupling should help."""
REPLICATES = 100
BUDGET = 100
TARGET_SHARE = 0.01
"""Default target: suboptimality as a share of the landscape's range."""
AROUND = np.linspace(-1, 1, 41)
"""Exponents that are tried around the ridge's slope, in decades a decade, or in ranges of the axes."""
SIMPLE = (0.25, 1 / 3, 0.5, 1.0, 2.0)
"""Exponents that are preferred to their neighbours when the interval has them."""
ALONE = 0.01
"""Share of the variance that the second axis may have for the new coordinate to be the only parameter."""


@dataclass(frozen=True)
class Cost:
    """Median trials to target of a tuner in the old and in the new coordinates, with 95% intervals.

    Infinite where fewer than half of the runs reached the target within the budget. `sooner` is the probability that
    a run in the new coordinates gets there before one in the old, ties halved.
    """

    before: Estimate
    after: Estimate
    sooner: Estimate


@dataclass(frozen=True)
class Advice:
    """A coordinate to tune instead of the first axis.

    Attributes:
        coordinate: it in words.
        exponents: for every regime, see `best_exponent`; 0 in regimes that are not coupled.
        used: the exponents that are recommended and checked: simple numbers where the intervals allow them.
        penalty: what tuning one after the other loses in the new coordinates against tuning both together in the
            old ones, in units of the metric.
        remainder: share of the metric's variance that the new coordinate alone does not explain, where it is one power.
        target: suboptimality that counts as found, in units of the metric.
        budget: trials of a run.
        cost: by tuner, of 100 runs each; those intervals are over runs.
    """

    coordinate: str
    exponents: tuple[Estimate, ...]
    used: tuple[float, ...]
    penalty: Estimate
    remainder: Estimate
    target: float
    budget: int
    cost: Mapping[str, Cost]

    @property
    def one_parameter(self) -> bool:
        """Whether the second axis does not matter any more."""
        return self.remainder.estimate <= ALONE and not self.remainder.high > ALONE

    def to_json(self) -> AdviceDocument:
        """As JSON types; a median beyond the budget is null."""
        return {
            "coordinate": self.coordinate,
            "exponents": [exponent.to_json() for exponent in self.exponents],
            "used": list(self.used),
            "penalty": self.penalty.to_json(),
            "remainder": self.remainder.to_json(),
            "one_parameter": self.one_parameter,
            "target": self.target,
            "budget": self.budget,
            "trials": {
                tuner: {
                    "before": cost.before.to_json(),
                    "after": cost.after.to_json(),
                    "sooner": cost.sooner.to_json(),
                }
                for tuner, cost in self.cost.items()
            },
        }


def advise(pair: xr.DataArray, found: Ridge, target: float | None = None) -> Advice:
    """Find the coordinate that levels a ridge in its coupled regimes, and check it by replaying tuners.

    `target` is in units of the metric, 1% of the landscape's range by default.

    Raises:
        AnalysisError: no cell has a trial of every seed.
    """
    first, second = axis_names(pair)
    x, y = positions(pair, first), positions(pair, second)
    values = whole_values(pair)
    own = pair[second].values
    logarithmic = is_logarithmic(pair, first) and is_logarithmic(pair, second)
    exponents, used = [], []
    for regime, kind in zip(found.regimes, found.kinds, strict=True):
        if kind != COUPLED:
            exponents.append(Estimate(0.0, math.nan, math.nan))
            used.append(0.0)
            continue
        rows = (own >= regime.start) & (own <= regime.end)
        each = best_exponent(values[:, :, rows], x, y[rows], regime.slope, found.unit)
        exponents.append(each)
        used.append(simplest(each) if logarithmic else each.estimate)
    centre = float(y[~np.isnan(found.optima)].mean())
    places = sheared(x, shift_of(y, tuple(used), found.bend, centre))
    new = moved(values, places)
    remainder = Estimate(math.nan, math.nan, math.nan)
    if len(used) == 1:
        remainder = _beyond_first(values, places)
    mean = values.mean(axis=0)
    wanted = TARGET_SHARE * float(np.nanmax(mean) - np.nanmin(mean)) if target is None else target
    cost = {tuner: cost_of(values, new, tuner, wanted) for tuner in TUNERS}
    return Advice(
        _in_words(pair, found, tuple(used)),
        tuple(exponents),
        tuple(used),
        mean_loss(penalties(new, values), extent(values)),
        remainder,
        wanted,
        min(BUDGET, mean.size),
        cost,
    )


def shift_of(y: FloatArray, exponents: tuple[float, ...], bend: float, centre: float) -> FloatArray:
    """How far the first axis's position moves with the second's (B,): zero at the centre."""

    def moves(at: FloatArray) -> FloatArray:
        if len(exponents) == 1:
            return exponents[0] * at
        return exponents[0] * np.minimum(at - bend, 0) + exponents[1] * np.maximum(at - bend, 0)

    return moves(y) - moves(np.array([centre]))


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


def best_exponent(
    values: FloatArray, x: FloatArray, y: FloatArray, slope: Estimate, unit: float = 1.0
) -> Estimate:
    """The exponent with which tuning the new coordinate at one value of the second axis loses least at the others.

    That is the mean transfer regret on values (S, A, B). The coordinate-tuning penalty itself cannot tell exponents
    apart where the ridge is as good everywhere: whatever row tuning starts from, it ends well. The interval holds the
    exponents, up to one `unit` from the slope, that cannot be told from the best by a paired t-test over seeds at 5%;
    the estimate is the one of them that is nearest to the ridge's slope. With one seed it is the slope itself.
    """
    if len(values) == 1:
        return slope
    exponents = slope.estimate + unit * AROUND
    centre = float(y.mean())
    shears = [moved(values, sheared(x, shift_of(y, (each,), 0.0, centre))) for each in exponents]
    losses = np.array([regrets(each).mean(axis=(1, 2)) for each in shears])  # (exponents, seeds)
    excess = losses - losses[losses.mean(axis=1).argmin()]
    possible = exponents[excess.mean(axis=1) <= half_interval(excess.T, SHARED) + 1e-12]
    nearest = float(np.clip(slope.estimate, possible.min(), possible.max()))
    margin = unit * (AROUND[1] - AROUND[0]) / 2  # the exponents are a grid
    return Estimate(nearest, float(possible.min()) - margin, float(possible.max()) + margin)


def simplest(exponent: Estimate) -> float:
    """The exponent as it is recommended: a simple number if the interval has one, else two decimals."""
    simple = [sign * size for size in SIMPLE for sign in (1, -1)]
    near = [each for each in simple if abs(each - exponent.estimate) <= 0.25 * abs(each)]
    allowed = [each for each in near if exponent.low <= each <= exponent.high]
    if allowed:
        return min(allowed, key=lambda each: abs(each - exponent.estimate))
    return round(exponent.estimate, 2)


def cost_of(values: FloatArray, new: FloatArray, tuner: str, target: float) -> Cost:
    """Trials to target of a tuner on values (S, A, B) in old and in new coordinates."""
    before, after = (trials(each, values, tuner, target) for each in (values, new))
    both = compare({"after": after, "before": before}).iloc[0]
    return Cost(
        Estimate(before.median, *before.median_interval()),
        Estimate(after.median, *after.median_interval()),
        Estimate(both["faster"], both["faster_low"], both["faster_high"]),
    )


def trials(values: FloatArray, original: FloatArray, tuner: str, target: float) -> TrialsToTarget:
    """Trials until a tuner is within the target of the original's best, on values (S, A, B) of a grid.

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
    return TrialsToTarget.of(np.array(curves), target, spent)


def _beyond_first(values: FloatArray, places: NDArray[np.int64]) -> Estimate:
    """Variance share of the measured cells (S, A, B) that differs along the second axis of the new coordinates."""
    missing = np.isnan(values).any(axis=0)
    measured = (places >= 0) & ~np.take_along_axis(missing, np.maximum(places, 0), axis=0)
    new = moved(values, places)

    def share(seeds: FloatArray) -> float:
        mean = np.where(measured, seeds.mean(axis=0), np.nan)
        rows = measured.any(axis=1)
        within = mean[rows] - np.nanmean(mean[rows], axis=1, keepdims=True)
        return float(np.nansum(within**2) / np.nansum((mean - np.nanmean(mean)) ** 2))

    return jackknife(new, share)


def _in_words(pair: xr.DataArray, found: Ridge, used: tuple[float, ...]) -> str:
    """Such as alpha/eps, or alpha/max(eps, 0.002)^0.5."""
    first, second = axis_names(pair)
    logarithmic = [is_logarithmic(pair, name) for name in (first, second)]
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
