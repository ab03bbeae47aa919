"""Tables of a study file, checked: what they share, and the JSON Schema that follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


class Strict(BaseModel):
    """What a user wrote, checked: unknown keys and wrong types are errors.

    `short` is the key that is meant when a single value stands in the place of the table. A model with a field
    `settings` keeps there whatever other keys the table has.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)
    short: ClassVar[str | None] = None

    @model_validator(mode="before")
    @classmethod
    def _from_toml(cls, given: Any) -> Any:
        return cls.table(given)

    @classmethod
    def table(cls, given: Any) -> Any:
        """What was written in a study file as the fields of the model."""
        if isinstance(given, Mapping) and "settings" in cls.model_fields:
            own = {
                key: value for key, value in given.items() if key in cls.model_fields and key != "settings"
            }
            return {**own, "settings": {key: value for key, value in given.items() if key not in own}}
        if cls.short is None or isinstance(given, Mapping | cls):
            return given
        return {cls.short: given}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Of reading, as study files are written: with the short form, and `settings` beside the other keys."""
        table = handler.resolve_ref_schema(handler(core_schema))
        if handler.mode == "serialization":
            return table
        if table["properties"].pop("settings", None) is not None:
            table["additionalProperties"] = True
        if cls.short is None:
            return table
        about: JsonSchemaValue = {key: table.pop(key) for key in ("title", "description") if key in table}
        alone = {key: value for key, value in table["properties"][cls.short].items() if key != "default"}
        return {**about, "anyOf": [alone, table]}
