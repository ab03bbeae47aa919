"""Initial weights of convolutional networks: He et al. (2015), https://arxiv.org/abs/1502.01852"""

from __future__ import annotations

from torch import nn


def he_normal(network: nn.Module) -> None:
    """Draw every convolution's weights from N(0, 2 / n), n its outputs times its kernel's size (section 2.2, backward).

    Scales of normalisation begin at 1, biases at 0.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.bias)
