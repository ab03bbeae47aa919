"""Schedules against torch's own, weight decay and what both refuse."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR

from study.spec.schedules import Schedule, WeightDecay

STEPS = 100


def of_torch(make: type[LRScheduler], **settings: object) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler, rates = make(optimizer, **settings), []
    for _ in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_constant() -> None:
    assert (Schedule().multipliers(STEPS) == 1).all()


@pytest.mark.parametrize("at", [(30, 60, 80), (0.3, 0.6, 0.8), (0.3, 60, 0.8)])
def test_milestones_are_torchs(at: tuple[float, ...]) -> None:
    ours = Schedule(name="milestones", at=at, factor=0.2).multipliers(STEPS)
    np.testing.assert_allclose(ours, of_torch(MultiStepLR, milestones=[30, 60, 80], gamma=0.2))


def test_cosine_is_torchs() -> None:
    np.testing.assert_allclose(
        Schedule(name="cosine").multipliers(STEPS), of_torch(CosineAnnealingLR, T_max=STEPS), atol=1e-12
    )


def test_cosine_after_warm_up_is_a_whole_cosine() -> None:
    warmed = Schedule(name="cosine", warmup=20).multipliers(STEPS)
    np.testing.assert_allclose(warmed[:20], np.arange(1, 21) / 20)
    np.testing.assert_allclose(warmed[20:], Schedule(name="cosine").multipliers(STEPS - 20))


def test_inverse_square_root_is_the_transformers() -> None:
    t, warmup = np.arange(1, STEPS + 1), 10
    expected = (
        np.minimum(t**-0.5, t * warmup**-1.5) * warmup**0.5
    )  # Vaswani et al., equation 3, largest value 1
    np.testing.assert_allclose(Schedule(name="inverse-sqrt", warmup=warmup).multipliers(STEPS), expected)


def test_one_over_square_root() -> None:
    t = np.arange(1, STEPS + 1)
    np.testing.assert_allclose(Schedule(name="1/sqrt(t)").multipliers(STEPS), t**-0.5)
    warmed = Schedule(name="1/sqrt(t)", warmup=40).multipliers(STEPS)
    np.testing.assert_allclose(warmed[40:], t[:60] ** -0.5)


@pytest.mark.parametrize(
    "schedule", [Schedule(name="cosine", warmup=200), Schedule(name="cosine", warmup=100)]
)
def test_a_warm_up_as_long_as_training(schedule: Schedule) -> None:
    np.testing.assert_allclose(schedule.multipliers(STEPS), np.arange(1, STEPS + 1) / schedule.warmup)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("cosin", "'constant', 'milestones', 'cosine'"),
        ({"name": "milestones"}, "milestones need at"),
        ({"name": "milestones", "at": [0]}, "give steps, or fractions between 0 and 1"),
        ({"name": "cosine", "at": [0.5]}, "belong to milestones, not to cosine"),
        ({"name": "inverse-sqrt"}, "inverse-sqrt needs warmup"),
        ({"name": "cosine", "warmup": -1}, "greater than or equal to 0"),
        ({"name": "cosine", "warmup": 1.5}, "valid integer"),
        ({"name": "cosine", "wamup": 1}, "Extra inputs"),
    ],
)
def test_what_a_schedule_refuses(given: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Schedule.model_validate(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (-1.0, "greater than or equal to 0"),
        ({"value": 0.1, "kind": "adjusted"}, "reference_lr goes with kind = 'adjusted'"),
        ({"value": 0.1, "reference_lr": 0.1}, "reference_lr goes with kind = 'adjusted'"),
        ({"value": 0.1, "kind": "l2"}, "'L2', 'decoupled' or 'adjusted'"),
        (True, "valid number"),
    ],
)
def test_what_weight_decay_refuses(given: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        WeightDecay.model_validate(given)


def test_a_number_is_l2() -> None:
    assert WeightDecay.model_validate(5e-4) == WeightDecay(value=5e-4, kind="L2")
