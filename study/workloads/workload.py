"""What a workload is: a training problem whose loss and evaluation are pure functions of one trial's parameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from torch import Tensor

Params = dict[str, Tensor]
Batch = tuple[Tensor, ...]


@runtime_checkable
class Workload(Protocol):
    """A training problem. All tensors are float32 (labels may be one-hot floats); the trainer casts and moves them.

    Equal seeds give equal initial weights, data split and data order, whatever else differs between two trials.
    """

    about: str
    """One line for `tunability list workloads`."""
    metric: str
    """Name of the metric that tuning minimises; `evaluate` returns it."""
    worst: float
    """The metric's worst value: what a diverged trial gets."""
    flops_per_step: int
    """Floating-point operations of one forward and backward pass on one batch."""
    bytes_per_lane: int
    """Float32 working set of one lane in one step, without optimizer state: weights, gradients, activations."""

    def init(self, seed: int) -> Params:
        """Initial weights."""
        ...

    def batches(self, seed: int) -> Iterator[Batch]:
        """Endless minibatches of the training split."""
        ...

    def validation(self, seed: int) -> Batch:
        """The validation split as one batch."""
        ...

    def loss(self, params: Params, batch: Batch) -> Tensor:
        """The scalar training loss, differentiable in `params`."""
        ...

    def evaluate(self, params: Params, batch: Batch) -> dict[str, Tensor]:
        """Scalar metrics on a batch, `metric` among them."""
        ...

    def data_hash(self) -> str:
        """Hash of the data set."""
        ...
