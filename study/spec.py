"""The study file: what one TOML file may say, checked before anything runs.

name = "avagrad-figure-1"
workload = "digits-mlp"              # or { name = "digits-mlp", steps = 400, weight_decay = 5e-4 }
optimizers = ["adam", "avagrad"]     # or { name = "avagrad", betas = [0.9, 0.999] }
space = "avagrad-cifar"              # or a table, see SearchSpace.from_table
seeds = 3                            # seeds 0, 1, 2
dtype = "float32"                    # or "float64"
device = "cpu"                       # or "cuda"; how to run, not what: it may change between runs
lanes = 63                           # trials trained together; chosen by itself when left out
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from search_spaces import SearchSpace, get_space, nearest_name
from study.optimizers import OPTIMIZERS, Rule
from study.workloads import WORKLOADS, Workload

MOST_TRIALS = 10_000_000


class SpecError(ValueError):
    """A study file that says something not allowed; the message is one line."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)


def known(kind: str, name: object, names: Mapping[str, object]) -> str:
    """`name`, if it is one of `names`; ValueError with the nearest otherwise."""
    if not isinstance(name, str) or name not in names:
        hint = nearest_name(str(name), names)
        raise ValueError(f"unknown {kind} {name!r}{hint}: known are {', '.join(names)}")
    return name


class WorkloadSpec(Strict):
    """A workload with its training length (steps) and L2 weight decay (added to the gradient)."""

    name: str
    steps: int = Field(400, ge=1, le=10_000_000)
    weight_decay: float = Field(0.0, ge=0, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        return known("workload", name, WORKLOADS)

    @property
    def workload(self) -> Workload:
        return WORKLOADS[self.name]


class OptimizerSpec(Strict):
    """An optimizer and the hyperparameters that stay fixed; every other one takes an axis's value or its default."""

    name: str
    settings: Mapping[str, Any]

    @model_validator(mode="before")
    @classmethod
    def _from_toml(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"name": given, "settings": {}}
        if isinstance(given, Mapping) and "name" in given:
            return {"name": given["name"], "settings": {k: v for k, v in given.items() if k != "name"}}
        raise ValueError(f"{given!r} is no optimizer: give a name, or a table with a name and settings")

    @model_validator(mode="after")
    def _check(self) -> OptimizerSpec:
        known("optimizer", self.name, OPTIMIZERS)
        try:
            self.rule.settings(self.settings)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None
        return self

    @model_serializer
    def _to_toml(self) -> dict[str, Any]:
        return {"name": self.name, **self.settings}

    @property
    def rule(self) -> Rule:
        return OPTIMIZERS[self.name].rule


def read_space(given: object) -> SearchSpace:
    if isinstance(given, SearchSpace):
        return given
    return get_space(given) if isinstance(given, str) else SearchSpace.from_table(given)  # type: ignore[arg-type]


Space = Annotated[SearchSpace, BeforeValidator(read_space), PlainSerializer(SearchSpace.to_table)]


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
        for optimizer in self.optimizers:
            self._check_axes(optimizer)
        return self

    def _check_axes(self, optimizer: OptimizerSpec) -> None:
        rule = optimizer.rule
        fixed = rule.settings(optimizer.settings)
        try:
            own = [rule.own_name(axis) for axis in self.space.names]
            for axis, name in zip(self.space.axes, own, strict=True):
                if name in fixed or own.count(name) > 1:
                    raise ValueError(f"{name} is given twice (axis {axis.name!r}): give it once")
                for value in axis.values:
                    rule.hyperparameters[name].check(axis.name, value)
        except ValueError as error:
            raise ValueError(f"{optimizer.name}: {error}") from None

    def identity(self) -> dict[str, Any]:
        """What was run, as JSON types: everything that may change a result. Device and lanes do not count."""
        return self.model_dump(mode="json", exclude={"device", "lanes"})

    @property
    def trials(self) -> int:
        return self.space.size * self.seeds * len(self.optimizers)


def parse_spec(given: Mapping[str, Any], source: str = "study") -> StudySpec:
    """A checked spec from the mapping that a TOML or JSON text gives. Raises SpecError naming `source` and key."""
    try:
        return StudySpec.model_validate(given)
    except ValidationError as error:
        problems = [describe(problem) for problem in error.errors(include_url=False)]
        raise SpecError(f"{source}: " + "; ".join(dict.fromkeys(problems))) from None


def load_spec(path: Path) -> StudySpec:
    """Read a study file. Raises SpecError: it cannot be read, is no TOML (with the line), or is not allowed."""
    try:
        return parse_spec(tomllib.loads(path.read_text(encoding="utf-8")), str(path))
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror}): give the path of a study file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: is not valid TOML: {error}") from None


def describe(problem: Any) -> str:
    """One pydantic problem in a user's words."""
    place = ".".join(str(part) for part in problem["loc"])
    came = problem.get("input")
    match problem["type"]:
        case "missing":
            return f"the key {place!r} is missing"
        case "extra_forbidden":
            fields = WorkloadSpec.model_fields if len(problem["loc"]) > 1 else StudySpec.model_fields
            hint = nearest_name(str(problem["loc"][-1]), fields)
            return f"unknown key {place!r}{hint}: allowed are {', '.join(fields)}"
        case "value_error":
            text = str(problem["ctx"]["error"])
            return f"{place}: {text}" if place else text
        case _:
            message = problem["msg"][0].lower() + problem["msg"][1:]
            return f"{place} = {came!r} is not allowed: {message}"
