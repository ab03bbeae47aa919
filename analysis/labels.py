"""The words on figures: axis names as the papers' symbols, and what a panel shows."""

import math
from collections.abc import Iterable, Mapping, Sequence

import xarray as xr
from matplotlib.axis import Axis as MatplotlibAxis
from matplotlib.lines import Line2D

from analysis.cost.best import held_out_best
from analysis.landscape import AFTER, best_cell, mean_over_seeds, missing_trials, tell_of_stopped, text_at
from analysis.metric_scale import MetricScale
from analysis.surrogate import surrogate_of
from analysis.trained import untrained
from analysis.views import AT_BEST

SYMBOLS = {"alpha": "α", "beta": "β", "eps": "ε", "eta": "η", "gamma": "γ", "sigma": "σ"}
MEANINGS = {"alpha": "learning rate", "eta": "learning rate", "gamma": "weight decay"}


def symbol(axis: str) -> str:
    """The papers' symbol of an axis, ``"α"`` for ``alpha``; the name itself if it has none."""
    return SYMBOLS.get(axis, axis)


def axis_label(axis: str) -> str:
    """``"α (learning rate)"`` for ``alpha``, the symbol alone where the papers give no other name."""
    return f"{symbol(axis)} ({MEANINGS[axis]})" if axis in MEANINGS else symbol(axis)


def tick_words(axis: MatplotlibAxis, values: Iterable[float], words: Sequence[str]) -> None:
    """Write words at the ticks, if it is an ordered axis that is drawn."""
    if words:
        axis.set_ticks([*values], [words[int(value)] for value in values])


def averaged_metric(landscapes: Iterable[xr.DataArray], scale: MetricScale) -> str:
    """``"validation error (mean of 3 seeds)"``; differing numbers of seeds are all named."""
    landscapes = list(landscapes)
    if any(surrogate_of(landscape.attrs) for landscape in landscapes):
        return f"{scale.metric} (surrogate)"
    counts = sorted({landscape.sizes["seed"] for landscape in landscapes})
    if counts == [1]:
        return f"{scale.metric} (1 seed)"
    return f"{scale.metric} (mean of {' or '.join(map(str, counts))} seeds)"


def has_best(landscape: xr.DataArray) -> bool:
    """Whether something trained, and a cell has the trials of all seeds."""
    return not untrained(landscape) and bool(mean_over_seeds(landscape).notnull().any())


def untrained_handles(said: Mapping[str, str]) -> list[Line2D]:
    """Legend entries without a mark, of those that a figure lacks because nothing trained."""
    return [Line2D([], [], linestyle="none", label=f"{name}: {text}") for name, text in said.items()]


def summary(landscape: xr.DataArray, scale: MetricScale) -> str:
    """``"best 2.1% (2.6% on unseen seeds), at the edge of α, 3 seeds"``, then axes not shown and what is missing.

    Instead of the best it says that nothing trained, or that no cell is complete.
    """
    if has_best(landscape):
        cell = best_cell(landscape)
        best = f"best {scale.text(cell.mean)}"
        unseen = (
            math.nan if AT_BEST in landscape.attrs else held_out_best(landscape)
        )  # the best were chosen by all
        best += f" ({scale.text(unseen)} on unseen seeds)" if math.isfinite(unseen) else ""
        best += f", {cell.at_edge(symbol)}" if cell.edge else ""
    else:
        best = untrained(landscape) or "no complete cell"
    count, surrogate = landscape.sizes["seed"], surrogate_of(landscape.attrs)
    seeds = "1 seed" if count == 1 else f"{count} seeds"
    parts = [best, f"{len(surrogate.observations):,} scattered trials" if surrogate else seeds]
    held = [(str(name), value.item()) for name, value in landscape.coords.items() if value.ndim == 0]
    parts += [
        f"{symbol(name)} = {f'{value:.3g}' if surrogate else text_at(landscape, name, value)}"
        for name, value in held
    ]
    others = [symbol(name) for name in landscape.attrs.get(AT_BEST, ())]
    parts += [f"{' and '.join(others)} at {'their' if len(others) > 1 else 'its'} best"] if others else []
    parts += [f"after {landscape.attrs[AFTER]:,} steps"] if AFTER in landscape.attrs else []
    early = tell_of_stopped(landscape)
    missing = 0 if surrogate else len(missing_trials(landscape))
    parts += [f"{missing} of {landscape.size} trials missing"] if missing else []
    parts += [early] if early else []
    return ", ".join(parts)
