"""The plain way to train a workload: one trial after another with `torch.optim.Adam`, as a user of torch writes it.

The other side of the benchmarks. Data, initial weights, batches and curve points are the workload's own, so that it is
the same training; it does nothing that the numbers do not need (labels as class indices, no running training loss),
and stops at the first curve point where a trial has diverged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import nn

from study.training.block import curve_steps
from study.workloads import WORKLOADS, Params


def digits_mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def mnist_mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))


def digits_cnn() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )


NETWORKS = {"digits-mlp": digits_mlp, "digits-cnn": digits_cnn, "mnist-mlp": mnist_mlp}


@torch.no_grad()
def load_weights(model: nn.Module, params: Params) -> None:
    """Give the layers a workload's weights, in order; a workload keeps linear ones as (in, out), torch as (out, in)."""
    for own, value in zip(model.parameters(), params.values(), strict=True):
        own.copy_(value.T if value.ndim == 2 else value)


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
        self.workload = WORKLOADS[workload]
        self.curve_steps = curve_steps(steps)
        self.dtype = dtype
        self.model = NETWORKS[workload]().to(dtype)
        load_weights(self.model, self.workload.init(seed))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=alpha, eps=eps, fused=fused)
        self.batches = self.workload.batches(seed)
        self.batch = next(self.batches)
        self.validation = self.workload.validation(seed)

    def __iter__(self) -> Iterator[dict[str, float]]:
        done = 0
        for until in self.curve_steps:
            for _ in range(done, until):
                images, targets = self.batch
                loss = F.cross_entropy(self.model(images.to(self.dtype)), targets.argmax(-1))
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                self.batch = next(self.batches)
            done = until
            point = self.evaluate()
            yield point
            if not math.isfinite(point["validation_loss"]):
                return

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        images, targets = self.validation
        labels = targets.argmax(-1)
        logits = self.model(images.to(self.dtype))
        loss = F.cross_entropy(logits, labels).item()
        error = (logits.argmax(-1) != labels).to(self.dtype).mean().item()
        return {
            "validation_error": error if math.isfinite(loss) else self.workload.worst,
            "validation_loss": loss,
        }
