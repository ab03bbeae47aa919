"""Interaction: the variance that no sum of one function of each axis explains.

`interaction_share` is about the cells that train at all, those in the better half of the landscape's range: what is
saturated or diverged would dominate every variance. It is about their ranks, so that it stays the same when their
metric is rescaled monotonically; weights fall to zero towards the worst of them, so that noise there changes little.
`sobol_indices` are Sobol's (2001) of the metric as it is, over uniformly distributed cells, by exact analysis of
variance.

Seed noise is no interaction. Ranks are each seed's own, and variances products of different seeds, whose noise is
independent; what noise does is to blur the ranks of cells that are nearly alike. Sobol' indices are of the means over
seeds, and the jackknife takes off what noise adds to them. With one seed noise is included.
"""

from __future__ import annotations

import itertools
import math
from functools import partial

import numpy as np
import xarray as xr
from scipy import stats

from analysis.estimate import Estimate, FloatArray, jackknife, mean_of
from analysis.landscape import axis_names
from analysis.pairs import whole_seeds, whole_values

SOFT = 0.5
"""Share of these cells, from the worst, over which weights fall from one to zero."""
FEWEST_FREE = 5
"""Cells beyond the additive model's parameters, below which its fit says nothing."""
SINGULAR = 1e-9
NOTHING = Estimate(math.nan, math.nan, math.nan)


def interaction_share(pair: xr.DataArray) -> Estimate:
    """Share of the ranks' variance that no additive model explains, in [0, 1]; NaN with too few cells.

    Ranks among the cells whose mean is in the better half between the landscape's best and worst. NaN also where
    seeds do not agree on any of it, as in pure noise.

    Raises:
        AnalysisError: no cell has a trial of every seed.
    """
    values = whole_values(pair)
    mean = values.mean(axis=0)
    better = mean <= (np.nanmin(mean) + np.nanmax(mean)) / 2
    if not _has_signal(values[:, better]):
        return NOTHING
    # ranks are a grid too: a cell more or less changes the share by about its part of the cells
    return jackknife(values, _rank_share, unbiased=True).widened(1 / int(better.sum())).within(0, 1)


def _rank_share(values: FloatArray) -> float:
    mean = values.mean(axis=0)
    better = mean < (np.nanmin(mean) + np.nanmax(mean)) / 2
    first, second = np.nonzero(better)
    count = len(first)
    if count < FEWEST_FREE:
        return math.nan
    depth = count + 1 - stats.rankdata(mean[better])
    weights = np.sqrt(np.minimum(depth / (SOFT * count), 1))
    model = np.zeros((count, sum(mean.shape)))
    model[np.arange(count), first] = 1
    model[np.arange(count), mean.shape[0] + second] = 1
    basis, scale, _ = np.linalg.svd(model * weights[:, None], full_matrices=False)
    basis = basis[:, scale > SINGULAR * scale[0]]
    if count - basis.shape[1] < FEWEST_FREE:
        return math.nan
    ranks = stats.rankdata(values[:, better], axis=1)
    centred = (ranks - np.average(ranks, axis=1, weights=weights**2)[:, None]) * weights
    return float(_agreed(centred - centred @ basis @ basis.T) / _agreed(centred))


def sobol_indices(landscape: xr.DataArray) -> dict[tuple[str, ...], Estimate]:
    """First-order indices by (axis,) and second-order ones by (axis, axis), shares of the metric's variance.

    All are NaN when a cell lacks a trial, for then the cells are not uniformly distributed, and where seeds do not
    agree on any of it.

    Raises:
        AnalysisError: the landscape has no dimension ``seed``.
    """
    names = axis_names(landscape)
    whole = whole_seeds(landscape).transpose("seed", *names).values
    parts = [(name,) for name in names] + list(itertools.combinations(names, 2))
    if not _has_signal(whole.reshape(len(whole), -1)):
        return dict.fromkeys(parts, NOTHING)
    return {part: jackknife(whole, partial(_sobol, names=names, part=part)).within(0, 1) for part in parts}


def _sobol(values: FloatArray, names: tuple[str, ...], part: tuple[str, ...]) -> float:
    mean = values.mean(axis=0)
    mean = mean - mean.mean()

    def along(*kept: str) -> FloatArray:
        others = tuple(place for place, name in enumerate(names) if name not in kept)
        return np.asarray(mean.mean(axis=others, keepdims=True))

    effect = along(*part)
    if len(part) == 2:
        effect = effect - along(part[0]) - along(part[1])
    return float((np.broadcast_to(effect, mean.shape) ** 2).sum() / (mean**2).sum())


def _has_signal(values: FloatArray) -> bool:
    """Whether seeds agree on differences between cells, values (S, N): the t-interval of their products is above 0."""
    if not values.size or np.isnan(values).any():
        return False
    centred = values - values.mean(axis=1, keepdims=True)
    if not (centred**2).sum() > SINGULAR * (values**2).sum():
        return False
    return len(values) < 3 or mean_of(_products(centred)).low > 0


def _agreed(effects: FloatArray) -> float:
    """Sum of squares of effects (S, N) that seeds agree on, from products of different seeds."""
    return float(_products(effects).mean())


def _products(effects: FloatArray) -> FloatArray:
    """Of each seed's effects (S, N) with the mean effects of the others; with itself when it is alone (S,)."""
    others = effects if len(effects) == 1 else (effects.sum(axis=0) - effects) / (len(effects) - 1)
    return np.asarray((effects * others).sum(axis=1))
