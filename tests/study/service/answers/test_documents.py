"""What is answered has the keys and types that the OpenAPI document says, and no others."""

from typing import Any

import known_landscapes as known
import pytest
from pydantic import TypeAdapter

from analysis.separability import judge
from study.service.answers.documents import DrawnVerdict
from study.service.answers.ridges import document_of


def closed(schema: Any) -> Any:
    """A JSON Schema in which no object has further keys."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    return {**inner, "additionalProperties": False} if "properties" in schema else inner


@pytest.mark.parametrize("surface", [known.separable_quadratic(), known.two_regimes(-1.5)])
def test_verdicts(surface: known.Surface) -> None:
    from jsonschema import validate

    (verdict,) = judge("adam", known.landscape(surface, 0.001))
    validate(document_of(verdict), closed(TypeAdapter(DrawnVerdict).json_schema()))


def test_the_keys_are_looked_at() -> None:
    from jsonschema import ValidationError, validate

    (verdict,) = judge("adam", known.landscape(known.flat(), 0.001))
    schema = closed(TypeAdapter(DrawnVerdict).json_schema())
    validate(document_of(verdict), schema)
    for wrong in ({"more": 1}, {"interaction": {}}, {"seeds": "3"}):
        with pytest.raises(ValidationError):
            validate({**document_of(verdict), **wrong}, schema)
