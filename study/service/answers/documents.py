"""What the API answers, as JSON types: described here once, for the code and for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

State = Literal["queued", "running", "done", "failed", "stopped"]


class AxisDocument(TypedDict):
    """A hyperparameter; without values where trials are scattered."""

    name: str
    scale: str
    values: list[float]


class OptimizerProgress(TypedDict):
    """Trials stored, diverged ones among them, how many there will be (null when unknown), the others' least metric.

    `problem` says that nothing trained, where all of them diverged.
    """

    name: str
    trials: int
    expected: int | None
    diverged: int
    best: float | None
    problem: str | None


class StudyDocument(TypedDict):
    """A study's progress. `eta_seconds` is null unless it is running and something is known.

    `cells` is null where trials are scattered.
    """

    name: str
    state: State
    message: str | None
    stopping: bool
    metric: str
    seeds: int | None
    cells: int | None
    trials: int
    expected: int | None
    eta_seconds: float | None
    trials_per_second: float | None
    last_finished: str | None
    tuning_runs: int
    job: str | None
    optimizers: list[OptimizerProgress]


class StudyList(TypedDict):
    studies: list[StudyDocument]


class StudyDetails(StudyDocument):
    """A study with what it was asked for, as JSON and TOML, and what it was first run with."""

    axes: list[AxisDocument]
    spec: dict[str, Any]
    toml: str
    provenance: dict[str, Any]


class TrialPage(TypedDict):
    """Trials, one an object; `next` is the cursor of the page after them."""

    trials: list[dict[str, Any]]
    next: str | None


class CurvePoint(TypedDict):
    step: int
    value: float | None


class TrialDetails(TypedDict):
    study: str
    trial: dict[str, Any]
    curve: list[CurvePoint]


class BestDocument(TypedDict):
    """The cell with the lowest mean over all seeds; ties as `analysis.landscape.best_cell` resolves them."""

    coordinates: dict[str, float]
    mean: float
    standard_error: float | None
    seeds: int


class OptimizerLandscape(TypedDict):
    """`mean`, `std` (n - 1) and `count` are nested lists over the axes in their order.

    They are over the seeds that a cell has, null where it has none; where `count` is below the number of seeds, the
    mean is provisional. `best` is of cells with all seeds. `problem` says that nothing trained, where every trial
    diverged; there is no best then. Of scattered trials, all of it is a surrogate's, null where too little is known,
    over the axes that `surrogate` has.
    """

    name: str
    surrogate: list[AxisDocument] | None
    seeds: list[int]
    trials: int
    expected: int
    complete: bool
    mean: list[Any]
    std: list[Any]
    count: list[Any]
    best: BestDocument | None
    problem: str | None


class LandscapeDocument(TypedDict):
    study: str
    metric: str
    axes: list[AxisDocument]
    optimizers: list[OptimizerLandscape]


class OptimizerProblem(TypedDict):
    optimizer: str
    detail: str


class SeparabilityDocument(TypedDict):
    """Verdicts, one a pair of axes and optimizer, and why there is none of other optimizers."""

    study: str
    verdicts: list[dict[str, Any]]
    problems: list[OptimizerProblem]


class CostDocument(TypedDict):
    """Rows as `tunability cost --format json` writes them; `incomplete` names optimizers that lack trials.

    `notes` say why a cost has no interval, at which confidence intervals are, and what would make comparisons clearer.
    `problems` has why there are none of an optimizer: nothing trained.
    """

    study: str
    metric: str
    target: float
    incomplete: str | None
    notes: list[str]
    problems: list[OptimizerProblem]
    rows: list[dict[str, Any]]


class PlanDocument(TypedDict):
    """What running a spec would take: trials to train, blocks, seconds on this machine, and the study file to copy."""

    name: str
    trials: int
    stored: int
    to_train: int
    blocks: int
    lanes: int
    estimated_seconds: float | None
    notes: list[str]
    toml: str


class LogDocument(TypedDict):
    job: str
    log: str


class ProblemDocument(TypedDict, total=False):
    """RFC 9457. `errors` says where in the request, as dotted keys."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]]
