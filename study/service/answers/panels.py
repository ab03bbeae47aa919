"""What the pages draw of landscapes: numbers in the shape of the picture, so that scripts draw and never compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from typing_extensions import TypedDict

from analysis.errors import AnalysisError
from analysis.estimate import finite
from analysis.landscape import (
    axis_names,
    dense,
    mean_of_known,
    spread_of_known,
    stopped_early,
    tell_of_stopped,
)
from analysis.observations import Observations
from analysis.pairs import projected
from analysis.stored import stored_observations
from analysis.surrogate import surrogate_of
from analysis.trained import untrained
from analysis.views import View, axes_of, axes_to_show, hold
from analysis.views import shown as another_slice
from storage.query import with_words
from storage.store import Store
from study.service.answers.documents import (
    BestDocument,
    NestedCounts,
    NestedFlags,
    NestedNumbers,
    PanelAxis,
    TrialRow,
)
from study.service.answers.reads import (
    best_document,
    nested,
    trial_rows,
    trials_of,
    whole_landscape,
)

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

    from analysis.metric_scale import MetricScale

MOST_VALUES = 50_000
"""Seeds' own values go to the page up to this many a panel; beyond, hovering shows the mean alone."""
MOST_TRIALS = 1_000
MOST_CURVES = 20
"""Learning curves shown of one cell."""
NEAREST = 5
"""Scattered trials shown of a place."""
COLOUR_QUANTILE, FAR = 0.9, 0.25
"""The colour scale ends at this quantile of the means, where the worst is beyond it by this share of the scale."""
WITHIN = (0.005, 0.01, 0.02)
"""Losses of the contours: points of a rate, shares of the range of another metric."""
COLOURS = 17
"""Stops of the colour scale; between them colours are mixed."""


class Panel(TypedDict):
    """One optimizer's landscape over the shown axes, arrays nested in their order.

    `mean` is over the seeds a cell has, `spread` their standard deviation (n - 1), null where it is not what is shown;
    `values` (seed, *axes) null where there are too many; of scattered trials all of it is a `surrogate`'s. `levels` are
    the values of every axis of a grid. `held` is, by axis that is not shown, its value in each cell: the best one;
    `fixed` are those at one value, asked for or, of a surrogate, where it is best. `best` is of cells with all seeds
    only. `dead` are cells whose trials all diverged, `stopped` those with trials that were stopped early, which `early`
    counts in words. `words` are what the values 0, 1, ... of ordered axes stand for.
    `problem` says that nothing trained, where every trial diverged.
    """

    study: str
    optimizer: str
    axes: list[PanelAxis]
    words: dict[str, list[str]]
    others: list[str]
    levels: dict[str, list[float]]
    held: dict[str, NestedNumbers]
    fixed: dict[str, float]
    seeds: list[int]
    expected_seeds: int
    surrogate: bool
    trials: int
    expected: int
    mean: NestedNumbers
    spread: NestedNumbers | None
    count: NestedCounts
    dead: NestedFlags
    stopped: NestedFlags
    early: str | None
    values: NestedNumbers | None
    best: BestDocument | None
    problem: str | None


class Tick(TypedDict):
    at: float
    text: str


class Scale(TypedDict):
    """The one colour scale of all panels; `at` of a tick is 0 for the best and 1 for the worst.

    It ends at a quantile of the cells that trained, where some are far beyond: `worst` is their worst. `contours` are
    losses against the best at which lines are drawn.
    """

    log: bool
    percent: bool
    lowest: float
    highest: float
    worst: float
    contours: list[float]
    ticks: list[Tick]


Shown = Literal["mean", "spread"]


class PanelsDocument(TypedDict):
    """Landscapes side by side, and what else could be shown of them.

    `shown` has the numbers that are coloured; `seed` is the only one that counts, `step` after how many steps of
    training it is; null for all seeds, and for the end. `seeds` are those of trials on grids, `steps` those at which
    learning curves have points.
    """

    metric: str
    shown: Shown
    seed: int | None
    step: int | None
    seeds: list[int]
    steps: list[int]
    scale: Scale | None
    colours: list[str]
    axes: list[str]
    panels: list[Panel]


class CellDocument(TypedDict):
    """Trials with the learning curves of the first of them; of scattered trials those `nearest` to the place."""

    nearest: bool
    trials: list[TrialRow]
    curves: list[list[list[float | None]]]


@dataclass(frozen=True)
class PanelsRequest:
    """Which landscapes: names are STUDY or STUDY/OPTIMIZER; the axes to show, the first two that vary by default.

    `at` are values to hold further axes at, by name. With a `seed` of its trials alone, with a `step` as they were
    after so many steps of training.
    """

    names: tuple[str, ...]
    axes: tuple[str, ...] = ()
    at: tuple[tuple[str, float | str], ...] = ()
    shown: Shown = "mean"
    seed: int | None = None
    step: int | None = None


def panels(store: Store, request: PanelsRequest) -> PanelsDocument:
    """Landscapes side by side on one scale.

    Raises:
        AnalysisError: they are of different metrics, an axis to show is not one of theirs, the spread is to be shown
            and no cell has two seeds, or no trial is known after the step.
    """
    found: list[Panel] = []
    metrics: dict[str, str] = {}
    names: list[str] = []
    live: list[NDArray[np.float64]] = []
    seeds: set[int] = set()
    steps: set[int] = set()
    for name in request.names:
        study, _, optimizer = name.partition("/")
        about = store.about(study)
        metrics.setdefault(about.metric, study)
        if len(metrics) > 1:
            said = ", ".join(f"{metric} ({of})" for metric, of in metrics.items())
            raise AnalysisError(f"one scale needs one metric, and these are {said}: compare others")
        for each in [optimizer] if optimizer else about.optimizers:
            seen = stored_observations(store, study, each, step=request.step)[each]
            if seen.space.is_grid:
                seeds.update(seen.seeds.tolist())
            steps.update(curve_steps(store, study, each))
            expected = about.seeds
            if request.seed is not None:
                seen, expected = seen.only(seen.seeds == request.seed), 1
            whole = whole_landscape(study, each, seen)
            names += [axis for axis in axes_of(whole) if axis not in names]
            made = panel(study, each, whole, expected or whole.sizes["seed"], request, diverged(seen))
            found.append(made)
            coloured = np.array(made[request.shown], dtype=float)
            live.append(
                coloured[~np.array(made["dead"], dtype=bool)] if made["problem"] is None else coloured.ravel()
            )
    metric = next(iter(metrics))
    scale = scale_of(metric, np.concatenate(live))
    if request.shown == "spread":
        if scale is None:
            raise AnalysisError("the spread is one over seeds, and no cell has two seeds yet: show the mean")
        scale["contours"] = []  # they are losses of means
    return {
        "metric": metric,
        "shown": request.shown,
        "seed": request.seed,
        "step": request.step,
        "seeds": sorted(seeds),
        "steps": sorted(steps),
        "scale": scale,
        "colours": colours(),
        "axes": names,
        "panels": found,
    }


def curve_steps(store: Store, study: str, optimizer: str) -> list[int]:
    """The steps at which the learning curve of an optimizer's first trial has points."""
    first, _ = store.page(study, optimizer, limit=1, metrics=())
    if first.empty:
        return []
    _, curve = store.trial(study, optimizer, int(first["number"].iloc[0]), ())
    return [step for step, _ in curve]


def colours() -> list[str]:
    """The stops of the colour scale, from the best to the worst."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    from analysis.heatmap import COLOUR_MAP

    return [to_hex(colormaps[COLOUR_MAP](stop)) for stop in np.linspace(0, 1, COLOURS)]


def diverged(trials: Observations) -> xr.DataArray | None:
    """Of a grid's trials 1 where one diverged, else 0, NaN where there is none; None where that is not known."""
    if not trials.space.is_grid or not len(trials) or trials.diverged_at is None:
        return None
    return dense(replace(trials, values=trials.diverged.astype(float)))


def panel(
    study: str,
    optimizer: str,
    whole: xr.DataArray,
    expected: int,
    request: PanelsRequest,
    lost: xr.DataArray | None,
) -> Panel:
    """One landscape over the axes to show, the others at their best in each cell, or held."""
    view = View(request.axes, tuple(each for each in request.at if each[0] in axes_of(whole)))
    shown = shown_axes(whole, view)
    trials, all_of_them = trials_of(whole, expected)
    levels = {name: whole[name].values.tolist() for name in axis_names(whole)}
    if surrogate_of(whole.attrs):
        whole = another_slice(whole, View(shown, view.at))
    else:
        whole = hold(whole, view)
        whole = whole.squeeze([name for name, _ in view.at])
    flat, held = projected(whole, shown)
    dead: NDArray[np.bool_] = np.zeros(flat.shape[1:], dtype=bool)
    if lost is not None:
        lost = hold(lost, view).mean("seed").transpose(*shown, ...)
        dead = np.all((lost == 1).values.reshape(*dead.shape, -1), axis=-1)
    fixed = {str(name): at.item() for name, at in whole.coords.items() if at.ndim == 0}
    mean, count = mean_of_known(flat.values)
    best = best_document(flat, whole)
    return {
        "study": study,
        "optimizer": optimizer,
        "axes": [panel_axis(whole, name) for name in shown],
        "words": words_of(whole),
        "others": list(held),
        "levels": levels,
        "held": {name: values.tolist() for name, values in held.items()},
        "fixed": fixed,
        "seeds": whole["seed"].values.tolist(),
        "expected_seeds": expected,
        "surrogate": surrogate_of(whole.attrs) is not None,
        "trials": trials,
        "expected": all_of_them,
        "mean": nested(mean),
        "spread": nested(spread_of_known(flat.values)) if request.shown == "spread" else None,
        "count": count.tolist(),
        "dead": dead.tolist(),
        "stopped": stopped_early(flat.assign_attrs(whole.attrs)).values.tolist(),
        "early": tell_of_stopped(whole),
        "values": nested(flat.values) if flat.size <= MOST_VALUES else None,
        "best": best,
        "problem": untrained(whole),
    }


def shown_axes(whole: xr.DataArray, view: View) -> tuple[str, ...]:
    """The axes asked for, or the first two of several values that are not held, or the first of one cell."""
    if len(view.axes) > 2:
        raise AnalysisError(f"cannot show the axes {', '.join(view.axes)}: choose two")
    return axes_to_show(whole, view)[:2]


def panel_axis(whole: xr.DataArray, name: str) -> PanelAxis:
    from analysis.heatmap import cell_edges
    from analysis.labels import axis_label, symbol

    values, scale = whole[name].values, whole[name].attrs["scale"]
    ends = (values / 2, values * 2) if scale == "log" else (values - 0.5, values + 0.5)  # of a lone value
    edges = cell_edges(values, scale).tolist() if len(values) > 1 else [float(end[0]) for end in ends]
    return {
        "name": name,
        "label": axis_label(name),
        "symbol": symbol(name),
        "scale": scale,
        "values": values.tolist(),
        "edges": edges,
    }


def words_of(values: xr.DataArray) -> dict[str, list[str]]:
    """The words of the ordered axes of a landscape."""
    return {
        str(name): list(each.attrs["words"]) for name, each in values.coords.items() if "words" in each.attrs
    }


def scale_of(metric: str, means: NDArray[np.float64]) -> Scale | None:
    """The scale of all means; None when there are none yet."""
    from analysis.metric_scale import MetricScale

    known = means[np.isfinite(means)]
    if not known.size:
        return None
    worst, end = float(known.max()), float(np.quantile(known, COLOUR_QUANTILE))
    clipped = end if worst - end > FAR * (end - known.min()) and end > known.min() else worst
    scale: MetricScale = MetricScale(metric, np.minimum(known, clipped))
    return {
        "log": scale.is_log,
        "percent": scale.percent,
        "lowest": scale.lowest,
        "highest": scale.highest,
        "worst": worst,
        "contours": [each * (1.0 if scale.percent else worst - scale.lowest) for each in WITHIN],
        "ticks": [{"at": float(scale.norm(tick)), "text": scale.text(tick)} for tick in scale.ticks()],
    }


def cell(
    store: Store, study: str, optimizer: str, coordinates: dict[str, float], metrics: Sequence[str]
) -> CellDocument:
    """The trials of a cell, by seed, and the learning curves of the first of them: pairs of step and metric.

    Of scattered trials the nearest ones, distances being shares of the axes' ranges on their scales. `metrics` are the
    study's further ones.

    Raises:
        AnalysisError: an axis is not given, or one that the study does not have.
    """
    space = store.space(study)
    axes = space.names
    if set(coordinates) != set(axes):
        raise AnalysisError(f"a cell of {study} has a value for each of {', '.join(axes)}: give these")
    if space.is_grid:
        where = " and ".join(f'"{name}" = {value!r}' for name, value in coordinates.items())
        frame, _ = store.page(study, optimizer, where, sort="seed", limit=MOST_TRIALS, metrics=metrics)
    else:
        frame = nearest_trials(store, study, optimizer, coordinates, metrics)
    curves = []
    for which in frame["number"].head(MOST_CURVES):
        _, curve = store.trial(study, optimizer, int(which), metrics)
        curves.append([[step, finite(value)] for step, value in curve])
    return {"nearest": not space.is_grid, "trials": trial_rows(with_words(frame, space)), "curves": curves}


def nearest_trials(
    store: Store, study: str, optimizer: str, coordinates: dict[str, float], metrics: Sequence[str]
) -> pd.DataFrame:
    """The trials nearest to a place of a continuous space, the nearest first."""
    about = store.about(study)
    frame = store.trials(study, optimizer)
    seen = Observations.of_trials(frame, about.space, about.metric)
    place = [np.clip(coordinates[axis.name], axis.low, axis.high) for axis in about.space.axes]
    away = ((seen.units - about.space.value_to_unit([place])) ** 2).sum(axis=1)
    numbers = frame["number"].to_numpy()[np.argsort(away, kind="stable")[:NEAREST]]
    listed = ", ".join(str(number) for number in numbers)
    page, _ = store.page(study, optimizer, f"number in ({listed})", limit=NEAREST, metrics=metrics)
    return page.set_index("number").loc[numbers].reset_index()[page.columns]
