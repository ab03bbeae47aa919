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
from analysis.cost.drawn import require_drawable
from analysis.cost.interval import Cost, cost_of
from analysis.cost.kept import curves_on_draws, drawn
from analysis.cost.posterior import FEWEST_SEEDS
from analysis.cost.replays import Asked, trials_to
from analysis.cost.sequential import confidence_at, look_of, open_cells
from analysis.errors import AnalysisError
from analysis.estimate import CONFIDENCE
from analysis.observations import Observations
from analysis.stored import Tell, ignore
from analysis.suboptimality import trials_to_target
from analysis.surrogate import check_surrogate
from analysis.target import check_target
from analysis.tuning_runs import loss_table
from search_spaces import SearchSpace
from storage.store import Store

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


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


@dataclass(frozen=True)
class StudyCosts:
    """Costs by optimizer and tuner, as far as the landscapes tell; `unknown` says of the other optimizers why not.

    `tables` are the losses (N, S) by optimizer that they come from, `shape` is that of the grid of N cells; the study
    asks for `asked` seeds. Of scattered trials there are no tables.
    `curves` (D, R, T) are those of the runs on draws that the costs come from.
    """

    question: Question
    shape: tuple[int, ...]
    asked: int
    tables: Mapping[str, FloatArray]
    costs: Mapping[tuple[str, str], Cost]
    curves: Mapping[tuple[str, str], FloatArray]
    unknown: Mapping[str, str]

    def look(self, *optimizers: str) -> int:
        """The later of the looks (`sequential.look_of`) that the optimizers' seeds are for; 1 without seeds."""
        return max(
            (look_of(self.tables[name], self.asked) for name in optimizers if name in self.tables), default=1
        )

    def confidence(self, *optimizers: str) -> float:
        """Of intervals: 95%, and that of the look where seeds were added until something was decided."""
        look = self.look(*optimizers)
        return confidence_at(look) if look > 1 else CONFIDENCE


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
    check_target(target)
    about = store.about(study)
    if not about.space.is_grid:
        return _scattered_costs(store, question, tell)
    tables, unknown = {}, {}
    for optimizer in question.optimizers:
        table = loss_table(store, study, optimizer, extra=True)
        why = why_unknown(table)
        if why is None:
            tables[optimizer] = table
        else:
            unknown[optimizer] = why
            tell(f"note: no interval for {optimizer}: {why}")
    made = curves_on_draws(tables, runs_asked(question, about.space), target)
    costs = {key: cost_of(trials_to(each, target), each.shape[-1]) for key, each in made.items()}
    there = max((table.shape[1] for table in tables.values()), default=FEWEST_SEEDS)
    return StudyCosts(question, about.space.shape, about.seeds or there, tables, costs, made, unknown)


def runs_asked(question: Question, space: SearchSpace) -> list[Asked]:
    """The runs of every tuner."""
    return [
        Asked(space, tuner, question.budget, question.noise, question.repeats) for tuner in question.tuners
    ]


def _scattered_costs(store: Store, question: Question, tell: Tell) -> StudyCosts:
    """From draws of the surrogates of scattered trials; `tell` is called with what the costs are of."""
    about = store.about(question.study)
    seen = {
        name: Observations.of_trials(store.values(question.study, name), about.space, about.metric)
        for name in question.optimizers
    }
    for name, each in seen.items():
        check_surrogate(each, f"{question.study}/{name}")
        require_drawable(each)
        count = int((~each.stopped).sum())
        tell(
            f"note: {name}: replayed on draws of a surrogate of {count:,} scattered trials; no runs are stored"
        )
    made = curves_on_draws(seen, runs_asked(question, about.space), question.target)
    costs = {key: cost_of(trials_to(each, question.target), each.shape[-1]) for key, each in made.items()}
    return StudyCosts(question, (), 1, {}, costs, made, {})


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

    Columns: optimizer, tuner, target; median of trials to target, low, high (its 95% interval, of a higher confidence,
    which `tell` is called with, where seeds were added until something was decided), each NaN beyond the budget;
    reached, reached_low, reached_high: share of runs that reach the target within the budget, with its interval; all
    these NaN where the cost is not known. Then what the stored runs did on the study's own seeds, judged by their
    means: observed (their median, NaN beyond the budget) and replicates.
    """
    found = study_costs(store, question_of(curves, target), tell)
    for name in found.tables:
        if found.look(name) > 1:
            tell(
                f"note: seeds were added to {name} until something was decided: "
                f"its intervals are at {found.confidence(name):.1%}"
            )
    rows = []
    for optimizer, tuner in itertools.product(curves["optimizer"].values, curves["tuner"].values):
        cost = found.costs.get((str(optimizer), str(tuner)))
        low, high = cost.interval(found.confidence(str(optimizer))) if cost else (math.nan, math.nan)
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
        runs = curves.sel(optimizer=optimizer, tuner=tuner)
        observed = runs.median("replicate").values if runs.sizes["replicate"] else np.nan
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
        confidence = found.confidence(first, second) if on in tuners else found.confidence(on)
        compared = compare_costs(one, other, confidence)
        rows.append(
            {"on": on, "first": first, "second": second, **asdict(compared), "confidence": confidence}
        )
    say_what_would_help(store, found, tell)
    return pd.DataFrame(rows).replace({math.inf: math.nan})


@dataclass(frozen=True)
class FurtherSeeds:
    """Trials that would help to decide: of flat `cells`, `seeds` in all, the first ones, where `present` are there."""

    cells: IntArray
    present: int
    seeds: int


def further_seeds(found: StudyCosts) -> dict[str, FurtherSeeds]:
    """What to train next, by optimizer, for undecided comparisons of optimizers by one tuner; none when there are none.

    Twice the seeds of the cells that are open. Of optimizers that lack trials or have one seed, nothing is told.
    """
    undecided: set[str] = set()
    for tuner, pair in itertools.product(found.question.tuners, itertools.combinations(found.tables, 2)):
        one, other = (found.costs[name, tuner] for name in pair)
        if compare_costs(one, other, confidence_at(found.look(*pair))).verdict == "undecided":
            undecided |= set(pair)
    further = {}
    for name, table in found.tables.items():
        if name not in undecided:
            continue
        _, draws = drawn(table, found.shape, found.question.target)
        cells = open_cells(draws.levels, found.question.target)
        present = int((~np.isnan(table[cells])).all(axis=0).sum())
        if len(cells):
            further[name] = FurtherSeeds(cells, present, 2 * present)
    return further


def say_what_would_help(store: Store, found: StudyCosts, tell: Tell) -> None:
    """Call `tell` with the seeds and cells, and the time of their training, that would make comparisons clearer."""
    wanted = further_seeds(found)
    if not wanted:
        return
    parts, seconds = [], 0.0
    for name, each in wanted.items():
        more = each.seeds - each.present
        parts.append(f"{more} more seeds on {len(each.cells):,} cells of {name}")
        of_trial = float(store.trials(found.question.study, name, "seed = 0")["seconds"].mean())
        seconds += more * len(each.cells) * of_trial
    text = f"note: what is undecided would become clearer by about {' and '.join(parts)}"
    if math.isfinite(seconds):
        text += f", {max(seconds, 1):,.0f} seconds of training on one core"
    tell(text)
