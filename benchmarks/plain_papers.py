"""The plain way to train five of the papers' workloads, steps alone, with `torch.optim.Adam`.

A language model, translation, a GAN, functions of a few numbers. Weights, sizes and batches are the workloads' own, at
their default settings; `tests/study/training/test_papers_workloads.py` holds trials of ours to such loops in float64.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from study.training.named import workload_named
from study.workloads import ModuleWorkload
from study.workloads.gan import GanWorkload
from study.workloads.networks.dcgan import Discriminator, Generator

SEED, RATE = 0, 0.001
PADDING, SMOOTHING = 0, 0.1
LATENT = 16
NETWORK = {"side": 8, "channels": 1, "layers": 2, "width": 8}
"""Of `dcgan` with its default settings."""
Step = Callable[[], object]


class PlainPaper:
    """One trial of a workload."""

    lanes = 1

    def __init__(self, workload: str, *, fused: bool = False) -> None:
        self.step: Step = LOOPS[workload](workload, fused)

    def evaluate(self) -> None:
        """Nothing: steps alone are compared."""


def module_of(name: str) -> tuple[ModuleWorkload, nn.Module]:
    workload = workload_named(name)
    if not isinstance(workload, ModuleWorkload):
        raise TypeError(f"{name} has no module to train")
    return workload, workload.module(SEED).train()


def language(name: str, fused: bool) -> Step:
    """The module carries its state in buffers."""
    workload, module = module_of(name)
    optimizer = torch.optim.Adam(module.parameters(), lr=RATE, fused=fused)
    batches = workload.batches(SEED)

    @torch.enable_grad()
    def step() -> None:
        inputs, targets = next(batches)
        descend(F.cross_entropy(module(inputs).flatten(0, 1), targets.flatten()), optimizer)

    return step


def translation(name: str, fused: bool) -> Step:
    """Label smoothing; padding is left out."""
    workload, module = module_of(name)
    optimizer = torch.optim.Adam(module.parameters(), lr=RATE, fused=fused)
    batches = workload.batches(SEED)

    @torch.enable_grad()
    def step() -> None:
        source, before, target = next(batches)
        scores = module(source, before).flatten(0, 1)
        descend(
            F.cross_entropy(scores, target.flatten(), ignore_index=PADDING, label_smoothing=SMOOTHING),
            optimizer,
        )

    return step


def gan(name: str, fused: bool) -> Step:
    """Two steps of the discriminator and one of the generator, hinge loss."""
    workload = workload_named(name)
    if not isinstance(workload, GanWorkload):
        raise TypeError(f"{name} is no GAN")
    generator, discriminator = Generator(LATENT, **NETWORK).train(), Discriminator(**NETWORK).train()
    tensors = {key: w for part in workload.init(SEED) for key, w in part.items()}
    for network, side in ((generator, "generator."), (discriminator, "discriminator.")):
        network.load_state_dict({k.removeprefix(side): w for k, w in tensors.items() if k.startswith(side)})
    of_generator, of_discriminator = (
        torch.optim.Adam(network.parameters(), lr=RATE, fused=fused) for network in (generator, discriminator)
    )
    batches = workload.batches(SEED)

    @torch.enable_grad()
    def step() -> None:
        for stored in next(batches):
            real = stored / 8.0 - 1
            made = generator(torch.randn(len(real), LATENT)).detach()
            loss = (1 - discriminator(real)).clamp(min=0).mean() + (1 + discriminator(made)).clamp(
                min=0
            ).mean()
            descend(loss, of_discriminator)
        descend(-discriminator(generator(torch.randn(len(real), LATENT))).mean(), of_generator)

    return step


def rosenbrock(name: str, fused: bool) -> Step:
    w = start_of(name)
    optimizer = torch.optim.Adam([w], lr=RATE, fused=fused)

    @torch.enable_grad()
    def step() -> None:
        descend((1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2, optimizer)

    return step


def quadratic(name: str, fused: bool) -> Step:
    """Conditioned as the workload's own, noise in its gradient."""
    w = start_of(name)
    curvature = torch.logspace(0, -2, len(w))
    optimizer = torch.optim.Adam([w], lr=RATE, fused=fused)
    batches = workload_named(name).batches(SEED)

    @torch.enable_grad()
    def step() -> None:
        (noise,) = next(batches)
        descend(w @ (curvature * w) / 2 + w @ noise, optimizer)

    return step


def start_of(name: str) -> Tensor:
    return workload_named(name).init(SEED)[0]["w"].clone().requires_grad_()


def descend(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


LOOPS = {
    "char-lstm": language,
    "transformer": translation,
    "dcgan": gan,
    "rosenbrock": rosenbrock,
    "noisy-quadratic": quadratic,
}
"""Workload -> what makes its step."""
