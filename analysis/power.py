"""Whether a ridge is decided to be coupled or not, how many seeds would decide it, and in which cells."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import xarray as xr

from analysis.estimate import Estimate, quantile
from analysis.landscape import axis_names
from analysis.pairs import cells_of_pair, pair_of
from analysis.ridge import Regime, Ridge, near_optimal, ridge

COUPLED, DECOUPLED, UNDECIDED = "coupled", "decoupled", "undecided"
NEGLIGIBLE = 0.1
"""Slopes up to this size change the best value by a tenth of a decade a decade: not worth tuning together."""
MOST_SEEDS = 1000
"""More seeds than this are no plan."""
FEWEST_SEEDS = 3
"""Seeds from which their spread is known well enough to plan with."""


def verdict_on(pair: xr.DataArray) -> tuple[Ridge, list[str], str]:
    """The ridge of a landscape of two axes, the verdict on each of its regimes, and on the whole."""
    found = ridge(pair)
    kinds = [_kind(regime.slope) for regime in found.regimes]
    if COUPLED in kinds:
        return found, kinds, COUPLED
    return found, kinds, DECOUPLED if kinds and set(kinds) == {DECOUPLED} else UNDECIDED


def _kind(slope: Estimate) -> str:
    if slope.low > NEGLIGIBLE or slope.high < -NEGLIGIBLE:
        return COUPLED
    return DECOUPLED if slope.low >= -NEGLIGIBLE and slope.high <= NEGLIGIBLE else UNDECIDED


def seeds_to_decide(found: Ridge, kinds: Sequence[str], verdict: str) -> int | None:
    """How many seeds make the intervals narrow enough, at today's slopes and spread; None if no number does.

    Where one seed tells nothing of the spread, it is as many as do.
    """
    seeds = found.seeds
    if verdict != UNDECIDED:
        return seeds
    if not kinds:
        return None
    if seeds < 2:
        return FEWEST_SEEDS
    needed = {}
    for regime, kind, lack in zip(found.regimes, kinds, found.lack, strict=True):
        if kind == UNDECIDED:
            needed[regime] = _seeds_of(regime, lack, seeds)
    beyond = [count for regime, count in needed.items() if abs(regime.slope.estimate) > NEGLIGIBLE]
    if beyond:  # one coupled regime decides
        known = [count for count in beyond if count is not None]
        return min(known) if known else None
    counts = [count for count in needed.values() if count is not None]
    return max(counts) if len(counts) == len(needed) else None


def _seeds_of(regime: Regime, lack: float, seeds: int) -> int | None:
    room = abs(abs(regime.slope.estimate) - NEGLIGIBLE)
    half = (regime.slope.high - regime.slope.low) / 2
    spread = math.sqrt(max(half**2 - lack**2, 0.0)) * math.sqrt(seeds) / quantile(seeds - 1)
    if lack >= room:
        return None
    for count in range(seeds + 1, MOST_SEEDS + 1):
        if math.hypot(lack, quantile(count - 1) * spread / math.sqrt(count)) <= room:
            return count
    return None


@dataclass(frozen=True)
class Further:
    """Trials that would help to decide: so many `seeds` in all in these `cells` (bool, over the landscape's axes)."""

    cells: xr.DataArray
    seeds: int


def further_trials(landscape: xr.DataArray) -> Further | None:
    """What to train next for the undecided pairs of a landscape's axes; None when nothing helps, or all is decided.

    The near-optimal bands of the rows in undecided regimes, and one cell more on either side. At most twice the seeds
    that there are, for the estimate of how many it takes is rough.
    """
    cells, seeds = None, 0
    names = [name for name in axis_names(landscape) if landscape.sizes[name] > 1]
    for axes in itertools.combinations(names, 2):
        pair = pair_of(landscape, *axes)
        found, kinds, verdict = verdict_on(pair)
        needed = seeds_to_decide(found, kinds, verdict)
        if verdict != UNDECIDED or needed is None:
            continue
        second = pair[axes[1]]
        rows = xr.zeros_like(second, dtype=bool)
        for regime, kind in zip(found.regimes, kinds, strict=True):
            rows |= ((second >= regime.start) & (second <= regime.end)) & (kind == UNDECIDED)
        bands = xr.DataArray(near_optimal(pair).cells(pair.sizes[axes[0]], wider=1), dims=axes)
        chosen = cells_of_pair(landscape, bands & rows.drop_vars(axes[1]))
        cells = chosen if cells is None else cells | chosen
        seeds = max(seeds, min(needed, max(2 * found.seeds, FEWEST_SEEDS)))
    return None if cells is None else Further(cells, seeds)
