"""Whether a ridge is decided to be coupled or not, how many seeds would decide it, and in which cells."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import xarray as xr

from analysis.bands import near_optimal
from analysis.estimate import quantile
from analysis.landscape import axis_names
from analysis.pairs import cells_of_pair, pair_of
from analysis.ridge import UNDECIDED, Regime, Ridge, ridge
from analysis.trained import untrained

MOST_SEEDS = 1000
"""More seeds than this are no plan."""
FEWEST_SEEDS = 3
"""Seeds from which their spread is known well enough to plan with."""


def seeds_to_decide(found: Ridge) -> int | None:
    """How many seeds make the intervals narrow enough, at today's slopes and spread; those there are if they are.

    None if no number does, or there is only one, which tells nothing of the spread.
    """
    if found.verdict != UNDECIDED:
        return found.seeds
    undecided = [regime for regime, kind in zip(found.regimes, found.kinds, strict=True) if kind == UNDECIDED]
    needed = [_seeds_of(regime, found.negligible) for regime in undecided]
    known = [count for count in needed if count is not None]
    beyond = [
        count
        for regime, count in zip(undecided, needed, strict=True)
        if abs(regime.slope.estimate) > found.negligible
    ]
    if beyond:  # one coupled regime decides
        return min((count for count in beyond if count is not None), default=None)
    return max(known) if known and len(known) == len(needed) else None


def _seeds_of(regime: Regime, negligible: float) -> int | None:
    if regime.seeds < 2:
        return None
    room = abs(abs(regime.slope.estimate) - negligible)
    if regime.lack >= room:
        return None
    half = (regime.slope.high - regime.slope.low) / 2
    spread = math.sqrt(max(half**2 - regime.lack**2, 0.0)) * math.sqrt(regime.seeds)
    spread /= quantile(regime.seeds - 1)
    for count in range(regime.seeds + 1, MOST_SEEDS + 1):
        if math.hypot(regime.lack, quantile(count - 1) * spread / math.sqrt(count)) <= room:
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
    if untrained(landscape):
        return None
    cells, seeds = None, 0
    names = [name for name in axis_names(landscape) if landscape.sizes[name] > 1]
    for axes in itertools.combinations(names, 2):
        pair = pair_of(landscape, *axes)
        found = ridge(pair)
        if found.verdict != UNDECIDED or not found.regimes:
            continue
        there = found.seeds
        needed = FEWEST_SEEDS if there < 2 else seeds_to_decide(found)
        if needed is None:
            continue
        second = pair[axes[1]]
        rows = xr.zeros_like(second, dtype=bool)
        for regime, kind in zip(found.regimes, found.kinds, strict=True):
            rows |= ((second >= regime.start) & (second <= regime.end)) & (kind == UNDECIDED)
        bands = xr.DataArray(near_optimal(pair).cells(pair.sizes[axes[0]], wider=1), dims=axes)
        chosen = cells_of_pair(landscape, bands & rows.drop_vars(axes[1]))
        cells = chosen if cells is None else cells | chosen
        # some of the seeds that have these cells may not have counted: their own ridge is too rough
        present = int((landscape.notnull() | ~chosen).all(chosen.dims).sum())
        seeds = max(seeds, min(present + needed - there, max(2 * present, FEWEST_SEEDS)))
    return None if cells is None else Further(cells, seeds)
