"""What a workload promises and can be seen to break before a study starts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from study.workloads.draws import seeded
from study.workloads.module import WorkloadError, check_scalar
from study.workloads.workload import Workload, metrics_of


@torch.no_grad()
def check_workload(workload: Workload) -> None:
    """Take a step and an evaluation of seed 0, twice each.

    Raises WorkloadError, one line, when equal arguments give unequal results, an argument was written to, or a loss or
    metric is no scalar.
    """
    params, carry = workload.init(0)
    same("init", (params, carry), workload.init(0))
    batch = next(workload.batches(0))
    same("batches", batch, next(workload.batches(0)))
    before = copied((params, carry, batch))
    for phase in workload.phases:
        loss, after = phase.loss(params, carry, batch, seeded(0, 1))
        check_scalar("loss", loss)
        same("loss", (loss, after), phase.loss(params, carry, batch, seeded(0, 1)))
        if after.keys() != carry.keys():
            raise WorkloadError(
                f"the loss gives the carry {', '.join(after)} where init gives {', '.join(carry)}"
            )
    validation = workload.evaluation(0, "validation")
    if not validation:
        raise WorkloadError("the validation split is empty: give it at least one batch")
    sums, items = workload.evaluate(params, carry, validation[0])
    metrics = metrics_of(workload, sums, items)
    if workload.metric not in metrics:
        raise WorkloadError(
            f"evaluate does not give the metric {workload.metric!r}: it gives {', '.join(metrics)}"
        )
    for name, value in metrics.items():
        check_scalar(f"metric {name!r}", value)
    same("evaluate", sums, workload.evaluate(params, carry, validation[0])[0])
    if not equal(before, (params, carry, batch)):
        raise WorkloadError("loss or evaluate writes into its arguments: give copies to what does")


def same(what: str, one: Any, other: Any) -> None:
    """Raise WorkloadError unless two calls gave the same bits."""
    if not equal(one, other):
        raise WorkloadError(
            f"{what} gives something else at a second call with equal arguments: take random numbers from torch's "
            "operations on tensors or from draws, and keep what changes in buffers"
        )


def equal(one: Any, other: Any) -> bool:
    """Whether nested tensors have the same bits, NaN being NaN."""
    if isinstance(one, Tensor):
        return one.shape == other.shape and bool(
            torch.all((one == other) | ((one != one) & (other != other)))
        )
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    return len(one) == len(other) and all(map(equal, one, other))


def copied(nested: Any) -> Any:
    if isinstance(nested, Tensor):
        return nested.clone()
    if isinstance(nested, dict):
        return {key: copied(value) for key, value in nested.items()}
    return tuple(map(copied, nested))
