"""Landscapes whose truth is known, for the tests of separability and for its benchmark."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

Surface = NDArray[np.float64]

DECADES = np.arange(-5, 5.5, 0.5)  # log10 of both axes: 21 values, half a decade apart
ALPHA, EPS = np.meshgrid(DECADES, DECADES, indexing="ij")
NOISE = (0.002, 0.01, 0.05)
"""Standard deviations of a cell over seeds; the surfaces reach from 0.02 to 0.92."""


def valley(slope: float, offset: float = 0.0, tilt: float = 0.0) -> Surface:
    """An error that saturates away from alpha* = 10^(offset + slope · log10 eps), least at eps = 1 with `tilt`."""
    return 0.02 + 0.9 * np.tanh(0.15 * (ALPHA - offset - slope * EPS) ** 2 + tilt * EPS**2)


def two_regimes(bend: float) -> Surface:
    """alpha* is constant below eps = 10^bend and proportional to eps above, as the AvaGrad paper says of Adam."""
    return 0.02 + 0.9 * np.tanh(0.15 * (ALPHA + 2 - np.maximum(EPS - bend, 0)) ** 2)


def separable_quadratic(offset: float = 0.3) -> Surface:
    return 0.02 + ((ALPHA - offset) ** 2 + 0.5 * (EPS + offset) ** 2) / 50


def rastrigin() -> Surface:
    """Separable, with local minima two decades apart."""
    return 0.01 * sum(z**2 + 4 * (1 - np.cos(np.pi * z)) for z in (ALPHA - 0.2, EPS + 0.1))


def rosenbrock() -> Surface:
    """Not separable: the best alpha for each eps is 4 (eps / 5)², a curve."""
    a, e = ALPHA / 5, EPS / 5
    return 0.02 + 0.9 * np.tanh(0.05 * (1 - e) ** 2 + 10 * (0.8 * a - 0.8 * e**2 + 0.3) ** 2)


def mostly_diverged(slope: float) -> Surface:
    """Nine tenths of the cells have the worst value."""
    return np.where(np.abs(ALPHA - slope * EPS) < 1.3, valley(slope), 0.92)


def cliff(slope: float = 0.0, widening: float = 0.0) -> Surface:
    """As learning rates often have it: gentle below the best alpha and steep above, wider for small eps."""
    distance = ALPHA - 0.3 - slope * EPS
    return 0.02 + 0.9 * np.tanh(np.where(distance < 0, 0.05 * 10 ** (widening * EPS), 0.4) * distance**2)


def flat(value: float = 0.5) -> Surface:
    return np.full((len(DECADES), len(DECADES)), value)


def landscape(
    surface: Surface,
    noise: float = 0.0,
    seeds: int = 5,
    rng: np.random.Generator | int = 0,
    asked: int | None = None,
) -> xr.DataArray:
    """A landscape ("seed", "alpha", "eps") of a surface (21, 21) with normal noise, clipped to [0, 1].

    Seeds from `asked` on are extra ones.
    """
    source = np.random.default_rng(rng)
    shocks = source.normal(0, noise, (seeds, *surface.shape)) if noise else np.zeros((seeds, *surface.shape))
    axis = {"scale": "log"}
    return xr.DataArray(
        np.clip(surface + shocks, 0, 1),
        {
            "seed": range(seeds),
            "alpha": ("alpha", 10**DECADES, axis),
            "eps": ("eps", 10**DECADES, axis),
        },
        ("seed", "alpha", "eps"),
        attrs={"metric": "error", "asked_seeds": asked},
    )


def smallest_width(slope: float, offset: float, noise: float, seeds: int) -> float:
    """Width of the 95% interval of `valley`'s slope that no unbiased estimate can beat (Cramér and Rao).

    For somebody who knows the surface but for its slope and offset, and the noise.
    """
    change = 1e-4
    along = [
        (valley(slope + a, offset + b) - valley(slope - a, offset - b)).ravel() / (2 * change)
        for a, b in ((change, 0.0), (0.0, change))
    ]
    information = np.array([[(one * other).sum() for other in along] for one in along]) * seeds / noise**2
    return float(2 * 1.96 * np.sqrt(np.linalg.inv(information)[0, 0]))
