"""What the API answers, as JSON types: described here once, for the code and for the OpenAPI document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, with_config
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from typing_extensions import TypeAliasType, TypedDict

from analysis.documents import ComparisonRow, CostRow, OptimizerSensitivity, VerdictDocument
from study.spec import StudySpec, TuningSpec

State = Literal["queued", "running", "done", "failed", "stopped"]
NestedNumbers = TypeAliasType("NestedNumbers", "list[NestedNumbers | float | None]")
NestedCounts = TypeAliasType("NestedCounts", "list[NestedCounts | int]")
NestedFlags = TypeAliasType("NestedFlags", "list[NestedFlags | bool]")


@dataclass(frozen=True)
class DumpOf:
    """Describes JSON types that a model was dumped to as that model."""

    model: type[BaseModel]

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(self.model.__pydantic_core_schema__)


class AxisDocument(TypedDict):
    """A hyperparameter; without values where trials are scattered. `words` are those of an ordered one's 0, 1, ..."""

    name: str
    scale: str
    values: list[float]
    words: list[str]


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

    `cells` is null where trials are scattered. `failed` counts the trials that failed for good and are not stored.
    `target` is the suboptimality that counts as found by its file. `job_seconds` is how long its last job has been
    running, or ran; null where the service launched none.
    """

    name: str
    state: State
    message: str | None
    stopping: bool
    metric: str
    seeds: int | None
    cells: int | None
    trials: int
    failed: int
    last_failed: str | None
    expected: int | None
    eta_seconds: float | None
    trials_per_second: float | None
    last_finished: str | None
    job_seconds: float | None
    target: float
    tuning_runs: int
    job: str | None
    optimizers: list[OptimizerProgress]


class StudyList(TypedDict):
    studies: list[StudyDocument]


class IntervalDocument(TypedDict):
    """An axis on which trials are scattered."""

    low: float
    high: float
    scale: str


class ListedDocument(TypedDict):
    """A grid axis whose scale does not follow from its values."""

    values: list[float]
    scale: str


class OrderedDocument(TypedDict):
    """An axis of words, in their order."""

    ordered: list[str]


class ImportedSpec(TypedDict):
    """In place of a spec, what is known of trials that were imported."""

    imported: bool
    metric: str
    space: dict[str, list[float] | IntervalDocument | ListedDocument | OrderedDocument]


class MachineDocument(TypedDict):
    """`cores` is null where the system does not tell."""

    platform: str
    processor: str
    cores: int | None


class ChoiceDocument(TypedDict):
    """How an optimizer's trials are trained, with the measured seconds of a trial and a note on the choice."""

    method: str
    compile: bool
    lanes: int
    seconds: float | None
    note: str


@with_config(ConfigDict(extra="allow"))
class ProvenanceDocument(TypedDict, total=False):
    """What a launch ran with; times are ISO 8601. Of imports: `source`, how many `trials` it had and what was left out.

    Those of earlier versions have further keys.
    """

    launch: int
    declared: str
    packages: dict[str, str]
    python: str
    machine: MachineDocument
    device: str
    seeds: list[int]
    methods: dict[str, ChoiceDocument]
    imported: str
    source: str
    trials: int
    left_out: dict[str, int]


class StudyDetails(StudyDocument):
    """A study with what it was asked for, as JSON and TOML, and what it was first run with."""

    axes: list[AxisDocument]
    spec: Annotated[dict[str, Any], DumpOf(StudySpec)] | ImportedSpec
    toml: str
    provenance: ProvenanceDocument


class TrialRow(TypedDict, extra_items=float | str | None):  # type: ignore[call-arg]  # mypy lacks PEP 728
    """A trial: besides these, a value of each axis, the study's metric and further ones by their names.

    `diverged_at` is the step, null for never. `seconds` are its training time's.
    """

    optimizer: str
    number: int
    seed: int
    diverged_at: int | None
    seconds: float | None


class TrialPage(TypedDict):
    """Trials, one an object; `next` is the cursor of the page after them."""

    trials: list[TrialRow]
    next: str | None


class SeveralTrialPage(TrialPage):
    """Trials of several studies, each with its `study`; `found` are those on all pages."""

    found: int


class CountDocument(TypedDict):
    """How many trials there are on all pages."""

    trials: int


class CurvePoint(TypedDict):
    step: int
    value: float | None


class TrialDetails(TypedDict):
    study: str
    trial: TrialRow
    curve: list[CurvePoint]


class FailureDocument(TypedDict):
    """A trial that failed for good: why, the last lines that it wrote, and the number of the launch that tried it."""

    optimizer: str
    cell: dict[str, float | str]
    seed: int
    failed_at: str
    launch: int | None
    reason: str
    lines: str


class FailureList(TypedDict):
    """The last failures first."""

    study: str
    failures: list[FailureDocument]


class BestDocument(TypedDict):
    """The cell with the lowest mean over all seeds; ties as `analysis.landscape.best_cell` resolves them.

    `mean` is too low for being the least of many; `unseen` is each seed's value of the cell that the others choose.
    `edge` are axes at whose end it lies, beyond which there may be a better one.
    """

    coordinates: dict[str, float]
    mean: float
    unseen: float | None
    standard_error: float | None
    seeds: int
    edge: list[str]


class OptimizerLandscape(TypedDict):
    """`mean`, `std` (n - 1) and `count` are nested lists over the axes in their order.

    They are over the seeds that a cell has, null where it has none; where `count` is below the number of seeds, the
    mean is provisional. `best` is of cells with all seeds. `problem` says that nothing trained, where every trial
    diverged; there is no best then. `stopped` are cells with trials that were stopped early and count as what they were
    then. Of scattered trials, all of it is a surrogate's, null where too little is known,
    over the axes that `surrogate` has. Where only some axes were asked for, the lists are over those in `shown`; an
    axis that is in neither `shown` nor `held`, which has its value, is at its best in each cell.
    """

    name: str
    surrogate: list[AxisDocument] | None
    shown: list[AxisDocument] | None
    held: dict[str, float]
    seeds: list[int]
    trials: int
    expected: int
    complete: bool
    mean: NestedNumbers
    std: NestedNumbers
    count: NestedCounts
    stopped: NestedFlags
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


class PanelAxis(TypedDict):
    """An axis as it is drawn: `edges` are those of its cells."""

    name: str
    label: str
    symbol: str
    scale: str
    values: list[float]
    edges: list[float]


Point = list[float | None]


class DrawnDocument(TypedDict):
    """What there is to draw of a verdict, in its two axes' own units, null where it cannot be told.

    `dots`, one a row whose optimum counts: (second, first, its interval's ends); the second axis' values of rows that
    are `left_out`; the ends of the fitted `lines`, (second, first); the `band` about them, (second, low, high). `lose`
    is what first values lose where they were not tuned (tuned at, used at), in units of the metric, and `lose_most`
    what the colours of that reach to. `words` are those of ordered axes.
    """

    axes: list[PanelAxis]
    words: dict[str, list[str]]
    dots: list[Point]
    left_out: list[float]
    lines: list[list[Point]]
    band: list[Point]
    lose: list[Point]
    lose_most: float


class DrawnVerdict(VerdictDocument):
    """A verdict with what there is to draw of it."""

    drawn: DrawnDocument


class SeparabilityDocument(TypedDict):
    """Verdicts, one a pair of axes and optimizer, and why there is none of other optimizers.

    `colours` are the stops of a colour scale.
    """

    study: str
    metric: str
    colours: list[str]
    verdicts: list[DrawnVerdict]
    problems: list[OptimizerProblem]


class CostDocument(TypedDict):
    """Rows as `tunability cost --format json` writes them; `incomplete` names optimizers that lack trials.

    `budget` is that of the runs, in trials: what is null in a row lies beyond it. Null where there are no runs.
    `notes` say why a cost has no interval, at which confidence intervals are, and what would make comparisons clearer.
    `problems` has why there are none of an optimizer: nothing trained.
    """

    study: str
    metric: str
    target: float
    budget: int | None
    incomplete: str | None
    notes: list[str]
    problems: list[OptimizerProblem]
    rows: list[CostRow] | list[ComparisonRow]


class TunerCurve(TypedDict):
    """Suboptimality after each `trial`: the median over runs with its 95% interval, null where it is not known.

    `observed` is the median of the stored runs on the study's own seeds; of the same runs, half of them are within each
    of `targets` after so many trials as `costs` has, null beyond the budget.
    """

    optimizer: str
    tuner: str
    trial: list[int]
    median: list[float | None]
    low: list[float | None]
    high: list[float | None]
    observed: list[float | None]
    targets: list[float]
    costs: list[float | None]


class SuboptimalityDocument(TypedDict):
    """A curve for each tuner and optimizer; `notes` and `problems` as of a cost."""

    study: str
    metric: str
    target: float
    notes: list[str]
    problems: list[OptimizerProblem]
    curves: list[TunerCurve]


class SensitivityDocument(TypedDict):
    """Of each optimizer, as `tunability sensitivity --format json` has it, and why there is none of others."""

    study: str
    optimizers: list[OptimizerSensitivity]
    problems: list[OptimizerProblem]


Plain = bool | int | float | str | None
Kind = Literal["number", "whole", "flag", "text", "choice", "numbers"]


class ArgumentChoice(TypedDict):
    """An argument of a workload or an optimizer: its default, and what is allowed, null where that is not known."""

    kind: Kind
    default: Plain | list[float]
    choices: list[Plain]
    low: float | None
    high: float | None
    about: str


class NamedChoice(TypedDict):
    about: str
    arguments: dict[str, ArgumentChoice]


class SpaceChoice(TypedDict):
    """A published space, and where it is from."""

    cells: int
    source: str
    note: str
    axes: list[AxisDocument]


class ChoicesDocument(TypedDict):
    """What a study file can name; `tuning` has the defaults of its table."""

    workloads: dict[str, NamedChoice]
    optimizers: dict[str, NamedChoice]
    schedules: list[str]
    weight_decays: list[str]
    spaces: dict[str, SpaceChoice]
    tuners: dict[str, str]
    tuning: Annotated[dict[str, Any], DumpOf(TuningSpec)]


class PlanDocument(TypedDict):
    """What running a spec would take: trials to train, blocks, seconds on this machine, and the study file to copy.

    `tunes` says whether it has tuners to run afterwards: a table `tuning`, maybe an empty one. The seconds are with
    theirs, `tuning_seconds`.
    """

    name: str
    trials: int
    stored: int
    to_train: int
    blocks: int
    lanes: int
    estimated_seconds: float | None
    tuning_seconds: float
    notes: list[str]
    tunes: bool
    toml: str


class DecisionDocument(TypedDict):
    """What deciding `of` separability or cost takes, by further seeds in at most `budget` trials.

    `own` trials are the study's own that are missing, `spent` further ones that are stored. The next `step` trains some
    (null before the study's own are there), the whole at `most` so many. Seconds are of this machine, tuning runs among
    them where they are part of it; null where nothing tells.
    """

    study: str
    of: str
    budget: int
    own: int
    spent: int
    step: int | None
    most: int
    step_seconds: float | None
    most_seconds: float | None


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
