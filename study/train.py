"""Fused training: a block of trials as one tensor program.

Parameters, optimizer state and hyperparameters carry a leading lane axis; `vmap(grad(loss))` gives every lane's
gradient and the vmapped rule every lane's update. The step is traced to a flat graph of tensor operations and
compiled once per (workload, optimizer, lanes, dtype): hyperparameters are tensors, so no block compiles again. The
compiler's own cache on disk serves further workers and runs.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException
from torch._inductor import standalone_compile
from torch._inductor.exc import InductorError
from torch.func import grad_and_value, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from study.optimizers import OPTIMIZERS, Rule, State
from study.workloads import WORKLOADS, Batch, Params, Workload

DTYPES = {"float32": torch.float32, "float64": torch.float64}
CURVE_POINTS = 20
MIN_LANES = 2  # a lone lane may take another convolution or matrix routine, and so other bits
COMPILE_ERRORS = (TorchDynamoException, InductorError, OSError)
"""No C++ compiler or an old one, an operation that it cannot do, a cache folder that cannot be written."""


@dataclass(frozen=True)
class Block:
    """Trials to train together: they share the seed, so weights at the start, data split and data order."""

    workload: str
    optimizer: str
    seed: int
    hyperparameters: Mapping[str, NDArray[np.float64]]
    """The rule's own names -> one value a lane (B,); names left out take the rule's default."""
    steps: int = 400
    weight_decay: float = 0.0
    """L2 penalty on every parameter: `weight_decay * w` is added to the gradient."""
    dtype: str = "float32"

    @property
    def lanes(self) -> int:
        return len(next(iter(self.hyperparameters.values())))


@dataclass(frozen=True)
class Outcome:
    """What training a block of B lanes gave."""

    metrics: Mapping[str, NDArray[np.float64]]
    """Final metrics (B,): the workload's own, and `train_loss`, the mean over the steps of the last curve interval.
    A diverged lane has the workload's worst value as metric, NaN as every other."""
    curve_steps: NDArray[np.int64]
    curve: NDArray[np.float64]
    """The metric (B, points) after each of `curve_steps` (points,)."""
    diverged_at: NDArray[np.int64]
    """First step (from 1) whose loss was NaN or infinite, or the next curve point after a weight was; -1: never."""
    seconds: float
    """Wall time of the whole block, compilation apart."""
    warning: str | None = field(default=None, compare=False)
    """What the user should know about how it ran, e.g. that nothing could be compiled."""


class Lanes(NamedTuple):
    """Everything a step changes, each tensor with a leading lane axis, but for `step`."""

    params: Params
    state: State
    hyperparameters: dict[str, Tensor]
    step: Tensor  # 0-d float64, the number of the coming step, from 1
    diverged_at: Tensor  # (B,) int64, -1: not yet
    loss_sum: Tensor  # (B,) since the last curve point


class Trainer:
    """Trains blocks with a fixed number of `lanes`, filling smaller ones up, so that one program serves them all.

    `compile=False` runs the traced graph operation by operation: about three times as slow a step, but it starts
    at once.
    """

    def __init__(self, lanes: int, device: str = "cpu", *, compile: bool = True) -> None:
        self.lanes = max(lanes, MIN_LANES)
        self.device = torch.device(device)
        self.warning: str | None = None
        self._compile = compile
        self._programs: dict[tuple[object, ...], Callable[..., Any]] = {}

    @torch.no_grad()
    def train(self, block: Block) -> Outcome:
        """Train every lane of `block` for `block.steps` steps.

        Raises ValueError when the block has more lanes than the trainer, or a hyperparameter is not allowed.
        """
        workload, rule, dtype = (
            WORKLOADS[block.workload],
            OPTIMIZERS[block.optimizer].rule,
            DTYPES[block.dtype],
        )
        lanes = self._start(block, workload, rule, dtype)
        validation = self._cast(workload.validation(block.seed), dtype)
        batches = (self._cast(batch, dtype) for batch in workload.batches(block.seed))
        batch = next(batches)
        name = (block.workload, dtype, block.optimizer, block.weight_decay)
        step = self._program(("step", *name), step_function(workload, rule, block.weight_decay), lanes, batch)
        evaluate = self._program(
            ("evaluate", *name[:2]), evaluate_function(workload), lanes.params, validation
        )

        started = time.perf_counter()
        points = curve_steps(block.steps)
        curve = np.full((self.lanes, len(points)), workload.worst)
        done = 0
        for point, until in enumerate(points):
            lanes = lanes._replace(loss_sum=torch.zeros_like(lanes.loss_sum))
            for _ in range(done, until):
                lanes = step(lanes, batch)
                batch = next(batches)
            metrics, finite = evaluate(lanes.params, validation)
            metrics["train_loss"] = lanes.loss_sum / (until - done)
            lanes.diverged_at[~finite & (lanes.diverged_at < 0)] = until
            alive = (lanes.diverged_at < 0).cpu().numpy()
            curve[alive, point] = metrics[workload.metric].cpu().numpy()[alive]
            done = until
            if not alive.any():
                break
        seconds = time.perf_counter() - started

        diverged_at = lanes.diverged_at.cpu().numpy()[: block.lanes]
        # a diverged lane's other metrics would depend on how long the other lanes kept the block going
        kept = diverged_at < 0
        final = {
            key: np.where(kept, value.double().cpu().numpy()[: block.lanes], np.nan)
            for key, value in metrics.items()
        }
        final[workload.metric] = curve[: block.lanes, -1]
        return Outcome(final, points, curve[: block.lanes], diverged_at, seconds, self.warning)

    def _start(self, block: Block, workload: Workload, rule: Rule, dtype: torch.dtype) -> Lanes:
        if block.lanes > self.lanes:
            raise ValueError(f"the block has {block.lanes} lanes, this trainer takes at most {self.lanes}")
        fill = (0, self.lanes - block.lanes)
        hyperparameters = {}
        for name, hyperparameter in rule.hyperparameters.items():
            values = np.full(block.lanes, hyperparameter.default)
            if name in block.hyperparameters:
                values = np.array(
                    [hyperparameter.check(name, v) for v in block.hyperparameters[name].tolist()]
                )
            hyperparameters[name] = torch.from_numpy(np.pad(values, fill, mode="edge")).to(self.device)
        params = {key: value.to(self.device, dtype) for key, value in workload.init(block.seed).items()}
        each_lane = functools.partial(pytree.tree_map, lambda t: t.expand(self.lanes, *t.shape).clone())
        return Lanes(
            params=each_lane(params),
            state=each_lane(rule.init(params)),
            hyperparameters=hyperparameters,
            step=torch.ones((), dtype=torch.float64, device=self.device),
            diverged_at=torch.full((self.lanes,), -1, device=self.device),
            loss_sum=torch.zeros(self.lanes, dtype=dtype, device=self.device),
        )

    def _cast(self, batch: Batch, dtype: torch.dtype) -> Batch:
        return tuple(part.to(self.device, dtype) for part in batch)

    def _program(
        self, key: tuple[object, ...], function: Callable[..., Any], *example: Any
    ) -> Callable[..., Any]:
        """`function` traced on `example`, compiled, and kept for the next block."""
        if key not in self._programs:
            self._programs[key] = self._build(function, example)
        return self._programs[key]

    def _build(self, function: Callable[..., Any], example: Any) -> Callable[..., Any]:
        leaves, arguments = pytree.tree_flatten(example)
        result: list[pytree.TreeSpec] = []

        def flat(*tensors: Tensor) -> list[Tensor]:
            out, shape = pytree.tree_flatten(function(*pytree.tree_unflatten(tensors, arguments)))
            result.append(shape)
            return out

        graph = make_fx(flat)(*leaves)
        run: Callable[..., Any] = graph
        if self._compile:
            try:
                # the graph is flat already: torch.compile would only add its guards, 0.2 ms a step
                compiled = standalone_compile(graph, leaves, dynamic_shapes="from_example_inputs")
                compiled(*leaves)  # so that failing is noticed here
                run = compiled
            except COMPILE_ERRORS as error:
                reason = first_line(error)
                remedy = ": install a C++ compiler, g++" if "InvalidCxxCompiler" in reason else ""
                self.warning = f"training runs uncompiled, several times slower ({reason}){remedy}"
        return lambda *given: pytree.tree_unflatten(run(*pytree.tree_leaves(given)), result[0])


def step_function(workload: Workload, rule: Rule, weight_decay: float) -> Callable[[Lanes, Batch], Lanes]:
    """One training step of all lanes.

    It returns new tensors: torch 2.13's C++ backend miscompiles some programs that write in place (pytorch#196570).
    """

    def step(lanes: Lanes, batch: Batch) -> Lanes:
        grads, loss = vmap(grad_and_value(workload.loss), in_dims=(0, None))(lanes.params, batch)
        if weight_decay:
            grads = {key: g + weight_decay * lanes.params[key] for key, g in grads.items()}
        params, state = vmap(rule.update, in_dims=(0, 0, 0, 0, None))(
            grads, lanes.state, lanes.params, lanes.hyperparameters, lanes.step
        )
        stops = ~loss.isfinite() & (lanes.diverged_at < 0)
        return lanes._replace(
            params=params,
            state=state,
            step=lanes.step + 1,
            diverged_at=torch.where(stops, lanes.step.long(), lanes.diverged_at),
            loss_sum=lanes.loss_sum + loss,
        )

    return step


def evaluate_function(workload: Workload) -> Callable[[Params, Batch], tuple[dict[str, Tensor], Tensor]]:
    """The workload's metrics of all lanes, and which lanes have only finite metrics and weights."""

    def evaluate(params: Params, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        metrics = vmap(workload.evaluate, in_dims=(0, None))(params, batch)
        finite = [value.isfinite() for value in metrics.values()]
        finite += [weight.isfinite().flatten(1).all(1) for weight in params.values()]
        return metrics, torch.stack(finite).all(0)

    return evaluate


def curve_steps(steps: int) -> NDArray[np.int64]:
    """The steps after which the metric is taken: 20, or as many as there are, evenly spread, the last one included."""
    return np.unique(np.linspace(0, steps, min(steps, CURVE_POINTS) + 1).round().astype(np.int64)[1:])


def first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
