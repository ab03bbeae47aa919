"""The statistics of sensitivity, of draws of a landscape: see `analysis.sensitivity` for what they are."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

ENOUGH = 0.95
"""Share of what tuning all hyperparameters gains that is as good as all of it (Adkins et al., 2024)."""


def profiles(levels: FloatArray, axis: int) -> FloatArray:
    """What each value of an axis loses with the others at their best for it (D, n), of levels (D, *shape)."""
    others = tuple(place for place in range(1, levels.ndim) if place != axis + 1)
    return np.asarray(levels.min(axis=others) - _least(levels)[:, None])


def chosen_and_judged(choosing: FloatArray, judging: FloatArray, axis: int) -> FloatArray:
    """The level of each value's best cell on an axis (D, n), chosen by some draws (D, *shape), judged by others."""
    first, second = (
        np.moveaxis(each, axis + 1, 1).reshape(len(each), each.shape[axis + 1], -1)
        for each in (choosing, judging)
    )
    return np.asarray(np.take_along_axis(second, first.argmin(axis=-1)[..., None], axis=-1)[..., 0])


def slices(levels: FloatArray, axis: int) -> FloatArray:
    """What each value of an axis loses with the others held at the best cell (D, n), of levels (D, *shape)."""
    moved = np.moveaxis(levels, axis + 1, 1)
    flat = moved.reshape(*moved.shape[:2], -1)
    held = flat.min(axis=1).argmin(axis=-1)
    return np.asarray(np.take_along_axis(flat, held[:, None, None], axis=2)[..., 0] - _least(levels)[:, None])


def widths(lost: FloatArray, positions: FloatArray, within: float) -> FloatArray:
    """Measure (D,) of the positions at which a loss (D, n), linear between the values (n,), is at most `within`."""
    left, right = lost[:, :-1], lost[:, 1:]
    low, high = np.minimum(left, right), np.maximum(left, right)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(high > low, (within - low) / (high - low), (low <= within).astype(float))
    return np.asarray(np.clip(share, 0, 1) @ np.diff(positions))


def best_by_tuned(losses: FloatArray, default: Sequence[int]) -> tuple[FloatArray, list[tuple[int, ...]]]:
    """The least mean over workloads by how many of d axes are tuned in each, the others at a cell, and which (d + 1,).

    Of losses (E, *shape) of E workloads.
    """
    axes = range(losses.ndim - 1)
    best = np.full(losses.ndim, np.inf)
    which: list[tuple[int, ...]] = [()] * losses.ndim
    for count in range(losses.ndim):
        for tuned in itertools.combinations(axes, count):
            index = tuple(slice(None) if axis in tuned else default[axis] for axis in axes)
            least = losses[(slice(None), *index)].reshape(len(losses), -1).min(axis=1).mean()
            if least < best[count]:
                best[count], which[count] = least, tuned
    return best, which


def needed(gained: FloatArray) -> int:
    """The least number of axes whose tuning gains `ENOUGH` of what tuning all gains (d + 1,); 0 if that is nothing."""
    return int(np.argmax(gained >= ENOUGH * gained[-1] - 1e-12 * abs(gained[-1])))


def _least(levels: FloatArray) -> FloatArray:
    return np.asarray(levels.reshape(len(levels), -1).min(axis=1))


def stretches(lost: FloatArray, positions: FloatArray, within: float) -> list[tuple[float, float]]:
    """Where a loss (n,), linear between the positions (n,), is at most `within`: starts and ends, ascending."""
    found: list[tuple[float, float]] = []
    for place in range(len(lost) - 1):
        left, right = lost[place : place + 2] <= within
        if not (left or right):
            continue
        start, end = positions[place : place + 2]
        if not (left and right):
            cross = start + (end - start) * (within - lost[place]) / (lost[place + 1] - lost[place])
            start, end = (start, cross) if left else (cross, end)
        if found and found[-1][1] == start:
            start = found.pop()[0]
        found.append((float(start), float(end)))
    return found
