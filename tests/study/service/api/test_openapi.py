"""The OpenAPI document is true: schemathesis asks what it allows, and more, and holds every answer against it."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from jsonschema import ValidationError, validate
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from storage.foreign import ForeignTrials, import_trials
from storage.store import open_store
from study.service.app import create_app
from study.service.settings import Settings
from study.spec import StudySpec, parse_spec

TOKEN = "a-token-for-the-tests"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
HEADERS = {"authorization": f"Bearer {TOKEN}", "host": "127.0.0.1"}
BOUNDED = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


OPERATIONS = [
    (method, path)
    for path, methods in create_app(Settings("sqlite:///none.db")).openapi()["paths"].items()
    for method in methods
    if path != "/api/v1/events"  # it does not end
]
THERE = {"study": "small", "optimizer": "adam", "number": 3}


@pytest.mark.parametrize("of_a_study", [False, True])
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_whatever_is_asked(url: str, method: str, path: str, of_a_study: bool) -> None:
    # Nothing may be queued, so that nothing is launched.
    app = create_app(Settings(url, token=TOKEN, max_active=0, max_trials=500))
    document = schemathesis.openapi.from_asgi("/openapi.json", app, headers=HEADERS)

    @BOUNDED
    @given(document[path][method].as_strategy())
    def ask(case: Any) -> None:
        for name in THERE.keys() & (case.path_parameters or {}).keys():
            case.path_parameters[name] = THERE[name] if of_a_study else case.path_parameters[name]
        case.call_and_validate(headers=HEADERS, checks=CHECKS, timeout=60)  # seconds, on busy cores

    ask()


def test_a_study_is_described_as_it_is_read(url: str) -> None:
    document = create_app(Settings(url, token=TOKEN)).openapi()
    for path in ("/api/v1/plan", "/api/v1/studies"):
        body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert body == {"$ref": "#/components/schemas/StudySpec"}
    schemas = document["components"]["schemas"]
    text = json.dumps(StudySpec.model_json_schema()).replace("#/$defs/", "#/components/schemas/")
    whole = json.loads(text)
    for name, schema in whole.pop("$defs").items():
        assert schemas[name] == schema
    assert schemas["StudySpec"] == whole
    named = set(re.findall(r'"\$ref": "(.*?)"', json.dumps(document)))
    assert named <= {f"#/components/schemas/{name}" for name in schemas}


FREE = {
    "OptimizerSpec": "settings of an optimizer, which foreign ones name, stand beside its keys",
    "WorkloadSpec": "so do the arguments of a workload's factory",
    "ProvenanceDocument": "what launches kept is never changed, and differs by version",
    "MachineDocument": "as provenance, of which it is part",
    "ChoiceDocument": "as provenance, of which it is part",
}
"""Schemas that say "and anything else", and why."""


def untyped(schema: Any, place: str) -> Iterator[str]:
    """Places within a schema where anything may stand; what it refers to is looked at by itself."""
    if not isinstance(schema, dict) or not schema.keys() & {"$ref", "type", "anyOf", "oneOf", "enum"}:
        yield place
        return
    if schema.get("type") == "object":
        further = schema.get("additionalProperties", "properties" not in schema)
        if further is True:
            yield place
        elif further:
            yield from untyped(further, f"{place}.*")
    elif schema.get("type") == "array":
        yield from untyped(schema.get("items"), f"{place}[]")
    for name, each in schema.get("properties", {}).items():
        yield from untyped(each, f"{place}.{name}")
    for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from untyped(each, place)


def test_nothing_that_is_answered_is_left_untyped(url: str) -> None:
    document = create_app(Settings(url, token=TOKEN)).openapi()
    found = [
        place for name, schema in document["components"]["schemas"].items() for place in untyped(schema, name)
    ]
    assert sorted(set(found)) == sorted(FREE)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for status, response in operation["responses"].items():
                for media, content in response.get("content", {}).items():
                    if media.endswith("json"):
                        assert not [*untyped(content["schema"], media)], (method, path, status)


def fits(document: dict[str, Any], name: str, answer: Any) -> None:
    """Raises ValidationError when an answer is not as the schema of a name says."""
    validate(answer, {"$ref": f"#/components/schemas/{name}", "components": document["components"]})


@pytest.mark.parametrize("version", [1, 2, 3])
def test_studies_of_earlier_versions_are_as_described(version: int, tmp_path: Path) -> None:
    path = shutil.copy(Path(__file__).parents[3] / f"storage/data/version-{version}.db", tmp_path / "old.db")
    open_store(f"sqlite:///{path}", create=True).close()  # migrates it
    app = create_app(Settings(f"sqlite:///{path}", token=TOKEN))
    with TestClient(app, "http://127.0.0.1:8000", headers=HEADERS) as client:
        for study in client.get("/api/v1/studies").json()["studies"]:
            details = client.get(f"/api/v1/studies/{study['name']}").json()
            fits(app.openapi(), "StudyDetails", details)
            assert parse_spec(details["spec"]).name == study["name"]


@pytest.mark.parametrize("continuous", [False, True])
def test_an_imported_study_is_as_described(continuous: bool, url: str) -> None:
    points = np.array([[0.1, 1e-8], [1.0, 1e-8], [0.1, 1.0], [1.0, 1.0]])
    points = points * [[1], [1.5], [2], [3]] if continuous else points
    trials = ForeignTrials("a.csv", ("alpha", "eps"), points, np.arange(4.0), "loss", left_out={"failed": 1})
    with open_store(url, create=True) as store:
        import_trials(store, trials, "theirs", "adam")
    app = create_app(Settings(url, token=TOKEN))
    with TestClient(app, "http://127.0.0.1:8000", headers=HEADERS) as client:
        details = client.get("/api/v1/studies/theirs").json()
    fits(app.openapi(), "StudyDetails", details)
    assert details["spec"]["imported"] is True
    with pytest.raises(ValidationError):
        fits(app.openapi(), "StudyDetails", details | {"spec": {"metric": "loss"}})


def test_every_route_is_described_and_on_the_page(url: str) -> None:
    paths = create_app(Settings(url, token=TOKEN)).openapi()["paths"]
    shown = (Path(__file__).parents[4] / "docs" / "service.md").read_text(encoding="utf-8")
    for path, methods in paths.items():
        assert path.startswith("/api/v1/")
        for method, operation in methods.items():
            assert operation["description"], (method, path)
            assert "401" in operation["responses"]
            last = path.rpartition("/")[2]
            assert last.strip("{}") in shown or "{" in last, path
