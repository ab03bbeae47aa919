"""A search space: axes side by side, with points as rows of arrays of shape (m, d), one column an axis."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from search_spaces.axis import Axis, FloatArray, IntArray
from search_spaces.errors import SpaceError
from search_spaces.table import axis_from_entry, axis_to_entry

Number = TypeVar("Number", np.float64, np.int64)


@dataclass(frozen=True, init=False)
class SearchSpace:
    """The product of d axes, each named once.

    Points are given three ways, always as arrays of shape (m, d): hyperparameter *values*, grid *indices*
    (integers), and *units*, the unit cube [0, 1]^d in which tuners work. On a grid, cells survive every round
    trip exactly. On a continuous axis there are no indices, and a value survives to rounding error.

    Raises:
        SpaceError: there is no axis, or two axes have one name.
    """

    axes: tuple[Axis, ...]

    def __init__(self, axes: Iterable[Axis]) -> None:
        axes = tuple(axes)
        if not axes:
            raise SpaceError("the search space has no axes: give one or more, such as alpha = [0.1, 1, 10]")
        names = [axis.name for axis in axes]
        for name in names:
            if names.count(name) > 1:
                raise SpaceError(f"the search space has more than one axis {name!r}: give each its own name")
        object.__setattr__(self, "axes", axes)

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> "SearchSpace":
        """Read the ``[space]`` table of a study file.

        Each key is an axis. Its value is a list of numbers in any order, or a table: ``{low, high, num}`` for
        `num` values evenly spaced on the axis's scale (decimals of at most 12 significant digits, the ends
        exact), ``{low, high}`` for a continuous axis, ``{values}`` for a list; each with ``scale`` (``"log"``
        or ``"linear"``) where the rule of `Axis` would choose otherwise. ``{ordered}`` is a list of words, whose places
        are the values.

        Raises:
            SpaceError: the table is empty or not a table, or an entry is not as above.

        >>> SearchSpace.from_table({"eps": {"low": 1e-8, "high": 1e-4, "num": 3}}).axes[0].values
        (1e-08, 1e-06, 0.0001)
        """
        if not isinstance(table, Mapping):
            raise SpaceError(f"the search space is {table!r}: give a table such as alpha = [0.1, 1, 10]")
        return cls(axis_from_entry(name, entry) for name, entry in table.items())

    def to_table(self) -> dict[str, Any]:
        """Lists and tables, fit for TOML and JSON, from which `from_table` makes an equal space."""
        return {axis.name: axis_to_entry(axis) for axis in self.axes}

    @property
    def names(self) -> tuple[str, ...]:
        """The d axis names."""
        return tuple(axis.name for axis in self.axes)

    @property
    def words(self) -> dict[str, tuple[str, ...]]:
        """The words of each ordered axis."""
        return {axis.name: axis.words for axis in self.axes if axis.words}

    @property
    def grids(self) -> dict[str, tuple[float, ...]]:
        """The values of each axis of numbers that is a grid."""
        return {axis.name: axis.values for axis in self.axes if axis.is_grid and not axis.words}

    @property
    def is_grid(self) -> bool:
        """Whether every axis is a grid axis."""
        return all(axis.is_grid for axis in self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of values on each of the d axes. Raises SpaceError when an axis is continuous."""
        for axis in self.axes:
            if not axis.is_grid:
                raise SpaceError(
                    f"axis {axis.name!r} is continuous, so there are no cells: give it values, or num"
                )
        return tuple(len(axis.values) for axis in self.axes)

    @property
    def size(self) -> int:
        """The number of cells. Raises SpaceError when an axis is continuous."""
        return math.prod(self.shape)

    def cells(self) -> FloatArray:
        """The values of every cell, (size, d), the last axis running fastest (C order).

        Raises:
            SpaceError: an axis is continuous.
        """
        return self.index_to_value(np.indices(self.shape).reshape(len(self.axes), -1).T)

    def flat_index(self, indices: ArrayLike) -> IntArray:
        """The row of `cells` at which each point lies, (m,), from its grid indices (m, d).

        Raises:
            SpaceError: as for `Axis.checked_index`.
        """
        checked = self._by_axis(indices, np.int64, Axis.checked_index)
        rows: IntArray = np.ravel_multi_index(tuple(checked.T), self.shape)
        return rows

    def value_to_index(self, values: ArrayLike) -> IntArray:
        """Grid indices (m, d) of values (m, d); see `Axis.value_to_index`."""
        return self._by_axis(values, np.int64, Axis.value_to_index)

    def index_to_value(self, indices: ArrayLike) -> FloatArray:
        """Values (m, d) of grid indices (m, d); see `Axis.index_to_value`."""
        return self._by_axis(indices, np.float64, Axis.index_to_value)

    def index_to_unit(self, indices: ArrayLike) -> FloatArray:
        """Units (m, d) of grid indices (m, d); see `Axis.index_to_unit`."""
        return self._by_axis(indices, np.float64, Axis.index_to_unit)

    def unit_to_index(self, units: ArrayLike) -> IntArray:
        """Grid indices (m, d) of units (m, d); see `Axis.unit_to_index`."""
        return self._by_axis(units, np.int64, Axis.unit_to_index)

    def value_to_unit(self, values: ArrayLike) -> FloatArray:
        """Units (m, d) of values (m, d); see `Axis.value_to_unit`."""
        return self._by_axis(values, np.float64, Axis.value_to_unit)

    def unit_to_value(self, units: ArrayLike) -> FloatArray:
        """Values (m, d) of units (m, d), snapped on grid axes; see `Axis.unit_to_value`."""
        return self._by_axis(units, np.float64, Axis.unit_to_value)

    def _by_axis(
        self, points: ArrayLike, dtype: type[Number], convert: Callable[[Axis, ArrayLike], NDArray[Number]]
    ) -> NDArray[Number]:
        given = np.asarray(points)
        if given.ndim != 2 or given.shape[1] != len(self.axes):
            raise SpaceError(
                f"points have the shape {given.shape}: give one row a point and one column an axis, "
                f"(m, {len(self.axes)}) for {', '.join(self.names)}"
            )
        converted = np.empty(given.shape, dtype)
        for column, axis in enumerate(self.axes):
            converted[:, column] = convert(axis, given[:, column])
        return converted
