"""Training with any `torch.optim.Optimizer`, one trial after another, as its user would write it.

Weights, batches, curve points, schedule, clipping, weight decay and what counts as divergence are those of fused
training; only the speed differs.
"""

from __future__ import annotations

import inspect
import math
import time

import numpy as np
import torch
from torch import Tensor

from study.training.block import DTYPES, Block, Outcome, curve_steps
from study.training.named import Kind, optimizer_named, workload_named
from study.training.resolve import Study, StudyOptimizer
from study.training.torch_class import TorchClass
from study.workloads import Batch, Workload

LANES = 8


class OneByOne:
    """Trains the lanes of a block one after another."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @staticmethod
    def takes(kind: Kind) -> bool:
        """Whether it can train with an optimizer."""
        return isinstance(kind, TorchClass)

    @staticmethod
    def most_lanes(study: Study, optimizer: StudyOptimizer) -> int:
        """Trials of a block: few, so that all workers stay busy and results come early."""
        del study, optimizer
        return LANES

    def train(self, block: Block) -> Outcome:
        """Train every lane of `block`. Raises what the optimizer's class raises when it refuses an argument."""
        started = time.perf_counter()
        workload, optimizer = workload_named(block.recipe.workload), optimizer_named(block.recipe.optimizer)
        if not isinstance(optimizer, TorchClass):
            raise ValueError(f"{block.recipe.optimizer} is a rule: it trains fused")
        trials = []
        for lane in range(block.lanes):
            values = {name: float(each[lane]) for name, each in block.hyperparameters.items()}
            trials.append(Trial(block, workload, optimizer, values, self.device))
            trials[-1].run()
        return Outcome(
            {name: np.array([trial.metrics[name] for trial in trials]) for name in trials[0].metrics},
            curve_steps(block.recipe.steps),
            np.array([trial.curve for trial in trials]),
            np.array([trial.diverged_at for trial in trials], dtype=np.int64),
            time.perf_counter() - started,
        )


class Trial:
    """One lane: after `run`, its final metrics, curve (points,) and `diverged_at`, as in `Outcome`."""

    def __init__(
        self,
        block: Block,
        workload: Workload,
        optimizer: TorchClass,
        values: dict[str, float],
        device: torch.device,
    ) -> None:
        self.recipe = block.recipe
        self.workload = workload
        self.device, self.dtype = device, DTYPES[block.recipe.dtype]
        start = workload.init(block.seed)
        self.params = {
            key: value.to(self.device, self.dtype, copy=True).requires_grad_() for key, value in start.items()
        }
        self.weights = list(self.params.values())
        self.optimizer = optimizer.make(self.weights, dict(self.recipe.options), values)
        self.needs_closure = needs_closure(optimizer.cls)
        self.rate = 1.0  # what the learning rates are multiplied with now
        self.batches = workload.batches(block.seed)
        self.validation = self._cast(workload.validation(block.seed))
        self.curve = np.full(len(curve_steps(self.recipe.steps)), workload.worst)
        self.diverged_at = -1
        self.metrics = dict.fromkeys([*self._evaluate(), "train_loss"], math.nan)

    def run(self) -> None:
        rates = self.recipe.schedule.multipliers(self.recipe.steps).tolist()
        losses: list[float] = []
        for point, until in enumerate(curve_steps(self.recipe.steps).tolist()):
            first = len(losses)
            for rate in rates[first:until]:
                losses.append(self._step(self._cast(next(self.batches)), rate))
                if not math.isfinite(losses[-1]):
                    return self._diverge(len(losses))
            metrics = self._evaluate() | {"train_loss": float(np.mean(losses[first:]))}
            if not all(map(math.isfinite, metrics.values())) or not all(
                bool(weight.isfinite().all()) for weight in self.weights
            ):
                return self._diverge(until)
            self.metrics = metrics
            self.curve[point] = metrics[self.workload.metric]
        return None

    def _step(self, batch: Batch, rate: float) -> float:
        """One step with the learning rate times `rate`; returns the loss before it."""
        if rate != self.rate:  # else they are the optimizer's own business: some change them
            for group in self.optimizer.param_groups:
                group["lr"] *= rate / self.rate if self.rate else 0.0
            self.rate = rate
        loss = self._gradients(batch)
        decay = self.recipe.weight_decay
        if decay.kind != "L2":
            (group, *_) = self.optimizer.param_groups
            lr = decay.reference_lr * rate if decay.reference_lr else group["lr"]
            with torch.no_grad():
                for weight in self.weights:
                    weight.mul_(1 - lr * decay.value)
        if self.needs_closure:
            self.optimizer.step(lambda: self._gradients(batch))
        else:
            self.optimizer.step()
        return loss

    def _gradients(self, batch: Batch) -> float:
        """Give the weights their gradients, clipped, then with L2 decay; returns the loss."""
        with torch.enable_grad():
            loss = self.workload.loss(self.params, batch)
            grads = torch.autograd.grad(loss, self.weights)
        for weight, grad in zip(self.weights, grads, strict=True):
            weight.grad = grad
        if self.recipe.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.weights, self.recipe.clip_norm)
        decay = self.recipe.weight_decay
        if decay.kind == "L2" and decay.value:
            for weight, grad in zip(self.weights, grads, strict=True):
                grad.add_(weight.detach(), alpha=decay.value)
        return loss.item()

    def _evaluate(self) -> dict[str, float]:
        self._switch("eval")
        with torch.no_grad():
            metrics = self.workload.evaluate(self.params, self.validation)
            values = {key: value.item() for key, value in metrics.items()}
        self._switch("train")
        return values

    def _switch(self, mode: str) -> None:
        """Schedule-free optimizers evaluate other weights than they train."""
        switch = getattr(self.optimizer, mode, None)
        if callable(switch):
            switch()

    def _diverge(self, step: int) -> None:
        self.diverged_at = step
        self.metrics = {**dict.fromkeys(self.metrics, math.nan), self.workload.metric: self.workload.worst}

    def _cast(self, batch: Batch) -> tuple[Tensor, ...]:
        return tuple(part.to(self.device, self.dtype) for part in batch)


def needs_closure(cls: type[torch.optim.Optimizer]) -> bool:
    """Whether `step` insists on evaluating the loss itself, as L-BFGS does."""
    closure = inspect.signature(cls.step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty
