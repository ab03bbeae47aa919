"""The plain way to train a workload: one trial after another with `torch.optim.Adam`, as a user of torch writes it.

The other side of the benchmarks. The module is the workload's own, with its initial weights and buffers, batches, curve
points and evaluations, so that it is the same training; it does nothing that the numbers do not need (no running
training loss), and stops at the first curve point where a trial has diverged. For classifiers without dropout.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from study.training.block import curve_steps
from study.training.named import workload_named
from study.workloads import Batch, ModuleWorkload


class PlainTraining:
    """One trial; making it loads the data, iterating over it trains and gives the metrics at each curve point."""

    def __init__(
        self,
        workload: str,
        seed: int,
        alpha: float,
        eps: float,
        steps: int,
        *,
        dtype: torch.dtype = torch.float32,
        fused: bool = False,
    ) -> None:
        made = workload_named(workload)
        if not isinstance(made, ModuleWorkload):
            raise TypeError(f"{workload} has no module to train: give a ModuleWorkload")
        self.worst = made.worst
        self.curve_steps = curve_steps(steps)
        self.dtype = dtype
        self.model = made.module(seed).to(dtype)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=alpha, eps=eps, fused=fused)
        self.batches = made.batches(seed)
        self.batch = self.cast(next(self.batches))
        self.validation = [self.cast(batch) for batch in made.evaluation(seed, "validation")]

    def cast(self, batch: Batch) -> Batch:
        inputs, labels = batch
        return inputs.to(self.dtype) if inputs.is_floating_point() else inputs, labels

    @torch.enable_grad()
    def step(self) -> None:
        inputs, labels = self.batch
        loss = cross_entropy(self.model(inputs), labels)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.batch = self.cast(next(self.batches))

    def __iter__(self) -> Iterator[dict[str, float]]:
        done = 0
        for until in self.curve_steps:
            for _ in range(done, until):
                self.step()
            done = until
            point = self.evaluate()
            yield point
            if not math.isfinite(point["validation_loss"]):
                return

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        self.model.eval()
        loss, wrong, count = 0.0, 0.0, 0
        for inputs, labels in self.validation:
            logits = self.model(inputs)
            loss += cross_entropy(logits, labels).item() * labels.numel()
            wrong += (logits.argmax(-1) != labels).sum().item()
            count += labels.numel()
        self.model.train()
        loss /= count
        return {
            "validation_error": wrong / count if math.isfinite(loss) else self.worst,
            "validation_loss": loss,
        }


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over a batch, or over all places of a batch of sequences."""
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten())
