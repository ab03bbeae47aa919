"""The workload of a study file: a training problem, and how long and with what help it is trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, field_validator, model_serializer

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
    hidden = 32                        # all other keys are arguments of the workload's factory
    """

    short: ClassVar = "name"
    name: str
    steps: int = Field(400, ge=1, le=10_000_000)
    weight_decay: WeightDecay = NO_DECAY
    schedule: Schedule = CONSTANT
    clip_norm: float | None = Field(None, gt=0, allow_inf_nan=False)
    settings: Mapping[str, Any] = {}

    @field_validator("settings")
    @classmethod
    def _json(cls, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        for key, value in settings.items():
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"{key} = {value!r} is not allowed: give numbers, texts, or lists of them"
                ) from error
        return settings

    @model_serializer(mode="wrap")
    def _to_toml(self, handler: Any) -> dict[str, Any]:
        own = handler(self)
        own.pop("settings", None)
        return {**own, **self.settings}

    @property
    def arguments(self) -> str:
        """The settings as JSON, in one form whatever their order."""
        return json.dumps(self.settings, sort_keys=True)
