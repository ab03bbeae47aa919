"""The API's description: the OpenAPI document, and pages to read and try it, served from the installed package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from study.service.answers.documents import ProblemDocument
from study.service.guard.problems import MEDIA_TYPE
from study.service.pages.rendering import page
from study.spec import StudySpec

ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}
START = """SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset]});
"""
COMPONENT = "#/components/schemas/{model}"
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": about,
        "content": {MEDIA_TYPE: {"schema": {"$ref": COMPONENT.format(model=ProblemDocument.__name__)}}},
    }
    for status, about in {
        400: "A filter, cursor, order, body or Host that is not understood.",
        401: "The token is missing or wrong.",
        403: "A change that does not come from a page of this service.",
        404: "There is no such study, optimizer, trial or page.",
        409: "The study is in no state for this.",
        413: "The request is too large.",
        415: "The study is neither JSON nor TOML.",
        422: "An argument or a key of the study is not allowed; `errors` says which.",
        429: "As many studies as are allowed are queued or running.",
        503: "The database or the cluster does not answer.",
    }.items()
}
SPEC_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": COMPONENT.format(model=StudySpec.__name__)}},
            "application/toml": {"schema": {"type": "string"}},
        },
    }
}
router = APIRouter(include_in_schema=False)


@router.get("/docs")
def docs(request: Request) -> Response:
    return page(request, "docs.html")


@router.get("/docs/start.js")
def start() -> Response:
    return Response(START, media_type="text/javascript")


def add_assets(app: FastAPI) -> None:
    """Serve Swagger UI's files, which the package fastapi-offline carries."""
    import fastapi_offline

    folder = Path(fastapi_offline.__file__).parent / "static"
    for name, media_type in ASSETS.items():
        content = (folder / name).read_bytes()

        @app.get(f"/docs/{name}", include_in_schema=False)
        def asset(content: bytes = content, media_type: str = media_type) -> Response:
            return Response(
                content, media_type=media_type, headers={"cache-control": "private, max-age=86400"}
            )


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the token as the way in and problem details as the only errors."""
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(
        title=app.title, version=app.version, summary=app.summary, routes=app.routes, openapi_version="3.1.0"
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas[ProblemDocument.__name__] = TypeAdapter(ProblemDocument).json_schema()
    _, spec = models_json_schema([(StudySpec, "validation")], ref_template=COMPONENT)
    schemas.update(spec["$defs"])
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}]
    app.openapi_schema = document
    return document
