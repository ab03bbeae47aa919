"""The JSON Schema of a study file: it says what reading one allows."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from study.spec import SpecError, StudySpec, parse_spec

SCHEMA = StudySpec.model_json_schema()
STUDY: dict[str, Any] = {
    "name": "fig",
    "workload": "digits-mlp",
    "optimizers": ["adam"],
    "space": "avagrad-cifar",
    "seeds": 3,
}
WORKLOAD: dict[str, Any] = {"name": "digits-mlp"}


def fits(given: Any) -> bool:
    return bool(Draft202012Validator(SCHEMA).is_valid(given))


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[3] / "studies").glob("*.toml")), ids=lambda path: path.stem
)
def test_the_example_studies_fit(path: Path) -> None:
    assert fits(tomllib.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"workload": "somebodys:WORKLOAD"},
        {"workload": WORKLOAD | {"steps": 3, "clip_norm": 1, "weight_decay": 5e-4, "schedule": "cosine"}},
        {"workload": WORKLOAD | {"weight_decay": {"value": 1, "kind": "decoupled"}}},
        {"workload": WORKLOAD | {"schedule": {"name": "milestones", "at": [0.5, 100], "factor": 0.2}}},
        {"optimizers": ["sgd", {"name": "adam", "axes": {"alpha": "lr"}, "schedule": "cosine"}]},
        {"optimizers": [{"name": "adam", "betas": [0.9, 0.99], "amsgrad": True, "schedule": {"warmup": 3}}]},
        {"optimizers": [{"name": "somebodys:Adam", "own": {"of": ["any", None, 1]}}]},
        {"space": {"alpha": [1, 0.1], "eps": {"low": 1e-8, "high": 1, "num": 5, "scale": "log"}}},
        {"space": {"alpha": {"values": [0, 1]}, "eps": {"low": 0, "high": 1, "num": 2}}},
        {"tuning": {"tuners": ["random"], "trials": 3, "target": 0, "noise": "mean", "repeats": "count"}},
        {"dtype": "float64", "device": "cuda", "lanes": 3},
        {"lanes": None},
    ],
)
def test_what_is_allowed_fits(changes: dict[str, Any]) -> None:
    parse_spec(STUDY | changes)
    assert fits(STUDY | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "fig/1"}, "name = 'fig/1' is not allowed"),
        ({"workload": 3}, "workload.name = 3 is not allowed: give a text"),
        ({"workload": {"steps": 3}}, "the key 'workload.name' is missing"),
        ({"workload": WORKLOAD | {"steps": 0}}, "workload.steps = 0 is not allowed"),
        ({"workload": WORKLOAD | {"weight_decay": -1}}, "workload.weight_decay.value = -1 is not allowed"),
        ({"workload": WORKLOAD | {"schedule": "cosin"}}, "workload.schedule.name = 'cosin' is not allowed"),
        ({"workload": WORKLOAD | {"schedule": {"wamup": 1}}}, "unknown key 'workload.schedule.wamup'"),
        ({"optimizers": "adam"}, "optimizers = 'adam' is not allowed"),
        ({"optimizers": [3]}, "3 is no optimizer"),
        ({"optimizers": [{"lr": 3}]}, "is no optimizer: give a name"),
        ({"optimizers": [{"name": "adam", "axes": {"alpha": 3}}]}, "optimizers.0.axes.alpha = 3"),
        ({"space": "avagrad"}, "unknown search space 'avagrad'"),
        ({"space": {}}, "the search space has no axes"),
        ({"space": {"alpha": 3}}, "axis 'alpha' is 3"),
        ({"space": {"alpha": []}}, "axis 'alpha' is empty"),
        ({"space": {"alpha": {"low": 1, "high": 2}}}, "axis 'alpha' is continuous"),
        ({"space": {"alpha": {"low": 1, "high": 2, "num": 1}}}, "num=1"),
        ({"space": {"alpha": {"low": 1, "high": 2, "nmu": 3}}}, "unknown key 'nmu'"),
        ({"tuning": {"trial": 3}}, "unknown key 'tuning.trial'"),
        ({"seeds": 0}, "seeds = 0 is not allowed"),
        ({"dtype": "half"}, "dtype = 'half' is not allowed"),
        ({"device": "tpu"}, "device = 'tpu' is not allowed"),
        ({"lane": 3}, "unknown key 'lane'"),
    ],
)
def test_what_is_not_allowed_does_not_fit(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=r"^study: ") as caught:
        parse_spec(STUDY | changes)
    assert message in str(caught.value)
    assert not fits(STUDY | changes)


@pytest.mark.parametrize("key", STUDY)
def test_what_is_missing_does_not_fit(key: str) -> None:
    given = {name: value for name, value in STUDY.items() if name != key}
    with pytest.raises(SpecError, match=f"the key '{key}' is missing"):
        parse_spec(given)
    assert not fits(given)


def test_what_a_spec_is_written_as_fits() -> None:
    spec = parse_spec(
        STUDY | {"optimizers": [{"name": "adam", "beta1": 0.8, "schedule": "cosine"}], "lanes": 3}
    )
    assert fits(json.loads(spec.model_dump_json()))
