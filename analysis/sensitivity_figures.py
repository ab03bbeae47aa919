"""Figures of sensitivity: what each value of a hyperparameter loses with the others at their best."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from analysis.curves import COLOURS
from analysis.labels import axis_label, symbol, tick_words
from analysis.sensitivity.result import AxisSensitivity, Sensitivity, Width
from analysis.sensitivity.statistics import stretches
from analysis.sensitivity.stored import positions_of

PANEL_INCHES = (5.4, 3.4)
SENTENCE_WIDTH = 62
"""Characters a panel."""
THRESHOLD_COLOURS = ("#1b7837", "#7fbf7b", "#d9a441", "#b2182b")
"""From the strictest threshold on; of more the last is used again."""
LINEAR_SHARE = 0.55
"""Of the height, for losses up to the widest threshold; beyond it losses are on a logarithmic scale."""
BELOW = 0.06
"""How far the picture goes on below zero, as a share of the widest threshold."""


def sensitivity_figure(found: Sequence[Sensitivity], left_out: Mapping[str, str] | None = None) -> Figure:
    """Draw a row for each landscape and a panel for each hyperparameter; below, why there is none of those left out.

    The line is the median over draws of what each value loses with the others at their best, the band its 95% interval;
    losses are linear up to the widest threshold, logarithmic beyond. Stretches on the thresholds are where the line is
    within them, with the width and its interval; the dashed line is the default.
    """
    width, height = PANEL_INCHES
    columns = max(len(each.axes) for each in found)
    figure = Figure((width * columns + 0.4, height * len(found) + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subfigures(len(found), 1, squeeze=False)[:, 0]
    for place, (row, each) in enumerate(zip(rows, found, strict=True)):
        row.suptitle(
            textwrap.fill(each.sentence, SENTENCE_WIDTH * len(each.axes)), fontsize=10, fontweight="bold"
        )
        panels = row.subplots(1, columns, squeeze=False, sharey=True)[0]
        for panel, axis in zip(panels, each.axes, strict=False):
            _profile(panel, each, axis, COLOURS[place % len(COLOURS)])
        for panel in panels[len(each.axes) :]:
            panel.set_axis_off()
        metric = each.metric.replace("_", " ")
        panels[0].set_ylabel(f"{metric} lost{' (points)' if each.is_rate else ''}")
    if left_out:
        text = "\n".join(f"{name}: {why}" for name, why in left_out.items())
        figure.supxlabel(text, fontsize=9)
    return figure


def _profile(ax: Axes, of: Sensitivity, axis: AxisSensitivity, colour: str) -> None:
    points = 100 if of.is_rate else 1
    values = np.array(axis.axis.values)
    median, low, high = np.maximum(points * axis.profile, 0)
    widest = points * max(width.within for width in axis.widths)
    highest = max(float(np.nanmax(points * each.profile)) for each in of.axes)
    decades = math.log10(max(highest / widest, 2)) + 0.1
    stretch = LINEAR_SHARE / (1 - LINEAR_SHARE) * decades
    ax.set_yscale("symlog", linthresh=widest, linscale=stretch)
    ax.set(xscale=axis.axis.scale, xlabel=axis_label(axis.axis.name))
    ax.set_ylim(-BELOW * widest, widest * 10**decades)
    ax.fill_between(values, low, high, color=colour, alpha=0.2, linewidth=0)
    ax.plot(values, median, color=colour, linewidth=1.8, marker="o", markersize=3)
    for place, width in enumerate(sorted(axis.widths, key=lambda each: each.within)):
        _threshold(ax, axis, width, points, THRESHOLD_COLOURS[min(place, len(THRESHOLD_COLOURS) - 1)])
    if axis.default.problem is None:
        ax.axvline(axis.cell, color="0.25", linestyle="--", linewidth=1)
        text = f"default {symbol(axis.axis.name)} = {axis.axis.text(axis.cell)}\nloses {of.amount(axis.lost)}"
        right = _text_to_the_right(axis)
        ax.annotate(
            text, (axis.cell, 0.98), (4 if right else -4, 0), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="left" if right else "right", va="top", fontsize=8, color="0.25",
            bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "alpha": 0.75, "linewidth": 0},
        )  # fmt: skip
    else:
        ax.set_title(textwrap.fill(axis.default.problem, 60), fontsize=8, color="0.35")
    ticks = [points * width.within for width in axis.widths]
    beyond = [
        each for power in range(-6, 7) for each in (10.0**power,) if each > 1.5 * widest and each < highest
    ]
    ax.yaxis.set_major_locator(FixedLocator([0, *ticks, *beyond]))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter("{x:.3g}")
    ax.xaxis.set_minor_locator(NullLocator())
    tick_words(ax.xaxis, axis.axis.values, axis.axis.words)
    ax.grid(color="0.93", axis="x")
    ax.set_axisbelow(True)


def _threshold(ax: Axes, axis: AxisSensitivity, width: Width, points: float, colour: str) -> None:
    """A line at the threshold, thick where the median is within it, and how wide that is."""
    at = points * width.within
    ax.axhline(at, color=colour, linewidth=0.7, alpha=0.8)
    positions = positions_of(axis.axis)
    values = np.array(axis.axis.values)
    for start, end in stretches(axis.profile[0], positions, width.within):
        x = np.interp([start, end], positions, np.log(values) if axis.axis.scale == "log" else values)
        ax.plot(
            np.exp(x) if axis.axis.scale == "log" else x, [at, at], color=colour, linewidth=4, alpha=0.8,
            solid_capstyle="butt",
        )  # fmt: skip
    log = axis.unit == "decades"
    text = width.tuned.text(".1f" if log else ".0%") + (" decades" if log else "")
    ax.annotate(
        f"{'≥ ' if width.is_open else ''}{text}", (1, at), (4, 0), xycoords=("axes fraction", "data"),
        textcoords="offset points", ha="left", va="center", fontsize=8, color=colour,
    )  # fmt: skip


def _text_to_the_right(axis: AxisSensitivity) -> bool:
    """Of the default: on the side of the best value, where losses are small, if there is room."""
    place = _place(axis, axis.cell)
    best = _place(axis, axis.axis.values[int(axis.profile[0].argmin())])
    return place < 0.3 or (place < 0.7 and best >= place)


def _place(axis: AxisSensitivity, value: float) -> float:
    """From 0 to 1 along the axis."""
    values, positions = np.array(axis.axis.values), positions_of(axis.axis)
    at = float(np.interp(value, values, positions))
    return (at - float(positions[0])) / float(positions[-1] - positions[0])
