"""Features of images by which sets of them are compared, and the Fréchet distance of two sets.

The features are those of a small classifier that is trained here on the real images, where the Fréchet inception
distance (Heusel et al., 2017, https://arxiv.org/abs/1706.08500) takes an Inception network's: their numbers cannot be
compared. It is trained once in float64 from a fixed seed, and its weights are rounded, so that machines agree on them
though the last bits of their arithmetic differ; they are kept in the folder of what is kept. Who has an Inception
network gives it as a file: then it is that distance.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from study.workloads.data.image_set import ImageSet
from study.workloads.module import WorkloadError
from study.workloads.threads import one_thread
from study.workloads.workload import Params

FEATURES, BATCH, STEPS, RATE = 32, 64, 250, 3e-3
VERSION = 2
"""Counts up when the same images give other weights: what was kept before is not used any more."""
SMALL = 8
"""Side in pixels up to which images are not halved by the first convolution."""
GRID = 2.0**-12
"""To multiples of this the weights are rounded: far coarser than what float64 loses in training, and far finer than
what changes a feature."""


class FeatureNet(nn.Module):
    """Images (n, channels, side, side), -1 to 1 -> features (n, 32); `output` makes class scores of them."""

    def __init__(self, side: int, channels: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, FEATURES // 2, 3, 1 if side <= SMALL else 2, 1)
        self.conv2 = nn.Conv2d(FEATURES // 2, FEATURES, 3, 2, 1)
        self.conv3 = nn.Conv2d(FEATURES, FEATURES, 3, 2, 1)
        self.output = nn.Linear(FEATURES, classes)

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = F.relu(self.conv3(F.relu(self.conv2(F.relu(self.conv1(images))))))
        return maps.mean((2, 3))


@dataclass(frozen=True)
class Features:
    """A network that makes features of images, its weights, and the SHA-256 that tells it from others."""

    network: nn.Module
    weights: Params
    sha256: str
    prepare: Callable[[Tensor], Tensor] = lambda images: images
    """Makes the network's input of images scaled to -1 to 1."""

    def features(self, images: Tensor, weights: Params | None = None) -> Tensor:
        """(n, d) of images scaled to -1 to 1, of these weights or the same in another dtype."""
        given = (self.prepare(images),)
        found: Tensor = functional_call(self.network, weights or self.weights, given, tie_weights=False)
        return found


def scaled(pixels: Tensor, largest: float) -> Tensor:
    """Stored pixels, from 0, as numbers from -1 to 1, float32."""
    return pixels.float() * (2 / largest) - 1


def largest_of(images: ImageSet) -> float:
    """The value of a white pixel: 16 of the digits, else 255."""
    return 16.0 if int(images.train[0].max()) <= 16 else 255.0


def classifier(images: ImageSet) -> Features:
    """The classifier of an image set: as it is kept, or trained."""
    from analysis.cost.kept import folder

    network, cache = network_for(images), folder()
    key = hashlib.sha256(f"{images.sha256} {VERSION}".encode()).hexdigest()[:32]
    place = None if cache is None else cache / "features" / f"{key}.pt"
    if place is not None and place.is_file():
        weights: Params = torch.load(place, weights_only=True)
    else:
        weights = trained(network, images)
        if place is not None:
            place.parent.mkdir(parents=True, exist_ok=True)
            draft = place.with_name(f"{place.name}.{os.getpid()}")
            torch.save(weights, draft)
            draft.replace(place)
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(weights[name].numpy().tobytes())
    return Features(network, weights, digest.hexdigest())


def inception(path: str, images: ImageSet) -> Features:
    """A network of the user's own, such as the Inception of the Fréchet inception distance.

    The file is a program of `torch.export`: images (n, 3, height, width), 0 to 1, of any n from 2 on, to features
    (n, d); it resizes them itself. Grey images are given as three equal channels.

    Raises WorkloadError, one line, when it is none or does not take the images.
    """
    try:
        content = Path(path).expanduser().read_bytes()
        network = torch.export.load(io.BytesIO(content)).module()
    except Exception as error:  # whatever the reader of the format raises
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WorkloadError(
            f"inception = {path!r} cannot be read ({reason}): give a file of torch.export.save"
        ) from error
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    weights = {name: tensor.detach() for name, tensor in tensors.items()}
    found = Features(network, weights, hashlib.sha256(content).hexdigest(), coloured)
    grey = torch.zeros(3, images.channels, *images.train[0].shape[-2:])
    shape = tuple(coloured(grey).shape)
    try:
        with torch.no_grad():
            made = found.features(grey)
    except Exception as error:  # whatever a foreign program raises
        reason = " ".join(str(error).split())[:150] or type(error).__name__
        raise WorkloadError(
            f"inception = {path!r} does not take images {shape} ({reason}): export it with dynamic_shapes"
        ) from error
    if not isinstance(made, Tensor) or made.dim() != 2 or len(made) != shape[0]:
        raise WorkloadError(f"inception = {path!r} gives no features (n, d) of images {shape}")
    return found


def coloured(images: Tensor) -> Tensor:
    """Images from -1 to 1 as three channels from 0 to 1."""
    return ((images + 1) / 2).expand(-1, 3, -1, -1)


def network_for(images: ImageSet) -> FeatureNet:
    return FeatureNet(images.train[0].shape[-1], images.channels, images.classes)


def initial(network: nn.Module) -> Params:
    """Weights and biases as torch's layers begin with, uniform within 1 / sqrt(inputs), float64.

    Drawn by numpy: torch's own numbers depend, in their last bits, on the processor's instructions.
    """
    source, weights, bound = np.random.default_rng(0), {}, 0.0
    for name, w in network.named_parameters():
        bound = bound if name.endswith("bias") else w[0].numel() ** -0.5
        weights[name] = torch.from_numpy((2 * source.random(tuple(w.shape)) - 1) * bound)
    return weights


@one_thread()
@torch.enable_grad()
def trained(network: nn.Module, images: ImageSet) -> Params:
    """Weights, float32, after some steps of Adam with cross-entropy on the training images."""
    weights = {name: w.requires_grad_() for name, w in initial(network).items()}
    pixels, labels = images.train
    largest, source = largest_of(images), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(weights.values(), RATE)
    for _ in range(STEPS):
        chosen = torch.randint(len(labels), (BATCH,), generator=source)
        features = functional_call(network, weights, (scaled(pixels[chosen], largest).double(),))
        scores = F.linear(features, weights["output.weight"], weights["output.bias"])
        optimizer.zero_grad()
        F.cross_entropy(scores, labels[chosen]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return {name: ((w.detach() / GRID).round() * GRID).float() for name, w in weights.items()}


def frechet_distance(mean: Tensor, cov: Tensor, other_mean: Tensor, other_cov: Tensor) -> Tensor:
    """Squared, of two Gaussians with means (d,) and covariances (d, d): |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)).

    Of the product's eigenvalues, which are those of a symmetric matrix; NaN where anything is not finite.
    """
    if not all(bool(part.isfinite().all()) for part in (mean, cov, other_mean, other_cov)):
        return mean.new_tensor(math.nan)
    values, vectors = torch.linalg.eigh(cov)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.mT
    shared = torch.linalg.eigvalsh(root @ other_cov @ root).clamp(min=0).sqrt().sum()
    distance: Tensor = (mean - other_mean).square().sum() + cov.trace() + other_cov.trace() - 2 * shared
    return distance


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Sums (d,) and (d, d) of features (n, d) and of their products, float64."""
    exact = features.double()
    return exact.sum(0), exact.mT @ exact


def mean_and_covariance(total: Tensor, products: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Of `count` features, unbiased, from their moments."""
    mean = total / count
    return mean, (products - count * mean[:, None] * mean) / (count - 1)
