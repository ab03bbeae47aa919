"""The JSON forms of what is found, as the command line, Python and the service write them."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict


class EstimateDocument(TypedDict):
    """The median over draws of the landscape with the ends of its 95% interval; null where it is not known."""

    estimate: float | None
    low: float | None
    high: float | None


RegimeDocument = TypedDict(
    "RegimeDocument",
    {"from": float, "to": float, "verdict": str, "slope": "EstimateDocument"},
)
"""A stretch of the second axis, its ends included, on which the ridge is one line."""


class InteractionDocument(TypedDict):
    """Share of the metric's variance that the two axes have together alone; `sobol` is the index of that."""

    estimate: float | None
    low: float | None
    high: float | None
    sobol: EstimateDocument


class ReplayedDocument(TypedDict):
    """Trials to the target of a tuner in the old coordinates, in the new ones, and how many times sooner."""

    before: EstimateDocument
    after: EstimateDocument
    sooner: EstimateDocument


class AdviceDocument(TypedDict):
    """What to tune instead, and what that saves: exponents by regime, as found and as used; `trials` by tuner."""

    coordinate: str
    exponents: list[EstimateDocument]
    used: list[float]
    penalty: EstimateDocument
    remainder: EstimateDocument
    one_parameter: bool
    target: float
    budget: int
    trials: dict[str, ReplayedDocument]


class VerdictDocument(TypedDict):
    """Whether two axes of an optimizer can be tuned one at a time. `trials` is the number of scattered ones.

    `best` is where the best cell is on both axes, of scattered trials.
    """

    optimizer: str
    axes: list[str]
    verdict: str
    sentence: str
    finding: str
    slope: EstimateDocument
    regimes: list[RegimeDocument]
    transition: EstimateDocument | None
    penalty: EstimateDocument
    interaction: InteractionDocument
    seeds: int
    seeds_to_decide: int | None
    advice: AdviceDocument | None
    trials: int | None
    best: list[EstimateDocument] | None


class CostRow(TypedDict):
    """Trials that a tuner takes on an optimizer's landscape, and in what share of runs it reaches the target."""

    optimizer: str
    tuner: str
    target: float
    median: float | None
    low: float | None
    high: float | None
    reached: float | None
    reached_low: float | None
    reached_high: float | None
    observed: float | None
    replicates: int


class ComparisonRow(TypedDict):
    """On an optimizer two tuners, or by a tuner two optimizers: the ratio of the first one's cost to the second's."""

    on: str
    first: str
    second: str
    ratio: float | None
    low: float | None
    high: float | None
    verdict: Literal["cheaper", "dearer", "equal", "undecided"]
    confidence: float


class ReachedDocument(TypedDict):
    """In which share of draws the lower and the upper end of the grid are reached."""

    low: float
    high: float


class WidthDocument(TypedDict):
    """How far values reach that lose at most `within`, in the hyperparameter's `unit`.

    The others are `tuned` for each value, or `held` at the best cell.
    """

    within: float
    tuned: EstimateDocument
    held: EstimateDocument
    reached: ReachedDocument


class DefaultDocument(TypedDict):
    """A default, the grid value nearest to it, how far that is off in `unit`, and why there is none."""

    value: float | None
    cell: float | None
    off: float | None
    problem: str | None


class ProfileDocument(TypedDict):
    """What each value loses with the others at their best."""

    values: list[float]
    estimate: list[float]
    low: list[float]
    high: list[float]


class HyperparameterSensitivity(TypedDict):
    """`lost_at_default`: with the others tuned. `fanova` and `ped_anova` are Optuna's, of the same trials."""

    hyperparameter: str
    unit: str
    widths: list[WidthDocument]
    default: DefaultDocument
    lost_at_default: EstimateDocument
    profile: ProfileDocument
    fanova: float | None
    ped_anova: float | None


class TunedDocument(TypedDict):
    """How many `of` the hyperparameters must be tuned, the others at their defaults, for 95% of what tuning all gains.

    `likely` is the share of draws in which it is 0, 1, ...; `which` they are; `gained` what tuning 0, 1, ... gains, as
    a share of what tuning all does.
    """

    needed: EstimateDocument
    of: int
    likely: list[float]
    which: list[str]
    gained: list[EstimateDocument]


class OptimizerSensitivity(TypedDict):
    """`problem` says why it is not known what the default costs."""

    study: str
    optimizer: str
    metric: str
    seeds: int
    sentence: str
    hyperparameters: list[HyperparameterSensitivity]
    default_cost: EstimateDocument
    tuned: TunedDocument | None
    problem: str | None


class AcrossDocument(TypedDict):
    """An optimizer over several studies, see `analysis.sensitivity.result.AcrossWorkloads`."""

    optimizer: str
    studies: list[str]
    tuned: EstimateDocument
    shared: EstimateDocument
    sensitivity: EstimateDocument
    needed: EstimateDocument
    likely: list[float]
    setting: dict[str, float]
    sentence: str


class SensitivitiesDocument(TypedDict):
    """`left_out` says of other landscapes, by STUDY/OPTIMIZER, why nothing is known."""

    landscapes: list[OptimizerSensitivity]
    across: list[AcrossDocument]
    left_out: dict[str, str]
