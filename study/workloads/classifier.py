"""Small image classifiers: a one-hidden-layer perceptron and a two-layer convolutional net."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from study.workloads.images import Images, fingerprint
from study.workloads.workload import Batch, Params

CLASSES = 10
BATCH = 64
VALIDATION_SHARE = 0.2


def generator(seed: int, stream: int) -> torch.Generator:
    """Independent random streams of one seed: 0 the split, 1 the initial weights, 2 the data order."""
    return torch.Generator().manual_seed(seed * 3 + stream)


def linear_init(shape: tuple[int, ...], fan_in: int, source: torch.Generator) -> Tensor:
    """U(-b, b) with b = 1/sqrt(fan_in): PyTorch's default for linear and convolutional layers."""
    bound = 1 / math.sqrt(fan_in)
    return (2 * torch.rand(shape, generator=source) - 1) * bound


@dataclass(frozen=True)
class Network:
    """Layers as (name, weight shape, fan-in), and the logits (batch, 10) they compute from pixels (batch, pixels)."""

    layers: tuple[tuple[str, tuple[int, ...], int], ...]
    logits: Callable[[Params, Tensor], Tensor]
    multiply_adds: int  # of one image's forward pass, the first layer's apart: it needs no input gradient
    first_multiply_adds: int
    activations: int  # numbers kept of one image for the backward pass


def mlp(pixels: int, hidden: int) -> Network:
    def logits(params: Params, images: Tensor) -> Tensor:
        h = torch.relu(images @ params["hidden.weight"] + params["hidden.bias"])
        return h @ params["output.weight"] + params["output.bias"]

    layers = (("hidden", (pixels, hidden), pixels), ("output", (hidden, CLASSES), hidden))
    return Network(layers, logits, hidden * CLASSES, pixels * hidden, 2 * hidden + 3 * CLASSES)


def cnn(side: int, first: int, second: int) -> Network:
    """3x3 convolution, relu, 3x3 convolution with stride 2, relu, mean over the image, linear.

    Convolutions are matrix products with shifted copies of the image, images last in memory: fused with vmap and
    compiled, that takes about half the time of `conv2d`, which becomes a grouped convolution.
    """

    def convolve(images: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
        """(channels, height, width, images) -> (out channels, height / stride, width / stride, images)."""
        channels, height, width, count = images.shape
        padded = F.pad(images, (0, 0, 1, 1, 1, 1))
        shifted = [
            padded[:, row : row + height : stride, column : column + width : stride]
            for row in range(3)
            for column in range(3)
        ]
        patches = torch.stack(shifted, 1).reshape(9 * channels, -1)
        out = weight.reshape(-1, 9 * channels) @ patches + bias[:, None]
        return out.reshape(-1, height // stride, width // stride, count)

    def logits(params: Params, images: Tensor) -> Tensor:
        h = images.T.reshape(1, side, side, -1)
        h = torch.relu(convolve(h, params["first.weight"], params["first.bias"], 1))
        h = torch.relu(convolve(h, params["second.weight"], params["second.bias"], 2))
        return h.mean((1, 2)).T @ params["output.weight"] + params["output.bias"]

    layers = (
        ("first", (first, 1, 3, 3), 9),
        ("second", (second, first, 3, 3), 9 * first),
        ("output", (second, CLASSES), second),
    )
    area = side * side
    later = area // 4 * 9 * first * second + second * CLASSES
    return Network(layers, logits, later, area * 9 * first, 2 * area * first + 2 * area // 4 * second)


class Classifier:
    """Cross-entropy training of a `Network` on images: 20% of them, drawn by seed, are the validation split.

    `evaluate` gives `validation_error` (share of wrong labels, 0 to 1) and `validation_loss`
    (mean cross-entropy, nats).
    """

    metric = "validation_error"
    worst = 1.0

    def __init__(self, about: str, images: Callable[[], Images], network: Network) -> None:
        self.about = about
        self._load = images
        self._network = network
        weights = sum(math.prod(shape) for _, shape, _ in network.layers)
        # backward: gradients of weights and of inputs, but for the first layer's input
        self.flops_per_step = 2 * BATCH * (2 * network.first_multiply_adds + 3 * network.multiply_adds)
        self.bytes_per_lane = 4 * (2 * weights + BATCH * network.activations)

    def init(self, seed: int) -> Params:
        source = generator(seed, 1)
        params = {}
        for name, shape, fan_in in self._network.layers:
            # linear weights are (in, out), convolutions (out, in, height, width)
            width = shape[0] if len(shape) == 4 else shape[-1]
            params[f"{name}.weight"] = linear_init(shape, fan_in, source)
            params[f"{name}.bias"] = linear_init((width,), fan_in, source)
        return params

    def batches(self, seed: int) -> Iterator[Batch]:
        pixels, targets = self._split(seed)[0]
        source = generator(seed, 2)
        while True:
            order = torch.randperm(len(pixels), generator=source)
            for chosen in order[: len(order) // BATCH * BATCH].view(-1, BATCH):
                yield pixels[chosen], targets[chosen]

    def validation(self, seed: int) -> Batch:
        return self._split(seed)[1]

    def _split(self, seed: int) -> tuple[Batch, Batch]:
        pixels, labels = (torch.from_numpy(part) for part in self._load())
        order = torch.randperm(len(pixels), generator=generator(seed, 0))
        held_out, kept = order.tensor_split([round(VALIDATION_SHARE * len(order))])
        targets = F.one_hot(labels, CLASSES).float()
        return (pixels[kept], targets[kept]), (pixels[held_out], targets[held_out])

    def loss(self, params: Params, batch: Batch) -> Tensor:
        images, targets = batch
        return cross_entropy(self._network.logits(params, images), targets)

    def evaluate(self, params: Params, batch: Batch) -> dict[str, Tensor]:
        images, targets = batch
        logits = self._network.logits(params, images)
        wrong = logits.argmax(-1) != targets.argmax(-1)
        return {
            "validation_error": wrong.to(logits.dtype).mean(),
            "validation_loss": cross_entropy(logits, targets),
        }

    def data_hash(self) -> str:
        return fingerprint(self._load())


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy (nats) of one-hot `targets`: a product, which vmap and the compiler fuse, not a gather."""
    return -(torch.log_softmax(logits, -1) * targets).sum(-1).mean()
