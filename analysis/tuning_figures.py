"""Figures of tuning cost: suboptimality against trials, bars of trials to target, performance profiles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.curves import COLOURS, DASHES
from analysis.errors import AnalysisError
from analysis.labels import untrained_handles

PANEL_INCHES = (2.3, 2.1)
MOST_COLUMNS = 5
HATCHES = ("", "//", "..", "xx")
FLOOR_SHARE = 0.5
"""On the logarithmic axis, zero is drawn at this share of the smallest value above zero."""


def suboptimality_figure(
    table: pd.DataFrame,
    metric: str,
    target: float | None = None,
    untrained: Mapping[str, str] | None = None,
) -> Figure:
    """Draw suboptimality against trials, a panel a tuner, a colour an optimizer (AvaGrad, Figure 2 right).

    `table` as `analysis.cost.costs.curve_table` makes it. Solid lines are medians over runs with their 95% intervals as
    bands, dotted ones the medians of the stored runs where that is all that is known; the target, if given, is a grey
    line. Both axes are logarithmic; zero is drawn at the lower end. The legend also has what is said of optimizers that
    are `untrained`, by name.
    """
    tuners, optimizers = (list(dict.fromkeys(table[key])) for key in ("tuner", "optimizer"))
    columns = min(len(tuners), MOST_COLUMNS)
    rows = math.ceil(len(tuners) / columns)
    width, height = PANEL_INCHES
    figure = Figure((max(width * columns, 4.5) + 0.8, height * rows + 1.1), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    shown = table[["median", "low", "high", "observed"]].to_numpy()
    above = np.append(shown[shown > 0], [target] if target else [])
    floor = FLOOR_SHARE * above.min() if above.size else 1e-3
    for panel, tuner in zip(grid.flat, tuners, strict=False):
        for place, optimizer in enumerate(optimizers):
            frame = table[(table["tuner"] == tuner) & (table["optimizer"] == optimizer)]
            trial, values = frame["trial"], frame.drop(columns=["tuner", "optimizer"]).clip(lower=floor)
            colour = COLOURS[place % len(COLOURS)]
            if frame["median"].isna().all():
                panel.plot(trial, values["observed"], ":", color=colour, linewidth=1.4, label=optimizer)
                continue
            panel.fill_between(trial, values["low"], values["high"], color=colour, alpha=0.25, linewidth=0)
            panel.plot(trial, values["median"], color=colour, linewidth=1.8, label=optimizer)
        if target:
            panel.axhline(target, color="0.5", linewidth=1)
        panel.set_title(tuner, fontsize=10)
        panel.set(xscale="log", yscale="log", ylim=(floor, None))
        panel.xaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_major_formatter("{x:g}")
        panel.minorticks_off()
        panel.grid(color="0.9")
    for place, panel in enumerate(grid.flat):
        if place >= len(tuners):
            panel.remove()
        elif place + columns >= len(tuners):
            panel.set_xlabel("trials")
            panel.tick_params(labelbottom=True)
    figure.supylabel(f"suboptimality ({metric.replace('_', ' ')})", fontsize=10)
    known = table["median"].notna()
    note = "median over runs and its 95% interval" if known.any() else ""
    if not known.all():
        note += f"{'; ' if note else ''}dotted: observed, interval not known"
    figure.suptitle(note + (f"; grey: target {target:g}" if target else ""), fontsize=9, color="0.35")
    handles, _ = grid[0, 0].get_legend_handles_labels()
    _legend(figure, handles, untrained, min(len(handles), 4))
    return figure


def cost_figure(table: pd.DataFrame, untrained: Mapping[str, str] | None = None) -> Figure:
    """Draw the median trials to target of each tuner as bars with 95% intervals, optimizers beside each other.

    `table` as `analysis.cost.costs.cost_table` makes it (AvaGrad, Figure 2 left). A tuner whose median is beyond the
    budget has no bar but the share of runs that reach the target; where the cost is not known, a small line is at the
    median of the stored runs. `untrained` as for `suboptimality_figure`.
    """
    tuners, optimizers = list(dict.fromkeys(table["tuner"])), list(dict.fromkeys(table["optimizer"]))
    figure = Figure((max(5.0, 0.5 * len(tuners) * len(optimizers) + 2), 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    ax: Axes = figure.subplots()
    ends = table[["median", "high", "observed"]].to_numpy()
    ax.set(ylabel=f"trials until suboptimality {table['target'].iloc[0]:g}")
    ax.set_ylim(0, 1.12 * np.nanmax(ends) if np.isfinite(ends).any() else 1)
    width = 0.8 / len(optimizers)
    for place, optimizer in enumerate(optimizers):
        rows = table[table["optimizer"] == optimizer].set_index("tuner").loc[tuners]
        at = np.arange(len(tuners)) + (place - (len(optimizers) - 1) / 2) * width
        colour, hatch = COLOURS[place % len(COLOURS)], HATCHES[place % len(HATCHES)]
        ax.bar(
            at, rows["median"], width * 0.92, label=optimizer, edgecolor="white", color=colour, hatch=hatch
        )
        for x, (_, row) in zip(at, rows.iterrows(), strict=True):
            if math.isnan(row["reached"]):
                ax.plot(x, row["observed"], "_", color=colour, markersize=12)
            else:
                _mark(ax, x, row)
    ax.set_xticks(np.arange(len(tuners)), tuners, rotation=30, ha="right")
    known = table["reached"].notna()
    title = "median and its 95% interval" if known.any() else ""
    if not known.all():
        title += f"{'; ' if title else ''}lines: observed, interval not known"
    ax.set_title(title, fontsize=9, color="0.35")
    ax.grid(color="0.9", axis="y")
    ax.set_axisbelow(True)
    _legend(figure, ax.get_legend_handles_labels()[0], untrained, len(optimizers))
    return figure


def _mark(ax: Axes, x: float, row: pd.Series) -> None:
    """The interval of a bar and its number, or what there is instead of a bar."""
    if math.isnan(row["median"]):
        text = f"{row['reached']:.0%} of runs\nreach it"
        ax.annotate(text, (x, 0), (0, 4), textcoords="offset points", ha="center", fontsize=7, rotation=90)
        return
    open_end = math.isnan(row["high"])
    above = 0.0 if open_end else row["high"] - row["median"]
    ax.errorbar(
        x, row["median"], [[row["median"] - row["low"]], [above]], color="black", capsize=2, linewidth=1
    )
    if open_end:  # the interval goes on beyond the budget
        arrow = {"arrowstyle": "<-", "color": "black"}
        ax.annotate("", (x, row["median"]), (0, 24), textcoords="offset points", arrowprops=arrow)
    write_median(ax, x, row["median"])


def write_median(ax: Axes, x: float, median: float) -> None:
    """The number of a bar at its own height, beside the line of its interval."""
    ax.annotate(f"{median:g}", (x, median), (2, 1), textcoords="offset points", fontsize=8)


def profile_figure(profile: xr.DataArray, untrained: Mapping[str, str] | None = None) -> Figure:
    """Draw a performance profile as `analysis.suboptimality.performance_profile` makes it.

    `untrained` as for `suboptimality_figure`, by landscape.
    """
    if profile.sizes["tuner"] == 0:
        raise AnalysisError("there is no tuner to draw: run tunability tune")
    figure = Figure((6.0, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    for place, tuner in enumerate(profile["tuner"].values):
        style = DASHES[place % len(DASHES)]
        share = profile.sel(tuner=tuner).values
        ax.step(
            profile["factor"],
            share,
            style,
            where="post",
            color=COLOURS[place % len(COLOURS)],
            label=str(tuner),
        )
    ax.set(xscale="log", ylim=(-0.02, 1.02), xlabel="factor of the best tuner's expected running time")
    ax.set_ylabel("share of landscapes")
    for set_formatter in (ax.xaxis.set_major_formatter, ax.xaxis.set_minor_formatter):
        set_formatter("{x:g}")
    ax.grid(color="0.9")
    _legend(figure, ax.get_legend_handles_labels()[0], untrained, 3)
    return figure


def _legend(
    figure: Figure, handles: Sequence[Artist], untrained: Mapping[str, str] | None, columns: int
) -> None:
    """The legend below all; a line each once it has to say who is missing."""
    said = untrained_handles(untrained or {})
    columns = 1 if said else columns
    figure.legend(handles=[*handles, *said], loc="outside lower center", ncols=columns, frameon=False)
