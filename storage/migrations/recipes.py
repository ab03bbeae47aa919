"""What a study of version 1 was trained by: its spec named only what was not a default, so here are the defaults."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from storage.attributes import UNKNOWN

STEPS = 400
SCHEDULE = {"name": "constant", "warmup": 0, "at": [], "factor": 0.1}
WEIGHT_DECAY = {"value": 0.0, "kind": "L2", "reference_lr": None}
WORKLOAD = ("name", "steps", "weight_decay", "schedule", "clip_norm")
"""Keys of a workload that are not arguments of its factory."""
OPTIMIZER = ("name", "axes", "schedule")
"""Keys of an optimizer that are not settings."""


def recipe_of_1(
    optimizer: str, spec: Mapping[str, Any], made: Mapping[str, Any], metric: str
) -> dict[str, Any]:
    """The recipe of an optimizer, from the spec and the provenance of its study.

    What version 1 did not write down (defaults of foreign code, how an early study was trained) is listed as unknown.
    """
    if "workload" not in spec:
        return dict(spec)  # imported
    defaults, workload = _defaults(), _table(spec["workload"])
    table = next(each for each in map(_table, spec["optimizers"]) if each["name"] == optimizer)
    choice = made.get("methods", {}).get(optimizer, {})
    paths = [name for name in (workload["name"], optimizer) if ":" in name]
    unknown = [
        name for name in ("method", "compile", "lanes", "data_sha256") if name not in {**choice, **made}
    ]
    if workload["name"] not in defaults["workloads"]:
        unknown.append("arguments")
    if optimizer not in defaults["optimizers"]:
        unknown.append("settings")
    recipe = {
        "version": 1,
        "workload": workload["name"],
        "arguments": {
            **defaults["workloads"].get(workload["name"], {}),
            **{key: value for key, value in workload.items() if key not in WORKLOAD},
        },
        "steps": workload.get("steps", STEPS),
        "weight_decay": {**WEIGHT_DECAY, **_table(workload.get("weight_decay", {}), "value")},
        "clip_norm": workload.get("clip_norm"),
        "schedule": {**SCHEDULE, **_table(table.get("schedule", workload.get("schedule", {})))},
        "optimizer": optimizer,
        "settings": {
            **defaults["optimizers"].get(optimizer, {}),
            **{key: value for key, value in table.items() if key not in OPTIMIZER},
        },
        "axes": {axis: table.get("axes", {}).get(axis) for axis in spec["space"]},
        "metric": metric,
        "dtype": spec.get("dtype", "float32"),
        **{key: choice[key] for key in ("method", "compile", "lanes") if key in choice},
        "data_sha256": made.get("data_sha256"),
        "sources": {path: made.get("sources", {}).get(path) for path in paths},
        UNKNOWN: unknown,
    }
    return {key: value for key, value in recipe.items() if key not in unknown or isinstance(value, dict)}


def _table(given: Any, short: str = "name") -> dict[str, Any]:
    return dict(given) if isinstance(given, Mapping) else {short: given}


@cache
def _defaults() -> dict[str, dict[str, dict[str, Any]]]:
    """The settings of our optimizers, and the arguments of our workloads, at version 1."""
    text = files(__package__).joinpath("defaults_of_1.json").read_text(encoding="utf-8")
    loaded: dict[str, dict[str, dict[str, Any]]] = json.loads(text)
    return loaded
