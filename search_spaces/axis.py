"""One axis of a search space: a hyperparameter with a list of values (a grid) or a range (continuous)."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from search_spaces.errors import SpaceError

Scale = Literal["log", "linear"]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Numbers this close are one hyperparameter written by different arithmetic (2e-8 and 2 * 10**-8.0).
SAME_VALUE = 1e-12


@dataclass(frozen=True, init=False)
class Axis:
    """A named hyperparameter and the values it may take.

    ``Axis("alpha", [0.1, 1, 10])`` is a grid axis, ``Axis("alpha", low=1e-3, high=1)`` a continuous one, and
    ``Axis("size", words=["small", "large"])`` an ordered one: a linear grid of the words' places, 0 and 1.
    Conversions take and return arrays of any one shape.

    Attributes:
        name: a Python identifier, the hyperparameter's symbol in its paper (``alpha``, ``eps``, ``eta``).
        values: the grid's values in strictly increasing order, whatever the order they were given in;
            empty for a continuous axis.
        low, high: the ends of the range; of a grid, its first and last value.
        scale: ``"log"`` or ``"linear"``: how a continuous axis is interpolated, and how either kind is drawn.
            When not given: ``"log"`` if low is positive and high at least 10 times low, else ``"linear"``.
        words: what the values 0, 1, ... of an ordered axis stand for; a part of it may lack some of the values.

    Raises:
        SpaceError: the name is no identifier; the axis is empty; a number is repeated, boolean, infinite or
            NaN; low is not below high; a log axis reaches zero or below; a word is empty or repeated.
    """

    name: str
    values: tuple[float, ...]
    low: float
    high: float
    scale: Scale
    words: tuple[str, ...]

    def __init__(
        self,
        name: str,
        values: Iterable[float] = (),
        *,
        low: float | None = None,
        high: float | None = None,
        scale: Scale | None = None,
        words: Iterable[str] = (),
    ) -> None:
        if not isinstance(name, str) or not name.isidentifier():
            raise SpaceError(
                f"axis name {name!r} is not allowed: use letters, digits and underscores, a letter first"
            )
        words = _words(name, words)
        grid = tuple(sorted(_finite(value, name) for value in values)) or tuple(map(float, range(len(words))))
        low, high = _grid_ends(name, grid, low, high) if grid else _range_ends(name, low, high)
        if scale is None:
            scale = "linear" if words else default_scale(low, high)
        if scale not in get_args(Scale):
            raise SpaceError(f"axis {name!r} has the scale {scale!r}: use 'log' or 'linear'")
        if scale == "log" and low <= 0:
            raise SpaceError(
                f"axis {name!r} is on a log scale and has the value {low:g}: "
                "use positive values, or scale = 'linear'"
            )
        fields = {"name": name, "values": grid, "low": low, "high": high, "scale": scale, "words": words}
        for field, content in fields.items():
            object.__setattr__(self, field, content)

    @property
    def is_grid(self) -> bool:
        """Whether the axis has a list of values; if not, it is continuous."""
        return bool(self.values)

    @property
    def is_whole(self) -> bool:
        """Whether every value of a grid is a whole number, as far as floats tell those apart."""
        return self.is_grid and all(value.is_integer() and abs(value) < 2**53 for value in self.values)

    def text(self, value: float) -> str:
        """A value for people: the word of an ordered axis, else the number in six digits.

        Also of a place that an ordered axis does not have any more.
        """
        return self.words[int(value)] if value < len(self.words) else f"{value:g}"

    def value_to_index(self, values: ArrayLike) -> IntArray:
        """Each value's place on the grid, counted from 0.

        A value is recognised within a relative 1e-12.

        Raises:
            SpaceError: a value is not on the axis (the nearest is named), or the axis is continuous.
        """
        grid, given = self._grid(), np.asarray(values, dtype=np.float64)
        indices = np.searchsorted(grid[1:] / 2 + grid[:-1] / 2, given)
        off = ~np.isclose(given, grid[indices], rtol=SAME_VALUE, atol=0.0)
        if off.any():
            raise SpaceError(
                f"axis {self.name!r}: {given[off][0]:.12g} is not one of its {grid.size} values; "
                f"the nearest is {grid[indices][off][0]:.12g}"
            )
        return np.asarray(indices, dtype=np.int64)

    def checked_index(self, indices: ArrayLike) -> IntArray:
        """`indices` as int64.

        Raises:
            SpaceError: an index is no integer or outside 0..n-1, or the axis is continuous.
        """
        given, count = np.asarray(indices), self._grid().size
        if not np.issubdtype(given.dtype, np.integer):
            raise SpaceError(f"axis {self.name!r}: indices must be integers, not {given.dtype}")
        outside = (given < 0) | (given >= count)
        if outside.any():
            raise SpaceError(f"axis {self.name!r}: index {given[outside][0]} is outside 0..{count - 1}")
        return given.astype(np.int64)

    def index_to_value(self, indices: ArrayLike) -> FloatArray:
        """The value at each place on the grid.

        Raises:
            SpaceError: as for `checked_index`.
        """
        return self._grid()[self.checked_index(indices)]

    def index_to_unit(self, indices: ArrayLike) -> FloatArray:
        """(i + 0.5) / n for each index i of n: the middle of its bin in [0, 1].

        Raises:
            SpaceError: as for `checked_index`.
        """
        return (self.checked_index(indices) + 0.5) / len(self.values)

    def unit_to_index(self, units: ArrayLike) -> IntArray:
        """floor(u * n) for each u in [0, 1], and the last index for u = 1.

        Raises:
            SpaceError: a u is outside [0, 1] or NaN, or the axis is continuous.
        """
        count = self._grid().size
        return np.minimum((self._checked_unit(units) * count).astype(np.int64), count - 1)

    def value_to_unit(self, values: ArrayLike) -> FloatArray:
        """Each value's place in [0, 1]: the middle of its bin on a grid, else interpolated.

        Raises:
            SpaceError: a value is not on the axis.
        """
        if self.is_grid:
            return self.index_to_unit(self.value_to_index(values))
        given = np.asarray(values, dtype=np.float64)
        outside = ~((given >= self.low) & (given <= self.high))
        if outside.any():
            raise SpaceError(
                f"axis {self.name!r}: {given[outside][0]:.12g} is outside its range, "
                f"{self.low:.12g} to {self.high:.12g}"
            )
        low, high, position = (self._scaled(x) for x in (self.low, self.high, given))
        return np.clip((position - low) / (high - low), 0.0, 1.0)

    def unit_to_value(self, units: ArrayLike) -> FloatArray:
        """The value at each u in [0, 1]: snapped to the grid, else interpolated with exact ends.

        Raises:
            SpaceError: a u is outside [0, 1] or NaN.
        """
        if self.is_grid:
            return self.index_to_value(self.unit_to_index(units))
        given = self._checked_unit(units)
        position = self._scaled(self.low) * (1 - given) + self._scaled(self.high) * given
        inside = np.clip(np.exp(position) if self.scale == "log" else position, self.low, self.high)
        # exp(log(low)) may miss low by a rounding error.
        return np.where(given == 0, self.low, np.where(given == 1, self.high, inside))

    def _scaled(self, values: ArrayLike) -> FloatArray:
        given = np.asarray(values, dtype=np.float64)
        return np.log(given) if self.scale == "log" else given

    def _grid(self) -> FloatArray:
        if not self.is_grid:
            raise SpaceError(f"axis {self.name!r} is continuous and has no grid: give it values, or num")
        return np.array(self.values)

    def _checked_unit(self, units: ArrayLike) -> FloatArray:
        given = np.asarray(units, dtype=np.float64)
        outside = ~((given >= 0) & (given <= 1))
        if outside.any():
            raise SpaceError(f"axis {self.name!r}: {given[outside][0]:g} is outside the unit interval [0, 1]")
        return given


def default_scale(low: float, high: float) -> Scale:
    """``"log"`` for a positive range over at least a factor of 10, else ``"linear"``."""
    return "log" if low > 0 and high >= 10 * low else "linear"


def _grid_ends(
    name: str, grid: tuple[float, ...], low: float | None, high: float | None
) -> tuple[float, float]:
    for first, second in pairwise(grid):
        if math.isclose(first, second, rel_tol=SAME_VALUE):
            raise SpaceError(f"axis {name!r} has the value {first:.12g} twice: give each value once")
    ends = grid[0], grid[-1]
    if low not in (None, ends[0]) or high not in (None, ends[1]):
        raise SpaceError(
            f"axis {name!r} has both values and low or high: give either the values or the range"
        )
    return ends


def _range_ends(name: str, low: float | None, high: float | None) -> tuple[float, float]:
    if low is None or high is None:
        raise SpaceError(f"axis {name!r} is empty: give it values, or low and high")
    ends = _finite(low, name), _finite(high, name)
    if ends[0] >= ends[1]:
        raise SpaceError(
            f"axis {name!r} has low={ends[0]:.12g} and high={ends[1]:.12g}: low must be below high"
        )
    return ends


def _words(name: str, given: Iterable[str]) -> tuple[str, ...]:
    words, seen = tuple(given), set[str]()
    for word in words:
        if not isinstance(word, str) or not word:
            raise SpaceError(f"axis {name!r} has {word!r} among its ordered words: give texts")
        if word in seen:
            raise SpaceError(f"axis {name!r} has the word {word!r} twice: give each once")
        seen.add(word)
    return words


def _finite(given: Any, name: str) -> float:
    if isinstance(given, bool | np.bool_) or not isinstance(given, Real):
        hint = ", written without quotes" if isinstance(given, str) else ""
        raise SpaceError(f"axis {name!r} has {given!r} where a number is needed: give numbers{hint}")
    try:
        number = float(given)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise SpaceError(f"axis {name!r} has the value {number}: give finite numbers")
    return number
