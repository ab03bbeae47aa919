"""What a study is when one of another database is added to it: the union of their cells, seeds and optimizers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from search_spaces import Axis, SearchSpace
from storage.attributes import UNKNOWN, About
from storage.declare import differences, with_words_of
from storage.errors import OtherStudyError

GROWS = ("name", "seeds", "optimizers", "space", "tuning", "device")
"""Of a spec, what does not decide how its trials are trained."""


NO_RECIPE = ("checkpoints", "timeout")
"""Of a black box, what does not decide its trials."""


def _fixed(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Of a spec, what does."""
    fixed = {key: value for key, value in spec.items() if key not in (*GROWS, "resources")}
    workload = fixed.get("workload")
    if isinstance(workload, dict):
        fixed["workload"] = {key: value for key, value in workload.items() if key not in NO_RECIPE}
    return fixed


def merged(study: str, there: About, given: About) -> About:
    """What a study is when another is added to it. Raises StoreError where their trials are not comparable."""
    unknown = {
        name for each in (*there.recipes.values(), *given.recipes.values()) for name in each.get(UNKNOWN, ())
    }
    pairs: list[tuple[str, Any, Any]] = [
        (f"{study}/{name}", there.recipes[name], given.recipes[name])
        for name in there.recipes.keys() & given.recipes.keys()
    ]
    fixed = [_fixed(each.spec) for each in (there, given)]
    pairs += [(study, {"metric": there.metric, **fixed[0]}, {"metric": given.metric, **fixed[1]})]
    for name, stored, added in pairs:
        other = "; ".join(differences(stored, added, unknown=unknown))
        if other:
            raise OtherStudyError(
                f"{name} was trained otherwise in the two databases ({other}): "
                "`tunability rename` one of them and copy it"
            )
    space = union(study, there.space, given.space)
    optimizers = tuple(dict.fromkeys([*there.optimizers, *given.optimizers]))
    spec = dict(there.spec)
    if "space" in spec:
        spec["space"] = space.to_table()
    if there.seeds is not None and given.seeds is not None:
        spec["seeds"] = max(there.seeds, given.seeds)
    if "optimizers" in spec:
        entries = [
            *given.spec.get("optimizers", ()),
            *spec["optimizers"],
        ]  # of two of a key, the one that is there
        by_key = {_key(entry): entry for entry in entries}
        spec["optimizers"] = [by_key[name] for name in optimizers if name in by_key]
    return replace(
        there,
        optimizers=optimizers,
        space=space,
        spec=spec,
        recipes={
            **given.recipes,
            **{
                name: with_words_of(given.recipes.get(name, {}), each) for name, each in there.recipes.items()
            },
        },
    )


def union(study: str, there: SearchSpace, given: SearchSpace) -> SearchSpace:
    """The space of all values of both; continuous axes as wide as both. Raises StoreError where they do not fit."""
    if set(there.names) != set(given.names):
        raise OtherStudyError(
            f"{study} has the axes {', '.join(there.names)} there, {', '.join(given.names)} here: "
            "`tunability rename` one of them and copy it"
        )
    return SearchSpace(_of_both(axis, given.axes[given.names.index(axis.name)]) for axis in there.axes)


def _of_both(axis: Axis, other: Axis) -> Axis:
    if axis == other:
        return axis
    if axis.is_grid and other.is_grid:
        values, words = {*axis.values, *other.values}, max(axis.words, other.words, key=len)
        if any(each.words != words[: len(each.values)] for each in (axis, other)):
            raise OtherStudyError(
                f"axis {axis.name!r} has other words, or another order of them, in the two: nothing was merged"
            )
        return Axis(axis.name, values, scale=axis.scale, words=words)
    if axis.is_grid or other.is_grid:
        raise OtherStudyError(
            f"axis {axis.name!r} is a grid in one and continuous in the other: nothing was merged"
        )
    low, high = min(axis.low, other.low), max(axis.high, other.high)
    return Axis(axis.name, low=low, high=high, scale=axis.scale if low > 0 else "linear")


def _key(entry: Any) -> str:
    """What a study calls an optimizer of its spec."""
    return entry if isinstance(entry, str) else str(entry.get("label") or entry["name"])
