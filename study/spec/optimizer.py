"""An optimizer of a study file, and what stays fixed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, model_serializer

from study.spec.schedules import Schedule
from study.spec.strict import Strict


class OptimizerSpec(Strict):
    """An optimizer and what stays fixed; every other hyperparameter takes an axis's value or its default.

    { name = "apollo", beta = 0.9, rebound = "belief", warmup = 20, schedule = "cosine" }
    { name = "pytorch_optimizer:Lion", axes = { alpha = "lr", beta1 = "betas[0]" } }

    { name = "apollo", label = "apollo-belief", rebound = "belief" }

    `label` is what the study calls it, its name when left out: the same optimizer may be there twice. `axes` tells
    which argument an axis of the space sets, where its name does not. The axis `factor` multiplies the fixed (or
    default) lr. `schedule` takes the place of the workload's. All other keys are settings of the optimizer.
    """

    short: ClassVar = "name"
    name: str
    label: str = Field("", pattern=r"^([A-Za-z0-9][A-Za-z0-9._:-]*)?$", max_length=200)
    axes: Mapping[str, str] = {}
    schedule: Schedule | None = None
    settings: Mapping[str, Any] = {}

    @classmethod
    def table(cls, given: Any) -> Any:
        if isinstance(given, str | cls) or (isinstance(given, Mapping) and "name" in given):
            return super().table(given)
        raise ValueError(f"{given!r} is no optimizer: give a name, or a table with a name and settings")

    @property
    def key(self) -> str:
        """What the study calls it."""
        return self.label or self.name

    @model_serializer
    def _to_toml(self) -> dict[str, Any]:
        own: dict[str, Any] = {"label": self.label} if self.label else {}
        if self.axes:
            own["axes"] = dict(self.axes)
        if self.schedule is not None:
            own["schedule"] = self.schedule.model_dump(exclude_defaults=True)
        return {"name": self.name, **own, **self.settings}
