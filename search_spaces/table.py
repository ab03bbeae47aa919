"""One entry of a study file's ``[space]`` table to an `Axis`, and back."""

import math
from collections.abc import Mapping
from fractions import Fraction
from itertools import pairwise
from typing import Any

from search_spaces.axis import Axis, default_scale
from search_spaces.errors import SpaceError, nearest_name

ENTRY_KEYS = ("values", "low", "high", "num", "scale", "ordered")


def axis_from_entry(name: str, entry: Any) -> Axis:
    """The axis of one entry.

    That is a list of numbers, or a table of `values`, of `low`, `high` and `num`, or of `ordered` words.

    Raises:
        SpaceError: the entry is neither, a key is unknown or missing, or `Axis` refuses the numbers.
    """
    if isinstance(entry, list | tuple):
        return Axis(name, entry)
    if not isinstance(entry, Mapping):
        raise SpaceError(
            f"axis {name!r} is {entry!r}: "
            "give a list of numbers, or a table such as {low = 0.01, high = 1, num = 5}"
        )
    for key in entry:
        if key not in ENTRY_KEYS:
            raise SpaceError(
                f"axis {name!r} has the unknown key {key!r}{nearest_name(key, ENTRY_KEYS)}: "
                f"allowed are {', '.join(ENTRY_KEYS)}"
            )
    if "ordered" in entry:
        return _ordered_axis(name, entry)
    return _listed_axis(name, entry) if "values" in entry else _ranged_axis(name, entry)


def axis_to_entry(axis: Axis) -> list[float] | dict[str, Any]:
    """The shortest entry from which `axis_from_entry` makes an equal axis."""
    if not axis.is_grid:
        return {"low": axis.low, "high": axis.high, "scale": axis.scale}
    if axis.words:
        return {"ordered": list(axis.words)}
    if axis.scale == default_scale(axis.low, axis.high):
        return list(axis.values)
    return {"values": list(axis.values), "scale": axis.scale}


def _ordered_axis(name: str, entry: Mapping[str, Any]) -> Axis:
    if len(entry) > 1 or not isinstance(entry["ordered"], list | tuple) or not entry["ordered"]:
        raise SpaceError(
            f"axis {name!r} is {dict(entry)!r}: give ordered words alone, {{ ordered = ['small', 'large'] }}"
        )
    return Axis(name, words=entry["ordered"])


def _listed_axis(name: str, entry: Mapping[str, Any]) -> Axis:
    for key in ("low", "high", "num"):
        if key in entry:
            raise SpaceError(f"axis {name!r} has both values and {key}: give either the values or the range")
    if not isinstance(entry["values"], list | tuple):
        raise SpaceError(f"axis {name!r} has values={entry['values']!r}: give a list of numbers")
    return Axis(name, entry["values"], scale=entry.get("scale"))


def _ranged_axis(name: str, entry: Mapping[str, Any]) -> Axis:
    for key in ("low", "high"):
        if key not in entry:
            raise SpaceError(f"axis {name!r} has no {key}: give low and high, or a list of values")
    ends = Axis(name, low=entry["low"], high=entry["high"], scale=entry.get("scale"))
    if "num" not in entry:
        return ends
    num = entry["num"]
    if isinstance(num, bool) or not isinstance(num, int) or num < 2:
        raise SpaceError(f"axis {name!r} has num={num!r}: give a whole number, 2 or more")
    return Axis(name, _spaced(ends, num), scale=ends.scale)


def _spaced(ends: Axis, num: int) -> list[float]:
    """`num` values evenly spaced on the scale from low to high, as decimals a person would write."""
    if ends.scale == "log":
        low, high = math.log10(ends.low), math.log10(ends.high)
        inner = [10 ** (low + (high - low) * i / (num - 1)) for i in range(1, num - 1)]
    else:
        # Fractions of the written decimals keep the middle of -1 to 1 at 0, not at 1e-17.
        first, last = Fraction(repr(ends.low)), Fraction(repr(ends.high))
        inner = [float(first + (last - first) * i / (num - 1)) for i in range(1, num - 1)]
    values = [ends.low, *(float(f"{value:.12g}") for value in inner), ends.high]
    if any(first >= second for first, second in pairwise(values)):
        raise SpaceError(
            f"axis {ends.name!r}: {ends.low!r} to {ends.high!r} is too narrow for {num} values: lower num"
        )
    return values
