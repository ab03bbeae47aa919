"""The search space of a study file: a published one by its name, or a table of axes (`SearchSpace.from_table`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, NotRequired

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer, with_config
from typing_extensions import TypedDict

from search_spaces import CATALOG, Scale, SearchSpace, SpaceError, get_space
from study.spec.choices import are_choices

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


@with_config(ConfigDict(extra="forbid"))
class AxisOrdered(TypedDict):
    """Words in their order, of a black box: the axis is linear in their places 0, 1, ..."""

    ordered: Annotated[list[str], Field(min_length=1)]


Choices = Annotated[list[str], Field(min_length=1)] | Annotated[list[bool], Field(min_length=1)]
Published = Annotated[str, Field(json_schema_extra={"enum": list(CATALOG)})]
Table = Annotated[dict[str, Numbers | AxisValues | AxisRange | AxisOrdered | Choices], Field(min_length=1)]


def read_space(given: Any) -> SearchSpace:
    """Raises SpaceError: there is no published space of that name, or the table is not allowed."""
    if isinstance(given, SearchSpace):
        return given
    if isinstance(given, Mapping):
        for axis, entry in given.items():
            refuse_choices(axis, entry)
    return get_space(given) if isinstance(given, str) else SearchSpace.from_table(given)


def refuse_choices(axis: Any, entry: Any) -> None:
    """Raise SpaceError when an axis has choices: a landscape needs an order. Of a black box they are split before."""
    if are_choices(entry):
        raise SpaceError(not_a_number(str(axis), entry[0]))


def not_a_number(axis: str, choice: Any) -> str:
    """What to write in place of an axis of texts where only numbers are trained with."""
    value, label = json.dumps(choice), str(choice).lower()
    return (
        f"axis {axis!r} has the choice {value}, and an optimizer's axes are numbers: make it an option of an optimizer "
        f"under a label, such as {{ name = 'adam', label = 'adam-{label}', {axis} = {value} }}"
    )


# The types above only describe what `read_space` takes: what is wrong it says itself, in words for users.
Space = Annotated[
    SearchSpace,
    BeforeValidator(read_space, json_schema_input_type=Published | Table),
    PlainSerializer(SearchSpace.to_table),
]
