"""Tuners: what searches a space for good hyperparameters, one trial after another.

The classes are imported when asked for: each library among them takes a second.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType

from search_spaces import SearchSpace, nearest_name
from tuners.errors import TunerError
from tuners.tuner import Seed, Tuner

TUNERS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "random": ("tuners.random_search", "Random"),
        "grid": ("tuners.grid_search", "Grid"),
        "tpe": ("tuners.tpe", "TPE"),
        "tpe-multivariate": ("tuners.tpe", "MultivariateTPE"),
        "cma-es": ("tuners.cma_es", "CMAES"),
        "gp": ("tuners.gp", "GP"),
        "gld": ("tuners.gld", "GLD"),
        "cgld": ("tuners.cgld", "CGLD"),
        "line-search": ("tuners.line_search", "LineSearch"),
    }
)
"""Name in a study file -> module and class."""


def check_tuner(name: str) -> None:
    """Raise TunerError, naming the nearest, when there is no tuner of that name. Imports nothing."""
    if name not in TUNERS:
        raise TunerError(f"unknown tuner {name!r}{nearest_name(name, TUNERS)}: known are {', '.join(TUNERS)}")


def tuner_class(name: str) -> type[Tuner]:
    """The class of a tuner. Raises TunerError, naming the nearest, when there is none of that name."""
    check_tuner(name)
    module, attribute = TUNERS[name]
    found: type[Tuner] = getattr(importlib.import_module(module), attribute)
    return found


def make_tuner(name: str, space: SearchSpace, seed: Seed) -> Tuner:
    """A tuner by name. Raises TunerError when there is none of that name."""
    return tuner_class(name)(space, seed)


__all__ = ["TUNERS", "Seed", "Tuner", "TunerError", "check_tuner", "make_tuner", "tuner_class"]
