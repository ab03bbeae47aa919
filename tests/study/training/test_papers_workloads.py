"""The papers' workloads, fused and one by one: the same as a hand-written loop, in any block; they learn and diverge.

All at sizes for tests, in float64, so that one traced program serves all tests of a workload.
"""

import functools
import itertools
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from study.optimizers import OPTIMIZERS
from study.training.block import Block, Outcome, Recipe
from study.training.loop import to
from study.training.named import workload_named
from study.training.trainer import Trainer
from study.workloads import ModuleWorkload
from study.workloads.draws import seeded

SIZES: dict[str, dict[str, Any]] = {
    "wrn": {"augment": True},
    "resnet-cifar": {"width": 4},
    "resnet": {"width": 4},
    "resnext": {"width": 4, "groups": 2},
    "densenet": {"blocks": [1, 1], "growth": 4},
}
RATES = np.array([0.002, 0.01, 1e300])
"""Of Adam; the last one diverges."""
EPS, STEPS, SEED = 1e-3, 8, 3
IMAGES = [name for name in SIZES if name in ("wrn", "resnet-cifar", "resnet", "resnext", "densenet")]
CPU = torch.device("cpu")


@functools.cache
def trainer() -> Trainer:
    return Trainer(3, compile=False)


def train(name: str, lanes: Sequence[int] = range(3), method: str = "fused") -> Outcome:
    settings = json.dumps(SIZES[name], sort_keys=True)
    recipe = Recipe(
        name, "adam", steps=STEPS, dtype="float64", settings=settings, method=method, compile=False
    )
    given = {"lr": RATES[list(lanes)], "eps": np.full(len(lanes), EPS)}
    return trainer().train(Block(recipe, SEED, given))


@functools.cache
def whole(name: str) -> Outcome:
    return train(name)


def image_losses(name: str, rate: float) -> list[float]:
    """Training losses and the validation loss of a loop as a user of torch writes it."""
    workload = workload_named(name, json.dumps(SIZES[name], sort_keys=True))
    assert isinstance(workload, ModuleWorkload)
    module = workload.module(SEED).double().train()
    optimizer = OPTIMIZERS["adam"](module.parameters(), lr=rate, eps=EPS)
    mean, deviation = 4.884, 6.017

    def pixels(stored: torch.Tensor) -> torch.Tensor:
        return ((stored.float() - mean) / deviation).double()

    losses = []
    for number, (stored, labels) in enumerate(itertools.islice(workload.batches(SEED), STEPS), 1):
        images = pixels(stored)
        if name == "wrn":
            draws = seeded(SEED, number)
            flips = draws.uniform(len(images)) < 0.5
            down, right = (draws.integers(0, 3, len(images)) for _ in range(2))
            crops = zip(images, flips, down, right, strict=True)
            images = torch.stack(
                [F.pad(x.flip(2) if f else x, (1, 1, 1, 1))[:, d : d + 8, r : r + 8] for x, f, d, r in crops]
            )
        loss = F.cross_entropy(module(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    module.eval()
    ((stored, labels),) = workload.evaluation(SEED, "validation")
    return [*losses, F.cross_entropy(module(pixels(stored)), labels).item()]


@pytest.mark.parametrize("name", IMAGES)
def test_it_is_a_plain_loop_over_the_module(name: str) -> None:
    one_by_one = train(name, [0, 1], "one-by-one")
    for lane in (0, 1):
        *losses, validation = image_losses(name, RATES[lane])
        for outcome in (whole(name), one_by_one):
            assert outcome.metrics["validation_loss"][lane] == pytest.approx(validation, rel=1e-9)
            assert outcome.metrics["train_loss"][lane] == pytest.approx(losses[-1], rel=1e-9)


@pytest.mark.parametrize("name", SIZES)
def test_bits_do_not_depend_on_the_block_and_divergence_is_noticed(name: str) -> None:
    every = whole(name)
    for lanes in ([1], [2, 1, 0]):
        part = train(name, lanes)
        np.testing.assert_array_equal(part.curve, every.curve[lanes])
        np.testing.assert_array_equal(part.diverged_at, every.diverged_at[lanes])
        for metric, values in every.metrics.items():
            np.testing.assert_array_equal(part.metrics[metric], values[lanes], err_msg=metric)
    assert every.diverged_at[:2].tolist() == [-1, -1]
    assert 0 < every.diverged_at[2] <= STEPS
    workload = workload_named(name, json.dumps(SIZES[name], sort_keys=True))
    assert every.curve[2, -1] == workload.worst
    assert math.isfinite(workload.worst)


@pytest.mark.parametrize("name", SIZES)
def test_the_loss_falls(name: str) -> None:
    """Trained for some more steps, one by one."""
    settings = json.dumps(SIZES[name], sort_keys=True)
    workload = workload_named(name, settings)
    recipe = Recipe(name, "adam", steps=40, settings=settings, method="one-by-one", compile=False)
    outcome = trainer().train(Block(recipe, 0, {"lr": np.array([0.01])}))
    params, carry = workload.init(0)
    batch = to(next(workload.batches(0)), "float32", CPU)
    first, _ = workload.phases[0].loss(params, carry, batch, seeded(0, 1))
    assert outcome.metrics["train_loss"][0] < 0.7 * first.item()
    assert outcome.metrics[workload.metric][0] < workload.worst
