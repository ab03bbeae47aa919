"""The suboptimality that counts as found: what was asked for, or the study's own, or a default."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from analysis.errors import AnalysisError

if TYPE_CHECKING:
    from storage.store import Store

DEFAULT_TARGET = 0.005
"""In units of the metric."""


def target_of(store: Store, study: str, given: float | None = None) -> float:
    """The target that costs of a study are to: `given`, or its own. Raises AnalysisError unless it is at least 0."""
    target = own_target(store.spec(study)) if given is None else given
    check_target(target)
    return target


def own_target(spec: Mapping[str, Any]) -> float:
    """What a study's file says under `tuning`, or `DEFAULT_TARGET`."""
    return float(spec.get("tuning", {}).get("target", DEFAULT_TARGET))


def check_target(target: float) -> None:
    """Raise AnalysisError unless the target is a number of at least 0."""
    if not (math.isfinite(target) and target >= 0):
        raise AnalysisError(f"the target {target!r} is not allowed: give a suboptimality of at least 0")
