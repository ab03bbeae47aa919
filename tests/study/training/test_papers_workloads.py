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
from study.workloads.data.image_set import image_set
from study.workloads.draws import seeded
from study.workloads.features import classifier
from study.workloads.gan import GanWorkload
from study.workloads.networks.dcgan import Discriminator, Generator
from study.workloads.synthetic import quadratic_form

SIZES: dict[str, dict[str, Any]] = {
    "wrn": {"augment": True},
    "resnet-cifar": {"width": 4},
    "resnet": {"width": 4},
    "resnext": {"width": 4, "groups": 2},
    "densenet": {"blocks": [1, 1], "growth": 4},
    "avagrad-equation-11": {},
    "rastrigin": {},
    "rosenbrock": {},
    "noisy-quadratic": {"rotation": 30.0},
    "char-lstm": {"layers": 1, "hidden": 8, "length": 4, "batch": 16, "weight_drop": 0.3, "dropout": 0.1},
    "word-lstm": {"layers": 1, "embedding": 8, "hidden": 16, "length": 6, "cutoffs": [20, 100], "rarest": 20},
    "transformer": {"layers": 1, "width": 8, "heads": 2, "inner": 8, "batch": 16, "dropout": 0.1},
    "dcgan": {"latent": 4, "width": 4, "batch": 16},
}
RATES = np.array([0.002, 0.01, 1e308])
"""Of Adam; the last one diverges."""
EPS, STEPS, SEED = 1e-3, 3, 3
EXTRA = ("densenet", "resnext")
"""Held by what the others hold, too, and longer in it."""
IMAGES = [name for name in SIZES if name in ("wrn", "resnet-cifar", "resnet", "resnext", "densenet")]
FUNCTIONS = ["avagrad-equation-11", "rastrigin", "rosenbrock", "noisy-quadratic"]
CPU = torch.device("cpu")


@functools.cache
def trainer() -> Trainer:
    return Trainer(3, compile=False)


def train(
    name: str, lanes: Sequence[int] = range(3), method: str = "fused", optimizer: str = "adam"
) -> Outcome:
    settings = json.dumps(SIZES[name], sort_keys=True)
    recipe = Recipe(
        name, optimizer, steps=STEPS, dtype="float64", settings=settings, method=method, compile=False
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


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in EXTRA else ()) for name in IMAGES]
)
def test_it_is_a_plain_loop_over_the_module(name: str) -> None:
    one_by_one = train(name, [0, 1], "one-by-one")
    for lane in (0, 1):
        *losses, validation = image_losses(name, RATES[lane])
        for outcome in (whole(name), one_by_one):
            assert outcome.metrics["validation_loss"][lane] == pytest.approx(validation, rel=1e-9)
            assert outcome.metrics["train_loss"][lane] == pytest.approx(losses[-1], rel=1e-9)


def language_losses(name: str, rate: float) -> list[float]:
    """Training losses and validation nats of a loop over the module, whose buffers carry the state."""
    workload = workload_named(name, json.dumps(SIZES[name], sort_keys=True))
    assert isinstance(workload, ModuleWorkload)
    module = workload.module(SEED).double().train()
    optimizer = OPTIMIZERS["adam"](module.parameters(), lr=rate, eps=EPS)
    losses = []
    for number, (inputs, targets) in enumerate(itertools.islice(workload.batches(SEED), STEPS), 1):
        with seeded(SEED, number).intercepted():
            scores = module(inputs)
        loss = F.cross_entropy(scores.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    module.eval()
    total = count = 0.0
    with torch.no_grad():
        for inputs, targets in workload.evaluation(SEED, "validation"):
            scores = module(inputs)[:, targets.shape[1] :]
            total += F.cross_entropy(scores.flatten(0, 1), targets.flatten(), reduction="sum").item()
            count += targets.numel()
    return [*losses, total / count]


@pytest.mark.parametrize("name", ["char-lstm", "word-lstm"])
def test_it_is_a_plain_loop_over_the_language_model(name: str) -> None:
    one_by_one = train(name, [0, 1], "one-by-one")
    for lane in (0, 1):
        *losses, validation = language_losses(name, RATES[lane])
        for outcome in (whole(name), one_by_one):
            if name == "char-lstm":
                nats = outcome.metrics["validation_bits"][lane] * math.log(2)
            else:
                nats = math.log(outcome.metrics["validation_perplexity"][lane])
            assert nats == pytest.approx(validation, rel=1e-9)
            assert outcome.metrics["train_loss"][lane] == pytest.approx(losses[-1], rel=1e-9)


def translation_losses(rate: float) -> list[float]:
    """Training losses, cross-entropy a token and token error of a loop over the module, padding left out."""
    workload = workload_named("transformer", json.dumps(SIZES["transformer"], sort_keys=True))
    assert isinstance(workload, ModuleWorkload)
    module = workload.module(SEED).double().train()
    optimizer = OPTIMIZERS["adam"](module.parameters(), lr=rate, eps=EPS)
    losses = []
    for number, (source, before, target) in enumerate(itertools.islice(workload.batches(SEED), STEPS), 1):
        with seeded(SEED, number).intercepted():
            scores = module(source, before)[target != 0]
        loss = F.cross_entropy(scores, target[target != 0], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    module.eval()
    source, before, target = (
        torch.cat(parts) for parts in zip(*workload.evaluation(SEED, "validation"), strict=True)
    )
    with torch.no_grad():
        scores, target = module(source, before)[target != 0], target[target != 0]
    error = (scores.argmax(1) != target).double().mean()
    return [*losses, F.cross_entropy(scores, target).item(), error.item()]


def test_it_is_a_plain_loop_over_the_transformer() -> None:
    one_by_one = train("transformer", [0, 1], "one-by-one")
    for lane in (0, 1):
        *losses, cross_entropy, error = translation_losses(RATES[lane])
        for outcome in (whole("transformer"), one_by_one):
            assert outcome.metrics["validation_cross_entropy"][lane] == pytest.approx(cross_entropy, rel=1e-9)
            assert outcome.metrics["validation_error"][lane] == pytest.approx(error, rel=1e-9)
            assert outcome.metrics["train_loss"][lane] == pytest.approx(losses[-1], rel=1e-9)


def gan_by_hand(rate: float) -> tuple[float, float]:
    """The losses' sum at the last step, and the Fréchet distance, of a loop over both networks."""
    workload = workload_named("dcgan", json.dumps(SIZES["dcgan"], sort_keys=True))
    assert isinstance(workload, GanWorkload)
    tensors = {name: w for part in workload.init(SEED) for name, w in part.items()}
    networks = Generator(4, 8, 1, 2, 4).double().train(), Discriminator(8, 1, 2, 4).double().train()
    generator, discriminator = networks
    for network, side in zip(networks, ("generator.", "discriminator."), strict=True):
        network.load_state_dict({k.removeprefix(side): w for k, w in tensors.items() if k.startswith(side)})
    adam = [OPTIMIZERS["adam"](network.parameters(), lr=rate, eps=EPS) for network in networks]
    total = 0.0
    for number, batch in enumerate(itertools.islice(workload.batches(SEED), STEPS), 1):
        total, draws = 0.0, seeded(SEED, number)
        for real in (*batch, None):
            made = generator(draws.normal(16, 4).double())
            if real is None:
                loss = -discriminator(made).mean()
            else:
                of_real, of_made = discriminator((real / 8.0 - 1).double()), discriminator(made.detach())
                loss = (1 - of_real).clamp(min=0).mean() + (1 + of_made).clamp(min=0).mean()
            adam[real is not None].zero_grad()
            loss.backward()
            adam[real is not None].step()
            total += loss.item()
    z, real_features = (
        torch.cat(parts).double() for parts in zip(*workload.evaluation(SEED, "validation"), strict=True)
    )
    known = classifier(image_set("digits"))
    with torch.no_grad():
        features = known.features(generator.eval()(z), {k: w.double() for k, w in known.weights.items()})
    (one, m), (other, n) = (((x - x.mean(0)).numpy(), x.mean(0).numpy()) for x in (features, real_features))
    # the trace of the root of the covariances' product is the nuclear norm of their factors' product
    spread = (one**2).sum() + (other**2).sum() - 2 * np.linalg.norm(one @ other.T, "nuc")
    return total, ((m - n) ** 2).sum() + spread / (len(z) - 1)


def test_it_is_a_plain_loop_over_both_networks() -> None:
    ways = (
        whole("dcgan"),
        train("dcgan", [0, 1], "one-by-one"),
        train("dcgan", [0, 1], "one-by-one", "torch.optim:Adam"),
    )
    for lane in (0, 1):
        total, distance = gan_by_hand(RATES[lane])
        for outcome in ways:
            assert outcome.metrics["train_loss"][lane] == pytest.approx(total, rel=1e-9)
            # a root of a covariance without full rank is good to half its digits
            assert outcome.metrics["validation_frechet"][lane] == pytest.approx(distance, rel=1e-6)


def test_generated_images_come_nearer_to_real_ones() -> None:
    recipe = Recipe("dcgan", "adam", steps=80, method="one-by-one", compile=False)
    curve = trainer().train(Block(recipe, 0, {"lr": np.array([0.01]), "beta1": np.array([0.5])})).curve
    assert curve[0, -1] < 0.5 * workload_named("dcgan").worst


def function_by_hand(name: str, optimizer: torch.optim.Optimizer, w: torch.Tensor) -> None:
    """Steps of a loop over the formulas; equation (11) is projected after each."""
    workload = workload_named(name, json.dumps(SIZES[name], sort_keys=True))
    for (sample,) in itertools.islice(workload.batches(SEED), STEPS):
        if name == "avagrad-equation-11":
            loss = 999 * w[0] ** 2 / 2 if sample.item() else -w[0]
        elif name == "rastrigin":
            loss = 20 + sum(x**2 - 10 * torch.cos(2 * math.pi * x) for x in w)
        elif name == "rosenbrock":
            loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2
        else:
            loss = w @ quadratic_form(10, 100, 30) @ w / 2 + w @ sample.double()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if name == "avagrad-equation-11":
            with torch.no_grad():
                w.clamp_(0, 1)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_is_a_plain_loop_over_the_function(name: str) -> None:
    workload = workload_named(name, json.dumps(SIZES[name], sort_keys=True))
    ways = [
        whole(name),
        train(name, [0, 1], "one-by-one"),
        train(name, [0, 1], "one-by-one", "torch.optim:Adam"),
    ]
    for lane in (0, 1):
        w = workload.init(SEED)[0]["w"].double().requires_grad_()
        function_by_hand(name, OPTIMIZERS["adam"]([w], lr=RATES[lane], eps=EPS), w)
        sums, _ = workload.evaluate({"w": w.detach()}, workload.init(SEED)[1], (torch.zeros(1),))
        for metric, value in sums.items():
            if metric != "mean_squared_gradient":  # of the steps, not of where they end
                for outcome in ways:
                    assert outcome.metrics[metric][lane] == pytest.approx(value.item(), rel=1e-9), metric


def test_projected_steps_stay_where_they_are_allowed() -> None:
    """However large they are, by every method; so nothing of equation (11) diverges."""
    for method, optimizer in (("fused", "adam"), ("one-by-one", "adam"), ("one-by-one", "torch.optim:Adam")):
        outcome = train("avagrad-equation-11", [2], method, optimizer)
        assert outcome.metrics["w"][0] in (0.0, 1.0)
        assert outcome.diverged_at[0] == -1


@pytest.mark.parametrize("name", FUNCTIONS[1:])
def test_more_steps_lead_nearer_to_the_minimum(name: str) -> None:
    settings = json.dumps(SIZES[name], sort_keys=True)
    recipe = Recipe(name, "adam", steps=200, settings=settings, clip_norm=1.0, compile=False)
    curve = trainer().train(Block(recipe, 0, {"lr": np.array([0.01, 0.02, 0.03])})).curve
    assert (curve[:, -1] < curve[:, 0]).all()
    assert (curve[:, -1] < workload_named(name, settings).worst).all()


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
    if name == "avagrad-equation-11":
        return  # projected, it cannot
    assert 0 < every.diverged_at[2] <= STEPS
    workload = workload_named(name, json.dumps(SIZES[name], sort_keys=True))
    assert every.curve[2, -1] == workload.worst
    assert math.isfinite(workload.worst)


@pytest.mark.parametrize("name", [name for name in SIZES if name not in (*FUNCTIONS, "dcgan")])
def test_the_loss_falls(name: str) -> None:
    """Trained for some more steps, one by one."""
    settings = json.dumps(SIZES[name], sort_keys=True)
    workload = workload_named(name, settings)
    recipe = Recipe(name, "adam", steps=40, settings=settings, method="one-by-one", compile=False)
    outcome = trainer().train(Block(recipe, 0, {"lr": np.array([0.01])}))
    params, carry = workload.init(0)
    batch = to(next(workload.batches(0)), "float32", CPU)
    first, _ = workload.phases[0].loss(params, carry, batch, seeded(0, 1))
    share = {"char-lstm": 0.85, "word-lstm": 0.9}.get(name, 0.7 if name in IMAGES else 0.9)
    assert outcome.metrics["train_loss"][0] < share * first.item()
    assert outcome.metrics[workload.metric][0] < workload.worst
