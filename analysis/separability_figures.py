"""Figures of separability: the ridge on its landscape, transfer regret, and what the advice is worth."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patheffects import Normal, Stroke

from analysis.advice import REPLICATES
from analysis.curves import COLOURS
from analysis.errors import AnalysisError
from analysis.estimate import Estimate
from analysis.heatmap import COLOUR_MAP, cell_edges, draw_cells
from analysis.labels import symbol, tick_words
from analysis.landscape import mean_over_seeds
from analysis.metric_scale import MetricScale
from analysis.pairs import own_unit, positions, whole_seeds
from analysis.separability import Verdict
from analysis.tuning_figures import write_median

ROW_INCHES = (15.0, 4.6)
SENTENCE_WIDTH = 150
OUTLINE = [Stroke(linewidth=4, foreground="black"), Normal()]


def separability_figure(verdicts: Sequence[Verdict], untrained: Mapping[str, str] | None = None) -> Figure:
    """Draw a row for each verdict; above them, what is said of optimizers that are `untrained`.

    Left: the landscape with each row's best value (dots), the fitted ridge with its 95% band, and the transition with
    its interval. Middle: what the best value found at one value of the second axis loses at another. Right: trials
    that tuners need in the old and in the advised coordinates.

    Raises:
        AnalysisError: there is nothing to draw.
    """
    if not verdicts:
        raise AnalysisError("there is no verdict to draw: give one or more studies")
    width, height = ROW_INCHES
    figure = Figure((width, height * len(verdicts)), layout=ConstrainedLayoutEngine(w_pad=0.1))
    FigureCanvasAgg(figure)
    if untrained:
        figure.suptitle("; ".join(f"{name}: {said}" for name, said in untrained.items()), fontsize=10)
    rows = figure.subfigures(len(verdicts), 1, squeeze=False)[:, 0]
    for row, verdict in zip(rows, verdicts, strict=True):
        row.suptitle(textwrap.fill(verdict.sentence, SENTENCE_WIDTH), fontsize=10, fontweight="bold")
        left, middle, right = row.subplots(1, 3, width_ratios=(1.15, 1.15, 0.8))
        _ridge(row, left, verdict)
        _regret(row, middle, verdict)
        _advice(right, verdict)
    return figure


def _ridge(figure: SubFigure, ax: Axes, verdict: Verdict) -> None:
    pair, found = verdict.pair, verdict.ridge
    first, second = verdict.axes
    whole = whole_seeds(pair)
    scale = MetricScale(pair.attrs["metric"], mean_over_seeds(whole).values)
    mesh = draw_cells(ax, whole, scale)
    bar = figure.colorbar(mesh, ax=ax, pad=0.02, label=scale.metric)
    bar.set_ticks(scale.ticks(), labels=[scale.text(tick) for tick in scale.ticks()], minor=False)
    bar.minorticks_off()
    ax.set_title("landscape and ridge", fontsize=9)
    rows = ~np.isnan(found.optima)
    if not found.regimes:
        return
    places = positions(pair, second)
    start, end = places[rows][[0, -1]]
    along = np.unique(np.append(np.linspace(start, end, 200), found.bend))
    across = [own_unit(pair, second, place) for place in along]
    up = np.array([own_unit(pair, first, place) for place in found.at(along)])
    band = found.half_width(along)
    low, high = (
        [own_unit(pair, first, place) for place in found.at(along) + sign * band] for sign in (-1, 1)
    )
    ax.fill_between(across, low, high, color="white", alpha=0.35, linewidth=0)
    ax.plot(across, up, color="white", linewidth=2, path_effects=OUTLINE)
    best = [own_unit(pair, first, place) for place in found.optima[rows]]
    ax.plot(pair[second].values[rows], best, "o", color="white", markeredgecolor="black", markersize=4.5)
    bend = found.transition
    if bend:
        ax.axvspan(bend.low, bend.high, color="black", alpha=0.12, linewidth=0)
        ax.axvline(bend.estimate, color="black", linestyle="--", linewidth=1.2)
        text = f"{symbol(second)} = {bend.text('.2g')}"
        ax.annotate(
            text, (bend.estimate, 0.02), xycoords=("data", "axes fraction"), fontsize=8, ha="center", color="black",
            bbox={"boxstyle": "round", "facecolor": "white", "alpha": 0.8, "linewidth": 0},
        )  # fmt: skip


def _regret(figure: SubFigure, ax: Axes, verdict: Verdict) -> None:
    pair, (first, second) = verdict.pair, verdict.axes
    scale = pair[second].attrs["scale"]
    edges = cell_edges(pair[second].values, scale)
    values = verdict.regret["estimate"].values
    mesh = ax.pcolormesh(
        edges, edges, np.ma.masked_invalid(values), cmap=COLOUR_MAP, vmin=0, vmax=verdict.regret_range,
        edgecolors="face", linewidth=0.2,
    )  # fmt: skip
    ax.set(xscale=scale, yscale=scale)
    for drawn in (ax.xaxis, ax.yaxis):
        tick_words(drawn, pair[second].values, pair[second].attrs.get("words", ()))
    ax.set(
        xlabel=f"{symbol(second)} where it is used",
        ylabel=f"{symbol(second)} where {symbol(first)} was tuned",
    )
    ax.set_title(f"transfer regret of {symbol(first)}", fontsize=9)
    metric = str(pair.attrs["metric"]).replace("_", " ")
    figure.colorbar(mesh, ax=ax, pad=0.02, label=f"{metric} lost")


def _advice(ax: Axes, verdict: Verdict) -> None:
    if verdict.advice is None:
        ax.set_axis_off()
        lines = [
            f"tuning one after the other loses\n{verdict.penalty.text('z.4f')}",
            f"interaction share\n{verdict.interaction.text('z.2f')}",
            f"second-order Sobol' index\n{verdict.sobol.text('z.2f')}",
        ]
        ax.text(0.5, 0.5, "\n\n".join(lines), ha="center", va="center", fontsize=9, transform=ax.transAxes)
        return
    first = verdict.axes[0]
    names = {"before": first, "after": verdict.advice.coordinate}
    hatches = {"before": "//", "after": ""}
    highest = 1.0
    for place, tuner in enumerate(verdict.advice.cost):
        cost = verdict.advice.cost[tuner]
        for step, (key, median) in enumerate((("before", cost.before), ("after", cost.after))):
            at = place + (step - 0.5) * 0.38
            label = f"tuning {names[key]}" if place == 0 else None
            highest = max(
                highest, _bar(ax, at, median, verdict.advice.budget, label, COLOURS[step], hatches[key])
            )
    ax.set_xticks(range(len(verdict.advice.cost)), list(verdict.advice.cost))
    ax.set(ylim=(0, 1.3 * highest), ylabel=f"trials until suboptimality {verdict.advice.target:.2g}")
    ax.set_title(f"median of {REPLICATES} runs, 95% interval", fontsize=9)
    ax.legend(fontsize=8, loc="upper right", frameon=False)
    ax.grid(color="0.9", axis="y")
    ax.set_axisbelow(True)


def _bar(
    ax: Axes, at: float, median: Estimate, budget: int, label: str | None, colour: str, hatch: str
) -> float:
    """A bar with its interval, to the budget where there is none; returns how high it reaches."""
    reached = math.isfinite(median.estimate)
    height = median.estimate if reached else float(budget)
    top = median.high if math.isfinite(median.high) else float(budget)
    ax.bar(
        at,
        height,
        0.35,
        color=colour,
        hatch=hatch,
        edgecolor="white",
        label=label,
        alpha=1 if reached else 0.4,
    )
    if reached:
        ax.errorbar(
            at, height, [[height - median.low], [top - height]], color="black", capsize=2, linewidth=1
        )
        write_median(ax, at, height)
    else:
        ax.annotate(f"> {budget}", (at, top), (0, 3), textcoords="offset points", ha="center", fontsize=8)
    return top
