"""Learning-rate schedules and weight decay, as a study file names them.

schedule = "cosine"                  # or { name = "cosine", warmup = 100 }
weight_decay = 5e-4                  # or { value = 5e-4, kind = "decoupled" }
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from study.spec.strict import Strict

FACTOR = 0.1


class Schedule(Strict):
    """What the learning rate is multiplied with at each step t = 1, 2, ... of a training of T steps.

    - `constant`: 1.
    - `milestones`: `factor` for every milestone passed. `at` are steps, or fractions of the training when below 1;
      the step after a milestone is the first with the smaller rate.
    - `cosine`: from 1 towards 0 (Loshchilov & Hutter, 2017), the half wave starting after the warm-up.
    - `inverse-sqrt`: sqrt(warmup / t) after the warm-up, which it needs (Vaswani et al., 2017).
    - `1/sqrt(t)`: that, with t counted from the end of the warm-up (AdaL, Algorithm 1).

    During the first `warmup` steps the multiplier is t / warmup instead.
    """

    short: ClassVar = "name"
    name: Literal["constant", "milestones", "cosine", "inverse-sqrt", "1/sqrt(t)"] = "constant"
    warmup: int = Field(0, ge=0)
    at: tuple[float, ...] = Field((), strict=False)
    factor: float = Field(FACTOR, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _check(self) -> Schedule:
        if self.name == "milestones" and not self.at:
            raise ValueError(
                "milestones need at = [...]: steps, or fractions of the training such as [0.5, 0.75]"
            )
        if self.name != "milestones" and (self.at or self.factor != FACTOR):
            raise ValueError(f"at and factor belong to milestones, not to {self.name}")
        if any(not 0 < milestone < float("inf") for milestone in self.at):
            raise ValueError(f"at = {list(self.at)} is not allowed: give steps, or fractions between 0 and 1")
        if self.name == "inverse-sqrt" and not self.warmup:
            raise ValueError(
                "inverse-sqrt needs warmup = a number of steps: its rate is lr · sqrt(warmup / t)"
            )
        return self

    def multipliers(self, steps: int) -> NDArray[np.float64]:
        """The multiplier of every step (steps,)."""
        t: NDArray[np.float64] = np.arange(1, steps + 1, dtype=np.float64)
        values: NDArray[np.float64]
        after = np.maximum(t - self.warmup, 1)
        match self.name:
            case "constant":
                values = np.ones_like(t)
            case "milestones":
                passed = sum((t > (at if at >= 1 else round(at * steps)) for at in self.at), np.zeros_like(t))
                values = np.power(self.factor, passed)
            case "cosine":
                values = (1 + np.cos(np.pi * (after - 1) / max(steps - self.warmup, 1))) / 2
            case "inverse-sqrt":
                values = np.sqrt(self.warmup / t)
            case "1/sqrt(t)":
                values = 1 / np.sqrt(after)
        return np.where(t <= self.warmup, t / max(self.warmup, 1), values)


class WeightDecay(Strict):
    """Weight decay of every parameter on top of the optimizer's own.

    - `L2`: value · w is added to the gradient, after clipping.
    - `decoupled`: w shrinks by lr · value of itself before each step, lr as scheduled (Loshchilov & Hutter, 2019).
    - `adjusted`: decoupled with lr · value held constant: w shrinks by reference_lr · value of itself, whatever the
      trial's own lr, but following the schedule (Apollo, 2020, equation 14).
    """

    short: ClassVar = "value"
    value: float = Field(0.0, ge=0, allow_inf_nan=False)
    kind: Literal["L2", "decoupled", "adjusted"] = "L2"
    reference_lr: float | None = Field(None, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _check(self) -> WeightDecay:
        if (self.kind == "adjusted") != (self.reference_lr is not None):
            raise ValueError(
                "reference_lr goes with kind = 'adjusted', and is needed there: the lr that value is for"
            )
        return self


CONSTANT = Schedule()
NO_DECAY = WeightDecay()
