"""Numbers as the pages write them, the same as static/format.js does when it renews them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

STATES = {"queued": "◷", "running": "▶", "done": "✓", "failed": "✗", "stopped": "■"}
"""A sign for each state, so that colour is not all that tells them apart."""


def count(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def metric(value: float | None, name: str) -> str:
    """A metric's value with three digits, an error as a percentage.

    >>> metric(0.0213, "validation_error")
    '2.13%'
    """
    if value is None:
        return "–"
    return f"{100 * value:.3g}%" if name.endswith("error") and 0 <= value <= 1 else f"{value:.3g}"


def duration(seconds: float | None) -> str:
    """Two units at most.

    >>> duration(3700)
    '1 h 1 min'
    """
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def date(moment: str | None) -> str:
    """The day of an ISO 8601 text.

    >>> date("2026-11-29T14:03:00+00:00")
    '2026-11-29 14:03'
    """
    return "" if moment is None else moment[:16].replace("T", " ")


def words(name: str) -> str:
    return name.replace("_", " ")


def sign(state: str) -> str:
    return STATES[state]


def segment(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


FILTERS: dict[str, Callable[..., Any]] = {
    "count": count,
    "metric": metric,
    "date": date,
    "duration": duration,
    "words": words,
    "sign": sign,
    "segment": segment,
}
