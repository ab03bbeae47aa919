"""What is known of an optimizer's sensitivity on one study's landscape."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.documents import (
    AcrossDocument,
    HyperparameterSensitivity,
    OptimizerSensitivity,
    TunedDocument,
    WidthDocument,
)
from analysis.estimate import Estimate, finite
from analysis.sensitivity.defaults import Default
from search_spaces import Axis

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Width:
    """How far values reach that are within `within` of the best, in the axis's unit.

    `reached`: in which share of draws the set reaches the grid's lower and upper end, beyond which it may go on.
    """

    within: float
    tuned: Estimate
    held: Estimate
    reached: tuple[float, float]

    @property
    def is_open(self) -> bool:
        """Whether it reaches an end of the grid more likely than not."""
        return max(self.reached) > 0.5

    def to_json(self) -> WidthDocument:
        return {
            "within": self.within,
            "tuned": self.tuned.to_json(),
            "held": self.held.to_json(),
            "reached": {"low": self.reached[0], "high": self.reached[1]},
        }


@dataclass(frozen=True, eq=False)
class AxisSensitivity:
    """Of one hyperparameter with n values.

    Attributes:
        profile: median and interval's ends of what each value loses with the others at their best (3, n).
        lost: of that, at the default; NaN where the default is not within the grid.
        importance: Optuna's fANOVA and PED-ANOVA of the same trials.
    """

    axis: Axis
    widths: tuple[Width, ...]
    default: Default
    lost: Estimate
    profile: FloatArray
    importance: tuple[float, float]

    @property
    def unit(self) -> str:
        return "decades" if self.axis.scale == "log" else "share of its range"

    @property
    def cell(self) -> float:
        """The grid value nearest to the default; NaN where there is none."""
        return math.nan if self.default.index is None else self.axis.values[self.default.index]

    def to_json(self) -> HyperparameterSensitivity:
        fanova, ped_anova = self.importance
        median, low, high = (each.tolist() for each in self.profile)
        return {
            "hyperparameter": self.axis.name,
            "unit": self.unit,
            "widths": [width.to_json() for width in self.widths],
            "default": {
                "value": finite(self.default.value),
                "cell": finite(self.cell),
                "off": finite(self.default.off),
                "problem": self.default.problem,
            },
            "lost_at_default": self.lost.to_json(),
            "profile": {"values": list(self.axis.values), "estimate": median, "low": low, "high": high},
            "fanova": finite(fanova),
            "ped_anova": finite(ped_anova),
        }


@dataclass(frozen=True)
class Tuned:
    """What tuning the best choice of k of d hyperparameters gains, the others at their defaults.

    Attributes:
        shares: of what tuning all gains, for k = 0 to d.
        needed: the least k that gains 95%, the median of draws with its interval.
        likely: in which share of draws it is each k.
        which: the choice that most of the draws with the median have, as names of axes.
    """

    shares: tuple[Estimate, ...]
    needed: Estimate
    likely: tuple[float, ...]
    which: tuple[str, ...]

    def to_json(self) -> TunedDocument:
        return {
            "needed": self.needed.to_json(),
            "of": len(self.likely) - 1,
            "likely": list(self.likely),
            "which": list(self.which),
            "gained": [each.to_json() for each in self.shares],
        }


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """Of one optimizer on one study's landscape.

    Attributes:
        is_rate: whether the metric is a rate, 0.01 of which is a point.
        seeds: that every cell has.
        cost: what the default costs; NaN, with the `problem` in words, where it is not within the grid.
        tuned: how many hyperparameters must be tuned; None where the default is not within the grid.
    """

    study: str
    optimizer: str
    metric: str
    is_rate: bool
    seeds: int
    axes: tuple[AxisSensitivity, ...]
    cost: Estimate
    tuned: Tuned | None
    problem: str | None

    @property
    def name(self) -> str:
        return f"{self.study}/{self.optimizer}"

    @property
    def sentence(self) -> str:
        """What the default costs, and how much must be tuned, in words."""
        if self.tuned is None:
            return f"{self.name}: what the default costs is not known, for {self.problem}"
        cell = ", ".join(f"{each.axis.name} = {each.axis.text(each.cell)}" for each in self.axes)
        off = [
            f"{each.axis.name} = {each.default.value:g} is {abs(each.default.off):.2g} "
            f"{each.unit if each.unit == 'decades' else 'of its range'} away"
            for each in self.axes
            if each.default.off
        ]
        near = f", the nearest to the default: {', '.join(off)}" if off else ""
        which = f" ({', '.join(self.tuned.which)})" if self.tuned.which else ""
        return (
            f"{self.name}: the default ({cell}{near}) costs {self.amount(self.cost)}; "
            f"95% of that is gained by tuning {self.tuned.needed.text('.0f')} of {len(self.axes)}{which}"
        )

    def amount(self, loss: Estimate) -> str:
        """A loss in words, in points where the metric is a rate."""
        if not self.is_rate:
            return loss.text(".3g")
        points = Estimate(100 * loss.estimate, 100 * loss.low, 100 * loss.high)
        return points.text(".1f") + ("" if math.isnan(loss.estimate) else " points")

    def within_in_words(self) -> list[str]:
        widths = self.axes[0].widths
        points = [f"{100 * each.within:g}" for each in widths]
        if self.is_rate:
            return [f"{each} {'point' if each == '1' else 'points'}" for each in points]
        return [f"{each.within:.3g}" for each in widths]

    def to_json(self) -> OptimizerSensitivity:
        """As JSON types: null for NaN, and for what does not apply."""
        return {
            "study": self.study,
            "optimizer": self.optimizer,
            "metric": self.metric,
            "seeds": self.seeds,
            "sentence": self.sentence,
            "hyperparameters": [axis.to_json() for axis in self.axes],
            "default_cost": self.cost.to_json(),
            "tuned": self.tuned.to_json() if self.tuned else None,
            "problem": self.problem,
        }


@dataclass(frozen=True)
class AcrossWorkloads:
    """Of one optimizer over several studies with the same grid, after Adkins et al.; scores are shares of one.

    Attributes:
        tuned: mean score when tuned for each study.
        shared: mean score of the one setting that is best for all; `setting` is that of the mean landscape, by axis.
        sensitivity: tuned minus shared.
        needed: how many hyperparameters must be tuned for each study, the others at the shared setting, to reach 95% of
            the tuned score.
        likely: in which share of draws it is each number, 0 to d.
    """

    optimizer: str
    studies: tuple[str, ...]
    tuned: Estimate
    shared: Estimate
    sensitivity: Estimate
    needed: Estimate
    likely: tuple[float, ...]
    setting: dict[str, float]

    @property
    def sentence(self) -> str:
        setting = ", ".join(f"{axis} = {value:g}" for axis, value in self.setting.items())
        return (
            f"{self.optimizer} over {', '.join(self.studies)}: sensitivity {self.sensitivity.text('.3f')}, score "
            f"{self.tuned.text('.3f')} tuned for each and {self.shared.text('.3f')} at {setting} for all; "
            f"{self.needed.text('.0f')} of {len(self.setting)} must be tuned for each to reach 95%"
        )

    def to_json(self) -> AcrossDocument:
        """As JSON types."""
        return {
            "optimizer": self.optimizer,
            "studies": list(self.studies),
            "tuned": self.tuned.to_json(),
            "shared": self.shared.to_json(),
            "sensitivity": self.sensitivity.to_json(),
            "needed": self.needed.to_json(),
            "likely": list(self.likely),
            "setting": self.setting,
            "sentence": self.sentence,
        }
