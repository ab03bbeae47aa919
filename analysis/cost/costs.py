"""Costs of stored studies: of every tuner on every optimizer's landscape, with intervals, and compared."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from analysis.cost.band import median_band
from analysis.cost.compare import compare_costs
from analysis.cost.interval import Cost, cost_of
from analysis.cost.kept import curves_on_draws
from analysis.cost.replays import Asked, trials_to
from analysis.errors import AnalysisError
from analysis.stored import Tell, ignore
from analysis.suboptimality import check_suboptimality_target, trials_to_target
from analysis.tuning_runs import loss_table
from storage.store import Store

FloatArray = NDArray[np.float64]

FEWEST_SEEDS = 2


@dataclass(frozen=True)
class StudyCosts:
    """Costs by optimizer and tuner, as far as the landscapes tell; `unknown` says of the other optimizers why not.

    `curves` (D, R, T) are those of the runs on draws that the costs come from.
    """

    costs: Mapping[tuple[str, str], Cost]
    curves: Mapping[tuple[str, str], FloatArray]
    unknown: Mapping[str, str]


def study_costs(store: Store, curves: xr.DataArray, target: float, tell: Tell = ignore) -> StudyCosts:
    """Of the optimizers, tuners, budget and kind of noise of `stored_curves`, from the seeds that the store has.

    `tell` is called with why a cost is not known. Raises AnalysisError when the target is no number of at least 0.
    """
    check_suboptimality_target(target)
    study = curves.attrs["study"]
    tables, unknown = {}, {}
    for optimizer in map(str, curves["optimizer"].values):
        table = loss_table(store, study, optimizer, extra=True)
        why = why_unknown(table)
        if why is None:
            tables[optimizer] = table
        else:
            unknown[optimizer] = why
            tell(f"note: no interval for {optimizer}: {why}")
    asked = [
        Asked(
            store.space(study),
            str(tuner),
            curves.sizes["trial"],
            curves.attrs["noise"],
            curves.attrs["repeats"],
        )
        for tuner in curves["tuner"].values
    ]
    made = curves_on_draws(tables, asked, target)
    costs = {key: cost_of(trials_to(each, target), each.shape[-1]) for key, each in made.items()}
    return StudyCosts(costs, made, unknown)


def why_unknown(table: FloatArray) -> str | None:
    """Why losses (N, S) tell no cost, NaN where there is no trial; None when they do."""
    whole = int((~np.isnan(table)).all(axis=0).sum())
    if whole >= FEWEST_SEEDS:
        return None
    if whole == 1:
        return "one seed tells nothing of the noise, train a second"
    lacking = int(np.isnan(table).any(axis=1).sum())
    return f"{lacking:,} of {len(table):,} cells lack trials"


def cost_table(store: Store, curves: xr.DataArray, target: float, tell: Tell = ignore) -> pd.DataFrame:
    """One row for each optimizer and tuner of `stored_curves`.

    Columns: optimizer, tuner, target; median of trials to target, low, high (its 95% interval), each NaN beyond the
    budget; reached, reached_low, reached_high: share of runs that reach the target within the budget, with its
    interval; all these NaN where the cost is not known. Then what the stored runs did on the study's own seeds, judged
    by their means: observed (their median, NaN beyond the budget) and replicates.
    """
    found = study_costs(store, curves, target, tell)
    rows = []
    for optimizer, tuner in itertools.product(curves["optimizer"].values, curves["tuner"].values):
        cost = found.costs.get((str(optimizer), str(tuner)))
        low, high = cost.interval() if cost else (math.nan, math.nan)
        reached = cost.reached if cost else (math.nan,) * 3
        observed = trials_to_target(curves, str(optimizer), str(tuner), target)
        rows.append(
            {
                "optimizer": str(optimizer),
                "tuner": str(tuner),
                "target": target,
                "median": cost.median if cost else math.nan,
                "low": low,
                "high": high,
                **dict(zip(("reached", "reached_low", "reached_high"), reached, strict=True)),
                "observed": observed.median,
                "replicates": len(observed.times),
            }
        )
    return pd.DataFrame(rows).replace({math.inf: math.nan})


def curve_table(store: Store, curves: xr.DataArray, target: float, tell: Tell = ignore) -> pd.DataFrame:
    """Suboptimality of every optimizer and tuner of `stored_curves`, a row a trial.

    Columns: optimizer, tuner, trial; median over runs, low, high (its 95% interval), NaN where the landscape is not
    known well enough; observed: the median of the stored runs, judged by the means of the study's own seeds.
    """
    found = study_costs(store, curves, target, tell)
    frames = []
    for tuner, optimizer in itertools.product(curves["tuner"].values, curves["optimizer"].values):
        observed = curves.sel(optimizer=optimizer, tuner=tuner).median("replicate").values
        made = found.curves.get((str(optimizer), str(tuner)))
        if made is None:
            frame = pd.DataFrame(
                {"trial": curves["trial"].values, "median": np.nan, "low": np.nan, "high": np.nan}
            )
        else:
            frame = median_band(made)
        frames.append(frame.assign(observed=observed, optimizer=str(optimizer), tuner=str(tuner)))
    frame = pd.concat(frames, ignore_index=True)
    return frame[["optimizer", "tuner", *frame.columns.drop(["optimizer", "tuner"])]]


def comparison_table(store: Store, curves: xr.DataArray, target: float, tell: Tell = ignore) -> pd.DataFrame:
    """Every pair of tuners on each optimizer, then every pair of optimizers with each tuner.

    Columns: on, first, second; ratio of the first's cost to the second's, low, high (its 95% interval), NaN beyond what
    the budget tells; verdict: of the first, "cheaper", "dearer", "equal" (within 1.25 times) or "undecided".

    Raises:
        AnalysisError: there is only one tuner and one optimizer whose cost is known.
    """
    costs = study_costs(store, curves, target, tell).costs
    optimizers, tuners = ([str(name) for name in curves[each].values] for each in ("optimizer", "tuner"))
    optimizers = [name for name in optimizers if (name, tuners[0]) in costs]
    pairs = [
        (optimizer, first, second, costs[optimizer, first], costs[optimizer, second])
        for optimizer in optimizers
        for first, second in itertools.combinations(tuners, 2)
    ] + [
        (tuner, first, second, costs[first, tuner], costs[second, tuner])
        for tuner in tuners
        for first, second in itertools.combinations(optimizers, 2)
    ]
    if not pairs:
        raise AnalysisError("a comparison needs two or more tuners or optimizers whose cost is known")
    rows = []
    for on, first, second, one, other in pairs:
        found = compare_costs(one, other)
        rows.append(
            {
                "on": on,
                "first": first,
                "second": second,
                "ratio": found.ratio,
                "low": found.low,
                "high": found.high,
                "verdict": found.verdict,
            }
        )
    return pd.DataFrame(rows).replace({math.inf: math.nan})
