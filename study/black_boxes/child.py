"""The process in which a function of a user's is called, trial after trial: a script of its own, which needs nothing.

    python -P -u child.py PATH REQUESTS REPLIES

PATH is "package.module:name"; the others are file descriptors. A request is a line of JSON, the keyword arguments of a
trial; replies are lines of JSON: ["point", step, metrics], then ["metrics", metrics] or ["error", reason, lines].
"""

from __future__ import annotations

import importlib
import inspect
import json
import operator
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

FIRST = ("hyperparameters", "optimizer", "seed")
FURTHER = ("report", "resources", "checkpoints")
"""Arguments that a function is given if it names them."""
LINES_TOLD = 200
"""Of a traceback, the last ones."""
WANTED = "return a number or a dict of metrics, or yield (step, metrics)"


class GivenError(TypeError):
    """What the function gives is nothing that a trial can be."""


def further_arguments(function: Callable[..., Any]) -> list[str]:
    """Those of FURTHER that a function names. Raises TypeError when it cannot be called as trials are."""
    signature = inspect.signature(function)
    named = [name for name in FURTHER if name in signature.parameters]
    signature.bind(*FIRST, **dict.fromkeys(named))
    return named


def number(value: Any, what: str) -> float:
    """A number of any library. Raises GivenError for what is none."""
    if not isinstance(value, str | bytes | bool | None):
        try:
            return float(value)
        except (TypeError, ValueError, RuntimeError):
            pass
    raise GivenError(f"{what} is {short(value)}: {WANTED}")


def as_metrics(given: Any, metric: str) -> dict[str, float]:
    """Metrics of a number or a mapping; of the latter what is no number is left out, but for the metric itself."""
    if not isinstance(given, Mapping):
        return {metric: number(given, "what the function gives")}
    found = {}
    for name, value in given.items():
        try:
            found[str(name)] = number(value, f"the metric {metric!r}")
        except GivenError:
            if name == metric:
                raise
    return found


def short(value: Any) -> str:
    text = repr(value)
    return f"{text[:60]}{'…' if len(text) > 60 else ''} ({type(value).__name__})"


def trial(function: Callable[..., Any], given: dict[str, Any], send: Callable[..., None]) -> dict[str, float]:
    """Call the function for one trial; its last metrics."""
    metric = given.pop("metric")
    last: dict[str, float] | None = None

    def report(step: Any, metrics: Any) -> None:
        nonlocal last
        last = as_metrics(metrics, metric)
        send("point", whole(step), last)

    further: dict[str, Any] = {}
    for name in further_arguments(function):
        further[name] = report if name == "report" else given[name]
    if "checkpoints" in further:
        os.makedirs(further["checkpoints"], exist_ok=True)
    result = function(*(given[name] for name in FIRST), **further)
    if isinstance(result, Iterator):
        for item in result:
            if not (isinstance(item, tuple) and len(item) == 2):
                raise GivenError(f"the function yields {short(item)}: {WANTED}")
            report(*item)
        result = None
    if result is not None:
        last = as_metrics(result, metric)
    if last is None:
        raise GivenError(f"the function gives nothing: {WANTED}")
    if metric not in last:
        raise GivenError(f"the metric {metric!r} is missing: the function gives {', '.join(last) or 'none'}")
    return last


def whole(step: Any) -> int:
    try:
        return operator.index(step)
    except TypeError:
        raise GivenError(f"the step is {short(step)}: give a whole number") from None


def described(error: BaseException) -> tuple[str, str]:
    """An error in one line, and where in the user's code it was raised."""
    if isinstance(error, GivenError):
        return str(error), ""
    said = " ".join(f"{error}".split())
    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename == __file__:
        frame = frame.tb_next
    lines = "".join(traceback.format_exception(type(error), error, frame)).splitlines()
    return f"{type(error).__name__}{': ' if said else ''}{said[:500]}", "\n".join(lines[-LINES_TOLD:])


def main(path: str, requests: int, replies: int) -> None:
    os.set_inheritable(requests, False)
    os.set_inheritable(replies, False)
    with open(requests, encoding="utf-8") as asked, open(replies, "w", encoding="utf-8") as told:

        def send(*reply: Any) -> None:
            told.write(json.dumps(reply) + "\n")
            told.flush()

        function = None
        for line in asked:
            try:
                if function is None:
                    module, _, name = path.partition(":")
                    function = getattr(importlib.import_module(module), name)
                send("metrics", trial(function, json.loads(line), send))
            except BaseException as error:  # noqa: BLE001 - also SystemExit: whatever it was, this trial failed
                send("error", *described(error))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
