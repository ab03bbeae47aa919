"""DCGAN (Radford, Metz & Chintala, 2016), https://arxiv.org/abs/1511.06434

Both networks without pooling: strided convolutions in the discriminator, fractionally-strided ones in the generator,
BatchNorm in all layers but the generator's last and the discriminator's first (section 3). Weights begin as N(0, 0.02).

Differs from the paper: kernels are 4x4 as in the authors' release, where Figure 1 has 5x5.
"""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from study.workloads.module import WorkloadError

SLOPE = 0.2
"""Of the leaky relus (section 4)."""


def channels_of(layers: int, width: int) -> list[int]:
    """Of the feature maps, the largest images first: width, twice, four times, ..."""
    return [width << i for i in range(layers)]


def coarsest(side: int, layers: int) -> int:
    """Height and width of the smallest feature maps. Raises WorkloadError when the images cannot be halved so often."""
    if type(layers) is not int or layers < 1 or side % (1 << layers):
        raise WorkloadError(
            f"layers = {layers!r} does not fit images of {side}x{side} pixels, which each of them halves: give fewer"
        )
    return side >> layers


class Generator(nn.Module):
    """(batch, latent) -> images (batch, channels, side, side), -1 to 1 (Figure 1)."""

    def __init__(self, latent: int, side: int, channels: int, layers: int, width: int) -> None:
        super().__init__()
        self.start, sizes = coarsest(side, layers), channels_of(layers, width)[::-1]
        self.project = nn.Linear(latent, sizes[0] * self.start**2, bias=False)
        blocks: list[nn.Module] = [nn.BatchNorm2d(sizes[0]), nn.ReLU()]
        for inputs, outputs in itertools.pairwise(sizes):
            blocks += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)]
            blocks += [nn.BatchNorm2d(outputs), nn.ReLU()]
        self.blocks = nn.Sequential(*blocks)
        self.output = nn.ConvTranspose2d(sizes[-1], channels, 4, 2, 1, bias=False)
        begin(self)

    def forward(self, z: Tensor) -> Tensor:
        maps: Tensor = self.blocks(self.project(z).view(len(z), -1, self.start, self.start))
        images: Tensor = self.output(maps)
        return images.tanh()


class Discriminator(nn.Module):
    """(batch, channels, side, side) -> scores (batch,), high for what looks real."""

    def __init__(self, side: int, channels: int, layers: int, width: int) -> None:
        super().__init__()
        sizes = channels_of(layers, width)
        blocks: list[nn.Module] = [nn.Conv2d(channels, sizes[0], 4, 2, 1, bias=False), nn.LeakyReLU(SLOPE)]
        for inputs, outputs in itertools.pairwise(sizes):
            blocks += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False)]
            blocks += [nn.BatchNorm2d(outputs), nn.LeakyReLU(SLOPE)]
        self.blocks = nn.Sequential(*blocks)
        self.output = nn.Linear(sizes[-1] * coarsest(side, layers) ** 2, 1, bias=False)
        begin(self)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.output(self.blocks(images).flatten(1))
        return scores[:, 0]


def begin(network: nn.Module) -> None:
    """Weights from N(0, 0.02), scales of BatchNorm from N(1, 0.02) as in the authors' release."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, 0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1, 0.02)
