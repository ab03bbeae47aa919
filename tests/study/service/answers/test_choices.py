"""What forms offer."""

from collections.abc import Sequence
from typing import Any, Literal

import pytest
from pydantic import TypeAdapter

from search_spaces import CATALOG
from study.optimizers import OPTIMIZERS
from study.service.answers.choices import arguments_of, read
from study.service.answers.documents import ChoicesDocument
from study.workloads import WORKLOADS
from tuners import TUNERS


def test_everything_that_a_study_can_name_is_offered_as_it_is_documented() -> None:
    found = read()
    TypeAdapter(ChoicesDocument).validate_python(found, strict=True)
    assert list(found["workloads"]) == list(WORKLOADS)
    assert list(found["optimizers"]) == list(OPTIMIZERS)
    assert list(found["spaces"]) == list(CATALOG)
    assert list(found["tuners"]) == list(TUNERS)
    assert found["spaces"]["avagrad-cifar"]["cells"] == 441
    assert found["optimizers"]["adam"]["about"].startswith("Adam (Kingma & Ba, 201")


@pytest.mark.parametrize(
    ("annotation", "default", "kind", "offered"),
    [
        (bool, True, "flag", []),
        (int, 3, "whole", []),
        (int | None, None, "whole", []),
        (float, 0.5, "number", []),
        (str, "a", "text", []),
        (Literal["a", "b"], "a", "choice", ["a", "b"]),
        (Sequence[int], (8, 16), "numbers", []),
    ],
)
def test_the_kind_of_an_argument_is_that_of_its_annotation(
    annotation: Any, default: Any, kind: str, offered: list[str]
) -> None:
    def factory(given: Any = default) -> None:
        del given

    factory.__annotations__["given"] = annotation
    found = arguments_of(factory)["given"]
    assert (found["kind"], found["choices"]) == (kind, offered)
    assert found["default"] == ([8, 16] if kind == "numbers" else default)


def test_arguments_of_rules_have_their_limits_and_sources() -> None:
    arguments = read()["optimizers"]["adam"]["arguments"]
    assert arguments["beta1"] | {"about": ""} == {
        "kind": "number", "default": 0.9, "choices": [], "low": 0.0, "high": 1.0, "about": "",
    }  # fmt: skip
    assert arguments["lr"]["high"] is None
    assert all(each["about"] for each in arguments.values())
