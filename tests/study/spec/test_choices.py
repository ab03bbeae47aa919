"""Axes without an order: optimizers of a black box are split into labels, and everything else is one clear line."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from study.spec import SpecError, StudySpec, parse_spec

STUDY: dict[str, Any] = {
    "name": "boxed",
    "workload": {"function": "somebodys:train", "metric": "loss"},
    "optimizers": ["adam", {"name": "sgd", "label": "momentum", "momentum": 0.9}],
    "space": {"lr": [0.1, 1.0], "activation": ["relu", "leaky relu"], "nesterov": [True, False]},
    "seeds": 2,
}
OWN = STUDY | {"workload": "digits-mlp", "optimizers": ["adam"]}


def test_each_choice_becomes_a_label_with_a_setting() -> None:
    told: list[str] = []
    spec = parse_spec(STUDY, tell=told.append)
    assert [each.key for each in spec.optimizers] == [
        f"{name}-{word}-nesterov-{flag}"
        for name in ("adam", "momentum")
        for word in ("relu", "leaky-relu")
        for flag in ("true", "false")
    ]
    assert spec.optimizers[2].settings == {"activation": "leaky relu", "nesterov": True}
    assert spec.optimizers[4].settings == {"momentum": 0.9, "activation": "relu", "nesterov": True}
    assert spec.space.names == ("lr",)
    assert spec.trials == 2 * 2 * 8
    (line,) = told
    assert line.startswith(
        "activation, nesterov: choices have no order, so each is studied by itself, as adam-relu-"
    )
    # it is what a study written by hand is, and what is stored of it says all
    by_hand = {**STUDY, "space": {"lr": [0.1, 1.0]}}
    by_hand["optimizers"] = [
        {"name": each.name, "label": each.label, **each.settings} for each in spec.optimizers
    ]
    assert parse_spec(by_hand, tell=told.append) == spec
    assert StudySpec.model_validate_json(spec.model_dump_json()) == spec
    assert len(told) == 1


def test_the_schema_has_them() -> None:
    schema = Draft202012Validator(StudySpec.model_json_schema())
    assert schema.is_valid(STUDY)
    assert schema.is_valid(STUDY | {"space": {"size": {"ordered": ["small", "large"]}}})
    assert not schema.is_valid(STUDY | {"space": {"size": {"ordered": []}}})
    assert not schema.is_valid(STUDY | {"space": {"lr": [0.1, "relu"]}})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"space": {"act": ["relu", "relu"], "lr": [1, 2]}}, "axis 'act' has the choice \"relu\" twice"),
        ({"space": {"act": ["relu", ""], "lr": [1, 2]}}, "axis 'act' has an empty choice"),
        ({"space": {"act": ["a b", "a-b"], "lr": [1, 2]}}, "make two optimizers 'adam-a-b'"),
        (
            {"optimizers": ["a", "a-b"], "space": {"act": ["b-c", "c"], "lr": [1, 2]}},
            "the choices of act make two optimizers 'a-b-c': give optimizers labels",
        ),
        ({"space": {"momentum": ["a", "b"], "lr": [1, 2]}}, "the optimizer 'momentum' sets it as well"),
        ({"space": {"label": ["a", "b"], "lr": [1, 2]}}, "axis 'label' is something else of an optimizer"),
        ({"space": {"act": ["a", "b"]}}, "space has choices alone (act)"),
        (
            {"space": {"act": [*"abcdefgh"], "kind": [*"abcdefg"], "lr": [1, 2]}},
            "make 112 optimizers: give at most 100",
        ),
        ({"space": {"lr": [0.1, "relu"]}}, "axis 'lr' has 'relu' where a number is needed"),
        (
            {"space": {"lr": ["0.1", "1"]}},
            "axis 'lr' has '0.1' where a number is needed: give numbers, written without",
        ),
        ({"space": {"size": {"ordered": ["s", "s"]}}}, "axis 'size' has the word 's' twice"),
    ],
)
def test_what_is_wrong_is_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(STUDY | given)
    assert message in str(caught.value)
    assert str(caught.value).startswith("study: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "choice", "label"),
    [
        (["relu", "tanh"], '"relu"', "adam-relu"),
        ([True, False], "true", "adam-true"),
        ({"ordered": ["small", "large"]}, '"small"', "adam-small"),
    ],
)
def test_an_own_workload_has_axes_of_numbers(entry: Any, choice: str, label: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(OWN | {"space": {"lr": [0.1, 1.0], "act": entry}})
    assert str(caught.value) == (
        f"study: {'' if isinstance(entry, dict) else 'space: '}axis 'act' has the choice {choice}, and an optimizer's "
        f"axes are numbers: make it an option of an optimizer under a label, such as {{ name = 'adam', "
        f"label = '{label}', act = {choice} }}"
    )
