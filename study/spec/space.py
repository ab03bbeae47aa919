"""The search space of a study file: a published one by its name, or a table of axes (`SearchSpace.from_table`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NotRequired

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer, with_config
from typing_extensions import TypedDict

from search_spaces import CATALOG, Scale, SearchSpace, SpaceError, get_space

Numbers = Annotated[list[float], Field(min_length=1)]


@with_config(ConfigDict(extra="forbid"))
class AxisValues(TypedDict):
    """The values of an axis, in any order."""

    values: Numbers
    scale: NotRequired[Scale]


@with_config(ConfigDict(extra="forbid"))
class AxisRange(TypedDict):
    """`num` values from `low` to `high`, evenly spaced on the scale."""

    low: float
    high: float
    num: Annotated[int, Field(ge=2)]
    scale: NotRequired[Scale]


Published = Annotated[str, Field(json_schema_extra={"enum": list(CATALOG)})]
Table = Annotated[dict[str, Numbers | AxisValues | AxisRange], Field(min_length=1)]


def read_space(given: Any) -> SearchSpace:
    """Raises SpaceError: there is no published space of that name, or the table is not allowed."""
    if isinstance(given, SearchSpace):
        return given
    if isinstance(given, Mapping):
        for axis, entry in given.items():
            refuse_choices(axis, entry)
    return get_space(given) if isinstance(given, str) else SearchSpace.from_table(given)


def refuse_choices(axis: Any, entry: Any) -> None:
    """Raise SpaceError when an axis has texts: a landscape needs an order."""
    values = entry.get("values") if isinstance(entry, Mapping) else entry
    texts = [each for each in values if isinstance(each, str)] if isinstance(values, list) else []
    if texts and not any(each.lstrip("+-")[:1].isdigit() for each in texts):
        raise SpaceError(
            f"axis {axis!r} has the choice {texts[0]!r}, and choices have no order: number those that do (0, 1, 2), "
            f"and make the others optimizers of their own, such as {{ name = 'mine', label = 'mine-{texts[0]}', "
            f"{axis} = {texts[0]!r} }}"
        )


# The types above only describe what `read_space` takes: what is wrong it says itself, in words for users.
Space = Annotated[
    SearchSpace,
    BeforeValidator(read_space, json_schema_input_type=Published | Table),
    PlainSerializer(SearchSpace.to_table),
]
