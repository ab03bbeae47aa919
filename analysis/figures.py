"""Figures of landscapes: what is drawn how, and the files they are saved to.

Everything uses matplotlib's object interface and the Agg canvas: no window, no pyplot state.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.curves import draw_curves
from analysis.errors import AnalysisError
from analysis.heatmap import draw_heatmaps, draw_on, draw_pairs
from analysis.landscape import axis_names, best_cell, mean_over_seeds
from analysis.metric_scale import MetricScale

DOTS_PER_INCH = 200
# No dates and no versions: the same landscapes give the same bytes.
METADATA: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    ".svg": {"Date": None, "Creator": None},
}


def landscape_figure(landscapes: Mapping[str, xr.DataArray]) -> Figure:
    """Draw landscapes of one metric over the same axes; the mapping's keys are the optimizers' names.

    Two axes become heatmaps side by side on one colour scale (`draw_heatmaps`), one axis becomes curves
    (`draw_curves`). Axes with a single value, as a filter leaves them, are named instead of drawn.

    Raises:
        AnalysisError: there is nothing to draw, the landscapes differ in metric or axes, more than two axes have
            several values, or an array was not made by `analysis.landscape.landscape`.
    """
    if not landscapes:
        raise AnalysisError("there is no landscape to draw: give one or more")
    panels = {name: _drawable(name, landscape) for name, landscape in landscapes.items()}
    _refuse_different("axes", {name: ", ".join(axis_names(panel)) for name, panel in panels.items()})
    _refuse_different("metrics", {name: panel.attrs["metric"] for name, panel in panels.items()})
    scale = _one_scale(list(panels.values()))
    one = len(axis_names(next(iter(panels.values())))) == 1
    return draw_curves(panels, scale) if one else draw_heatmaps(panels, scale)


def landscape_on(ax: Axes, landscapes: Mapping[str, xr.DataArray]) -> None:
    """Draw the only landscape, over two axes, into axes of the caller's, with a colour bar beside it.

    Raises:
        AnalysisError: there are several, it varies along another number of axes, or as `landscape_figure`.
    """
    if len(landscapes) != 1:
        raise AnalysisError(
            f"one panel takes one landscape, and these are {len(landscapes)}: name one, as STUDY/OPTIMIZER"
        )
    ((name, values),) = landscapes.items()
    panel = _drawable(name, values)
    if len(axis_names(panel)) != 2:
        raise AnalysisError(
            f"the landscape of {name!r} varies along one axis: draw it as a figure of its own"
        )
    draw_on(ax, name, panel, _one_scale([panel]))


def pairs_figure(matrices: Mapping[str, Mapping[tuple[str, str], xr.DataArray]]) -> Figure:
    """Draw the landscapes over pairs of axes of `analysis.views.pairs_shown`, by optimizer, on one colour scale.

    Raises:
        AnalysisError: there is nothing to draw, or the optimizers differ in metric or axes.
    """
    if not matrices:
        raise AnalysisError("there is no landscape to draw: give one or more")
    drawable = {
        name: {pair: _drawable(name, panel) for pair, panel in panels.items()}
        for name, panels in matrices.items()
    }
    every = {name: list(panels.values()) for name, panels in drawable.items()}
    of_axes = {name: ", ".join(dict.fromkeys(sum(panels, ()))) for name, panels in drawable.items()}
    _refuse_different("axes", of_axes)
    _refuse_different("metrics", {name: panels[0].attrs["metric"] for name, panels in every.items()})
    return draw_pairs(drawable, _one_scale([panel for panels in every.values() for panel in panels]))


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write the figure as PNG (200 dots an inch), PDF or SVG, by the path's suffix, replacing an older file.

    Raises:
        AnalysisError: as for `check_target`, or the file cannot be written.
    """
    target = Path(path)
    check_target(target)
    try:
        target.write_bytes(figure_bytes(figure, target.suffix.lower()))
    except OSError as error:
        raise AnalysisError(
            f"cannot write {path} ({error.strerror}): give a file that may be written"
        ) from error


def figure_bytes(figure: Figure, suffix: str) -> bytes:
    """The figure as a file of the kind that the suffix ``.png``, ``.pdf`` or ``.svg`` tells."""
    content = BytesIO()
    with rc_context({"svg.hashsalt": "tunability"}):
        figure.savefig(content, format=suffix[1:], dpi=DOTS_PER_INCH, metadata=METADATA[suffix])
    return content.getvalue()


def check_target(path: Path) -> None:
    """Check that a figure can be saved at `path`, before any work is done for it.

    Raises:
        AnalysisError: the path has a suffix other than .png, .pdf and .svg, or its folder does not exist.
    """
    if path.suffix.lower() not in METADATA:
        raise AnalysisError(
            f"cannot write a figure to {str(path)!r}: end its name with {' or '.join(METADATA)}"
        )
    if path.is_dir():
        raise AnalysisError(f"{str(path)!r} is a folder: name a file in it")
    if not path.parent.is_dir():
        raise AnalysisError(f"the folder {str(path.parent)!r} does not exist: create it, or name another")


def _one_scale(panels: Sequence[xr.DataArray]) -> MetricScale:
    means = np.concatenate([mean_over_seeds(panel).values.ravel() for panel in panels])
    if np.isnan(means).all():
        best_cell(panels[0])  # raises, and names a missing trial
    return MetricScale(panels[0].attrs["metric"], means)


def _drawable(name: str, landscape: xr.DataArray) -> xr.DataArray:
    """The landscape without its single-valued axes; of one cell, with the first axis."""
    names = axis_names(landscape)
    if "metric" not in landscape.attrs or any("scale" not in landscape[axis].attrs for axis in names):
        raise AnalysisError(
            f"the landscape of {name!r} does not say its metric or an axis's scale: "
            "make it with analysis.landscape.landscape, and keep attributes in arithmetic"
        )
    varying = [axis for axis in names if landscape.sizes[axis] > 1]
    if len(varying) > 2:
        example = f"{varying[2]} = {landscape[varying[2]].values[0]:g}"
        raise AnalysisError(
            f"the landscape of {name!r} varies along {', '.join(varying)}, and a figure shows two axes: choose them "
            f"with analysis.views.shown, or hold the others at one value with a where filter, such as {example!r}"
        )
    return landscape.squeeze([axis for axis in names if axis not in (varying or names[:1])])


def _refuse_different(what: str, by_name: Mapping[str, str]) -> None:
    (first_name, first), *others = by_name.items()
    for name, other in others:
        if other != first:
            raise AnalysisError(
                f"the landscapes of {first_name!r} and {name!r} have different {what}, "
                f"{first!r} and {other!r}: draw each in its own figure"
            )
