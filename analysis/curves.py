"""Curves of one-axis landscapes: the metric against one hyperparameter, a line an optimizer."""

from collections.abc import Mapping
from typing import Any

import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.labels import averaged_metric, axis_label, has_best, summary, tick_words
from analysis.landscape import axis_names, best_cell, mean_over_seeds
from analysis.metric_scale import MetricScale

FIGURE_INCHES = (6.5, 4.5)
# Okabe and Ito's colours for colour-blind readers; the dashes tell lines apart in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")

BEST: dict[str, Any] = {"marker": "*", "markersize": 15, "markeredgecolor": "black", "linestyle": "none"}


def draw_curves(landscapes: Mapping[str, xr.DataArray], scale: MetricScale) -> Figure:
    """Draw landscapes of the same single axis in one plot: the mean over seeds thick, each seed thin.

    A star marks the best value where something trained. The mean has a gap where the trial of a seed is missing.
    """
    figure = Figure(FIGURE_INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    (axis,) = axis_names(next(iter(landscapes.values())))
    for place, (name, landscape) in enumerate(landscapes.items()):
        colour, dashes = COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]
        values, mean = landscape[axis].values, mean_over_seeds(landscape)
        for seed in landscape["seed"]:
            ax.plot(values, landscape.sel(seed=seed).values, color=colour, linewidth=0.7, alpha=0.5)
        label = f"{name}: {summary(landscape, scale)}"
        ax.plot(values, mean.values, dashes, color=colour, linewidth=2, label=label)
        if has_best(landscape):
            best = best_cell(landscape)
            ax.plot([best.coordinates[axis]], [best.mean], color=colour, **BEST)
    ax.set(xlabel=axis_label(axis), ylabel=averaged_metric(landscapes.values(), scale))
    above_zero = all(float(landscape.min()) > 0 for landscape in landscapes.values())
    ax.set(xscale=landscape[axis].attrs["scale"], yscale="log" if scale.is_log and above_zero else "linear")
    ax.yaxis.set_major_locator(scale.locator())
    ax.yaxis.set_major_formatter(scale.formatter)
    ax.minorticks_off()
    tick_words(ax.xaxis, values, landscape[axis].attrs.get("words", ()))
    ax.grid(color="0.9")
    figure.legend(loc="outside lower center", frameon=False)
    return figure
