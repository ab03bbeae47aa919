"""The verdict: can two hyperparameters be tuned one at a time, where not, and what should be tuned instead.

All statistics are about landscapes with two axes, and the first axis's best value against the second. Intervals are
95%, by training seeds; those of tuners' trials are over replayed runs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.advice import Advice, advise
from analysis.documents import VerdictDocument
from analysis.errors import AnalysisError
from analysis.estimate import CONFIDENCE, Estimate, over_draws
from analysis.interaction import interaction_share, sobol_indices
from analysis.landscape import axis_names, text_at
from analysis.pairs import own_unit, pair_of, positions
from analysis.penalty import coordinate_penalty, penalties, regrets, transfer_regret
from analysis.power import FEWEST_SEEDS, seeds_to_decide
from analysis.ridge import COUPLED, UNDECIDED, Ridge, ridge, ridge_of_draws
from analysis.surrogate import Surrogate, surrogate_of
from analysis.target import check_target
from analysis.trained import require_trained
from analysis.views import WHOLE, View, axes_to_show, hold
from search_spaces import Axis

LEAST_RANGE = 0.1
"""Share of the landscape's range that a scale of transfer regret reaches at least."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """Whether two axes can be tuned one at a time.

    Attributes:
        pair: the landscape over the two axes; slopes are of the first against the second.
        ridge: what the verdict is by: ``"coupled"`` if it has a slope in any regime (its interval is beyond
            `NEGLIGIBLE`), ``"decoupled"`` if it has none in all of them (intervals within it), else ``"undecided"``.
        regret: what a first value tuned at one value of the second loses at another, see `transfer_regret`.
        interaction: variance share of the ranks that no additive model explains.
        sobol: the second-order Sobol' index of the pair.
        advice: what to tune instead, for coupled pairs of a grid.
        trials: how many scattered trials a surrogate was fitted to, from whose draws all of it comes; None on a grid.
        best: of those, the best place of both axes.
    """

    optimizer: str
    pair: xr.DataArray
    ridge: Ridge
    regret: xr.Dataset
    penalty: Estimate
    interaction: Estimate
    sobol: Estimate
    advice: Advice | None
    trials: int | None = None
    best: tuple[Estimate, Estimate] | None = None

    @property
    def axes(self) -> tuple[str, str]:
        """The pair's names."""
        first, second = axis_names(self.pair)
        return first, second

    @property
    def verdict(self) -> str:
        """``"coupled"``, ``"decoupled"`` or ``"undecided"``."""
        return self.ridge.verdict

    @property
    def seeds_to_decide(self) -> int | None:
        """Seeds after which it should be decided, those there are if it is.

        None when more seeds will not do it: the rest of the interval is scatter of the rows and the grid's resolution.
        """
        return seeds_to_decide(self.ridge) if self.trials is None else None

    @property
    def sentence(self) -> str:
        """The verdict in words, with the numbers."""
        return f"{self.optimizer}: {self.finding}"

    @property
    def regret_range(self) -> float:
        """Where a scale of transfer regret ends: losses that are nothing beside the landscape's range look like it."""
        known = self.pair.values[np.isfinite(self.pair.values)]
        most = np.nanmax(self.regret["estimate"].values, initial=0.0)
        return max(float(most), LEAST_RANGE * float(np.ptp(known)), 1e-12)

    @property
    def finding(self) -> str:
        """The sentence without the optimizer."""
        said = _in_words(self.ridge, self.axes[1]) + _left_out_in_words(self.ridge, self.pair)
        if self.advice:
            said += f"; {_advice_in_words(self.advice)}"
        if self.trials is not None and self.best is not None:
            places = zip(self.axes, self.best, strict=True)
            best = ", ".join(f"{axis} = {place.text('.2g')}" for axis, place in places)
            return f"{said}; best {best}; by a surrogate of {self.trials:,} scattered trials"
        if self.verdict != UNDECIDED:
            return said
        needed = self.seeds_to_decide
        if needed is not None:
            return f"{said}; about {needed} seeds would decide it"
        if self.ridge.regimes and self.ridge.seeds < 2:
            return f"{said}; {FEWEST_SEEDS} seeds are needed to tell how many would decide it"
        return said

    def to_json(self) -> VerdictDocument:
        """As JSON types: null for NaN, and for what does not apply."""
        bend = self.ridge.transition
        return {
            "optimizer": self.optimizer,
            "axes": list(self.axes),
            "verdict": self.verdict,
            "sentence": self.sentence,
            "finding": self.finding,
            "slope": self.ridge.slope.to_json(),
            "regimes": [
                {"from": regime.start, "to": regime.end, "verdict": kind, "slope": regime.slope.to_json()}
                for regime, kind in zip(self.ridge.regimes, self.ridge.kinds, strict=True)
            ],
            "transition": bend.to_json() if bend else None,
            "penalty": self.penalty.to_json(),
            "interaction": {**self.interaction.to_json(), "sobol": self.sobol.to_json()},
            "seeds": self.ridge.seeds,
            "seeds_to_decide": self.seeds_to_decide,
            "advice": self.advice.to_json() if self.advice else None,
            "trials": self.trials,
            "best": [place.to_json() for place in self.best] if self.best else None,
        }


def judge(
    optimizer: str, landscape: xr.DataArray, target: float | None = None, view: View = WHOLE
) -> list[Verdict]:
    """The verdict on every pair of a landscape's axes that have several values, in their order; or of the view's axes.

    Other axes are at their best, or at the view's values.

    `target` is the suboptimality to which the advice is checked, in units of the metric; 1% of the landscape's range
    by default.

    Raises AnalysisError when there are fewer than two such axes, the target is negative, no cell has a trial of every
    seed, nothing trained, or the landscape lacks one of the view's axes or values.
    """
    if target is not None:
        check_target(target)
    require_trained(landscape, optimizer)
    surrogate = surrogate_of(landscape.attrs)
    if surrogate:
        every = axes_to_show(landscape, view)
        if len(every) < 2:
            raise AnalysisError(f"a pair needs two axes, and {every[0]} is the only one that is not held")
        return [_judge_drawn(optimizer, surrogate, *axes, view) for axes in itertools.combinations(every, 2)]
    chosen = axes_to_show(landscape, view)
    landscape = hold(landscape, view)
    names = [name for name in chosen if landscape.sizes[name] > 1]
    if len(names) < 2:
        raise AnalysisError(f"the landscape of {optimizer!r} has fewer than two axes with several values")
    landscape = landscape.transpose("seed", *names, ...)
    sobol = sobol_indices(landscape)
    verdicts = []
    for axes in itertools.combinations(names, 2):
        pair = pair_of(landscape, *axes)
        found = ridge(pair)
        verdict = Verdict(
            optimizer,
            pair,
            found,
            regret=transfer_regret(pair),
            penalty=coordinate_penalty(pair),
            interaction=interaction_share(pair),
            sobol=sobol[axes],
            advice=advise(pair, found, target) if found.verdict == COUPLED else None,
        )
        verdicts.append(verdict)
    return verdicts


def _judge_drawn(optimizer: str, surrogate: Surrogate, first: str, second: str, view: View) -> Verdict:
    """The verdict on a pair by draws of a surrogate: every statistic is each draw's own, intervals are quantiles."""
    pair, draws = surrogate.slice(first, second, view.numbers)
    axis_of = {axis.name: axis for axis in surrogate.observations.space.axes}
    each = [draws.isel(seed=[place]) for place in range(draws.sizes["seed"])]
    lost = np.array([regrets(draw.values)[0] for draw in each])
    low, high = np.quantile(lost, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    labels = pair[second].values
    tables = {"estimate": lost.mean(axis=0), "low": low, "high": high}
    least = draws.values.reshape(len(each), -1).argmin(axis=1)
    places = np.unravel_index(least, draws.shape[1:])
    return Verdict(
        optimizer,
        pair,
        ridge_of_draws(draws),
        xr.Dataset(
            {name: (("tuned_at", "used_at"), table) for name, table in tables.items()},
            {"tuned_at": labels, "used_at": labels},
            attrs=pair.attrs,
        ),
        penalty=over_draws([float(penalties(draw.values)[0]) for draw in each]),
        interaction=over_draws([interaction_share(draw).estimate for draw in each]),
        sobol=over_draws([sobol_indices(draw)[first, second].estimate for draw in each]),
        advice=None,
        trials=len(surrogate.observations),
        best=(_best_place(draws, axis_of[first], places[0]), _best_place(draws, axis_of[second], places[1])),
    )


def _best_place(draws: xr.DataArray, axis: Axis, cells: NDArray[np.int64]) -> Estimate:
    """An axis's best value over draws, whose best cells these are, with half a cell to each side."""
    at = positions(draws, axis.name)
    found, half = over_draws(at[cells]), float(np.diff(at).mean()) / 2
    return Estimate(
        own_unit(draws, axis.name, found.estimate),
        max(own_unit(draws, axis.name, found.low - half), axis.low),
        min(own_unit(draws, axis.name, found.high + half), axis.high),
    )


def judge_all(
    landscapes: Mapping[str, xr.DataArray], target: float | None = None, view: View = WHOLE
) -> list[Verdict]:
    """The verdicts on several optimizers' landscapes, see `judge`."""
    return [verdict for name, values in landscapes.items() for verdict in judge(name, values, target, view)]


def _in_words(found: Ridge, second: str) -> str:
    kinds = found.kinds
    if not kinds:
        return f"undecided: {found.problem}"
    form = "z.2f" if found.unit == 1 else "z.3g"  # in units of axes that are not both logarithmic
    slopes = [f"(slope {regime.slope.text(form)})" for regime in found.regimes]
    if found.transition is None:
        return f"{kinds[0]} {slopes[0]}"
    places = [
        (kind, where, slope) for kind, where, slope in zip(kinds, ("below", "above"), slopes, strict=True)
    ]
    if kinds[1] == COUPLED:  # what has to be tuned together comes first
        places.reverse()
    at = f"{second} = {found.transition.text('.2g')}"
    (kind, where, slope), (other, elsewhere, further) = places
    return f"{kind} {where} {at} {slope}, {other} {elsewhere} {further}"


def _left_out_in_words(found: Ridge, pair: xr.DataArray) -> str:
    """Of which ends of the second axis nothing is said, and why; nothing where it is said of all."""
    rows = np.flatnonzero(~np.isnan(found.optima))
    if not found.regimes or len(rows) == len(found.optima):
        return ""
    first, second = axis_names(pair)
    ends = [("below", rows[0], slice(rows[0])), ("above", rows[-1], slice(rows[-1] + 1, None))]
    ends = [end for end in ends if found.optima[end[2]].size]
    turning = [bool(found.turning[section].any()) for _, _, section in ends]
    inside = [bool((~found.turning[section]).any()) for _, _, section in ends]
    why = [f"the best {first} turns off, at too few values to tell how"] * any(turning)
    why += [f"no best {first} lies inside the grid"] * any(inside)
    where = " and ".join(f"{side} {text_at(pair, second, float(pair[second][at]))}" for side, at, _ in ends)
    return f"; nothing is said of {second} {where}, where {' or '.join(why)}" if ends else ""


def _advice_in_words(advice: Advice) -> str:
    cost = advice.cost["cgld"]

    def trials(median: Estimate) -> str:
        if math.isinf(median.estimate):
            return f"more than {advice.budget}"
        high = "..." if math.isinf(median.high) else f"{median.high:.0f}"
        return f"{median.estimate:.0f} [{median.low:.0f}, {high}]"

    only = ", the one effective parameter" if advice.one_parameter else ""
    needs = f"CGLD needs {trials(cost.after)} trials instead of {trials(cost.before)}"
    if cost.sooner.low > 0.5:
        return f"tune {advice.coordinate} instead{only}: {needs}"
    if cost.sooner.high < 0.5:
        return f"{advice.coordinate} decouples them{only}, but costs more to tune: {needs}"
    return f"{advice.coordinate} decouples them{only}, without clear gain: {needs}"
