"""What studies need to know of a black box, and what a trial of it gives."""

from __future__ import annotations

import copy
import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from study.spec import BlackBoxSpec

MOST_POINTS = 1_000
"""Of a learning curve. With more, every second one is dropped and so on: they are thinned evenly."""
LARGEST_STEP = 2**31 - 1
"""Of Optuna's 32-bit column."""


class TrialError(Exception):
    """A trial failed: `reason` is one line that says how, `lines` are the last that it wrote, `folder` was kept."""

    def __init__(self, reason: str, lines: str = "", folder: Path | None = None) -> None:
        place = f" (its folder is {folder})" if folder else ""
        super().__init__("\n".join([f"{reason}{place}", *(f"  | {line}" for line in lines.splitlines())]))
        self.reason, self.lines, self.folder = reason, lines, folder

    @property
    def headline(self) -> str:
        """The reason with the folder, in one line."""
        return str(self).partition("\n")[0]


Told = TypeVar("Told")


def last_of(following: Generator[object, None, Told]) -> Told:
    """What is told in the end, of something that tells how far it is."""
    while True:
        try:
            next(following)
        except StopIteration as end:
            found: Told = end.value
            return found


@dataclass(frozen=True)
class BlackBox:
    """A black box of a study file that was found to be there."""

    spec: BlackBoxSpec
    sources: Mapping[str, str]
    """Files that decide its trials, as the study file names them, or the function's path -> SHA-256."""

    @property
    def metric(self) -> str:
        """Name of the metric as it is stored, to be minimised."""
        return self.spec.stored_metric


@dataclass
class Results:
    """What a trial has told so far: the metric by step, and the metrics that were told last."""

    metric: str
    metrics: dict[str, float] = field(default_factory=dict)
    _curve: dict[int, float] = field(default_factory=dict)
    _every: int = 1
    told: int = 0
    """Points of the curve."""

    def point(self, step: float, metrics: Mapping[str, float]) -> None:
        """A point of the learning curve, if the metric is there. Raises ValueError when it can be no step."""
        if not (0 <= step <= LARGEST_STEP and step == math.floor(step)):
            raise ValueError(f"step = {step} is not allowed: give a whole number from 0 to {LARGEST_STEP}")
        if self.metric not in metrics:
            return
        self.told += 1
        if (self.told - 1) % self._every == 0:
            self._curve[int(step)] = metrics[self.metric]
        if len(self._curve) > MOST_POINTS:
            self._every *= 2
            self._curve = dict(list(self._curve.items())[::2])
        self._last = int(step), metrics

    def so_far(self) -> Results:
        """The same as if the trial had ended with the point that was told last; there is one."""
        found = copy.copy(self)
        found.metrics = dict(self._last[1])
        return found

    @property
    def curve(self) -> dict[int, float]:
        """Step -> metric in the order of steps; the point that was told last is among them."""
        points = self._curve
        if self.told:
            step, metrics = self._last
            points = points | {step: metrics[self.metric]}
        return dict(sorted(points.items()))

    def diverged_at(self) -> int:
        """The first step from which on the metric is not finite to the end, 0 where no step tells; -1 for never."""
        if math.isfinite(self.metrics[self.metric]):
            return -1
        found = 0
        for step, value in reversed(self.curve.items()):
            if math.isfinite(value):
                break
            found = step
        return found
