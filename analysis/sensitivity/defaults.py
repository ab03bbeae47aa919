"""Where an optimizer's defaults lie on a grid, by the recipe that is stored with its trials."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.errors import AnalysisError
from search_spaces import Axis, SearchSpace
from search_spaces.axis import SAME_VALUE
from search_spaces.symbols import SYMBOLS

ITEM = re.compile(r"(\w+)\[(\d+)\]")
"""An item of an argument that is a tuple, as ``betas[0]``."""


@dataclass(frozen=True)
class Default:
    """The default of one axis.

    Attributes:
        value: NaN where it is not known.
        index: of the nearest grid value, in log on a logarithmic axis; None where the default is not within the grid.
        off: how far that is above it, in decades on a logarithmic axis, else as a share of the axis's range.
        problem: why there is no index, in words.
    """

    value: float
    index: int | None
    off: float
    problem: str | None


def defaults_of(
    recipe: Mapping[str, Any], space: SearchSpace, given: Mapping[str, float] | None = None
) -> tuple[Default, ...]:
    """The default of every axis of a grid; those `given` by axis come before what the recipe says.

    Raises AnalysisError when one is given of an axis that there is not.
    """
    given = given or {}
    unknown = [name for name in given if name not in space.names]
    if unknown:
        raise AnalysisError(
            f"there is no axis {unknown[0]!r}: defaults may be given of {', '.join(space.names)}"
        )
    return tuple(placed(axis, given.get(axis.name, _stored(recipe, axis.name))) for axis in space.axes)


def parse_defaults(text: str) -> dict[str, float]:
    """Defaults by axis, written as ``alpha=0.1,eps=1e-8``. Raises AnalysisError when they are not."""
    found = {}
    for each in text.split(","):
        name, _, value = each.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            raise AnalysisError(f"defaults are written as alpha=0.1,eps=1e-8, not {text!r}") from None
    return found


def placed(axis: Axis, default: Any) -> Default:
    """Where a default lies on an axis; None is one that nobody knows."""
    if default is None:
        return Default(math.nan, None, math.nan, f"the default of {axis.name} is not known")
    if isinstance(default, bool) or not isinstance(default, int | float):
        said = f"the default of {axis.name} is {default}, which is no number"
        return Default(math.nan, None, math.nan, said)
    value = float(default)
    slack = SAME_VALUE * abs(value)
    if not axis.low - slack <= value <= axis.high + slack:
        said = f"the default {axis.name} = {value:g} is not within the grid, {axis.low:g} to {axis.high:g}"
        return Default(value, None, math.nan, said)
    grid = np.array(axis.values)
    if axis.scale == "log":
        away = np.log10(grid) - math.log10(value)
    else:
        away = (grid - value) / max(axis.high - axis.low, SAME_VALUE)
    index = int(np.abs(away).argmin())
    off = float(away[index])
    return Default(value, index, off if abs(off) > SAME_VALUE else 0.0, None)


def _stored(recipe: Mapping[str, Any], axis: str) -> Any:
    """What a recipe says of an axis: a number, a text such as ``0.1 · lr``, or None."""
    settings = recipe.get("settings")
    if not isinstance(settings, Mapping):
        return None
    axes = recipe.get("axes")
    named = axes.get(axis) if isinstance(axes, Mapping) else None
    if axis == "factor" and named is None:
        return 1.0  # of the optimizer's own lr
    argument = named or (axis if axis in settings else SYMBOLS.get(axis, axis))
    item = ITEM.fullmatch(argument)
    found = settings.get(item[1] if item else argument)
    if item and isinstance(found, list | tuple) and int(item[2]) < len(found):
        return found[int(item[2])]
    return found
