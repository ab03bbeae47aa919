"""Sensitivity of stored studies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.cost.costs import why_unknown
from analysis.documents import SensitivitiesDocument
from analysis.errors import AnalysisError
from analysis.estimate import Estimate, over_draws
from analysis.metric_scale import is_rate
from analysis.sensitivity.defaults import Default, defaults_of
from analysis.sensitivity.draws import LandscapeDraws
from analysis.sensitivity.importance import importances
from analysis.sensitivity.result import AcrossWorkloads, AxisSensitivity, Sensitivity, Tuned, Width
from analysis.sensitivity.statistics import (
    ENOUGH,
    best_by_tuned,
    chosen_and_judged,
    needed,
    profiles,
    slices,
    widths,
)
from analysis.sensitivity.workloads import across
from analysis.stored import Tell, ignore, stored_observations
from analysis.tuning_runs import loss_table
from search_spaces import Axis, SearchSpace
from storage.records import split_name
from storage.store import Store

FloatArray = NDArray[np.float64]

WITHIN = (0.005, 0.01, 0.02)
"""Of the best, in units of a metric that is a rate; of another as shares of its range, from best to worst."""
BLUR = 0.05
"""Of a grid step, by which widths are uncertain at least: the best of many equal cells is too low in every draw."""
NOTHING = Estimate(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Sensitivities:
    """Of several optimizers and studies, and of optimizers over those studies that have the same grid.

    `left_out` says of the others, by STUDY/OPTIMIZER, why nothing is known.
    """

    found: tuple[Sensitivity, ...]
    across: tuple[AcrossWorkloads, ...]
    left_out: Mapping[str, str]

    def to_json(self) -> SensitivitiesDocument:
        """As JSON types: null for NaN, and for what does not apply."""
        return {
            "landscapes": [each.to_json() for each in self.found],
            "across": [each.to_json() for each in self.across],
            "left_out": dict(self.left_out),
        }


def stored_sensitivities(
    store: Store,
    names: Sequence[str],
    within: Sequence[float] | None = None,
    defaults: Mapping[str, float] | None = None,
) -> Sensitivities:
    """Of studies (STUDY or STUDY/OPTIMIZER), from all seeds that the store has.

    Args:
        within: thresholds in units of the metric, `WITHIN` by default.
        defaults: by axis, where they are not the optimizer's own.

    Raises:
        AnalysisError: trials are scattered, there is one cell alone, a threshold is no number above 0, or a default is
            given of an axis that there is not.
    """
    check_within(within)
    found: list[Sensitivity] = []
    drawn: dict[str, dict[str, LandscapeDraws]] = {}
    spaces: dict[str, SearchSpace] = {}
    left_out: dict[str, str] = {}
    for name in dict.fromkeys(names):
        study, optimizer = split_name(name)
        about, space = store.about(study), varying(store, study)
        seen = stored_observations(store, study, optimizer)
        tables = {}
        for each, trials in seen.items():
            table = loss_table(store, study, each, extra=True)
            why = trials.nothing_trained or why_unknown(table)
            if why:
                left_out[f"{study}/{each}"] = why
            else:
                tables[each] = table
        targets = default_within(about.metric, tables)
        for each, table in tables.items():
            draws = LandscapeDraws(table, space.shape, targets)
            drawn.setdefault(study, {})[each] = draws
            spaces[study] = space
            placed = defaults_of(about.recipes[each], space, defaults)
            shares = importances(seen[each], space)
            found.append(
                sensitivity_of(study, each, about.metric, draws, space, within or targets, placed, shares)
            )
    return Sensitivities(tuple(found), tuple(across(drawn, spaces)), left_out)


def known(found: Sensitivities, tell: Tell = ignore) -> Sensitivities:
    """The same; `tell` is called with what is not known. Raises AnalysisError, with why, when that is all."""
    said = [f"{name}: {why}" for name, why in found.left_out.items()]
    if not found.found:
        raise AnalysisError("; ".join(said))
    for each in said:
        tell(f"note: no sensitivity of {each}")
    return found


def varying(store: Store, study: str) -> SearchSpace:
    """The axes of a study's grid that have several values. Raises AnalysisError when there are none, or no grid."""
    space = store.about(study).space
    if not space.is_grid:
        raise AnalysisError(f"{study}: sensitivity is of grids alone, and its trials are scattered")
    if space.size == 1:
        raise AnalysisError(f"{study} has one cell: sensitivity needs an axis with several values")
    return SearchSpace(axis for axis in space.axes if len(axis.values) > 1)


def parse_within(text: str) -> tuple[float, ...]:
    """Thresholds, written as ``0.005,0.01``. Raises AnalysisError when they are not."""
    try:
        return tuple(float(each) for each in text.split(","))
    except ValueError:
        raise AnalysisError(f"thresholds are written as 0.005,0.01, not {text!r}") from None


def check_within(within: Sequence[float] | None) -> None:
    """Raise AnalysisError unless thresholds are different numbers above 0."""
    for each in within or ():
        if not (math.isfinite(each) and each > 0):
            raise AnalysisError(f"a threshold of {each} is not allowed: give numbers above 0, such as 0.01")


def default_within(metric: str, tables: Mapping[str, FloatArray]) -> tuple[float, ...]:
    """`WITHIN`, of a metric that is no rate times the range of the means of all the losses (N, S), by optimizer."""
    means = [np.nanmean(table, axis=1) for table in tables.values()]
    ends = [(float(each.min()), float(each.max())) for each in means]
    if all(is_rate(metric, *each) for each in ends):
        return WITHIN
    widest = max(high - low for low, high in ends) or 1.0  # all alike: any will do
    return tuple(share * widest for share in WITHIN)


def sensitivity_of(
    study: str,
    optimizer: str,
    metric: str,
    draws: LandscapeDraws,
    space: SearchSpace,
    within: Sequence[float],
    defaults: Sequence[Default],
    shares: Mapping[str, tuple[float, float]],
) -> Sensitivity:
    """Of draws of one landscape."""
    axes = []
    for place, (axis, default) in enumerate(zip(space.axes, defaults, strict=True)):
        profile = profile_of(draws, place)
        lost = NOTHING if default.index is None else Estimate(*map(float, profile[:, default.index]))
        axes.append(
            AxisSensitivity(
                axis,
                tuple(width_of(draws, place, axis, each) for each in sorted(within)),
                default,
                lost,
                profile,
                shares[axis.name],
            )
        )
    problems = [default.problem for default in defaults if default.problem]
    index = tuple(default.index for default in defaults if default.index is not None)
    cost, tuned = (NOTHING, None) if problems else tuned_of(draws, index, space.names)
    rate = is_rate(metric, float(draws.means.min()), float(draws.means.max()))
    return Sensitivity(
        study, optimizer, metric, rate, draws.seeds, tuple(axes), cost, tuned, "; ".join(problems) or None
    )


def width_of(draws: LandscapeDraws, place: int, axis: Axis, within: float) -> Width:
    """Of one axis at a threshold."""
    levels, positions = draws.at(within), positions_of(axis)
    profile = profiles(levels, place)
    held = slices(levels, place)
    step, whole = float(np.diff(positions).mean()), float(np.ptp(positions))

    def width(lost: FloatArray) -> Estimate:
        found = over_draws(widths(lost, positions, within))
        low, high = max(found.low - BLUR * step, 0.0), min(found.high + BLUR * step, whole)
        return Estimate(found.estimate, low, high)

    return Width(
        within,
        width(profile),
        width(held),
        (float((profile[:, 0] <= within).mean()), float((profile[:, -1] <= within).mean())),
    )


def positions_of(axis: Axis) -> FloatArray:
    """An axis's values in decades, or on a linear axis from 0 to 1."""
    values = np.array(axis.values)
    return np.log10(values) if axis.scale == "log" else (values - axis.low) / (axis.high - axis.low)


def profile_of(draws: LandscapeDraws, place: int) -> FloatArray:
    """Median and interval's ends (3, n) of an axis's profile, each value's from draws for its size."""
    means = draws.means
    sizes = profiles(means[None], place)[0]
    large = np.maximum(chosen_and_judged(*draws.alone, place) - draws.lowest[:, None], 0)
    found = [
        over_draws(profiles(draws.about(size), place)[:, value] if draws.is_near(size) else large[:, value])
        for value, size in enumerate(sizes)
    ]
    return np.array([(each.estimate, each.low, each.high) for each in found]).T


def tuned_of(draws: LandscapeDraws, default: tuple[int, ...], names: Sequence[str]) -> tuple[Estimate, Tuned]:
    """What the default costs, and how many hyperparameters must be tuned."""
    size = float(draws.means[default] - draws.means.min())
    levels = draws.about(size) if draws.is_near(size) else draws.alone[0]
    at_default = levels.reshape(len(levels), -1)[:, np.ravel_multi_index(default, draws.shape)]
    cost = over_draws(np.maximum(at_default - draws.lowest, 0))
    # whether tuning some gains enough hangs on losses of so little
    best, which = zip(
        *(best_by_tuned(each[None], default) for each in draws.about((1 - ENOUGH) * size)), strict=True
    )
    gained = np.array([each[0] - each for each in best])
    numbers = np.array([needed(each) for each in gained])
    whole = gained[:, -1:]
    shares = np.divide(gained, whole, out=np.ones_like(gained), where=whole > 0)
    number = over_draws(numbers)
    middle = round(number.estimate)
    choices = [chosen[middle] for chosen, count in zip(which, numbers, strict=True) if count == middle]
    likeliest = max(set(choices), key=choices.count) if choices else ()
    return cost, Tuned(
        tuple(over_draws(each) for each in shares.T),
        number,
        tuple(float((numbers == count).mean()) for count in range(len(names) + 1)),
        tuple(names[axis] for axis in likeliest),
    )
