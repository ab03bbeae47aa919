"""The study file: what one TOML file may say, checked before anything runs.

name = "avagrad-figure-1"
workload = "digits-mlp"              # or a table, see WorkloadSpec; or an import path, "my_module:WORKLOAD"
optimizers = ["adam", "avagrad"]     # or tables, see OptimizerSpec; or import paths, "pytorch_optimizer:Lion"
space = "avagrad-cifar"              # or a table, see SearchSpace.from_table
seeds = 3                            # seeds 0, 1, 2
dtype = "float32"                    # or "float64"
device = "cpu"                       # or "cuda"; how to run, not what: it may change between runs
tuning = { trials = 100 }            # what `tunability tune` runs, see TuningSpec
lanes = 63                           # trials trained together; chosen by itself when left out
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from search_spaces import SearchSpace, get_space, nearest_name
from study.block import Recipe
from study.named import Unfused, optimizer_named, workload_named
from study.optimizers import Rule
from study.schedules import CONSTANT, NO_DECAY, Schedule, Strict, WeightDecay
from study.workloads import Workload
from tuners import TUNERS, tuner_class

MOST_TRIALS = 10_000_000


class SpecError(ValueError):
    """A study file that says something not allowed; the message is one line.

    `errors` has a place, dotted keys, and a text for each thing that is wrong, as far as they are known.
    """

    def __init__(self, message: str, errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(message)
        self.errors = errors or []


class WorkloadSpec(Strict):
    """A training problem and how long and with what help it is trained.

    [workload]
    name = "digits-mlp"
    steps = 400
    schedule = "cosine"                # or a table, see Schedule
    weight_decay = 5e-4                # or a table, see WeightDecay; comes on top of the optimizer's own
    clip_norm = 1.0                    # largest Euclidean norm of a trial's gradient
    """

    name: str
    steps: int = Field(400, ge=1, le=10_000_000)
    weight_decay: WeightDecay = NO_DECAY
    schedule: Schedule = CONSTANT
    clip_norm: float | None = Field(None, gt=0, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        workload_named(name)
        return name

    @property
    def workload(self) -> Workload:
        return workload_named(self.name)


class OptimizerSpec(Strict):
    """An optimizer and what stays fixed; every other hyperparameter takes an axis's value or its default.

    { name = "apollo", beta = 0.9, rebound = "belief", warmup = 20, schedule = "cosine" }
    { name = "pytorch_optimizer:Lion", axes = { alpha = "lr", beta1 = "betas[0]" } }

    `axes` tells which argument an axis of the space sets, where its name does not. The axis `factor` multiplies the
    fixed (or default) lr. `schedule` takes the place of the workload's.
    """

    name: str
    axes: Mapping[str, str] = {}
    schedule: Schedule | None = None
    settings: Mapping[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_toml(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"name": given}
        if isinstance(given, Mapping) and "name" in given:
            own = {key: value for key, value in given.items() if key in ("name", "axes", "schedule")}
            return {**own, "settings": {key: value for key, value in given.items() if key not in own}}
        raise ValueError(f"{given!r} is no optimizer: give a name, or a table with a name and settings")

    @model_validator(mode="after")
    def _check(self) -> OptimizerSpec:
        optimizer_named(self.name)
        try:
            self.kind.settings(self.settings)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None
        return self

    @model_serializer
    def _to_toml(self) -> dict[str, Any]:
        own: dict[str, Any] = {"axes": dict(self.axes)} if self.axes else {}
        if self.schedule is not None:
            own["schedule"] = self.schedule.model_dump(exclude_defaults=True)
        return {"name": self.name, **own, **self.settings}

    @property
    def kind(self) -> Rule | Unfused:
        """The rule, or the unfused class."""
        return optimizer_named(self.name)

    @property
    def options(self) -> dict[str, Any]:
        """What is not a number for each trial, by name."""
        return self.kind.settings(self.settings)[1]

    def hyperparameters(self, cells: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
        """The optimizer's own names -> one value a trial (B,), from the axes' values (B,) and what stays fixed.

        Raises ValueError when an axis sets nothing, or two axes or an axis and a setting the same.
        """
        count = len(next(iter(cells.values())))
        fixed = self.kind.settings(self.settings)[0]
        columns: dict[str, NDArray[np.float64]] = {}
        for axis, values in cells.items():
            scales = axis == "factor" and axis not in self.axes
            name = "lr" if scales else self._target(axis)
            if name in columns or (not scales and (name in fixed or name in self.settings)):
                raise ValueError(f"{name} is given twice (axis {axis!r}): give it once")
            columns[name] = values * self._fixed_lr() if scales else values
        return {name: np.full(count, value) for name, value in fixed.items()} | columns

    def changed_settings(self) -> dict[str, Any]:
        """The settings that are not a rule's defaults, by its own names; all those of another optimizer."""
        numbers, options = self.kind.settings(self.settings)
        if isinstance(self.kind, Unfused):
            return dict(self.settings)
        defaults = {name: each.default for name, each in self.kind.arguments.items()}
        relative = {name for name, each in self.kind.hyperparameters.items() if each.of}
        return {
            name: value
            for name, value in (numbers | options).items()
            if name in relative or value != defaults[name]
        }

    def check_axes(self, axes: Mapping[str, NDArray[np.float64]]) -> None:
        """Raise ValueError when a value of an axis is not allowed."""
        unknown = [axis for axis in self.axes if axis not in axes]
        if unknown:
            raise ValueError(
                f"axes names {unknown[0]!r}, which the space does not have: it has {', '.join(axes)}"
            )
        first = {axis: values[:1] for axis, values in axes.items()}
        for axis, values in axes.items():
            others = {name: np.repeat(one, len(values)) for name, one in first.items()}
            columns = self.hyperparameters(others | {axis: values})
            for i, value in enumerate(values.tolist()):
                one = {name: float(column[i]) for name, column in columns.items()}
                if isinstance(self.kind, Rule):
                    for name, number in one.items():
                        shown = axis if number == value else name
                        self.kind.hyperparameters[name].check(shown, number)
                else:
                    self._make_one(self.kind, one)

    def _make_one(self, kind: Unfused, values: dict[str, float]) -> None:
        try:
            kind.make([torch.zeros(1, requires_grad=True)], self.options, values)
        except Exception as error:  # whatever a foreign class raises
            given = ", ".join(f"{name} = {value:g}" for name, value in values.items())
            raise ValueError(
                f"{given} is refused ({type(error).__name__}: {error})".splitlines()[0]
            ) from error

    def _target(self, axis: str) -> str:
        """The hyperparameter that an axis sets; raises ValueError when there is none."""
        name = self.axes.get(axis)
        if name is None:
            return self.kind.own_name(axis)
        if isinstance(self.kind, Unfused):
            self.kind.check_argument(name)
        elif name not in self.kind.hyperparameters:
            raise ValueError(f"no hyperparameter {name!r}: {self.kind.describe_names()}")
        return name

    def _fixed_lr(self) -> float:
        fixed, options = self.kind.settings(self.settings)
        if isinstance(self.kind, Rule):
            return float(self.kind.fill(fixed)["lr"])
        lr = options.get("lr", self.kind.parameters.get("lr"))
        if not isinstance(lr, (int, float)):
            raise ValueError("the axis 'factor' multiplies lr, which has no number here: give one, lr = 0.1")
        return float(lr)


def read_space(given: object) -> SearchSpace:
    if isinstance(given, SearchSpace):
        return given
    return get_space(given) if isinstance(given, str) else SearchSpace.from_table(given)  # type: ignore[arg-type]


Space = Annotated[SearchSpace, BeforeValidator(read_space), PlainSerializer(SearchSpace.to_table)]


class TuningSpec(Strict):
    """Which tuners to run on each landscape of a study, how often, and how far.

    [tuning]
    tuners = ["random", "cgld"]        # all by default
    trials = 100                       # budget of a run
    replicates = 100                   # runs of each tuner, with seeds 0, 1, ...
    target = 0.005                     # suboptimality that counts as found, in units of the metric
    noise = "seed"                     # a run sees one training seed of each cell, drawn for it; or "mean": their mean
    repeats = "free"                   # a cell that a tuner asks for again costs nothing; or "count": it is a trial
    """

    tuners: tuple[str, ...] = Field(tuple(TUNERS), strict=False, min_length=1)
    trials: int = Field(100, ge=1, le=1_000_000)
    replicates: int = Field(100, ge=1, le=100_000)
    target: float = Field(0.005, ge=0, allow_inf_nan=False)
    noise: Literal["seed", "mean"] = "seed"
    repeats: Literal["free", "count"] = "free"

    @field_validator("tuners")
    @classmethod
    def _known(cls, tuners: tuple[str, ...]) -> tuple[str, ...]:
        for tuner in tuners:
            tuner_class(tuner)
            if tuners.count(tuner) > 1:
                raise ValueError(f"tuner {tuner!r} is listed twice: give it once")
        return tuners


class StudySpec(Strict):
    """One study: workload × optimizers × search space × seeds. Reads and writes JSON without loss."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)
    workload: WorkloadSpec
    optimizers: tuple[OptimizerSpec, ...] = Field(strict=False)
    space: Space
    seeds: int = Field(ge=1, le=100_000)
    dtype: Literal["float32", "float64"] = "float32"
    device: str = Field("cpu", pattern=r"^(cpu|cuda)$")
    lanes: int | None = Field(None, ge=1, le=100_000)
    tuning: TuningSpec = TuningSpec()

    @model_validator(mode="after")
    def _check(self) -> StudySpec:
        names = [optimizer.name for optimizer in self.optimizers]
        if not names:
            raise ValueError("optimizers is empty: give one or more, such as optimizers = ['adam']")
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"optimizer {name!r} is listed twice: give it once, or make two studies")
        if not self.space.is_grid:
            free = [axis.name for axis in self.space.axes if not axis.is_grid]
            raise ValueError(f"axis {free[0]!r} is continuous: a study runs a grid, give its values or num")
        if self.trials > MOST_TRIALS:
            raise ValueError(
                f"the study has {self.trials:,} trials: give a smaller grid, at most {MOST_TRIALS:,}"
            )
        axes = {axis.name: np.array(axis.values) for axis in self.space.axes}
        for optimizer in self.optimizers:
            try:
                optimizer.check_axes(axes)
            except ValueError as error:
                raise ValueError(f"{optimizer.name}: {error}") from None
        return self

    def identity(self) -> dict[str, Any]:
        """What was run, as JSON types: all that may change a result, and neither device, lanes, tuning nor defaults."""
        dumped = self.model_dump(mode="json", exclude={"device", "lanes", "tuning"}, exclude_defaults=True)
        for table, optimizer in zip(dumped["optimizers"], self.optimizers, strict=True):
            for name in optimizer.settings:
                del table[name]
            table |= optimizer.changed_settings()
        return dumped

    def recipe(self, optimizer: OptimizerSpec) -> Recipe:
        """How this study trains with one of its optimizers."""
        return Recipe(
            workload=self.workload.name,
            optimizer=optimizer.name,
            options=tuple(sorted(optimizer.options.items())),
            steps=self.workload.steps,
            weight_decay=self.workload.weight_decay,
            clip_norm=self.workload.clip_norm,
            schedule=optimizer.schedule or self.workload.schedule,
            dtype=self.dtype,
        )

    @property
    def trials(self) -> int:
        return self.space.size * self.seeds * len(self.optimizers)


def parse_spec(given: Mapping[str, Any], source: str = "study") -> StudySpec:
    """A checked spec from the mapping that a TOML or JSON text gives. Raises SpecError naming `source` and key."""
    try:
        return StudySpec.model_validate(given)
    except ValidationError as error:
        found = error.errors(include_url=False)
        problems = [describe(problem) for problem in found]
        places = [".".join(str(part) for part in problem["loc"]) for problem in found]
        errors = [{"location": place, "detail": text} for place, text in zip(places, problems, strict=True)]
        raise SpecError(f"{source}: " + "; ".join(dict.fromkeys(problems)), errors) from None


def parse_tuning(given: Mapping[str, Any]) -> TuningSpec:
    """Checked tuning settings. Raises SpecError naming the key."""
    try:
        return TuningSpec.model_validate(given)
    except ValidationError as error:
        problems = [describe(problem) for problem in error.errors(include_url=False)]
        raise SpecError("tuning: " + "; ".join(dict.fromkeys(problems))) from None


def load_spec(path: Path) -> StudySpec:
    """Read a study file. Raises SpecError: it cannot be read, is no TOML (with the line), or is not allowed."""
    try:
        return parse_spec(tomllib.loads(path.read_text(encoding="utf-8")), str(path))
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror}): give the path of a study file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: is not valid TOML: {error}") from None


TABLES: Mapping[str, type[Strict]] = {
    "tuning": TuningSpec,
    "workload": WorkloadSpec,
    "schedule": Schedule,
    "weight_decay": WeightDecay,
}


def describe(problem: Any) -> str:
    """One pydantic problem in a user's words."""
    place = ".".join(str(part) for part in problem["loc"])
    came = problem.get("input")
    match problem["type"]:
        case "missing":
            return f"the key {place!r} is missing"
        case "extra_forbidden":
            inside = next((str(part) for part in problem["loc"][-2::-1] if part in TABLES), "")
            fields = TABLES.get(inside, StudySpec).model_fields
            hint = nearest_name(str(problem["loc"][-1]), fields)
            return f"unknown key {place!r}{hint}: allowed are {', '.join(fields)}"
        case "value_error":
            text = str(problem["ctx"]["error"])
            return f"{place}: {text}" if place else text
        case _:
            message = problem["msg"][0].lower() + problem["msg"][1:]
            return f"{place} = {came!r} is not allowed: {message}"
