"""The tuning runs of a study file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from analysis.target import DEFAULT_TARGET
from study.spec.strict import Strict
from tuners import TUNERS, check_tuner


class TuningSpec(Strict):
    """Which tuners to run on each landscape of a study, how often, and how far.

    [tuning]
    tuners = ["random", "cgld"]        # all by default
    trials = 100                       # budget of a run
    replicates = 100                   # runs of each tuner, with seeds 0, 1, ...
    target = 0.005                     # suboptimality that counts as found, in units of the metric
    noise = "run"                      # all trials of a run have one training seed; "seed": each cell has a seed drawn
                                       # for it; "mean": a run sees means over all seeds
    repeats = "free"                   # a cell that a tuner asks for again costs nothing; or "count": it is a trial
    """

    tuners: tuple[str, ...] = Field(tuple(TUNERS), strict=False, min_length=1)
    trials: int = Field(100, ge=1, le=1_000_000)
    replicates: int = Field(100, ge=1, le=100_000)
    target: float = Field(DEFAULT_TARGET, ge=0, allow_inf_nan=False)
    noise: Literal["run", "seed", "mean"] = "run"
    repeats: Literal["free", "count"] = "free"

    @field_validator("tuners")
    @classmethod
    def _known(cls, tuners: tuple[str, ...]) -> tuple[str, ...]:
        for tuner in tuners:
            check_tuner(tuner)
            if tuners.count(tuner) > 1:
                raise ValueError(f"tuner {tuner!r} is listed twice: give it once")
        return tuners
