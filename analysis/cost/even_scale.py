"""A scale of the metric on which seed noise is even (Bartlett, 1947, "The use of transformations").

Errors of badly trained nets scatter more: the standard deviation of a seed is taken as a + b (x - origin), and

    z(x) = origin' + (a / b) log(1 + b (x - origin) / a)

has slope 1 at the origin and noise of about a everywhere. Below the origin the logarithm goes on as a straight line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

FloatArray = NDArray[np.float64]

LEAST = -0.9
"""Of b (x - origin) / a, from where on the scale is straight."""
NEARBY = 6
"""Levels up to so many units above the origin tell how noise grows."""
GROWTH = (1e-3, 2.0)
"""Bounds of b: noise that hardly grows, and that is as large as twice the distance from the best."""


@dataclass(frozen=True)
class EvenScale:
    """`noise` is a, the standard deviation of a seed at the origin; `length` is a / b."""

    origin: float
    noise: float
    length: float

    def to(self, x: FloatArray) -> FloatArray:
        steps = (x - self.origin) / self.length
        straight = np.log1p(LEAST) + (steps - LEAST) / (1 + LEAST)
        return self.length * np.where(steps > LEAST, np.log1p(np.maximum(steps, LEAST)), straight)

    def back(self, z: FloatArray) -> FloatArray:
        return self.origin + self.length * np.expm1(z / self.length)

    def slope(self, x: FloatArray) -> FloatArray:
        """Of `to`, dz / dx."""
        return 1 / (1 + np.maximum((x - self.origin) / self.length, LEAST))


def fit_even_scale(
    levels: FloatArray, variances: FloatArray, freedom: int, origin: float, unit: float, least: float
) -> EvenScale:
    """By maximum likelihood of the variances (A,) of cells with given levels (A,), near the origin.

    `least` is the smallest standard deviation of a seed that there is.
    """
    above = np.maximum(levels - origin, 0)
    near = above <= NEARBY * unit
    above, variances = above[near], variances[near]
    start = 0.5 * np.log(variances.mean() + least**2)

    def loss(logarithms: FloatArray) -> float:
        noise = np.exp(logarithms[0]) + np.exp(logarithms[1]) * above
        return float(freedom * (np.log(noise) + variances / (2 * noise**2)).sum())

    bounds = [(max(start - 5, np.log(least)), start + 3), tuple(np.log(GROWTH))]
    fits = [
        optimize.minimize(loss, [start, np.log(growth)], method="L-BFGS-B", bounds=bounds)
        for growth in (0.01, 0.1, 0.5)
    ]
    noise, growth = np.exp(min(fits, key=lambda fit: float(fit.fun)).x)
    return EvenScale(origin, float(noise), float(noise / growth))
