"""What the store keeps: finished trials, in columns, and the text that names a cell."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_spaces import SearchSpace

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Columns every table of trials has, so no axis and no metric may take their names.
OWN_COLUMNS = ("optimizer", "number", "seed", "diverged_at", "seconds")
STOPPED_AT = "stopped_at"
"""The metric that a trial has if it was stopped early as hopeless: the step; its `value` is that of this step."""
# Seeds are kept as 64-bit signed integers, steps in Optuna's 32-bit columns.
LARGEST_SEED = 2**63 - 1
LARGEST_STEP = 2**31 - 1


def cell_key(hyperparameters: Mapping[str, float]) -> str:
    """The canonical text of a cell: names in order, values as the shortest text that reads back.

    >>> cell_key({"eps": 1e-8, "alpha": 0.1})
    'alpha=0.1,eps=1e-08'
    """
    # Adding 0.0 makes -0.0 and 0.0 one cell, as they are one value.
    return ",".join(f"{name}={float(value) + 0.0!r}" for name, value in sorted(hyperparameters.items()))


def cell_keys(hyperparameters: Mapping[str, FloatArray]) -> list[str]:
    """The `cell_key` of each of B cells, whose values are given by name, (B,) each."""
    texts = (
        [f"{name}={value!r}" for value in (values + 0.0).tolist()]
        for name, values in sorted(hyperparameters.items())
    )
    return [",".join(cell) for cell in zip(*texts, strict=True)]


def cell_of(key: str) -> dict[str, float]:
    """The cell that `cell_key` has written, its numbers exactly.

    >>> cell_of("alpha=0.1,eps=1e-08")
    {'alpha': 0.1, 'eps': 1e-08}
    """
    parts = (part.split("=") for part in key.split(","))
    return {name: float(number) for name, number in parts}


def split_name(study: str) -> tuple[str, str | None]:
    """The study and the optimizer that STUDY or STUDY/OPTIMIZER names.

    >>> split_name("digits/adam"), split_name("digits")
    (('digits', 'adam'), ('digits', None))
    """
    name, _, optimizer = study.partition("/")
    return name, optimizer or None


@dataclass(frozen=True, eq=False)
class Trials:
    """B finished trials of one optimizer with one seed; every trial's learning curve has the same P steps.

    Attributes:
        hyperparameters: each axis's values, (B,), finite.
        seed: the seed all of them were trained with.
        value: the metric at the end of training, (B,), finite: of a diverged trial, the worst value.
        metrics: further final metrics, (B,) each; entries that are not finite are not stored.
        curve_steps: the training steps at which the curves were measured, (P,), strictly increasing.
        curve: the metric at those steps, (B, P); NaN and infinity are allowed.
        diverged_at: the step at which each trial diverged, (B,), -1 for never.
        seconds: the training time of each trial, (B,): of trials trained together its share.
        started, finished: when the trials' training began and ended, with a time zone.
        optimizer, launch: whose trials they are, and the number of the launch that stored them (none of what Optuna
            copied), in what the store gives back; None before.

    Raises:
        ValueError: a shape, a type or a number is not as above; the message names the field.
    """

    hyperparameters: Mapping[str, FloatArray]
    seed: int
    value: FloatArray
    metrics: Mapping[str, FloatArray]
    curve_steps: IntArray
    curve: FloatArray
    diverged_at: IntArray
    seconds: FloatArray
    started: datetime
    finished: datetime
    optimizer: str | None = None
    launch: int | None = None

    def __post_init__(self) -> None:
        count = (np.size(self.value),)
        _check_array("value", self.value, count, "B trials", finite=True)
        if not self.hyperparameters:
            raise ValueError("hyperparameters is empty: give the values of at least one axis")
        for name, column in self.hyperparameters.items():
            _check_array(f"hyperparameters[{name!r}]", column, count, "one a trial", finite=True)
        for name, column in self.metrics.items():
            if name in OWN_COLUMNS or name in self.hyperparameters:
                raise ValueError(f"metrics has {name!r}, which names another column: rename the metric")
            _check_array(f"metrics[{name!r}]", column, count, "one a trial")
        _check_array("diverged_at", self.diverged_at, count, "one a trial", whole=True)
        if np.any(self.diverged_at < -1):
            raise ValueError(f"diverged_at has {self.diverged_at.min()}: give steps from 0, or -1 for never")
        steps = (np.size(self.curve_steps),)
        _check_array("curve_steps", self.curve_steps, steps, "P steps", whole=True)
        _check_array("curve", self.curve, count + steps, "trials by steps")
        if np.any(np.diff(self.curve_steps) <= 0) or np.any(
            (self.curve_steps < 0) | (self.curve_steps > LARGEST_STEP)
        ):
            raise ValueError(
                f"curve_steps is {self.curve_steps.tolist()}: "
                f"give strictly increasing steps from 0 to {LARGEST_STEP}"
            )
        _check_array("seconds", self.seconds, count, "one a trial", finite=True)
        if np.any(self.seconds < 0):
            raise ValueError(f"seconds has {self.seconds.min()}: give 0 or more")
        _check_seed(self.seed)
        for field, moment in (("started", self.started), ("finished", self.finished)):
            if not isinstance(moment, datetime) or moment.utcoffset() is None:
                raise ValueError(f"{field} is {moment!r}: give a datetime with a time zone, such as UTC")

    def __len__(self) -> int:
        return int(self.value.size)

    def cells(self) -> list[str]:
        """The `cell_key` of each trial, B texts."""
        return cell_keys(self.hyperparameters)


@dataclass(frozen=True, eq=False)
class TuningRun:
    """One tuner's search of a landscape with one seed.

    Attributes:
        tuner: its name.
        replicate: the number of its seed, from 0.
        noise: ``"seed"`` if each cell was seen with one training seed drawn for the run, ``"mean"`` for their mean.
        repeats: ``"free"`` if a cell asked for again is no trial, ``"count"`` if it is.
        seeds: how many training seeds each cell has.
        space: the grid that was searched.
        budget: how many trials it was allowed.
        cells: the grid's flat cell index of every trial, (m,), m <= budget; fewer when the tuner ended.
    """

    tuner: str
    replicate: int
    noise: str
    repeats: str
    seeds: int
    space: SearchSpace
    budget: int
    cells: IntArray

    @property
    def key(self) -> tuple[str, int, str, str, int, SearchSpace]:
        """What tells runs of one optimizer apart."""
        return self.tuner, self.replicate, self.noise, self.repeats, self.seeds, self.space


def _check_array(
    field: str,
    array: Any,
    shape: tuple[int, ...],
    meaning: str,
    *,
    finite: bool = False,
    whole: bool = False,
) -> None:
    kind = np.integer if whole else np.floating
    if not isinstance(array, np.ndarray) or not np.issubdtype(array.dtype, kind):
        came = f"an array of {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"{field} is {came}: give an array of {'integers' if whole else 'floats'}")
    if array.shape != shape:
        raise ValueError(f"{field} has the shape {array.shape}: give {shape}, {meaning}")
    if finite and not np.isfinite(array).all():
        place = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(
            f"{field} has {array[place]} for trial {place} of {array.size}: give finite numbers "
            "(the worst value of the metric for a diverged trial)"
        )


def _check_seed(seed: Any) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"seed is {seed!r}: give a whole number from 0 to 2**63 - 1")
