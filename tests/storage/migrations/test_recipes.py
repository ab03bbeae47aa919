"""Recipes of version 1 from what it wrote down."""

from typing import Any

import pytest

from storage.migrations.recipes import recipe_of_1

SPEC: dict[str, Any] = {
    "workload": "digits-mlp",
    "optimizers": ["adam", {"name": "sgd", "momentum": 0.5, "schedule": "cosine"}],
    "space": {"lr": [0.1, 1]},
}
MADE = {"methods": {"adam": {"method": "fused", "compile": True, "lanes": 21}}, "data_sha256": "abc"}


def test_what_was_not_written_is_a_default() -> None:
    recipe = recipe_of_1("adam", SPEC, MADE, "error")
    assert recipe["steps"] == 400
    assert recipe["schedule"] == {"name": "constant", "warmup": 0, "at": [], "factor": 0.1}
    assert recipe["weight_decay"] == {"value": 0.0, "kind": "L2", "reference_lr": None}
    assert recipe["settings"]["eps"] == 1e-8
    assert recipe["axes"] == {"lr": None}
    assert (recipe["method"], recipe["compile"], recipe["lanes"]) == ("fused", True, 21)
    assert recipe["unknown"] == []


def test_what_was_written_stands() -> None:
    workload = {
        "name": "digits-mlp",
        "steps": 7,
        "weight_decay": 0.1,
        "schedule": {"name": "step", "at": [3]},
    }
    spec = {**SPEC, "workload": workload}
    recipe = recipe_of_1("sgd", spec, MADE, "error")
    assert recipe["steps"] == 7
    assert recipe["weight_decay"]["value"] == 0.1
    assert recipe["schedule"] == {
        "name": "cosine",
        "warmup": 0,
        "at": [],
        "factor": 0.1,
    }  # the optimizer's own
    assert recipe["settings"]["momentum"] == 0.5
    assert recipe_of_1("adam", spec, MADE, "error")["schedule"]["at"] == [3]


def test_what_nobody_knows_is_listed() -> None:
    assert recipe_of_1("sgd", SPEC, MADE, "error")["unknown"] == ["method", "compile", "lanes"]
    spec = {**SPEC, "workload": "mine:make", "optimizers": ["torch.optim:Adagrad"]}
    recipe = recipe_of_1("torch.optim:Adagrad", spec, {"sources": {"mine:make": "f00"}}, "error")
    assert recipe["unknown"] == ["method", "compile", "lanes", "data_sha256", "arguments", "settings"]
    assert recipe["sources"] == {"mine:make": "f00", "torch.optim:Adagrad": None}
    assert "data_sha256" not in recipe


@pytest.mark.parametrize("spec", [{}, {"source": "trials.csv"}])
def test_an_imported_study_has_what_it_had(spec: dict[str, Any]) -> None:
    assert recipe_of_1("adam", spec, {}, "error") == spec
