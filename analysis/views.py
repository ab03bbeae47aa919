"""Which axes of a landscape are shown, and where the others are: at given values, or at their best."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from analysis.errors import AnalysisError
from analysis.landscape import axis_names, text_at
from analysis.pairs import projected
from analysis.surrogate import SURROGATE, surrogate_of
from search_spaces import Axis, nearest_name

AT_BEST = "at_best"
"""Attribute of a landscape: names of axes that it lacks because each cell has them at their best."""


class ViewError(AnalysisError):
    """A view that a landscape does not have."""


@dataclass(frozen=True)
class View:
    """What is shown of a landscape.

    Attributes:
        axes: the first is drawn upwards, the second to the right; the first two that vary if none are named.
        at: further axes and the values they are held at; those neither here nor in `axes` are at their best.

    Raises ViewError when an axis occurs twice.
    """

    axes: tuple[str, ...] = ()
    at: tuple[tuple[str, float | str], ...] = ()

    @classmethod
    def of_texts(cls, axes: str | None, at: Sequence[str]) -> View:
        """From ``alpha,eps`` and texts ``beta1=0.9``, of an ordered axis ``size=small``.

        Raises ViewError when a text is something else.
        """
        names = tuple(name.strip() for name in axes.split(",")) if axes else ()
        return cls(names, tuple(_held(text) for text in at))

    def __post_init__(self) -> None:
        every = [*self.axes, *(name for name, _ in self.at)]
        twice = [name for place, name in enumerate(every) if name in every[:place]]
        if twice:
            raise ViewError(f"the axis {twice[0]!r} is given twice: show it, or hold it at one value")

    @property
    def numbers(self) -> dict[str, float]:
        """What `at` holds of axes of numbers. Raises ViewError for a word."""
        for name, value in self.at:
            if isinstance(value, str):
                raise _not_understood(f"{name}={value}")
        return {name: float(value) for name, value in self.at}


WHOLE = View()


def _held(text: str) -> tuple[str, float | str]:
    name, _, value = (part.strip() for part in text.partition("="))
    if not name or not value:
        raise _not_understood(text)
    try:
        number = float(value)
    except ValueError:
        return name, value
    if not math.isfinite(number):
        raise _not_understood(text)
    return name, number


def _not_understood(text: str) -> ViewError:
    return ViewError(f"{text!r} is not understood: write an axis and its value, as in beta1=0.9")


def axes_of(landscape: xr.DataArray) -> tuple[str, ...]:
    """Names of all axes; of a surrogate's landscape also those that it is not drawn over."""
    surrogate = surrogate_of(landscape.attrs)
    return surrogate.observations.space.names if surrogate else axis_names(landscape)


def shown(landscape: xr.DataArray, view: View = WHOLE) -> xr.DataArray:
    """The landscape over one or two axes, which come first; axes held at a value keep it as their only one.

    Of a surrogate it is another slice, and what is held is a scalar coordinate.

    Raises:
        ViewError: as for `axes_to_show`, or more than two axes are to be shown.
    """
    chosen = axes_to_show(landscape, view)[: None if view.axes else 2]
    if len(chosen) > 2:
        raise ViewError(f"one figure shows two axes, not {', '.join(chosen)}: choose two, or all pairs")
    surrogate = surrogate_of(landscape.attrs)
    if surrogate:
        if len(chosen) < 2:
            raise ViewError(f"a surrogate is drawn over two axes, not {', '.join(chosen)} alone")
        first, second = chosen
        mean = surrogate.slice(first, second, view.numbers)[0]
        return mean.assign_attrs({**landscape.attrs, SURROGATE: surrogate})
    held = hold(landscape, view)
    single = [name for name in axis_names(held) if held.sizes[name] == 1 and name not in chosen]
    others = [name for name in axis_names(held) if name not in (*chosen, *single)]
    if not others:
        return held.transpose("seed", *chosen, *single)
    return projected(held, (*chosen, *single))[0].assign_attrs({AT_BEST: tuple(others)})


def pairs_shown(landscape: xr.DataArray, view: View = WHOLE) -> dict[tuple[str, str], xr.DataArray]:
    """Every pair of the view's axes, or of those that vary, see `shown`.

    Raises:
        ViewError: as for `axes_to_show`, or there are fewer than two.
    """
    names = axes_to_show(landscape, view)
    if len(names) < 2:
        raise ViewError(f"pairs need two axes or more, and there is only {names[0]}")
    return {
        (first, second): shown(landscape, replace(view, axes=(first, second)))
        for first, second in itertools.combinations(names, 2)
    }


def hold(landscape: xr.DataArray, view: View) -> xr.DataArray:
    """A grid's landscape with the view's values alone of the axes that it holds.

    Raises:
        ViewError: an axis or a value is not the landscape's.
    """
    for name, value in view.at:
        _known(name, axis_names(landscape))
        values, words = landscape[name].values, landscape[name].attrs.get("words", ())
        if isinstance(value, str) and not words:
            raise _not_understood(f"{name}={value}")
        text = value if isinstance(value, str) else f"{value:g}"  # a word may look like a number
        number = words.index(text) if text in words else math.nan if isinstance(value, str) else value
        places = np.flatnonzero(np.isclose(values, number, rtol=1e-9, atol=0.0))
        if not len(places):
            there = ", ".join(text_at(landscape, name, each) for each in values)
            raise ViewError(f"{name} = {text} is not on the grid: it has {there}")
        landscape = landscape.isel({name: places})
    return landscape


def axes_to_show(landscape: xr.DataArray, view: View) -> tuple[str, ...]:
    """The view's axes, or those that vary and are not held; the first one if none does.

    Raises:
        ViewError: an axis or a value is not the landscape's, or no axis is left.
    """
    names = axes_of(landscape)
    held = [_known(name, names) for name, _ in view.at]
    surrogate = surrogate_of(landscape.attrs)
    if surrogate:
        by_name = {axis.name: axis for axis in surrogate.observations.space.axes}
        for name, value in view.numbers.items():
            _in_range(by_name[name], value)
    if view.axes:
        return tuple(_known(name, names) for name in view.axes)
    free = [name for name in names if name not in held]
    if not free:
        raise ViewError("all axes are held at a value: leave one or two to show")
    varying = [name for name in free if surrogate or landscape.sizes[name] > 1]
    return tuple(varying) or (free[0],)


def _known(name: str, names: Sequence[str]) -> str:
    if name not in names:
        raise ViewError(f"there is no axis {name!r}{nearest_name(name, names)}: there are {', '.join(names)}")
    return name


def _in_range(axis: Axis, value: float) -> None:
    if not axis.low <= value <= axis.high:
        raise ViewError(
            f"{axis.name} = {value:g} is outside of its range: give one from {axis.low:g} to {axis.high:g}"
        )
