"""The API's description: the OpenAPI document, and pages to read and try it, served from the installed package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from starlette.responses import HTMLResponse

from study.service.documents import ProblemDocument

ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Tunability API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/docs/swagger-ui.css"><link rel="icon" href="/docs/favicon.png"></head>
<body><div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>
"""
START = """SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset]});
"""
router = APIRouter(include_in_schema=False)


@router.get("/docs")
def docs() -> Response:
    return HTMLResponse(PAGE)


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
    schemas["ProblemDocument"] = TypeAdapter(ProblemDocument).json_schema()
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}]
    app.openapi_schema = document
    return document
