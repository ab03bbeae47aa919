"""The OpenAPI document is true: schemathesis asks what it allows, and more, and holds every answer against it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from study.service.app import create_app
from study.service.settings import Settings
from study.spec import StudySpec

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
