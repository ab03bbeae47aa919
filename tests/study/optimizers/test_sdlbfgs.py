"""SdLBFGS against the matrices of its paper, written out."""

import numpy as np
import pytest
import torch

from study.optimizers.sdlbfgs import SdLBFGS
from study.training.block import Block, Recipe
from study.training.trainer import Trainer

STEPS, DIMENSIONS, HISTORY, LR, DELTA = 12, 6, 4, 0.3, 0.05


def loss_of(x: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Neither convex nor the same at every step."""
    return (torch.sin(x + shift) + 0.1 * x**2).sum() + 0.3 * x[0] * x[1]


def gradient_of(x: torch.Tensor, shift: torch.Tensor) -> np.ndarray:
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(loss_of(x, shift), x)[0].numpy()


def by_matrices(start: torch.Tensor, shifts: torch.Tensor) -> list[np.ndarray]:
    """The weights after each step; H and B as matrices, pair by pair."""
    x, gamma, path = start.numpy().copy(), 1.0, []
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    identity = np.eye(len(x))
    for shift in shifts:
        inverse = identity / gamma
        for s, y in pairs[-HISTORY:]:
            left = identity - np.outer(s, y) / (s @ y)
            inverse = left @ inverse @ left.T + np.outer(s, s) / (s @ y)
        assert np.linalg.eigvalsh(inverse).min() > 0
        grad = gradient_of(torch.tensor(x), shift)
        moved = x - LR * inverse @ grad
        s, y = moved - x, gradient_of(torch.tensor(moved), shift) - grad
        gamma = max(y @ y / (s @ y), DELTA)
        b = gamma * identity
        theta = 1.0
        if s @ y < 0.25 * s @ b @ s:
            theta = 0.75 * (s @ b @ s) / (s @ b @ s - s @ y)
        pairs.append((s, theta * y + (1 - theta) * b @ s))
        x = moved
        path.append(x)
    return path


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_papers(seed: int) -> None:
    source = torch.Generator().manual_seed(seed)
    start = torch.randn(DIMENSIONS, generator=source, dtype=torch.float64)
    shifts = torch.randn(STEPS, DIMENSIONS, generator=source, dtype=torch.float64)
    # two tensors, to be one vector
    parts = [start[:2].clone().requires_grad_(), start[2:].clone().view(2, 2).requires_grad_()]
    optimizer = SdLBFGS(parts, lr=LR, history=HISTORY, delta=DELTA)
    for shift, expected in zip(shifts, by_matrices(start, shifts), strict=True):

        def closure(shift: torch.Tensor = shift) -> torch.Tensor:
            optimizer.zero_grad()
            loss = loss_of(torch.cat([part.flatten() for part in parts]), shift)
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        optimizer.step(closure)
        found = torch.cat([part.detach().flatten() for part in parts]).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


def test_without_a_step_nothing_is_remembered() -> None:
    weight = torch.ones(2, requires_grad=True)
    optimizer = SdLBFGS([weight], lr=0.0)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (weight**2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    assert optimizer.step(closure) == 2
    assert optimizer.state[weight]["steps"] == []


@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"history": 0}, {"history": 1.5}, {"delta": 0.0}])
def test_what_is_not_allowed(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="is not allowed"):
        SdLBFGS([torch.ones(1)], **wrong)  # type: ignore[arg-type]


def test_at_the_minimum_it_stays() -> None:
    """Steps of 1e-20 and less there have products that no float32 holds."""
    weight = torch.tensor([3.0, -2.0], requires_grad=True)
    optimizer = SdLBFGS([weight], lr=0.9)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (weight**2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    for _ in range(100):
        optimizer.step(closure)
    assert weight.abs().max() < 1e-15


def test_a_study_trains_with_it() -> None:
    recipe = Recipe(
        "digits-mlp",
        "study.optimizers.sdlbfgs:SdLBFGS",
        options=(("delta", 1.0),),
        steps=100,
        method="one-by-one",
        compile=False,
    )
    given = {"lr": np.array([0.3]), "history": np.array([10.0])}
    outcome = Trainer(compile=False).train(Block(recipe, 0, given))
    assert outcome.diverged_at.tolist() == [-1]
    assert outcome.metrics["validation_error"][0] < 0.1
