"""Names of what is imported when it is asked for: torch, and libraries of tuners, take seconds to import."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

Found = TypeVar("Found")


class Lazy(Mapping[str, Found], Generic[Found]):
    """Name -> what its place, "package.module:attribute", holds; listing and looking for names imports nothing.

    >>> names = Lazy({"pi": "math:pi"})
    >>> list(names), "pi" in names, names["pi"]
    (['pi'], True, 3.141592653589793)
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self.places = dict(places)

    def __getitem__(self, name: str) -> Found:
        module, _, attribute = self.places[name].partition(":")
        found: Found = getattr(importlib.import_module(module), attribute)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self.places

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)
