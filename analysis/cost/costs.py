"""Costs of stored studies: of every tuner on every optimizer's landscape, with intervals, and compared."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from analysis.cost.band import median_band
from analysis.cost.compare import compare_costs
from analysis.cost.interval import Cost, cost_of
from analysis.cost.kept import curves_on_draws, drawn
from analysis.cost.replays import Asked, trials_to
from analysis.cost.sequential import confidence_at, look_of, open_cells
from analysis.errors import AnalysisError
from analysis.estimate import CONFIDENCE
from analysis.stored import Tell, ignore
from analysis.suboptimality import check_suboptimality_target, trials_to_target
from analysis.tuning_runs import loss_table
from storage.store import Store

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FEWEST_SEEDS = 2


@dataclass(frozen=True)
class StudyCosts:
    """Costs by optimizer and tuner, as far as the landscapes tell; `unknown` says of the other optimizers why not.

    `tables` are the losses (N, S) by optimizer that they come from.
    `curves` (D, R, T) are those of the runs on draws that the costs come from.
    """

    tables: Mapping[str, FloatArray]
    costs: Mapping[tuple[str, str], Cost]
    curves: Mapping[tuple[str, str], FloatArray]
    unknown: Mapping[str, str]

    def look(self, *optimizers: str) -> int:
        """The later of the looks (`sequential.look_of`) that the optimizers' seeds are for."""
        return max(look_of(self.tables[name]) for name in optimizers)


@dataclass(frozen=True)
class Question:
    """Whose costs: by optimizers and tuners, of runs with a budget; `noise` and `repeats` as for `TuningRun`."""

    study: str
    optimizers: tuple[str, ...]
    tuners: tuple[str, ...]
    budget: int
    noise: str
    repeats: str
    target: float


def question_of(curves: xr.DataArray, target: float) -> Question:
    """That which `stored_curves` answer for the study's own seeds."""
    optimizers, tuners = (tuple(map(str, curves[name].values)) for name in ("optimizer", "tuner"))
    attrs = curves.attrs
    return Question(
        attrs["study"], optimizers, tuners, curves.sizes["trial"], attrs["noise"], attrs["repeats"], target
    )


def study_costs(store: Store, question: Question, tell: Tell = ignore) -> StudyCosts:
    """From all seeds that the store has.

    `tell` is called with why a cost is not known. Raises AnalysisError when the target is no number of at least 0.
    """
    study, target = question.study, question.target
    check_suboptimality_target(target)
    tables, unknown = {}, {}
    for optimizer in question.optimizers:
        table = loss_table(store, study, optimizer, extra=True)
        why = why_unknown(table)
        if why is None:
            tables[optimizer] = table
        else:
            unknown[optimizer] = why
            tell(f"note: no interval for {optimizer}: {why}")
    space = store.space(study)
    asked = [
        Asked(space, tuner, question.budget, question.noise, question.repeats) for tuner in question.tuners
    ]
    made = curves_on_draws(tables, asked, target)
    costs = {key: cost_of(trials_to(each, target), each.shape[-1]) for key, each in made.items()}
    return StudyCosts(tables, costs, made, unknown)


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
    found = study_costs(store, question_of(curves, target), tell)
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
    found = study_costs(store, question_of(curves, target), tell)
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

    Columns: on, first, second; ratio of the first's cost to the second's, low, high (its interval), NaN beyond what the
    budget tells; verdict: of the first, "cheaper", "dearer", "equal" (within 1.25 times) or "undecided"; confidence of
    the interval: 0.95, and more where seeds were added until something was decided (`analysis.cost.sequential`).

    Raises:
        AnalysisError: there is only one tuner and one optimizer whose cost is known.
    """
    found = study_costs(store, question_of(curves, target), tell)
    costs = found.costs
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
        look = found.look(first, second) if on in tuners else found.look(on)
        confidence = confidence_at(look) if look > 1 else CONFIDENCE
        compared = compare_costs(one, other, confidence)
        rows.append(
            {"on": on, "first": first, "second": second, **asdict(compared), "confidence": confidence}
        )
    return pd.DataFrame(rows).replace({math.inf: math.nan})


@dataclass(frozen=True)
class FurtherSeeds:
    """Trials that would help to decide: `seeds` in all, the first ones, of these flat `cells`."""

    cells: IntArray
    seeds: int


def further_seeds(store: Store, question: Question) -> dict[str, FurtherSeeds]:
    """What to train next, by optimizer, for undecided comparisons of optimizers by one tuner; none when there are none.

    Twice the seeds of the cells that are open. Of optimizers that lack trials or have one seed, nothing is told.
    """
    found = study_costs(store, question)
    undecided: set[str] = set()
    for tuner in question.tuners:
        for pair in itertools.combinations(found.tables, 2):
            one, other = (found.costs[name, tuner] for name in pair)
            if compare_costs(one, other, confidence_at(found.look(*pair))).verdict == "undecided":
                undecided |= set(pair)
    further = {}
    for name in found.tables:
        if name not in undecided:
            continue
        table = found.tables[name]
        _, draws = drawn(table, store.space(question.study).shape, question.target)
        cells = open_cells(draws.levels, question.target)
        present = int((~np.isnan(table[cells])).all(axis=0).sum())
        if len(cells):
            further[name] = FurtherSeeds(cells, 2 * present)
    return further
