"""What people train, fused and one by one: the same as a hand-written loop over the module, in any block."""

import functools
from collections.abc import Sequence

import known_workloads
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from known_workloads import ADVERSARIES, MODULES, shifted

from study.optimizers import OPTIMIZERS
from study.training.block import Block, Outcome, Recipe
from study.training.loop import to
from study.training.named import workload_named
from study.training.trainer import Trainer
from study.workloads.draws import seeded

RATES = np.array([0.003, 0.01, 0.03, 0.1])
STEPS, SEED = 12, 3
EPS = 1e-3
"""Not 1e-8, which makes steps of the rounding errors of gradients that are zero, such as a bias's before BatchNorm."""
EVERY = [*(f"known_workloads:{name}" for name in MODULES), "known_workloads:ADVERSARIES"]
COMPILED = ["known_workloads:dropout", "known_workloads:batch_norm_images"]
RANDOM = ["known_workloads:augmentation", "known_workloads:dropout", "known_workloads:ADVERSARIES"]
CPU = torch.device("cpu")


def block(
    workload: str,
    lanes: Sequence[int] = range(4),
    optimizer: str = "adam",
    dtype: str = "float32",
    **how: object,
) -> Block:
    recipe = Recipe(workload, optimizer, steps=STEPS, dtype=dtype, **how)  # type: ignore[arg-type]
    return Block(recipe, SEED, {"lr": RATES[list(lanes)], "eps": np.full(len(lanes), EPS)})


@functools.cache
def trainer(lanes: int, compile: bool) -> Trainer:
    return Trainer(lanes, compile=compile)


def by_hand(name: str, optimizer: str, rate: float) -> tuple[float, float, float]:
    """Validation and test loss after a loop as a user of torch writes it, and the mean of the last curve interval."""
    workload = workload_named(f"known_workloads:{name}")
    module = MODULES[name]().double().train()
    params, carry = workload.init(SEED)
    with torch.no_grad():
        for key, value in {**dict(module.named_parameters()), **dict(module.named_buffers())}.items():
            value.copy_((params | carry)[key])
    steps = OPTIMIZERS[optimizer]([w for w in module.parameters() if w.requires_grad], lr=rate, eps=EPS)
    batches, losses = workload.batches(SEED), []
    for number in range(1, STEPS + 1):
        batch = to(next(batches), "float64", CPU)
        draws = seeded(SEED, number)
        with draws.intercepted():
            x, labels = shifted(batch, draws) if name == "augmentation" else batch
            loss = F.cross_entropy(module(x), labels)
        steps.zero_grad()
        loss.backward()
        steps.step()
        losses.append(loss.item())
    module.eval()
    found = []
    for split in ("validation", "test"):
        (batch,) = workload.evaluation(SEED, split)
        x, labels = to(batch, "float64", CPU)
        found.append(F.cross_entropy(module(x), labels).item())
    return found[0], found[1], losses[-1]


@pytest.mark.parametrize("optimizer", ["adam", pytest.param("avagrad", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", MODULES)
def test_fused_is_one_by_one_is_by_hand(name: str, optimizer: str) -> None:
    given = {"optimizer": optimizer, "dtype": "float64"}
    ways = [
        trainer(4, False).train(block(f"known_workloads:{name}", method=m, **given))
        for m in ("fused", "one-by-one")
    ]
    if f"known_workloads:{name}" in COMPILED:
        ways.append(trainer(4, True).train(block(f"known_workloads:{name}", **given)))
    for lane, rate in enumerate(RATES):
        validation, test, last = by_hand(name, optimizer, rate)
        for outcome in ways:
            assert outcome.metrics["validation_loss"][lane] == pytest.approx(validation, rel=1e-10)
            assert outcome.metrics["test_loss"][lane] == pytest.approx(test, rel=1e-10)
            assert outcome.metrics["train_loss"][lane] == pytest.approx(last, rel=1e-10)


@pytest.mark.parametrize("name", MODULES)
def test_torchs_optimizer_is_the_rule(name: str) -> None:
    workload = f"known_workloads:{name}"
    theirs = block(workload, optimizer="torch.optim:Adam", dtype="float64", method="one-by-one")
    ours = trainer(4, False).train(block(workload, dtype="float64"))
    outcome = trainer(4, False).train(theirs)
    for metric, values in ours.metrics.items():
        np.testing.assert_allclose(outcome.metrics[metric], values, rtol=1e-9, err_msg=metric)


def adversaries_by_hand(rate: float) -> tuple[float, float]:
    """The metric, and the mean over the last curve interval of the losses' sum."""
    params, carry = ADVERSARIES.init(SEED)
    weights = {name: w.double().requires_grad_() for name, w in params.items()}
    sides = [[w for name, w in weights.items() if name.startswith(side)] for side in ("d.", "g.")]
    discriminators, generators = [OPTIMIZERS["adam"](side, lr=rate, eps=EPS) for side in sides]
    turns = [(discriminators, sides[0]), (discriminators, sides[0]), (generators, sides[1])]
    batches, total = ADVERSARIES.batches(SEED), 0.0
    for number in range(1, STEPS + 1):
        batch, draws, total = to(next(batches), "float64", CPU), seeded(SEED, number), 0.0
        for phase, (optimizer, side) in zip(ADVERSARIES.phases, turns, strict=True):
            loss, carry = phase.loss(weights, carry, batch, draws)
            for weight, grad in zip(side, torch.autograd.grad(loss, side), strict=True):
                weight.grad = grad
            optimizer.step()
            total += loss.item()
    with torch.no_grad():
        (batch,) = ADVERSARIES.evaluation(SEED, "validation")
        mean = ADVERSARIES.generate(weights, batch[0].double()).mean()
    return abs(mean.item() - 2), total


@pytest.mark.parametrize(
    ("optimizer", "method"), [("adam", "fused"), ("adam", "one-by-one"), ("torch.optim:Adam", "one-by-one")]
)
def test_phases(optimizer: str, method: str) -> None:
    trial = block("known_workloads:ADVERSARIES", optimizer=optimizer, method=method, dtype="float64")
    outcome = trainer(4, False).train(trial)
    for lane, rate in enumerate(RATES):
        distance, last = adversaries_by_hand(rate)
        assert outcome.metrics["validation_distance"][lane] == pytest.approx(distance, rel=1e-10)
        assert outcome.metrics["train_loss"][lane] == pytest.approx(last, rel=1e-10)


def assert_same(part: Outcome, whole: Outcome, lanes: Sequence[int]) -> None:
    chosen = list(lanes)
    np.testing.assert_array_equal(part.curve, whole.curve[chosen])
    for name, values in whole.metrics.items():
        np.testing.assert_array_equal(part.metrics[name], values[chosen], err_msg=name)


@pytest.mark.parametrize(
    ("workload", "compile"),
    [
        *((name, False) for name in EVERY),
        (COMPILED[0], True),
        *(pytest.param(name, True, marks=pytest.mark.slow) for name in COMPILED[1:]),
    ],
)
def test_bits_do_not_depend_on_the_block(workload: str, compile: bool) -> None:
    whole = trainer(4, compile).train(block(workload))
    assert len(set(whole.metrics["train_loss"])) == 4
    assert_same(trainer(4, compile).train(block(workload, [3, 1, 0, 2])), whole, [3, 1, 0, 2])
    assert_same(trainer(4, compile).train(block(workload, [2])), whole, [2])
    assert_same(Trainer(2, compile=compile).train(block(workload, [0, 3])), whole, [0, 3])
    if not compile:
        assert_same(Trainer(7, compile=False).train(block(workload)), whole, range(4))


@pytest.mark.parametrize("workload", RANDOM)
def test_two_runs_are_equal(workload: str) -> None:
    for method in ("fused", "one-by-one"):
        one, other = (Trainer(4, compile=False).train(block(workload, method=method)) for _ in range(2))
        assert_same(one, other, range(4))


def test_equal_seeds_share_masks_and_others_do_not() -> None:
    """Dropout with a rate of zero: the losses of all lanes are one trial's."""
    recipe = Recipe("known_workloads:dropout", "sgd", steps=3)
    still, other = (
        trainer(4, False).train(Block(recipe, seed, {"lr": np.array([0.0, 1e-30])})).metrics["train_loss"]
        for seed in (0, 1)
    )
    assert still[0] == still[1] != other[0]


def test_running_statistics_are_the_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """After twelve steps BatchNorm has counted twelve, in integers."""
    seen = []
    original = known_workloads.ModuleWorkload.evaluate

    def evaluate(self: object, params: object, carry: dict[str, torch.Tensor], batch: object) -> object:
        seen.append(carry["1.num_batches_tracked"])
        return original(self, params, carry, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(known_workloads.ModuleWorkload, "evaluate", evaluate)
    trial = block("known_workloads:batch_norm", [0], optimizer="torch.optim:Adam", method="one-by-one")
    Trainer(compile=False).train(trial)
    assert seen[-1].dtype == torch.int64
    assert seen[-1].item() == STEPS
