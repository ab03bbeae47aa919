"""A whole study, checked before anything runs, and what is wrong with it in a user's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, ValidationError, model_validator

from search_spaces import nearest_name
from study.spec.black_box import OF_A_TRIAL, BlackBoxSpec, ResourcesSpec, is_black_box
from study.spec.choices import split_choices
from study.spec.optimizer import OptimizerSpec
from study.spec.plain import first_problem
from study.spec.schedules import Schedule, WeightDecay
from study.spec.space import Space, not_a_number
from study.spec.strict import Strict
from study.spec.tuning import TuningSpec
from study.spec.workload import WorkloadSpec

Tell = Callable[[str], None]
MOST_TRIALS = 10_000_000
TRAINING, BLACK_BOX = "training", "black box"
"""The two kinds of workload, as pydantic's places call them."""
AnyWorkload = Annotated[
    Annotated[WorkloadSpec, Tag(TRAINING)] | Annotated[BlackBoxSpec, Tag(BLACK_BOX)],
    Discriminator(lambda given: BLACK_BOX if is_black_box(given) else TRAINING),
]


class SpecError(ValueError):
    """A study file that says something not allowed; the message is one line.

    `errors` has a place, dotted keys, and a text for each thing that is wrong, as far as they are known.
    """

    def __init__(self, message: str, errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(message)
        self.errors = errors or []


class StudySpec(Strict):
    """One study: workload × optimizers × search space × seeds. Reads and writes JSON without loss.

    Of a black box the names in `optimizers` are labels, which it is given with their settings.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)
    workload: AnyWorkload = Field(examples=["digits-mlp"])
    optimizers: tuple[OptimizerSpec, ...] = Field(strict=False, examples=[["adam", "avagrad"]])
    space: Space = Field(examples=["avagrad-cifar"], description="A published space, or axes by their names.")
    seeds: int = Field(ge=1, le=100_000, description="How often each cell is trained: seeds 0, 1, ...")
    dtype: Literal["float32", "float64"] = "float32"
    device: str = Field("cpu", pattern=r"^(cpu|cuda)$", description="How to run, not what: it may change.")
    method: Literal["fused", "one-by-one"] | None = Field(
        None, description="How trials are trained; the faster way is found by timing when left out."
    )
    lanes: int | None = Field(
        None, ge=1, le=100_000, description="Trials trained together; chosen by itself when left out."
    )
    tuning: TuningSpec = TuningSpec()
    resources: ResourcesSpec = ResourcesSpec()

    @model_validator(mode="after")
    def _check(self) -> StudySpec:
        names = [optimizer.key for optimizer in self.optimizers]
        if not names:
            raise ValueError("optimizers is empty: give one or more, such as optimizers = ['adam']")
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"optimizer {name!r} is listed twice: give one a label, "
                    f"{{ name = {name!r}, label = '{name}-2', ... }}"
                )
        if not self.space.is_grid:
            free = [axis.name for axis in self.space.axes if not axis.is_grid]
            raise ValueError(f"axis {free[0]!r} is continuous: a study runs a grid, give its values or num")
        if self.trials > MOST_TRIALS:
            raise ValueError(
                f"the study has {self.trials:,} trials: give a smaller grid, at most {MOST_TRIALS:,}"
            )
        if isinstance(self.workload, BlackBoxSpec):
            self._check_black_box(self.workload)
        elif self.space.words:
            raise ValueError(
                not_a_number(*next((axis, words[0]) for axis, words in self.space.words.items()))
            )
        elif self.device == "cpu" and self.resources != ResourcesSpec():
            raise ValueError('resources are those of black boxes and of device = "cuda": others take a core')
        elif self.resources.gpu > 1:
            raise ValueError(
                f"gpu = {self.resources.gpu:g} is not allowed: a block takes one, or a share of it"
            )
        return self

    def _check_black_box(self, workload: BlackBoxSpec) -> None:
        for key in ("dtype", "device", "method", "lanes"):
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} is nothing that a black box has: leave it out")
        for name in self.space.names:
            if name in OF_A_TRIAL:
                raise ValueError(f"axis {name!r} is something else of a black box's trial: rename it")
        for optimizer in self.optimizers:
            if optimizer.schedule is not None:
                raise ValueError(f"{optimizer.key}: a black box has no schedule: leave it out")
            given = [optimizer.axes.get(axis, axis) for axis in self.space.names]
            given += [*optimizer.settings, *OF_A_TRIAL]
            for name in sorted(workload.placeholders - set(given)):
                raise ValueError(
                    f"the command has a placeholder {{{name}}}{nearest_name(name, given)} that {optimizer.key} has "
                    f"nothing for: known are {', '.join(given)}"
                )
        if workload.metric in (*self.space.names, *OF_A_TRIAL, "step"):
            raise ValueError(f"metric = {workload.metric!r} names something else, too: rename the metric")

    @property
    def amounts(self) -> dict[str, float]:
        """What a trial or a block needs of a cluster, by Ray's names; memory in bytes."""
        if isinstance(self.workload, BlackBoxSpec):
            return self.resources.amounts
        if self.device == "cuda":
            return {**self.resources.amounts, "GPU": self.resources.gpu or 1.0}
        return {"CPU": 1.0}

    @property
    def trials(self) -> int:
        return self.space.size * self.seeds * len(self.optimizers)


def silent(line: str) -> None:
    """Tell nobody."""


def parse_spec(given: Mapping[str, Any], source: str = "study", tell: Tell = silent) -> StudySpec:
    """A checked spec from the mapping that a TOML or JSON text gives.

    Optimizers of a black box are split by the choices that its space has, and `tell` is called with a line about it.
    Raises SpecError naming `source` and key.
    """
    if (unfit := first_problem(given)) is not None:
        place, detail = unfit
        raise SpecError(f"{source}: {place} {detail}", [{"location": place, "detail": detail}])
    try:
        given, said = split_choices(given)
    except ValueError as error:
        raise SpecError(f"{source}: {error}", [{"location": "space", "detail": str(error)}]) from None
    try:
        spec = StudySpec.model_validate(given)
    except ValidationError as error:
        found = error.errors(include_url=False)
        problems = [describe(problem) for problem in found]
        places = [place_of(problem) for problem in found]
        errors = [{"location": place, "detail": text} for place, text in zip(places, problems, strict=True)]
        raise SpecError(f"{source}: " + "; ".join(dict.fromkeys(problems)), errors) from None
    if said:
        tell(said)
    return spec


def parse_tuning(given: Mapping[str, Any]) -> TuningSpec:
    """Checked tuning settings. Raises SpecError naming the key."""
    try:
        return TuningSpec.model_validate(given)
    except ValidationError as error:
        problems = [describe(problem) for problem in error.errors(include_url=False)]
        raise SpecError("tuning: " + "; ".join(dict.fromkeys(problems))) from None


TABLES: Mapping[str, type[Strict]] = {
    "tuning": TuningSpec,
    "workload": WorkloadSpec,
    BLACK_BOX: BlackBoxSpec,
    "resources": ResourcesSpec,
    "schedule": Schedule,
    "weight_decay": WeightDecay,
}


def place_of(problem: Any) -> str:
    """Where in a study file a pydantic problem is, as dotted keys."""
    return ".".join(str(part) for part in problem["loc"] if part not in (TRAINING, BLACK_BOX))


def describe(problem: Any) -> str:
    """One pydantic problem in a user's words."""
    place = place_of(problem)
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
            if came is None:
                return f"{place} is not given: {_advice(problem)}"
            return f"{place} = {came!r} is not allowed: {_advice(problem)}"


PATTERNS: Mapping[str, str] = {
    r"^[A-Za-z0-9][A-Za-z0-9._-]*$": "give letters, digits, '.', '_' and '-', a letter or digit first",
    r"^([A-Za-z0-9][A-Za-z0-9._:-]*)?$": "give letters, digits, '.', '_', ':' and '-', a letter or digit first",
    r"^[\w.]+:\w+$": "give a module and a function in it, such as my_training:train",
    r"^(cpu|cuda)$": "give cpu or cuda",
}
"""What texts have to be like, in words."""


def _limit(value: float) -> str:
    return f"{value:,}".removesuffix(".0")


def _advice(problem: Any) -> str:
    """What to give instead of what a pydantic problem is of."""
    limits = problem.get("ctx", {})
    match problem["type"]:
        case "int_type" | "int_from_float" | "int_parsing":
            return "give a whole number"
        case "float_type" | "float_parsing":
            return "give a number"
        case "finite_number":
            return "give a finite number"
        case "greater_than_equal":
            return f"give at least {_limit(limits['ge'])}"
        case "greater_than":
            return f"give more than {_limit(limits['gt'])}"
        case "less_than_equal":
            return f"give at most {_limit(limits['le'])}"
        case "too_short":
            return f"give {limits['min_length']:,} or more"
        case "string_type":
            return "give a text"
        case "string_too_short":
            return "give a text that is not empty"
        case "string_too_long":
            return f"give at most {limits['max_length']:,} characters"
        case "string_pattern_mismatch" if limits["pattern"] in PATTERNS:
            return PATTERNS[limits["pattern"]]
        case _:
            return str(problem["msg"][0].lower() + problem["msg"][1:])
