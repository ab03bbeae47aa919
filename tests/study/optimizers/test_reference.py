"""One suite for every optimizer: against independent references, and as a well-behaved torch optimizer."""

import copy
import pickle
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import pytorch_optimizer
import torch
from torch import Tensor

from study.optimizers import OPTIMIZERS, Adam, AvaGrad, AvaGradOfficial, RuleOptimizer

SHAPES = ((3, 4), (5,), (2, 2, 3))
STEPS = 30
CLASSES = list(OPTIMIZERS.values())


def parameters(seed: int = 0) -> list[Tensor]:
    source = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=source, dtype=torch.float64).requires_grad_() for s in SHAPES]


def gradients(steps: int = STEPS) -> Iterator[list[Tensor]]:
    """Gradients of very different sizes, some entries always zero, as dead inputs give."""
    source = torch.Generator().manual_seed(1)
    for _ in range(steps):
        grads = [torch.randn(s, generator=source, dtype=torch.float64) for s in SHAPES]
        grads[0][0] *= 1e-4
        grads[1][:2] = 0
        yield grads


def train(optimizer: torch.optim.Optimizer, params: list[Tensor], grads: Iterator[list[Tensor]]) -> Tensor:
    for step in grads:
        for param, grad in zip(params, step, strict=True):
            param.grad = grad.clone()
        optimizer.step()
    return torch.cat([param.detach().flatten() for param in params])


def run(make: Callable[..., torch.optim.Optimizer], **settings: object) -> Tensor:
    params = parameters()
    return train(make(params, **settings), params, gradients())


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3},
        {"lr": 0.01, "weight_decay": 0.1},
        {"betas": (0.0, 0.99), "eps": 10.0},
    ],
)
def test_adam_is_torchs_adam(settings: dict[str, object]) -> None:
    torch.testing.assert_close(run(Adam, **settings), run(torch.optim.Adam, **settings), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "settings",
    [{}, {"lr": 0.5, "eps": 1e-8}, {"lr": 0.01, "betas": (0.5, 0.9), "eps": 1.0, "weight_decay": 0.1}],
)
def test_avagrad_official_is_the_released_class(settings: dict[str, object]) -> None:
    ours = run(AvaGradOfficial, **settings)
    released = run(pytorch_optimizer.AvaGrad, **{"lr": 0.1, "eps": 0.1, **settings}, weight_decouple=False)
    torch.testing.assert_close(ours, released, rtol=0, atol=1e-12)


@pytest.mark.parametrize("eps", [1e-8, 1e-3, 0.1, 100.0])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_avagrad_is_algorithm_1(eps: float, decay: float) -> None:
    alpha, beta1, beta2 = 0.3, 0.8, 0.95
    w = np.concatenate([p.detach().numpy().ravel() for p in parameters()])
    m, v, d = np.zeros_like(w), np.zeros_like(w), len(w)
    for step in gradients():
        g = np.concatenate([grad.numpy().ravel() for grad in step]) + decay * w
        m = beta1 * m + (1 - beta1) * g
        eta = 1 / (np.sqrt(v) + eps)
        w = w - alpha * eta / np.linalg.norm(eta / np.sqrt(d)) * m
        v = beta2 * v + (1 - beta2) * g**2
    ours = run(AvaGrad, lr=alpha, betas=(beta1, beta2), eps=eps, weight_decay=decay)
    np.testing.assert_allclose(ours.numpy(), w, rtol=0, atol=1e-12)


def test_the_two_avagrads_differ() -> None:
    assert (run(AvaGrad) - run(AvaGradOfficial)).abs().max() > 1e-3


@pytest.mark.parametrize("cls", CLASSES)
def test_state_dict_continues_identically(cls: type[RuleOptimizer]) -> None:
    undisturbed = run(cls)
    steps = list(gradients())
    first = parameters()
    before = cls(first)
    train(before, first, iter(steps[:11]))
    resumed = [param.detach().clone().requires_grad_() for param in first]
    after = cls(resumed, lr=123.0)
    after.load_state_dict(before.state_dict())
    assert torch.equal(train(after, resumed, iter(steps[11:])), undisturbed)


@pytest.mark.parametrize("cls", CLASSES)
def test_copies_and_pickles(cls: type[RuleOptimizer]) -> None:
    optimizer = cls(parameters())
    assert type(pickle.loads(pickle.dumps(optimizer))) is cls
    assert copy.deepcopy(optimizer).state_dict() == optimizer.state_dict()


@pytest.mark.parametrize("cls", CLASSES)
def test_groups_are_separate_models(cls: type[RuleOptimizer]) -> None:
    together, alone = parameters(), parameters()
    grouped = cls([{"params": together[:1], "lr": 0.5}, {"params": together[1:], "eps": 0.3}])
    singles = [cls(alone[:1], lr=0.5), cls(alone[1:], eps=0.3)]
    for step in gradients():
        for params in (together, alone):
            for param, grad in zip(params, step, strict=True):
                param.grad = grad.clone()
        grouped.step()
        for single in singles:
            single.step()
    for one, other in zip(together, alone, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("cls", CLASSES)
def test_closure_is_evaluated_with_gradients_on(cls: type[RuleOptimizer]) -> None:
    (param,) = parameters()[:1]
    optimizer = cls([param], lr=0.1)
    losses = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (param**2).sum()
        loss.backward()
        return loss

    for _ in range(20):
        losses.append(optimizer.step(closure).item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("cls", CLASSES)
def test_a_parameter_that_joins_late_starts_at_its_own_first_step(cls: type[RuleOptimizer]) -> None:
    late, early = (torch.ones(3, dtype=torch.float64).requires_grad_() for _ in range(2))
    optimizer = cls([early, late])
    for count in range(6):
        early.grad = torch.ones_like(early)
        late.grad = torch.ones_like(late) if count >= 5 else None
        optimizer.step()
    alone = torch.ones(3, dtype=torch.float64).requires_grad_()
    alone.grad = torch.ones_like(alone)
    cls([alone]).step()
    assert torch.equal(late, alone)


@pytest.mark.parametrize("cls", CLASSES)
def test_scheduler_changes_the_learning_rate(cls: type[RuleOptimizer]) -> None:
    params = parameters()
    optimizer = cls(params, lr=0.1)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1], gamma=0.0)
    steps = gradients(2)
    train(optimizer, params, iter([next(steps)]))
    scheduler.step()
    before = [param.detach().clone() for param in params]
    train(optimizer, params, iter([next(steps)]))
    assert all(torch.equal(old, new) for old, new in zip(before, params, strict=True))


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": -1.0}, "lr = -1.0 is not allowed"),
        ({"betas": (0.9, 1.0)}, "beta2 = 1.0 is not allowed"),
        ({"betas": 0.9}, "betas = 0.9 is not allowed: give 2 numbers"),
        ({"lr": 10**400}, "is not allowed"),
        ({"eps": -1e-8}, "eps = -1e-08 is not allowed"),
        ({"weight_decay": float("nan")}, "weight_decay = nan is not allowed"),
    ],
)
def test_bad_hyperparameters_are_refused(
    cls: type[RuleOptimizer], settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        cls(parameters(), **settings)


@pytest.mark.parametrize("cls", CLASSES)
def test_sparse_gradients_are_refused(cls: type[RuleOptimizer]) -> None:
    param = torch.ones(3, requires_grad=True)
    param.grad = torch.ones(3).to_sparse()
    with pytest.raises(RuntimeError, match="dense real gradients only"):
        cls([param]).step()


def test_unknown_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="momentum"):
        Adam(parameters(), momentum=0.9)
