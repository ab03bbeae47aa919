"""Figures of stored studies, by name, as the command line and the service draw them: what exists is in `FIGURES`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from analysis.cost.costs import cost_table, curve_table
from analysis.errors import AnalysisError
from analysis.figures import landscape_figure, pairs_figure
from analysis.sensitivity.defaults import parse_defaults
from analysis.sensitivity.stored import known, parse_within, stored_sensitivities
from analysis.sensitivity_figures import sensitivity_figure
from analysis.separability import judge_all
from analysis.separability_figures import separability_figure
from analysis.stored import Tell, ignore, stored_landscapes
from analysis.suboptimality import performance_profile, running_times
from analysis.target import check_target, target_of
from analysis.trained import UNTRAINED, NothingTrainedError, trained, untrained
from analysis.tuning_figures import cost_figure, profile_figure, suboptimality_figure
from analysis.tuning_runs import Choice, stored_curves
from analysis.views import WHOLE, View, pairs_shown, shown
from storage.records import split_name
from storage.store import Store


@dataclass(frozen=True)
class FigureRequest:
    """Of what to draw a figure.

    Attributes:
        names: studies, or STUDY/OPTIMIZER.
        where: a filter of trials, for landscapes and separability.
        step: these as they were after so many steps of training.
        view: which axes are shown of them, and where the others are held.
        pairs: a landscape for every pair of the view's axes, or of all.
        target: what counts as found; by default the study's own for costs, 1% of the range for advice, and no line on
            curves.
        noise: of tuning runs, see `Choice`.
        tuners: only these; all by default.
        within, defaults: of sensitivity, see `stored_sensitivities`, as text.
        tell: is called with what was left out.
    """

    names: tuple[str, ...]
    where: str | None = None
    step: int | None = None
    view: View = WHOLE
    pairs: bool = False
    target: float | None = None
    noise: str | None = None
    tuners: tuple[str, ...] | None = None
    within: str | None = None
    defaults: str | None = None
    tell: Tell = ignore


def curves_of(store: Store, name: str, request: FigureRequest) -> xr.DataArray:
    """Suboptimality of the stored runs of STUDY or STUDY/OPTIMIZER."""
    study, optimizer = split_name(name)
    choice = Choice(request.noise, tuners=request.tuners)
    return stored_curves(store, study, optimizer, choice, request.tell)


def landscape(store: Store, request: FigureRequest) -> Figure:
    panels = stored_landscapes(store, request.names, request.where, step=request.step, tell=request.tell)
    if request.pairs:
        return pairs_figure({name: pairs_shown(each, request.view) for name, each in panels.items()})
    return landscape_figure({name: shown(each, request.view) for name, each in panels.items()})


def separability(store: Store, request: FigureRequest) -> Figure:
    panels = stored_landscapes(
        store, request.names, request.where, step=request.step, extra=True, tell=request.tell
    )
    kept = trained(panels, request.tell)
    left_out = {name: said for name, each in panels.items() if (said := untrained(each))}
    return separability_figure(judge_all(kept, request.target, request.view), left_out)


def sensitivity(store: Store, request: FigureRequest) -> Figure:
    within = parse_within(request.within) if request.within else None
    defaults = parse_defaults(request.defaults) if request.defaults else None
    found = known(stored_sensitivities(store, request.names, within, defaults), request.tell)
    return sensitivity_figure(found.found, found.left_out)


def suboptimality(store: Store, request: FigureRequest) -> Figure:
    if request.target is not None:
        check_target(request.target)
    curves = curves_of(store, request.names[0], request)
    target = target_of(store, curves.attrs["study"], request.target)
    table = curve_table(store, curves, target, request.tell)
    return suboptimality_figure(table, curves.attrs["metric"], request.target, curves.attrs[UNTRAINED])


def cost(store: Store, request: FigureRequest) -> Figure:
    curves = curves_of(store, request.names[0], request)
    target = target_of(store, curves.attrs["study"], request.target)
    table = cost_table(store, curves, target, request.tell)
    return cost_figure(table, curves.attrs[UNTRAINED])


def profile(store: Store, request: FigureRequest) -> Figure:
    tables = []
    left_out: dict[str, str] = {}
    for name in request.names:
        study, _ = split_name(name)
        try:
            curves = curves_of(store, name, replace(request, tell=ignore))
            if not curves.sizes["replicate"]:
                raise AnalysisError(
                    f"{study} has scattered trials, without tuning runs: a profile is of grids"
                )
            said = curves.attrs[UNTRAINED]
            table = running_times(curves, target_of(store, study, request.target))
            tables.append(table.assign(landscape=f"{study}/" + table["optimizer"]))
        except NothingTrainedError as error:
            said = error.said
        left_out |= {f"{study}/{each}": why for each, why in said.items()}
    if not tables:
        raise NothingTrainedError(left_out)
    for each, why in left_out.items():
        request.tell(f"{each}: {why}")
    return profile_figure(performance_profile(pd.concat(tables)), left_out)


FIGURES: Mapping[str, Callable[[Store, FigureRequest], Figure]] = {
    "landscape": landscape,
    "separability": separability,
    "sensitivity": sensitivity,
    "suboptimality": suboptimality,
    "cost": cost,
    "profile": profile,
}
OF_SEVERAL = ("landscape", "separability", "sensitivity", "profile")
"""Figures that compare several studies; the others are of one."""
