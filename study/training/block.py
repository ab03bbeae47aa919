"""What a worker is given and what it gives back: a block of trials, and their outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from study.spec.schedules import CONSTANT, NO_DECAY, Schedule, WeightDecay

CURVE_POINTS = 20


@dataclass(frozen=True)
class Recipe:
    """How trials are trained, whatever their cell and seed. Hashable: it names a program."""

    workload: str
    """A name of `WORKLOADS`, or an import path."""
    optimizer: str
    """A name of `OPTIMIZERS`, or an import path."""
    options: tuple[tuple[str, Any], ...] = ()
    """What is not a number for each trial: a rule's options, or any argument of an unfused optimizer."""
    steps: int = 400
    weight_decay: WeightDecay = NO_DECAY
    clip_norm: float | None = None
    """Gradients with a larger Euclidean norm over all of a trial's parameters are scaled down to it."""
    schedule: Schedule = CONSTANT
    dtype: str = "float32"
    settings: str = "{}"
    """Arguments of the workload's factory, as JSON."""
    method: str = "fused"
    """A name of `METHODS`."""
    compile: bool = True

    @property
    def data(self) -> tuple[str, str, str]:
        """What decides the workload's functions and the tensors they see."""
        return self.workload, self.settings, self.dtype


@dataclass(frozen=True)
class Choice:
    """How an optimizer of a study is trained; its whole study is trained like that, bits and all."""

    method: str
    """A name of `METHODS`."""
    compile: bool
    lanes: int
    """Trials of a block, at most."""
    seconds: float | None = None
    """Of one trial on one core, as far as it was timed."""
    note: str = ""
    """Why it is not another one, where the user should know."""


@dataclass(frozen=True)
class Block:
    """Trials to train together: they share the seed, so weights at the start, data split and data order."""

    recipe: Recipe
    seed: int
    hyperparameters: Mapping[str, NDArray[np.float64]]
    """The optimizer's own names -> one value a lane (B,); names left out take its default."""
    cells: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """The same trials as the store names them: axis -> one value a lane (B,)."""
    width: int = 0
    """Lanes of the program that trains it, in several turns where B is more; 0 leaves that to the trainer."""
    optimizer: str = ""
    """What the study calls the optimizer."""

    @property
    def lanes(self) -> int:
        return len(next(iter(self.hyperparameters.values())))

    def part(self, lanes: slice | NDArray[np.int64], width: int = 0) -> Block:
        """Some of its trials, in a program of as many lanes as the block's, or of `width`; their bits are the same."""
        return replace(
            self,
            hyperparameters={name: values[lanes] for name, values in self.hyperparameters.items()},
            cells={axis: values[lanes] for axis, values in self.cells.items()},
            width=width or self.width,
        )


@dataclass(frozen=True)
class Outcome:
    """What training a block of B lanes gave."""

    metrics: Mapping[str, NDArray[np.float64]]
    """Final metrics (B,): the workload's own, and `train_loss`, the mean over the steps of the last curve interval.
    A diverged lane has the workload's worst value as metric, NaN as every other."""
    curve_steps: NDArray[np.int64]
    curve: NDArray[np.float64]
    """The metric (B, points) after each of `curve_steps` (points,)."""
    diverged_at: NDArray[np.int64]
    """First step (from 1) whose loss was NaN or infinite, or the next curve point after a weight was; -1: never."""
    seconds: NDArray[np.float64]
    """Wall time of each trial (B,), compilation apart: of trials trained together its share."""
    stopped: bool = False
    """Whether the only lane was stopped early as hopeless: its metric is that of the last step of its curve."""
    warning: str | None = field(default=None, compare=False)
    """What the user should know about how it ran, e.g. that nothing could be compiled."""


def curve_steps(steps: int) -> NDArray[np.int64]:
    """The steps after which the metric is taken: 20, or as many as there are, evenly spread, the last one included."""
    return np.unique(np.linspace(0, steps, min(steps, CURVE_POINTS) + 1).round().astype(np.int64)[1:])
