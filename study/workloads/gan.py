"""Geometric GAN (Lim & Ye, 2017), https://arxiv.org/abs/1705.02894: a DCGAN trained by the hinge loss, on images.

A training step takes two steps of the discriminator, on images of their own, then one of the generator.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from study.workloads.data import data_name
from study.workloads.data.image_set import ImageSet, image_set
from study.workloads.draws import ORDER, SPLIT, STEP, WEIGHTS, Draws, generator
from study.workloads.features import (
    Features,
    classifier,
    frechet_distance,
    largest_of,
    mean_and_covariance,
    moments,
    scaled,
)
from study.workloads.features import inception as given_features
from study.workloads.module import WorkloadError, chunk_size
from study.workloads.networks.dcgan import Discriminator, Generator
from study.workloads.workload import Batch, Carry, Params, Phase, Split

GENERATOR, DISCRIMINATOR, FEATURES = "generator.", "discriminator.", "features."
"""How the names of their tensors begin."""
LAYERS = {8: 2, 28: 2, 32: 3, 64: 4}
"""Side of the images in pixels -> strided convolutions, by default: feature maps begin at 2x2, 7x7, 4x4 and 4x4."""


class GanWorkload:
    """A generator and a discriminator of images, tuned for the Fréchet distance of features.

    These are a small classifier's, or those of `inception`, the user's file; `metric` says which.

    As many images are generated as are held out, from latent numbers of the seed, by running statistics of BatchNorm.
    The distance is that of both sets' `features` as Gaussians. `worst` is that of the untrained generator of seed 0.
    """

    def __init__(
        self,
        images: ImageSet,
        latent: int,
        layers: int,
        width: int,
        batch: int,
        validation: float,
        discriminator_steps: int,
        inception: str | None,
        about: str,
    ) -> None:
        for name, value in (
            ("latent", latent),
            ("width", width),
            ("batch", batch),
            ("discriminator_steps", discriminator_steps),
        ):
            if type(value) is not int or value < 1:
                raise WorkloadError(f"{name} = {value!r} is not allowed: give a whole number of at least 1")
        side, held_out = images.train[0].shape[-1], round(validation * len(images.train[0]))
        if not 1 < held_out <= len(images.train[0]) - batch * discriminator_steps:
            raise WorkloadError(
                f"validation = {validation!r} and batch = {batch} do not fit {len(images.train[0]):,} images"
            )
        self.about, self.batch = about, batch
        self._images, self._latent, self._held_out = images, latent, held_out
        self._largest = largest_of(images)
        self.metric = "validation_frechet" if inception is None else "validation_fid"
        self._features: Features = (
            classifier(images) if inception is None else given_features(inception, images)
        )
        self._make: tuple[Callable[[], nn.Module], ...] = (
            lambda: Generator(latent, side, images.channels, layers, width),
            lambda: Discriminator(side, images.channels, layers, width),
        )
        self._generator, self._discriminator = (make().train() for make in self._make)
        self._evaluating = self._make[0]().eval()
        self.phases: tuple[Phase, ...] = (
            *(Phase(self._discriminator_loss(i), is_discriminators) for i in range(discriminator_steps)),
            Phase(self.generator_loss, is_generators),
        )
        self.worst = self._find_worst()

    def init(self, seed: int) -> tuple[Params, Carry]:
        params: Params = {}
        carry = {FEATURES + name: w.clone() for name, w in self._features.weights.items()}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator(seed, WEIGHTS).initial_seed())
            for prefix, make in zip((GENERATOR, DISCRIMINATOR), self._make, strict=True):
                network = make()
                params |= {prefix + name: w.detach().clone() for name, w in network.named_parameters()}
                carry |= {prefix + name: w.clone() for name, w in network.named_buffers()}
        return params, carry

    def batches(self, seed: int) -> Iterator[Batch]:
        """Pixels (batch, channels, height, width) as stored, for each step of the discriminator."""
        places, source = self._places(seed)[0], generator(seed, ORDER)
        parts = len(self.phases) - 1
        size = parts * self.batch
        while True:
            order = places[torch.randperm(len(places), generator=source)]
            for chosen in order[: len(order) // size * size].view(-1, parts, self.batch):
                yield tuple(self._images.train[0][part] for part in chosen)

    def evaluation(self, seed: int, split: Split) -> Sequence[Batch]:
        """Latent numbers (n, latent) and features (n, d) of real images."""
        if split == "test" and self._images.test is None:
            return []
        test = self._images.test
        real = test[0] if split == "test" and test else self._images.train[0][self._places(seed)[1]]
        size = chunk_size(len(real))
        with torch.no_grad():
            features = [self._features.features(scaled(x, self._largest)) for x in torch.split(real, size)]
        z = torch.randn(
            len(real), self._latent, generator=generator(seed, STEP)
        )  # of step 0, which none trains
        return list(zip(torch.split(z, size), features, strict=True))

    def generator_loss(
        self, params: Params, carry: Carry, batch: Batch, draws: Draws
    ) -> tuple[Tensor, Carry]:
        """The mean of -D(G(z)) (equation 17)."""
        del batch
        tensors = params | own_copies(carry)
        fakes = self._generate(tensors, draws)
        loss = -call(self._discriminator, tensors, DISCRIMINATOR, fakes).mean()
        return loss, {name: tensors[name] for name in carry}

    def _discriminator_loss(self, turn: int) -> Any:
        def loss(params: Params, carry: Carry, batch: Batch, draws: Draws) -> tuple[Tensor, Carry]:
            """The mean of max(0, 1 - D(x)) + max(0, 1 + D(G(z))) (equation 16)."""
            tensors = params | own_copies(carry)
            real = scaled(batch[turn], self._largest).to(next(iter(params.values())).dtype)
            fakes = self._generate(tensors, draws)
            of_real, of_fakes = (call(self._discriminator, tensors, DISCRIMINATOR, x) for x in (real, fakes))
            hinge = F.relu(1 - of_real).mean() + F.relu(1 + of_fakes).mean()
            return hinge, {name: tensors[name] for name in carry}

        return loss

    def evaluate(self, params: Params, carry: Carry, batch: Batch) -> tuple[dict[str, Tensor], int]:
        """Moments of the features of generated and of real images."""
        z, real = batch
        fakes = call(self._evaluating, params | carry, GENERATOR, z)
        weights = {name.removeprefix(FEATURES): w for name, w in carry.items() if name.startswith(FEATURES)}
        made, products = moments(self._features.features(fakes, weights))
        real_sum, real_products = moments(real)
        sums = {"made": made, "products": products, "real": real_sum, "real_products": real_products}
        return sums, len(z)

    def finish(self, sums: dict[str, Tensor], items: int) -> dict[str, Tensor]:
        """The Fréchet distance of the features."""
        made, real = (
            mean_and_covariance(sums[total], sums[products], items)
            for total, products in (("made", "products"), ("real", "real_products"))
        )
        return {self.metric: frechet_distance(*real, *made)}

    def data_hash(self) -> str:
        """Of the images and the weights that make features of them."""
        return hashlib.sha256(f"{self._images.sha256}{self._features.sha256}".encode()).hexdigest()

    def _places(self, seed: int) -> tuple[Tensor, Tensor]:
        """Which images of a seed train, and which are held out."""
        order = torch.randperm(len(self._images.train[0]), generator=generator(seed, SPLIT))
        return order[self._held_out :], order[: self._held_out]

    def _generate(self, tensors: Params, draws: Draws) -> Tensor:
        z = draws.normal(self.batch, self._latent).to(tensors[f"{GENERATOR}project.weight"].dtype)
        return call(self._generator, tensors, GENERATOR, z)

    @torch.no_grad()
    def _find_worst(self) -> float:
        params, carry = self.init(0)
        counted = [self.evaluate(params, carry, batch) for batch in self.evaluation(0, "validation")]
        sums = {name: torch.stack([each[name] for each, _ in counted]).sum(0) for name in counted[0][0]}
        return self.finish(sums, sum(count for _, count in counted))[self.metric].item()


def call(network: nn.Module, tensors: Params, prefix: str, x: Tensor) -> Tensor:
    """A network with those of the tensors whose names begin so; its buffers are written to."""
    own = {name.removeprefix(prefix): w for name, w in tensors.items() if name.startswith(prefix)}
    found: Tensor = functional_call(network, own, (x,), tie_weights=False)
    return found


def own_copies(carry: Carry) -> Carry:
    """What networks may write to; the features' weights are never written to."""
    return {name: w if name.startswith(FEATURES) else w.clone() for name, w in carry.items()}


def is_generators(name: str) -> bool:
    return name.startswith(GENERATOR)


def is_discriminators(name: str) -> bool:
    return name.startswith(DISCRIMINATOR)


def dcgan(
    data: str = "digits",
    latent: int = 16,
    layers: int | None = None,
    width: int = 8,
    batch: int = 32,
    validation: float = 0.2,
    discriminator_steps: int = 2,
    subset: bool = False,
    side: int = 64,
    inception: str | None = None,
) -> GanWorkload:
    """DCGAN with the hinge loss, small on the digits; full size: latent 100, width 128, batch 64 on CIFAR-10"""
    images = image_set(data, subset=subset, side=side)
    pixels = images.train[0].shape[-1]
    if not isinstance(validation, float) or not 0 < validation < 1:
        raise WorkloadError(f"validation = {validation!r} is not allowed: give a share between 0 and 1")
    return GanWorkload(
        images,
        latent,
        LAYERS.get(pixels, 1) if layers is None else layers,
        width,
        batch,
        validation,
        discriminator_steps,
        inception,
        f"DCGAN of width {width} with the hinge loss on {data_name(data)}",
    )
