"""Heatmaps of two-axis landscapes, as in AvaGrad's Figure 1 (Savarese et al., 2021), https://arxiv.org/abs/1912.01823

Differs from the paper: cells are drawn where their values lie (the grid 1, 2, 10, 20, ... is uneven on a log
axis), the colours are logarithmic in the error, and the best cells are marked.
"""

import textwrap
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from analysis.labels import averaged_metric, axis_label, has_best, summary, symbol, tick_words
from analysis.landscape import axis_names, best_along, best_cell, mean_over_seeds, stopped_early
from analysis.metric_scale import MetricScale
from analysis.surrogate import surrogate_of

PANEL_INCHES = (5.0, 4.5)
PAIR_INCHES = (4.6, 3.9)
PANELS_PER_ROW = 4
NO_BREAK = "\u00a0"
SUMMARY_WIDTH = 54
"""Characters of a line above a panel: more would run into the colour bar's "worse"."""
BAR_ASPECT = 20
"""Height of the colour bar over its width, Matplotlib's default."""

# Perceptually uniform and safe for colour-blind readers; reversed: good cells are light, also in grey.
COLOUR_MAP = "viridis_r"
# White with a dark edge is seen on light and on dark cells.
BEST: dict[str, Any] = {"marker": "*", "markersize": 15, "color": "white", "markeredgecolor": "black"}
BEST_ALONG: dict[str, Any] = {"marker": "o", "markersize": 4.5, "color": "white", "markeredgecolor": "black"}
TRIAL: dict[str, Any] = {"marker": ".", "markersize": 2.5, "color": "black", "alpha": 0.6}
EARLY: dict[str, Any] = {"hatch": "xxxx", "edgecolor": "0.45", "linewidth": 0.0}
MISSING: dict[str, Any] = {"facecolor": "0.88", "edgecolor": "0.55", "hatch": "////", "linewidth": 0.0}


def draw_heatmaps(panels: Mapping[str, xr.DataArray], scale: MetricScale) -> Figure:
    """Draw one panel a landscape, all of the same two axes, the first upwards and the second to the right.

    The panels share `scale` and one colour bar. A star marks the best cell, dots the best value of the first
    axis for each value of the second, but where nothing trained; cells that lack the trial of a seed are hatched.
    """
    rows, columns = ceil(len(panels) / PANELS_PER_ROW), min(len(panels), PANELS_PER_ROW)
    size = (columns * PANEL_INCHES[0], rows * PANEL_INCHES[1])
    figure = Figure(size, layout=ConstrainedLayoutEngine(w_pad=0.1))
    FigureCanvasAgg(figure)
    places = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in places[len(panels) :]:
        unused.remove()
    used = places[: len(panels)]
    axes = axis_names(next(iter(panels.values())))
    meshes = [_panel(ax, name, panels[name], scale) for ax, name in zip(used, panels, strict=True)]
    _bar(figure, meshes[0], used, averaged_metric(panels.values(), scale), scale)
    _legend(figure, _legend_handles(list(panels.values()), *(symbol(name) for name in axes)))
    return figure


def draw_on(ax: Axes, name: str, panel: xr.DataArray, scale: MetricScale) -> None:
    """Draw one panel of `draw_heatmaps` into given axes, with a colour bar of its own."""
    mesh = _panel(ax, name, panel, scale)
    figure = ax.figure
    _bar(figure, mesh, [ax], averaged_metric([panel], scale), scale)
    handles = _legend_handles([panel], *(symbol(axis) for axis in axis_names(panel)))
    if handles:
        ax.legend(handles=handles, loc="best", fontsize="small")


def draw_pairs(matrices: Mapping[str, Mapping[tuple[str, str], xr.DataArray]], scale: MetricScale) -> Figure:
    """Draw a matrix of panels for each optimizer, below one another: rows are first axes, columns second ones.

    Marks, colours and hatching are those of `draw_heatmaps`.
    """
    some = next(iter(matrices.values()))
    rows, columns = ([*dict.fromkeys(pair[place] for pair in some)] for place in (0, 1))
    width, height = PAIR_INCHES
    size = (len(columns) * width, len(matrices) * len(rows) * height)
    figure = Figure(size, layout=ConstrainedLayoutEngine(w_pad=0.1))
    FigureCanvasAgg(figure)
    places = figure.subplots(len(matrices) * len(rows), len(columns), squeeze=False)
    used = []
    for block, (name, panels) in enumerate(matrices.items()):
        for row, upwards in enumerate(rows):
            for column, across in enumerate(columns):
                ax = places[block * len(rows) + row, column]
                if (upwards, across) not in panels:
                    ax.remove()
                    continue
                mesh = _panel(ax, name, panels[upwards, across], scale)
                used.append(ax)
    every = [panel for panels in matrices.values() for panel in panels.values()]
    _bar(figure, mesh, used, averaged_metric(every, scale), scale, BAR_ASPECT * len(places))
    _legend(figure, _legend_handles(every, "value upwards", "value across"))
    return figure


def _legend(figure: Figure, handles: Sequence[Line2D | Patch]) -> None:
    """A legend below all panels, in as many rows as it takes not to be wider than the figure."""
    for columns in range(len(handles), 0, -1):
        legend = figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def _bar(
    figure: Figure | SubFigure,
    mesh: QuadMesh,
    used: Sequence[Axes],
    label: str,
    scale: MetricScale,
    aspect: float = BAR_ASPECT,
) -> None:
    bar = figure.colorbar(mesh, ax=used, pad=0.02, label=label, aspect=aspect)
    bar.set_ticks(scale.ticks(), labels=[scale.text(tick) for tick in scale.ticks()], minor=False)
    bar.minorticks_off()
    bar.ax.set_title("worse", fontsize="small", loc="left")
    bar.ax.set_xlabel("better", fontsize="small", loc="left", labelpad=6)


def cell_edges(values: NDArray[np.float64], scale: str) -> NDArray[np.float64]:
    """The n + 1 edges of n >= 2 ascending values: midpoints, geometric on a ``"log"`` scale.

    The outer edges are as far outside the end values as the next ones are inside.
    """
    positions = np.log10(values) if scale == "log" else np.asarray(values, dtype=np.float64)
    halves = np.diff(positions) / 2
    edges = np.concatenate(
        [[positions[0] - halves[0]], positions[:-1] + halves, [positions[-1] + halves[-1]]]
    )
    return 10**edges if scale == "log" else edges


def draw_cells(ax: Axes, landscape: xr.DataArray, scale: MetricScale) -> QuadMesh:
    """Draw the means over seeds of a two-axis landscape, the first axis upwards and the second to the right."""
    upwards, across = axis_names(landscape)
    scales = {axis: landscape[axis].attrs["scale"] for axis in (upwards, across)}
    edges = {axis: cell_edges(landscape[axis].values, scales[axis]) for axis in (upwards, across)}
    mean = mean_over_seeds(landscape).transpose(upwards, across)
    ax.set(xscale=scales[across], yscale=scales[upwards])
    # A cell without a mean is not drawn, and this background shows.
    ax.patch.set(**MISSING)
    mesh = ax.pcolormesh(
        edges[across],
        edges[upwards],
        np.ma.array(mean.values, mask=np.isnan(mean.values)),
        norm=scale.norm,
        cmap=COLOUR_MAP,
        edgecolors="face",  # or vector formats show seams between cells
        linewidth=0.2,
    )
    early = mean.where(stopped_early(landscape).transpose(upwards, across))
    if early.notnull().any():
        masked = np.ma.masked_invalid(early.values)
        ax.pcolor(edges[across], edges[upwards], masked, norm=scale.norm, cmap=COLOUR_MAP, **EARLY)
    ax.set(xlim=edges[across][[0, -1]], ylim=edges[upwards][[0, -1]])
    ax.set(xlabel=axis_label(across), ylabel=axis_label(upwards))
    for drawn, name in ((ax.xaxis, across), (ax.yaxis, upwards)):
        tick_words(drawn, landscape[name].values, landscape[name].attrs.get("words", ()))
    surrogate = surrogate_of(landscape.attrs)
    if surrogate:
        seen = surrogate.observations
        columns = {name: seen.points[:, place] for place, name in enumerate(seen.space.names)}
        ax.plot(columns[across], columns[upwards], linestyle="none", **TRIAL)
        whole = {axis.name: (axis.low, axis.high) for axis in seen.space.axes}
        ax.set(xlim=whole[across], ylim=whole[upwards])
    return mesh


def _panel(ax: Axes, name: str, landscape: xr.DataArray, scale: MetricScale) -> QuadMesh:
    mesh = draw_cells(ax, landscape, scale)
    upwards, across = axis_names(landscape)
    said = _lines(summary(landscape, scale))
    ax.set_title(name, fontweight="bold", pad=7 + 11 * len(said.splitlines()))
    ax.text(0.5, 1.015, said, transform=ax.transAxes, ha="center", va="bottom", size="small")
    if has_best(landscape):
        along = best_along(landscape, axis=upwards, given=across)
        best = best_cell(landscape).coordinates
        ax.plot(along[across].values, along.values, linestyle="none", **BEST_ALONG)
        ax.plot([best[across]], [best[upwards]], linestyle="none", **BEST)
    return mesh


def _lines(said: str) -> str:
    """Broken after commas alone."""
    kept = said.replace(" ", NO_BREAK).replace(f",{NO_BREAK}", ", ")
    return textwrap.fill(kept, SUMMARY_WIDTH, break_long_words=False).replace(NO_BREAK, " ")


def _legend_handles(panels: Sequence[xr.DataArray], upwards: str, across: str) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = []
    if any(has_best(panel) for panel in panels):
        handles = [
            Line2D([], [], linestyle="none", label="best cell", **BEST),
            Line2D([], [], linestyle="none", label=f"best {upwards} for each {across}", **BEST_ALONG),
        ]
    drawn = any(surrogate_of(panel.attrs) for panel in panels)
    if any(stopped_early(panel).any() for panel in panels):
        handles.append(Patch(facecolor="0.8", label="stopped early: at least so good", **EARLY))
    if drawn or any(panel.isnull().any() for panel in panels):
        handles.append(Patch(label="too uncertain" if drawn else "a seed's trial is missing", **MISSING))
    return handles
