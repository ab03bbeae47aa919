"""Figures of stored trials as files in memory: what exists is the dict at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.store import Store
from study.service.reads import panels

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class FigureRequest:
    """Of what to draw a figure: names are STUDY or STUDY/OPTIMIZER; target and noise are of tuning runs."""

    names: Sequence[str]
    where: str | None
    target: float
    noise: str | None


def landscape(store: Store, request: FigureRequest) -> Figure:
    from analysis.figures import landscape_figure

    drawn: dict[str, xr.DataArray] = {}
    for name in request.names:
        study, _, optimizer = name.partition("/")
        for each, values in panels(store, study, optimizer or None, request.where).items():
            drawn[each if len(request.names) == 1 else f"{study}/{each}"] = values
    return landscape_figure(drawn)


def suboptimality(store: Store, request: FigureRequest) -> Figure:
    from analysis.suboptimality import summary_table
    from analysis.tuning_figures import suboptimality_figure

    curves = only_curves(store, request)
    metric, runs = curves.attrs["metric"], curves.sizes["replicate"]
    return suboptimality_figure(summary_table(curves), metric, runs, request.target or None)


def cost(store: Store, request: FigureRequest) -> Figure:
    from analysis.suboptimality import cost_table
    from analysis.tuning_figures import cost_figure

    return cost_figure(cost_table(only_curves(store, request), request.target))


def profile(store: Store, request: FigureRequest) -> Figure:
    import pandas as pd

    from analysis.suboptimality import cost_table, performance_profile
    from analysis.tuning_figures import profile_figure

    tables = []
    for name in request.names:
        table = cost_table(curves_of(store, name, request.noise), request.target)
        tables.append(table.assign(landscape=name.partition("/")[0] + "/" + table["optimizer"]))
    return profile_figure(performance_profile(pd.concat(tables)))


def curves_of(store: Store, name: str, noise: str | None) -> xr.DataArray:
    from analysis.tuning_runs import Choice, stored_curves

    study, _, optimizer = name.partition("/")
    return stored_curves(store, study, optimizer or None, Choice(noise))


def only_curves(store: Store, request: FigureRequest) -> xr.DataArray:
    return curves_of(store, request.names[0], request.noise)


FIGURES: Mapping[str, Callable[[Store, FigureRequest], Figure]] = {
    "landscape": landscape,
    "suboptimality": suboptimality,
    "cost": cost,
    "profile": profile,
}
OF_SEVERAL = ("landscape", "profile")
"""Figures that compare several studies; the others are of one."""
MEDIA_TYPES = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}
