"""What a study may be made of, whoever wrote it: text that every database keeps, numbers of 64 bits, few levels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storage.characters import unstorable

DEEPEST = 20
"""Levels of tables and lists: more than any study has."""


def first_problem(given: Any) -> tuple[str, str] | None:
    """The dotted place of the first thing that no study may have, and what is wrong there; None if there is none."""
    left: list[tuple[tuple[str, ...], Any]] = [((), given)]
    while left:
        place, value = left.pop()
        if len(place) > DEEPEST:
            return ".".join(place[:3]), "is nested too deeply"
        if isinstance(value, Mapping):
            for key in value:
                if (problem := unstorable(str(key))) is not None:
                    return ".".join(place) or "study", f"has a key with {problem}"
            left += [((*place, str(key)), each) for key, each in reversed(list(value.items()))]
        elif isinstance(value, list | tuple):
            left += [((*place, str(i)), value[i]) for i in reversed(range(len(value)))]
        elif isinstance(value, str) and (problem := unstorable(value)) is not None:
            return ".".join(place), f"has {problem}"
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            return ".".join(place), "is a whole number of more than 64 bits: give a smaller one"
    return None
