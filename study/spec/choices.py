"""Axes of a black box whose values have no order: the study has each optimizer once for every choice."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from study.spec.black_box import is_black_box
from study.spec.optimizer import OptimizerSpec

MOST_OPTIMIZERS = 100
"""That choices may make of a study's."""
NOT_IN_LABELS = re.compile(r"[^A-Za-z0-9._:-]+")


def split_choices(given: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """A study file of a black box with labels in place of axes of choices, and a line that says so if it had any.

    What is wrong otherwise is left to be refused later. Raises ValueError: a choice is repeated, clashes with a
    setting, or two labels are the same.
    """
    space, optimizers = given.get("space"), given.get("optimizers")
    if not isinstance(space, Mapping) or not isinstance(optimizers, list | tuple):
        return given, ""
    choices = {str(axis): entry for axis, entry in space.items() if are_choices(entry)}
    if not choices or not is_black_box(given.get("workload")):
        return given, ""
    if len(choices) == len(space):
        raise ValueError(
            f"space has choices alone ({', '.join(choices)}), of which no landscape is made: add an axis of numbers, "
            "or one of ordered words, { ordered = ['small', 'large'] }"
        )
    count = len(optimizers) * math.prod(map(len, choices.values()))
    if count > MOST_OPTIMIZERS:
        raise ValueError(
            f"the choices of {', '.join(choices)} make {count:,} optimizers: give at most {MOST_OPTIMIZERS}"
        )
    for axis, entry in choices.items():
        check_choices(axis, entry)
    made = [
        with_choices(optimizer, dict(zip(choices, chosen, strict=True)))
        for optimizer in optimizers
        for chosen in itertools.product(*choices.values())
    ]
    labels = [each["label"] for each in made]
    for label in labels:
        if labels.count(label) > 1:
            raise ValueError(
                f"the choices of {', '.join(choices)} make two optimizers {label!r}: give optimizers labels, or "
                "choices names, that keep them apart"
            )
    left = {axis: entry for axis, entry in space.items() if axis not in choices}
    said = (
        f"{', '.join(choices)}: choices have no order, so each is studied by itself, as {', '.join(labels)}"
    )
    return {**given, "optimizers": made, "space": left}, said


def are_choices(entry: Any) -> bool:
    """Whether an axis is a list of texts that are no numbers, or of booleans."""
    return (
        isinstance(entry, list | tuple)
        and bool(entry)
        and all(isinstance(each, bool) or (isinstance(each, str) and not is_number(each)) for each in entry)
    )


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def check_choices(axis: str, entry: list[Any]) -> None:
    """Raise ValueError when a choice is repeated or empty, or the axis is a key of an optimizer's table."""
    if axis in OptimizerSpec.model_fields:
        raise ValueError(
            f"axis {axis!r} is something else of an optimizer, which gets the choices: rename it"
        )
    for each in entry:
        if each == "" or entry.count(each) > 1:
            said = "an empty choice" if each == "" else f"the choice {json.dumps(each)} twice"
            raise ValueError(f"axis {axis!r} has {said}: give each once, by a name")


def with_choices(optimizer: Any, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """An optimizer's table with a choice of each axis as settings, under a label that tells them."""
    table = dict(optimizer) if isinstance(optimizer, Mapping) else {"name": optimizer}
    key = table.get("label") or table.get("name")
    axes = table.get("axes")
    for axis in chosen:
        if axis in table or (isinstance(axes, Mapping) and axis in axes):
            raise ValueError(
                f"axis {axis!r} has choices, and the optimizer {key!r} sets it as well: leave one out"
            )
    words = [
        f"{axis}-{str(each).lower()}" if isinstance(each, bool) else each for axis, each in chosen.items()
    ]
    return {**table, "label": NOT_IN_LABELS.sub("-", "-".join([str(key), *words])), **chosen}
