"""SdLBFGS, the stochastic damped L-BFGS of Wang, Ma, Goldfarb and Liu (SIAM Journal on Optimization, 2017).

No rule: a step needs the gradient of the same batch before and after it, so it trains one by one. In a study file it is
`study.optimizers.sdlbfgs:SdLBFGS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

DAMPED = 0.25
"""Of s'y to s'B s, B being the start's inverse: where it is less, y is mixed with B s until it is that."""


class SdLBFGS(torch.optim.Optimizer):
    """x - lr H g, H the L-BFGS inverse of the last `history` pairs of a step s and what it changed the gradient by, y.

    The start of H is 1/gamma, gamma = max(y'y / s'y, delta) of the last pair. `step` takes a closure as
    `torch.optim.LBFGS` does, and calls it twice: at the weights as they are, and after they have moved.

    Args:
        params: what is trained.
        lr: step size, from 0.
        history: pairs that are remembered, a whole number; each takes twice the memory of the weights.
        delta: least curvature of the start, above 0.
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 0.1, history: int = 100, delta: float = 0.01
    ) -> None:
        for name, value, fits in (
            ("lr", lr, lr >= 0),
            ("history", history, history >= 1 and int(history) == history),
            ("delta", delta, delta > 0),
        ):
            if not fits:
                raise ValueError(f"{name} = {value} is not allowed")
        super().__init__(params, {"lr": lr, "history": int(history), "delta": delta})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Move the weights. `closure` evaluates the loss, leaves its gradients at the weights, and returns it."""
        weights = [weight for group in self.param_groups for weight in group["params"]]
        kept = self.state[weights[0]]
        steps, changes = kept.setdefault("steps", []), kept.setdefault("changes", [])
        with torch.enable_grad():
            loss = closure()
        before = gradient(weights)
        start = torch.cat([weight.flatten() for weight in weights])
        whole = direction(before, steps, changes, kept.get("gamma", 1.0))
        parts = torch.split(whole, [weight.numel() for weight in weights])
        rates = [group["lr"] for group in self.param_groups for _ in group["params"]]
        for weight, part, rate in zip(weights, parts, rates, strict=True):
            weight.sub_(part.view_as(weight), alpha=rate)
        with torch.enable_grad():
            closure()
        settings = self.param_groups[0]
        moved = torch.cat([weight.flatten() for weight in weights]) - start
        gamma, change = damped(moved, gradient(weights) - before, settings["delta"])
        # at the minimum the inverse of their product has no number
        if moved.dot(change) > torch.finfo(moved.dtype).tiny:
            kept["gamma"] = gamma
            steps.append(moved)
            changes.append(change)
            del steps[: -settings["history"]], changes[: -settings["history"]]
        return loss


def gradient(weights: list[Tensor]) -> Tensor:
    """Of all weights as one vector."""
    return torch.cat([torch.zeros_like(w).flatten() if w.grad is None else w.grad.flatten() for w in weights])


def damped(step: Tensor, change: Tensor, delta: float) -> tuple[Tensor, Tensor]:
    """The curvature gamma of a pair, and the change with which H stays positive definite."""
    product = step.dot(change)
    gamma = torch.where(product > 0, change.dot(change) / product, delta).clamp(min=delta)
    length = gamma * step.dot(step)
    share = torch.where(product < DAMPED * length, (1 - DAMPED) * length / (length - product), 1.0)
    return gamma, share * change + (1 - share) * gamma * step


def direction(grad: Tensor, steps: list[Tensor], changes: list[Tensor], gamma: Tensor | float) -> Tensor:
    """H times a gradient, by the two loops of L-BFGS."""
    pairs = [(step, change, 1 / step.dot(change)) for step, change in zip(steps, changes, strict=True)]
    result, factors = grad, []
    for step, change, inverse in reversed(pairs):
        factors.append(inverse * step.dot(result))
        result = result - factors[-1] * change
    result = result / gamma
    for (step, change, inverse), factor in zip(pairs, reversed(factors), strict=True):
        result = result + (factor - inverse * change.dot(result)) * step
    return result
