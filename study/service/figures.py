"""Figures of stored trials as files in memory: what exists is the dict at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.store import Store

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

DEFAULT_TARGET = 0.005


@dataclass(frozen=True)
class FigureRequest:
    """Of what to draw a figure: names are STUDY or STUDY/OPTIMIZER; noise is of tuning runs.

    `target` is what counts as found; by default 0.005 for costs, 1% of the range for advice, and no line on curves.
    """

    names: Sequence[str]
    where: str | None
    target: float | None
    noise: str | None

    @property
    def cost_target(self) -> float:
        return DEFAULT_TARGET if self.target is None else self.target


def landscape(store: Store, request: FigureRequest) -> Figure:
    from analysis.figures import landscape_figure
    from analysis.stored import stored_landscapes

    return landscape_figure(stored_landscapes(store, request.names, request.where))


def separability(store: Store, request: FigureRequest) -> Figure:
    from analysis.separability import judge
    from analysis.separability_figures import separability_figure
    from analysis.stored import stored_landscapes

    panels = stored_landscapes(store, request.names, request.where, extra=True)
    return separability_figure(
        [
            (verdict, values)
            for name, values in panels.items()
            for verdict in judge(name, values, request.target)
        ]
    )


def suboptimality(store: Store, request: FigureRequest) -> Figure:
    from analysis.suboptimality import summary_table
    from analysis.tuning_figures import suboptimality_figure

    curves = only_curves(store, request)
    metric, runs = curves.attrs["metric"], curves.sizes["replicate"]
    return suboptimality_figure(summary_table(curves), metric, runs, request.target)


def cost(store: Store, request: FigureRequest) -> Figure:
    from analysis.suboptimality import cost_table
    from analysis.tuning_figures import cost_figure

    return cost_figure(cost_table(only_curves(store, request), request.cost_target))


def profile(store: Store, request: FigureRequest) -> Figure:
    import pandas as pd

    from analysis.suboptimality import cost_table, performance_profile
    from analysis.tuning_figures import profile_figure

    tables = []
    for name in request.names:
        table = cost_table(curves_of(store, name, request.noise), request.cost_target)
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
    "separability": separability,
    "suboptimality": suboptimality,
    "cost": cost,
    "profile": profile,
}
OF_SEVERAL = ("landscape", "separability", "profile")
"""Figures that compare several studies; the others are of one."""
MEDIA_TYPES = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}
