"""How a metric's values become colours and text: the norm, its ticks, and percentages for errors."""

import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import FuncFormatter, Locator, LogLocator, MaxNLocator
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from search_spaces.axis import default_scale

# Ticks this near to an end of the colour bar, as a share of its length, would overlap the end's own.
NEAR_END = 0.06


def is_rate(metric: str, lowest: float, highest: float) -> bool:
    """Whether a metric with these extremes is a fraction of 1, as errors are; any other keeps its own units."""
    return metric.endswith("error") and lowest >= 0 and highest <= 1


class MetricScale:
    """One scale for all panels of a figure, from the lowest (best) value to the highest (worst).

    It is logarithmic when the worst is at least ten times the best, since landscapes are flat near their best
    and saturate far above it; zero then counts as the smallest positive value. Otherwise it is linear.

    Attributes:
        metric: its name in words, ``"validation error"``.
        lowest, highest: the ends of the scale.
        norm: value -> [0, 1], clipped; infinity counts as the highest finite value.
        percent: whether values are shown as percentages, as errors between 0 and 1 are.
        is_log: whether the scale is logarithmic.
        formatter: a value as `text`, for the ticks of an axis or a colour bar.
    """

    def __init__(self, metric: str, values: NDArray[np.float64]) -> None:
        """Take the metric's column name and all values to be drawn, of any shape.

        Raises:
            AnalysisError: no value is finite.
        """
        finite = values[np.isfinite(values)]
        if not finite.size:
            raise AnalysisError(f"no cell has a finite {metric!r}: there is nothing to draw")
        lowest, highest = float(finite.min()), float(finite.max())
        above_zero = float(finite[finite > 0].min()) if lowest == 0 < highest else lowest
        self.is_log = default_scale(above_zero, highest) == "log"
        self.metric = metric.replace("_", " ")
        self.lowest, self.highest = above_zero if self.is_log else lowest, highest
        self.percent = is_rate(metric, lowest, highest)
        self.norm: Normalize = (LogNorm if self.is_log else Normalize)(self.lowest, highest, clip=True)
        self.formatter = FuncFormatter(lambda value, _: self.text(value))

    def locator(self) -> Locator:
        """A new tick locator: 1, 2 and 5 times powers of ten on a log scale."""
        return LogLocator(subs=(1.0, 2.0, 5.0)) if self.is_log else MaxNLocator(6)

    def ticks(self) -> list[float]:
        """The ticks of a colour bar: both ends, and those of `locator` with room between them."""
        between = np.array(self.locator().tick_values(self.lowest, self.highest))
        places = np.array(self.norm(between))
        with_room = between[(places > NEAR_END) & (places < 1 - NEAR_END)]
        return sorted({self.lowest, *with_room.tolist(), self.highest})

    def text(self, value: float) -> str:
        """`value` with three digits, as a percentage if the metric is an error."""
        return f"{100 * value:.3g}%" if self.percent else f"{value:.3g}"
