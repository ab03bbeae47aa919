"""A perceptron with one hidden layer."""

from __future__ import annotations

from torch import nn


def mlp(pixels: int, hidden: int, classes: int = 10) -> nn.Module:
    """(batch, pixels) -> (batch, classes)."""
    return nn.Sequential(nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, classes))
