"""The workload of a study file: a training problem, and how long and with what help it is trained."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from study.spec.schedules import CONSTANT, NO_DECAY, Schedule, WeightDecay
from study.spec.strict import Strict


class WorkloadSpec(Strict):
    """A training problem and how long and with what help it is trained.

    [workload]
    name = "digits-mlp"
    steps = 400
    schedule = "cosine"                # or a table, see Schedule
    weight_decay = 5e-4                # or a table, see WeightDecay; comes on top of the optimizer's own
    clip_norm = 1.0                    # largest Euclidean norm of a trial's gradient
    """

    short: ClassVar = "name"
    name: str
    steps: int = Field(400, ge=1, le=10_000_000)
    weight_decay: WeightDecay = NO_DECAY
    schedule: Schedule = CONSTANT
    clip_norm: float | None = Field(None, gt=0, allow_inf_nan=False)
