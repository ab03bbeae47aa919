"""Fused training: a block of trials as one tensor program.

Parameters, optimizer state and hyperparameters carry a leading lane axis; `vmap(grad(loss))` gives every lane's
gradient and the vmapped rule every lane's update. The step is traced to a flat graph of tensor operations and
compiled once per recipe and number of lanes: hyperparameters are tensors, so no block compiles again. The compiler's
own cache on disk serves further workers and runs. Optimizers that are no rules train one trial after another.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException
from torch._inductor import standalone_compile
from torch._inductor.exc import InductorError
from torch.func import grad_and_value, jvp, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from study.block import DTYPES, Block, Outcome, Recipe, curve_steps
from study.named import Unfused, optimizer_named, workload_named
from study.optimizers.rule import Rule, State
from study.schedules import CONSTANT
from study.unfused import train_unfused
from study.workloads import Batch, Params, Workload

MIN_LANES = 2  # a lone lane may take another convolution or matrix routine, and so other bits
SIGNS_STREAM = 2**40
"""Added to a trial's seed for the random signs of second-order optimizers, far from the workloads' own streams."""
MALLOC_KEEPS = {-1: 2**30, -3: 2**25}
"""glibc's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD in bytes: memory on top that is kept, size taken from it."""
COMPILE_ERRORS = (TorchDynamoException, InductorError, OSError)
"""No C++ compiler or an old one, an operation that it cannot do, a cache folder that cannot be written."""


def prepare_process() -> None:
    """Set up a process that does nothing but train: one thread, no denormal numbers, freed memory kept.

    A step returns new tensors of a megabyte each; given back to the system and asked for again, they cost a fifth of
    the time in page faults. Momentum of dead units decays into denormal numbers, which are several times slower.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    with contextlib.suppress(AttributeError, OSError):  # glibc only
        libc = ctypes.CDLL(None)
        for parameter, size in MALLOC_KEEPS.items():
            libc.mallopt(parameter, size)


class Lanes(NamedTuple):
    """Everything a step changes, each tensor with a leading lane axis, but for `step`."""

    params: Params
    state: State
    hyperparameters: dict[str, Tensor]
    step: Tensor  # 0-d float64, the number of the coming step, from 1
    diverged_at: Tensor  # (B,) int64, -1: not yet
    loss_sum: Tensor  # (B,) since the last curve point


class Trainer:
    """Trains blocks, filling them up to their own width or else to `lanes`, so that one program serves many.

    `compile=False` runs the traced graph operation by operation: about three times as slow a step, but it starts
    at once.
    """

    def __init__(self, lanes: int = 0, device: str = "cpu", *, compile: bool = True) -> None:
        self.lanes = lanes
        self.device = torch.device(device)
        self.warning: str | None = None
        self._compile = compile
        self._programs: dict[tuple[object, ...], Callable[..., Any]] = {}

    @torch.no_grad()
    def train(self, block: Block) -> Outcome:
        """Train every lane of `block` for `block.recipe.steps` steps.

        Raises ValueError when the block has more lanes than the trainer, or a hyperparameter is not allowed.
        """
        recipe = block.recipe
        workload, rule = workload_named(recipe.workload), optimizer_named(recipe.optimizer)
        if isinstance(rule, Unfused):
            return train_unfused(block, workload, rule, self.device)
        width = max(block.width or self.lanes, MIN_LANES)
        lanes = self._start(block, width, workload, rule)
        validation = self._cast(workload.validation(block.seed), recipe)
        batches = (self._cast(batch, recipe) for batch in workload.batches(block.seed))
        signs = random_signs(block, lanes.params) if rule.second_order else itertools.repeat({})
        drawn = zip(batches, signs, strict=False)  # both endless
        batch = next(drawn)
        rates = torch.from_numpy(recipe.schedule.multipliers(recipe.steps)).to(self.device)
        program = replace(recipe, schedule=CONSTANT, steps=0)  # these two are no part of the program
        step = self._program(
            ("step", width, program), step_function(workload, rule, recipe), lanes, *batch, rates[0]
        )
        evaluate = self._program(
            ("evaluate", width, recipe.workload, recipe.dtype),
            evaluate_function(workload),
            lanes.params,
            validation,
        )

        started = time.perf_counter()
        points = curve_steps(recipe.steps)
        curve = np.full((width, len(points)), workload.worst)
        done = 0
        for point, until in enumerate(points):
            lanes = lanes._replace(loss_sum=torch.zeros_like(lanes.loss_sum))
            for i in range(done, until):
                lanes = step(lanes, *batch, rates[i])
                batch = next(drawn)
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

    def _start(self, block: Block, width: int, workload: Workload, rule: Rule) -> Lanes:
        if block.lanes > width:
            raise ValueError(f"the block has {block.lanes} lanes, this trainer takes at most {width}")
        dtype, options = DTYPES[block.recipe.dtype], dict(block.recipe.options)
        given = {
            name: np.array([rule.hyperparameters[name].check(name, value) for value in values.tolist()])
            for name, values in block.hyperparameters.items()
        }
        fill = (0, width - block.lanes)
        hyperparameters = {
            name: torch.from_numpy(np.pad(np.broadcast_to(values, block.lanes), fill, mode="edge")).to(
                self.device
            )
            for name, values in rule.fill(given).items()
        }
        params = {key: value.to(self.device, dtype) for key, value in workload.init(block.seed).items()}
        each_lane = functools.partial(
            pytree.tree_map, lambda t: t.to(self.device).expand(width, *t.shape).clone()
        )
        return Lanes(
            params=each_lane(params),
            state=each_lane(rule.init(params, rule.settings(options)[1])),
            hyperparameters=hyperparameters,
            step=torch.ones((), dtype=torch.float64, device=self.device),
            diverged_at=torch.full((width,), -1, device=self.device),
            loss_sum=torch.zeros(width, dtype=dtype, device=self.device),
        )

    def _cast(self, batch: Batch, recipe: Recipe) -> Batch:
        return tuple(part.to(self.device, DTYPES[recipe.dtype]) for part in batch)

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


def step_function(workload: Workload, rule: Rule, recipe: Recipe) -> Callable[..., Lanes]:
    """One training step of all lanes: `step(lanes, batch, signs, rate)`, `rate` the schedule's multiplier (0-d).

    `signs` are random signs like one lane's parameters for a second-order rule, empty otherwise. The step returns new
    tensors: torch 2.13's C++ backend miscompiles some programs that write in place (pytorch#196570).
    """
    options = rule.settings(dict(recipe.options))[1]
    decay = recipe.weight_decay

    def differentiate(params: Params, batch: Batch, signs: Params) -> tuple[Params, Tensor, Params]:
        def gradient(at: Params) -> tuple[Params, Tensor]:
            return grad_and_value(workload.loss)(at, batch)

        if not rule.second_order:
            grads, loss = gradient(params)
            return grads, loss, {}
        result: Any = jvp(gradient, (params,), (signs,))
        (grads, loss), (products, _) = result
        return grads, loss, {key: products[key] * sign for key, sign in signs.items()}

    def step(lanes: Lanes, batch: Batch, signs: Params, rate: Tensor) -> Lanes:
        params = lanes.params
        grads, loss, hessian = vmap(differentiate, in_dims=(0, None, None))(params, batch, signs)
        if recipe.clip_norm is not None:
            squares = [g.square().flatten(1).sum(1) for g in grads.values()]
            norm = torch.stack(squares).sum(0).sqrt()
            scale = torch.clamp(recipe.clip_norm / (norm + 1e-6), max=1)
            grads = {key: g * per_lane(scale, g) for key, g in grads.items()}
        base_lr = lanes.hyperparameters["lr"]
        hyperparameters = {**lanes.hyperparameters, "lr": base_lr * rate, "base_lr": base_lr}
        if decay.value and decay.kind == "L2":
            grads = {key: g + decay.value * params[key] for key, g in grads.items()}
        elif decay.value:
            lr = hyperparameters["lr"] if decay.reference_lr is None else rate * decay.reference_lr
            keep = (1 - lr * decay.value).to(loss.dtype).expand(loss.shape)
            params = {key: w * per_lane(keep, w) for key, w in params.items()}
        more = (hessian,) if rule.second_order else ()
        update = vmap(rule.update, in_dims=(0, 0, 0, 0, None, None, *(0 for _ in more)))
        new_params, state = update(grads, lanes.state, params, hyperparameters, lanes.step, options, *more)
        new_params, state = in_order(new_params, params), in_order(state, lanes.state)
        stops = ~loss.isfinite() & (lanes.diverged_at < 0)
        return lanes._replace(
            params=new_params,
            state=state,
            step=lanes.step + 1,
            diverged_at=torch.where(stops, lanes.step.long(), lanes.diverged_at),
            loss_sum=lanes.loss_sum + loss,
        )

    return step


def in_order(new: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """`new` with its keys, and those of dicts in it, in the order of `old`: programs know tensors by their places."""
    if new.keys() != old.keys():
        raise ValueError(f"the rule's update returns {', '.join(new)} where its init has {', '.join(old)}")
    return {
        key: in_order(new[key], value) if isinstance(value, dict) else new[key] for key, value in old.items()
    }


def per_lane(values: Tensor, like: Tensor) -> Tensor:
    """Values (B,) shaped to multiply a tensor (B, ...)."""
    return values.reshape(-1, *(1 for _ in like.shape[1:]))


def random_signs(block: Block, params: Params) -> Iterator[Params]:
    """Rademacher signs like one lane of `params`, new ones each time; the same for every block of a seed."""
    source = torch.Generator().manual_seed(SIGNS_STREAM + block.seed)
    while True:
        yield {
            key: (2 * torch.randint(2, w.shape[1:], generator=source) - 1).to(w.device, w.dtype)
            for key, w in params.items()
        }


def evaluate_function(workload: Workload) -> Callable[[Params, Batch], tuple[dict[str, Tensor], Tensor]]:
    """The workload's metrics of all lanes, and which lanes have only finite metrics and weights."""

    def evaluate(params: Params, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        metrics = vmap(workload.evaluate, in_dims=(0, None))(params, batch)
        finite = [value.isfinite() for value in metrics.values()]
        finite += [weight.isfinite().flatten(1).all(1) for weight in params.values()]
        return metrics, torch.stack(finite).all(0)

    return evaluate


def first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
