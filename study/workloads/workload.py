"""What a workload is: a training problem whose losses and evaluation are pure functions of one trial's tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

from study.workloads.draws import Draws

Params = dict[str, Tensor]
Carry = dict[str, Tensor]
Batch = tuple[Tensor, ...]
Split = Literal["validation", "test"]
Loss = Callable[[Params, Carry, Batch, Draws], tuple[Tensor, Carry]]


def everything(name: str) -> bool:
    """All parameters."""
    del name
    return True


@dataclass(frozen=True)
class Phase:
    """One of the losses that a step minimises one after another, as a GAN's two.

    `loss(params, carry, batch, draws)` gives a scalar and the next carry. Parameters whose name `trains` says no to
    stay as they are. Phases that train the same ones are steps of one optimizer, as a GAN's two of the discriminator:
    they share its state and its count of steps. After each update `project` puts those that it trains where they are
    allowed to be, as in projected gradient descent.
    """

    loss: Loss
    trains: Callable[[str], bool] = everything
    project: Callable[[Params], Params] | None = None


@runtime_checkable
class Workload(Protocol):
    """A training problem. Floating tensors are float32, the trainer casts them; integers stay integers.

    Equal seeds give equal initial weights, data split, data order and draws, whatever else differs between two trials.
    `study.workloads.module.ModuleWorkload` makes one of a torch module and data.
    """

    about: str
    """One line for `tunability list workloads`."""
    metric: str
    """Name of the metric that tuning minimises; `evaluate` returns it."""
    worst: float
    """The metric's worst value: what a diverged trial gets."""
    phases: tuple[Phase, ...]
    """What one training step does; nearly always one phase that trains everything."""

    def init(self, seed: int) -> tuple[Params, Carry]:
        """Initial weights, and what else goes from step to step: running statistics, recurrent state, frozen ones."""
        ...

    def batches(self, seed: int) -> Iterator[Batch]:
        """Endless minibatches of the training split, all of one shape."""
        ...

    def evaluation(self, seed: int, split: Split) -> Sequence[Batch]:
        """A split as batches, as few shapes as possible; none when the workload has no such split."""
        ...

    def evaluate(self, params: Params, carry: Carry, batch: Batch) -> tuple[dict[str, Tensor], int]:
        """Scalar sums of every metric over a batch, `metric` among them, and how many items they are sums over.

        Of a workload that finishes its metrics, sums of any names and shapes.
        """
        ...

    def data_hash(self) -> str:
        """Hash of the data set."""
        ...

    def __hash__(self) -> int:
        """Of the object: what is measured of it is kept."""
        ...


@runtime_checkable
class Finishing(Protocol):
    """A workload some of whose metrics are no means over items, such as distances of distributions."""

    def finish(self, sums: dict[str, Tensor], items: int) -> dict[str, Tensor]:
        """Every metric as a scalar, `metric` among them, from the sums over all batches of a split, in float64."""
        ...


def metrics_of(workload: Workload, sums: dict[str, Tensor], items: int) -> dict[str, Tensor]:
    """The metrics of one trial from its sums over a split: means over items, unless the workload finishes them."""
    if isinstance(workload, Finishing):
        return workload.finish(sums, items)
    return {name: total / items for name, total in sums.items()}


@dataclass(frozen=True)
class Turn:
    """Which optimizer takes a phase's step, numbered from 0, and which of its `of` steps in a training step it is."""

    optimizer: int
    place: int
    of: int

    def count(self, step: Tensor) -> Tensor:
        """The optimizer's count of steps, from 1, at a training step, from 1."""
        return step if self.of == 1 else (step - 1) * self.of + self.place + 1


def turns_of(workload: Workload, names: Iterable[str]) -> list[Turn]:
    """A turn for each phase, given the parameters' names: phases that train the same ones share an optimizer."""
    trained = [frozenset(filter(phase.trains, names)) for phase in workload.phases]
    optimizers = list(dict.fromkeys(trained))
    return [
        Turn(optimizers.index(each), trained[:i].count(each), trained.count(each))
        for i, each in enumerate(trained)
    ]
