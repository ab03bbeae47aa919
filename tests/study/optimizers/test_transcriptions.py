"""Rules against their algorithm boxes, written out literally in numpy, one loop each.

These are the optimizers that no other library has as published or as released. Each transcription takes the
parameters and the list of gradients (lists of float64 arrays) and gives the final parameters.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from study.optimizers import OPTIMIZERS

Array = NDArray[np.float64]
Arrays = list[Array]
SHAPES = ((3, 4), (5,), (2, 2, 3))
STEPS = 30


def per_tensor(one: Callable[..., Array]) -> Callable[..., Arrays]:
    """`one(w, gradients, **settings)` for every tensor on its own."""

    def run(w: Arrays, grads: Sequence[Arrays], **settings: object) -> Arrays:
        return [one(each, [step[i] for step in grads], **settings) for i, each in enumerate(w)]

    return run


def all_tensors(one: Callable[..., Array]) -> Callable[..., Arrays]:
    """`one(w, gradients, **settings)` for all tensors as one vector."""

    def run(w: Arrays, grads: Sequence[Arrays], **settings: object) -> Arrays:
        flat = [np.concatenate([each.ravel() for each in step]) for step in (w, *grads)]
        ends = np.cumsum([each.size for each in w])[:-1]
        parts = np.split(one(flat[0], flat[1:], **settings), ends)
        return [part.reshape(each.shape) for part, each in zip(parts, w, strict=True)]

    return run


@all_tensors
def avagrad(
    w: Array,
    grads: Sequence[Array],
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> Array:
    m, v, d = np.zeros_like(w), np.zeros_like(w), len(w)
    for g in grads:
        g = g + weight_decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        eta = 1 / (np.sqrt(v) + eps)
        w = w - lr * eta / np.linalg.norm(eta / np.sqrt(d)) * m
        v = betas[1] * v + (1 - betas[1]) * g**2
    return w


@per_tensor
def apollo(
    w: Array,
    grads: Sequence[Array],
    *,
    lr: float,
    beta: float = 0.9,
    eps: float = 1e-4,
    sigma: float,
    rebound: str = "constant",
    warmup: int = 0,
    init_lr: float = 0.0,
    weight_decay: float = 0.0,
    weight_decay_type: str = "L2",
    scale_eps: bool = True,
) -> Array:
    """Apollo in the paper's terms, N^4 and all."""
    m, B, d = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(grads, 1):
        if weight_decay_type == "L2":
            g = g + weight_decay * w
        eta = init_lr + (lr - init_lr) * (t - 1) / warmup if t <= warmup else lr
        a = (1 - beta) / (1 - beta**t)
        previous = m
        m = previous + a * (g - previous)
        norm = np.sum(d**4) ** 0.25 + (eps / sigma if rebound == "constant" and scale_eps else eps)
        alpha = (np.vdot(d, m - previous) + np.vdot(d * B, d)) / norm**4
        B = B - alpha * d**2
        if rebound == "constant":
            D = np.maximum(np.abs(B), sigma)
        else:
            D = np.maximum(np.abs(B), np.abs(g - previous).max()) + eps / a
        d = m / D
        if weight_decay_type == "decoupled":
            d = d + weight_decay * w
        elif weight_decay_type == "stable":
            d = d + weight_decay / D.mean() * w
        w = w - eta * d
    return w


@per_tensor
def nosadam(
    w: Array,
    grads: Sequence[Array],
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    gamma: float,
    lr_decay: bool,
) -> Array:
    beta1 = betas[0]
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(grads, 1):
        g = g + weight_decay * w
        b = [sum(k**-gamma for k in range(1, until + 1)) for until in (t - 1, t)]
        beta2 = b[0] / b[1]
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        rate = lr / np.sqrt(t) if lr_decay else lr
        w = w - rate * m / (1 - beta1**t) / (np.sqrt(v) + eps)
    return w


@per_tensor
def adal(
    w: Array,
    grads: Sequence[Array],
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    lr_decay: bool,
) -> Array:
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(grads, 1):
        g = g + weight_decay * w
        g = np.abs(g).sum() * g
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        rate = lr / np.sqrt(t) if lr_decay else lr
        w = w - rate * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
    return w


@per_tensor
def delayed_adam(
    w: Array,
    grads: Sequence[Array],
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    bias_correction: bool,
) -> Array:
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(grads, 1):
        g = g + weight_decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        if t > 1:
            bc1, bc2 = (1 - betas[0] ** t, 1 - betas[1] ** (t - 1)) if bias_correction else (1, 1)
            w = w - lr * (m / bc1) / (np.sqrt(v / bc2) + eps)
        v = betas[1] * v + (1 - betas[1]) * g**2
    return w


@per_tensor
def dynamic_eps_adam(
    w: Array,
    grads: Sequence[Array],
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    eps_power: float,
    weight_decay: float,
    scale_lr: bool,
    bias_correction: bool,
) -> Array:
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(grads, 1):
        g = g + weight_decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        eps_t = eps * t**eps_power
        bc1, bc2 = (1 - betas[0] ** t, 1 - betas[1] ** t) if bias_correction else (1, 1)
        w = w - lr * (eps_t if scale_lr else 1) * (m / bc1) / (np.sqrt(v / bc2) + eps_t)
    return w


@per_tensor
def padam(
    w: Array,
    grads: Sequence[Array],
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    amsgrad: bool,
    partial: float,
) -> Array:
    m, v, largest = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(grads, 1):
        g = g + weight_decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        largest = np.maximum(largest, v)
        rate = lr * np.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)
        w = w - rate * m / (np.sqrt(largest if amsgrad else v) + eps) ** (2 * partial)
    return w


@per_tensor
def adabound(
    w: Array,
    grads: Sequence[Array],
    *,
    lr: float,
    betas: tuple[float, float],
    final_lr: float,
    gamma: float,
    eps: float,
    weight_decay: float,
    amsbound: bool,
) -> Array:
    m, v, largest = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(grads, 1):
        g = g + weight_decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        largest = np.maximum(largest, v)
        rate = lr * np.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)
        rate = rate / (np.sqrt(largest if amsbound else v) + eps)
        w = w - np.clip(rate, final_lr * (1 - 1 / (gamma * t + 1)), final_lr * (1 + 1 / (gamma * t))) * m
    return w


@per_tensor
def yogi(
    w: Array,
    grads: Sequence[Array],
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    initial_accumulator: float,
    weight_decay: float,
) -> Array:
    m, v = np.zeros_like(w), np.full_like(w, initial_accumulator)
    for t, g in enumerate(grads, 1):
        g = g + weight_decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = v - (1 - betas[1]) * np.sign(v - g**2) * g**2
        w = w - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
    return w


@all_tensors
def avagradw(
    w: Array,
    grads: Sequence[Array],
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> Array:
    m, v, gamma = np.zeros_like(w), np.zeros_like(w), 0.0
    for t, g in enumerate(grads, 1):
        m = betas[0] * m + (1 - betas[0]) * g
        if t > 1:
            w = w * (1 - lr * weight_decay)
            root = np.sqrt(v / (1 - betas[1] ** (t - 1))) + eps
            w = w - lr * gamma * (m / (1 - betas[0] ** t)) / root
        e = np.sqrt(v / (1 - betas[1] ** t)) + eps
        v = betas[1] * v + (1 - betas[1]) * g**2
        gamma = 1 / np.sqrt(np.mean(e**-2.0))
    return w


B = (0.8, 0.95)
CASES: list[tuple[str, Callable[..., Arrays], dict[str, Any]]] = [
    *(
        ("avagrad", avagrad, {"lr": 0.3, "betas": B, "eps": eps, "weight_decay": decay})
        for eps in (1e-8, 1e-3, 0.1, 100.0)
        for decay in (0.0, 0.1)
    ),
    ("avagradw", avagradw, {"lr": 0.1, "betas": B, "eps": 0.1, "weight_decay": 0.0}),
    ("avagradw", avagradw, {"lr": 0.3, "betas": B, "eps": 1e-3, "weight_decay": 0.1}),
    ("apollo", apollo, {"lr": 0.01, "sigma": 0.01, "warmup": 0}),
    ("apollo", apollo, {"lr": 1.0, "sigma": 1.0, "warmup": 20, "init_lr": 1e-3, "weight_decay": 0.1}),
    ("apollo", apollo, {"lr": 1.0, "sigma": 0.5, "beta": 0.5, "eps": 1e-3, "warmup": 0, "scale_eps": False}),
    ("apollo", apollo, {"lr": 0.1, "sigma": 0.01, "rebound": "belief", "warmup": 10, "init_lr": 1e-3}),
    *(
        (
            "apollo",
            apollo,
            {
                "lr": 0.5,
                "sigma": 1.0,
                "warmup": 0,
                "weight_decay": 0.1,
                "weight_decay_type": kind,
                "rebound": rebound,
            },
        )
        for kind in ("decoupled", "stable")
        for rebound in ("constant", "belief")
    ),
    *(
        (
            "nosadam",
            nosadam,
            {"lr": 0.01, "betas": B, "eps": 1e-8, "weight_decay": 0.1, "gamma": gamma, "lr_decay": decay},
        )
        for gamma, decay in ((0.0, False), (1e-4, False), (0.5, True))
    ),
    *(
        ("adal", adal, {"lr": 0.01, "betas": B, "eps": 1e-3, "weight_decay": 0.1, "lr_decay": decay})
        for decay in (False, True)
    ),
    *(
        (
            "delayed-adam",
            delayed_adam,
            {"lr": 0.01, "betas": B, "eps": 1e-3, "weight_decay": 0.1, "bias_correction": correct},
        )
        for correct in (False, True)
    ),
    *(
        (
            "dynamic-eps-adam",
            dynamic_eps_adam,
            {
                "lr": 0.01,
                "betas": B,
                "eps": 0.1,
                "eps_power": 1.5,
                "weight_decay": 0.1,
                "scale_lr": scale,
                "bias_correction": correct,
            },
        )
        for scale, correct in ((True, True), (True, False), (False, True))
    ),
    *(
        (
            "padam",
            padam,
            {"lr": 0.1, "betas": B, "eps": 1e-4, "weight_decay": 0.1, "amsgrad": amsgrad, "partial": partial},
        )
        for amsgrad, partial in ((True, 0.125), (True, 0.5), (False, 0.25))
    ),
    *(
        (
            "adabound",
            adabound,
            {
                "lr": 0.01,
                "betas": B,
                "final_lr": 0.1,
                "gamma": 0.05,
                "eps": 1e-8,
                "weight_decay": 0.1,
                "amsbound": amsbound,
            },
        )
        for amsbound in (False, True)
    ),
    *(
        (
            "yogi",
            yogi,
            {"lr": 0.01, "betas": B, "eps": 1e-3, "initial_accumulator": start, "weight_decay": 0.1},
        )
        for start in (0.0, 1e-6, 0.1)
    ),
]


@pytest.mark.parametrize(("name", "transcription", "settings"), CASES)
def test_rule_is_the_algorithm(
    name: str, transcription: Callable[..., Arrays], settings: dict[str, Any]
) -> None:
    source = np.random.default_rng(0)
    start = [source.normal(size=shape) for shape in SHAPES]
    grads = [[source.normal(size=shape) for shape in SHAPES] for _ in range(STEPS)]
    for step in grads:  # of very different sizes, some entries always zero
        step[0][0] *= 1e-4
        step[1][:2] = 0
    expected = transcription([each.copy() for each in start], grads, **settings)

    params = [torch.from_numpy(each.copy()).requires_grad_() for each in start]
    optimizer = OPTIMIZERS[name](params, **settings)
    for step in grads:
        for param, grad in zip(params, step, strict=True):
            param.grad = torch.from_numpy(grad.copy())
        optimizer.step()
    for param, wanted in zip(params, expected, strict=True):
        np.testing.assert_allclose(param.detach().numpy(), wanted, rtol=0, atol=1e-10)
