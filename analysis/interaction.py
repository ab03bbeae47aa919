"""Interaction: the variance that no sum of one function of each axis explains.

`interaction_share` is about the cells that train at all, those in the better half of the landscape's range: what is
saturated or diverged would dominate every variance. Weights fall to zero towards the middle, so that noise there
changes little. It is about ranks, which do not change when the metric is rescaled monotonically. `sobol_indices` are
Sobol's (2001) of the metric as it is, over uniformly distributed cells, by exact analysis of variance.

Seed noise is no interaction: variances are products of one seed's effects with the mean effects of the others, whose
noise is independent. With one seed they cannot be told apart, and noise is included; intervals need three.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import xarray as xr
from scipy import stats

from analysis.estimate import Estimate, FloatArray, mean_of
from analysis.landscape import axis_names
from analysis.pairs import whole_seeds, whole_values

SOFT = 0.5
"""Share of the better half, from its worst end, over which weights fall from one to zero."""
FEWEST_FREE = 5
"""Cells beyond the additive model's parameters, below which its fit says nothing."""
SINGULAR = 1e-9


def interaction_share(pair: xr.DataArray) -> Estimate:
    """Share of the ranks' variance that no additive model explains, in [0, 1] but for noise; NaN with too few cells.

    Ranks among the cells whose mean is in the better half between the landscape's best and worst.

    Raises:
        AnalysisError: no cell has a trial of every seed.
    """
    values = whole_values(pair)
    mean = values.mean(axis=0)
    depth = (np.nanmin(mean) + np.nanmax(mean)) / 2 - mean
    better = depth > 0
    first, second = np.nonzero(better)
    if len(first) < FEWEST_FREE:
        return Estimate(math.nan, math.nan, math.nan)
    model = np.zeros((len(first), sum(mean.shape)))
    model[np.arange(len(first)), first] = 1
    model[np.arange(len(first)), mean.shape[0] + second] = 1
    weights = np.sqrt(np.minimum(depth[better] / (SOFT * np.nanmax(depth)), 1))
    basis, scale, _ = np.linalg.svd(model * weights[:, None], full_matrices=False)
    basis = basis[:, scale > SINGULAR * scale[0]]
    if len(first) - basis.shape[1] < FEWEST_FREE:
        return Estimate(math.nan, math.nan, math.nan)
    ranks = stats.rankdata(values[:, better], axis=1)
    ranks = (ranks - np.average(ranks, axis=1, weights=weights**2)[:, None]) * weights
    return variance_share(ranks - ranks @ basis @ basis.T, ranks)


def sobol_indices(landscape: xr.DataArray) -> dict[tuple[str, ...], Estimate]:
    """First-order indices by (axis,) and second-order ones by (axis, axis), shares of the metric's variance.

    All are NaN when a cell lacks a trial, for then the cells are not uniformly distributed.

    Raises:
        AnalysisError: the landscape has no dimension ``seed``.
    """
    names = axis_names(landscape)
    whole = whole_seeds(landscape).transpose("seed", *names).values
    total = _centred(whole)
    indices: dict[tuple[str, ...], Estimate] = {}
    main: dict[str, FloatArray] = {}
    for place, name in enumerate(names):
        others = tuple(axis + 1 for axis in range(len(names)) if axis != place)
        main[name] = total.mean(axis=others, keepdims=True)
        indices[(name,)] = variance_share(np.broadcast_to(main[name], total.shape), total)
    for pair in itertools.combinations(names, 2):
        others = tuple(axis + 1 for axis, name in enumerate(names) if name not in pair)
        joint = total.mean(axis=others, keepdims=True) - main[pair[0]] - main[pair[1]]
        indices[pair] = variance_share(np.broadcast_to(joint, total.shape), total)
    return indices


def _centred(values: FloatArray) -> FloatArray:
    return np.asarray(values - values.mean(axis=tuple(range(1, values.ndim)), keepdims=True))


def variance_share(part: FloatArray, total: FloatArray) -> Estimate:
    """Variance of a part's effects over the total's, both (S, ...), without what differs from seed to seed.

    NaN when the total's cannot be told from zero. Intervals are the jackknife's of a statistic of pairs of seeds
    (Arvesen, 1969).
    """
    seeds = len(total)

    def products(effects: FloatArray) -> FloatArray:
        flat = effects.reshape(seeds, -1)
        if seeds == 1:
            return np.asarray((flat * flat).sum(axis=1))
        return np.asarray((flat * (flat.sum(axis=0) - flat)).sum(axis=1) / (seeds - 1))

    of_part, of_total = products(part), products(total)
    signal = of_total.mean()
    if math.isnan(signal) or signal <= SINGULAR * np.square(total).sum() / seeds:
        return Estimate(math.nan, math.nan, math.nan)
    share = float(of_part.mean() / signal)
    if seeds < 3:
        return Estimate(share, math.nan, math.nan)
    each = 2 * (seeds - 1) / (seeds - 2)  # a seed's weight in the pairs
    if mean_of(signal + each * (of_total - signal)).low <= 0:
        return Estimate(math.nan, math.nan, math.nan)
    return mean_of(share + each * (of_part - share * of_total) / signal)
