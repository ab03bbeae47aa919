"""Whether anything trained: where every trial diverged there is no best cell, no cost and no verdict to tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from analysis.errors import AnalysisError

if TYPE_CHECKING:
    import xarray as xr

UNTRAINED = "untrained"
"""Attribute of a landscape whose every trial diverged: that, in words."""


class NothingTrainedError(AnalysisError):
    """Every trial diverged, so that what was asked for does not exist.

    `said` is in words why, by landscape, the one name being empty where it is not known.
    """

    def __init__(self, said: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {why}" if name else why for name, why in said.items()))
        self.said = dict(said)


def nothing_trained(trials: int, diverged: int) -> str | None:
    """In words that all of an optimizer's trials diverged; None where one did not, or there is none."""
    if not trials or diverged < trials:
        return None
    return f"nothing trained, {'its only trial' if trials == 1 else f'all {trials:,} trials'} diverged"


def untrained(landscape: xr.DataArray) -> str | None:
    """The same of a landscape, as its trials said when it was made."""
    said: str | None = landscape.attrs.get(UNTRAINED)
    return said


def require_trained(landscape: xr.DataArray, name: str = "") -> None:
    """Raise NothingTrainedError, with the landscape's name if it is given, when nothing trained in it."""
    said = untrained(landscape)
    if said:
        raise NothingTrainedError({name: said})


def trained(landscapes: Mapping[str, xr.DataArray], tell: Callable[[str], None]) -> dict[str, xr.DataArray]:
    """Those in which something trained; `tell` is called with each of the others.

    Raises:
        NothingTrainedError: nothing trained in any of them.
    """
    others = {name: said for name, each in landscapes.items() if (said := untrained(each))}
    if others and len(others) == len(landscapes):
        raise NothingTrainedError(others)
    for name, said in others.items():
        tell(f"{name}: {said}")
    return {name: each for name, each in landscapes.items() if name not in others}
