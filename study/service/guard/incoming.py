"""Specs that come over HTTP: read, and refused if they are too large, before anything is made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from study.service.guard.problems import Problem
from study.service.settings import Settings
from study.spec.plain import DEEPEST
from study.spec.toml import LONGEST_NUMBER, parse_toml

MOST_ENTRIES = {"space": 32, "optimizers": 100}
"""More than any study has, and few enough to be checked at once."""
TOML_TYPES = ("application/toml", "text/toml", "text/x-toml")


def read_mapping(body: bytes, content_type: str) -> Mapping[str, Any]:
    """The mapping that a JSON or TOML body is. Raises Problem saying what is wrong and where."""
    media = content_type.partition(";")[0].strip().lower()
    if media in TOML_TYPES:
        kind = "TOML"
    elif media in ("application/json", ""):
        kind = "JSON"
    else:
        raise Problem(415, f"a study comes as application/json or application/toml, not {media[:100]!r}")
    try:
        text = body.decode("utf-8")
        given = (
            parse_toml(text)
            if kind == "TOML"
            else json.loads(text, parse_constant=no_constant, parse_int=whole_number)
        )
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Problem(400, f"the study is not valid {kind}: {reason}") from None
    if not isinstance(given, Mapping):
        raise Problem(422, f"a study is a table of keys, not {json.dumps(given)[:100]}")
    return given


def no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def whole_number(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise ValueError(f"a number has more than {LONGEST_NUMBER:,} digits")
    return int(digits)


def check_limits(given: Mapping[str, Any], settings: Settings) -> None:
    """Raise Problem, with the key, when a spec is deeper or has more entries than any, or a grid beyond the limit."""
    check_depth(given, ())
    for key, most in MOST_ENTRIES.items():
        entries = given.get(key)
        if isinstance(entries, Mapping | list) and len(entries) > most:
            raise refused((key,), f"has {len(entries):,} entries: give at most {most}")
    space = given.get("space")
    if not isinstance(space, Mapping):
        return
    trials: float = 1
    for axis, entry in space.items():
        trials *= min(
            max(values_of(entry), 1), settings.max_trials + 1
        )  # also when it is too large for a float
        if not trials <= settings.max_trials:  # also when it is NaN
            raise refused(("space", str(axis)), too_many(settings))


def check_depth(given: Any, place: tuple[str, ...]) -> None:
    """Raise Problem when nested JSON types are deeper than any study."""
    if len(place) > DEEPEST:
        raise refused(place[:3], "is nested too deeply")
    if isinstance(given, list):
        given = dict(enumerate(given))
    if isinstance(given, Mapping):
        for key, value in given.items():
            check_depth(value, (*place, str(key)))


def values_of(entry: Any) -> float:
    """How many values an axis seems to have; what is no axis is for the spec to refuse."""
    if isinstance(entry, Mapping):
        entry = entry.get("values", entry.get("ordered", entry.get("num", 1)))
    if isinstance(entry, list):
        return len(entry)
    return entry if isinstance(entry, int | float) else 1


def check_trials(trials: int, settings: Settings) -> None:
    """Raise Problem when there are more trials than a study may have here."""
    if trials > settings.max_trials:
        raise refused(("space",), f"{too_many(settings)}, not {trials:,}")


def too_many(settings: Settings) -> str:
    return f"give a smaller grid: a study may have {settings.max_trials:,} trials here"


def refused(place: tuple[str, ...], detail: str) -> Problem:
    location = ".".join(place)
    return Problem(422, f"study: {location}: {detail}", [{"location": location, "detail": detail}])
