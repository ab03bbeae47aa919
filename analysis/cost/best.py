"""What the best cell is worth: the least of many means looks better than it is."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

from analysis.landscape import axis_names
from analysis.pairs import whole_seeds, whole_values


def held_out_best(landscape: xr.DataArray) -> float:
    """The metric of the best cell on a seed that had no part in choosing it, the mean over seeds; NaN with one seed.

    Without bias for the best cell by all seeds but one (leave-one-out; Stone, 1974), which is a little worse than the
    best by all: measured in `benchmarks/coverage.py --best`. The mean that chose it is too low by up to a point.
    """
    values = whole_values(whole_seeds(landscape).transpose("seed", *axis_names(landscape)))
    seeds = len(values)
    if seeds < 2:
        return math.nan
    table = values.reshape(seeds, -1)
    chosen = [int(np.nanargmin(np.delete(table, seed, axis=0).mean(axis=0))) for seed in range(seeds)]
    return float(table[np.arange(seeds), chosen].mean())
