"""Errors as RFC 9457 problem details, in the command line's own words."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from analysis.errors import AnalysisError
from analysis.views import ViewError
from storage.errors import (
    BadValueError,
    MissingDatabaseError,
    OtherStudyError,
    PageError,
    StoreError,
    UnknownStudyError,
)
from storage.where import WhereError
from study.errors import is_ours
from study.service.pages.rendering import page, wants_page
from study.service.settings import ServiceError

MEDIA_TYPE = "application/problem+json"
STATUS: dict[type[Exception], int] = {
    UnknownStudyError: 404,
    MissingDatabaseError: 404,
    OtherStudyError: 409,
    BadValueError: 422,
    WhereError: 400,
    PageError: 400,
    ViewError: 422,
    AnalysisError: 409,
    ServiceError: 400,
    StoreError: 503,
}
"""The first class that an error is of decides; it may carry another `status` itself."""
log = logging.getLogger("tunability.service")


class Problem(ServiceError):
    """A request that is refused with a status of its own, and maybe where in it the errors are.

    `errors` are ``{"location": dotted key, "detail": text}``, one an error.
    """

    def __init__(self, status: int, detail: str, errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.errors = errors


def problem_response(
    status: int, detail: str, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    """A problem details document: type, title, status, detail and more."""
    title = HTTPStatus(status).phrase
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return Response(json.dumps(document), status, headers, MEDIA_TYPE)


def of_error(error: Exception) -> Response:
    """One of our own errors as a response; its text is the detail."""
    status = getattr(error, "status", None) or next(
        (status for kind, status in STATUS.items() if isinstance(error, kind)), 422
    )
    errors = getattr(error, "errors", None)
    return problem_response(status, str(error), **({"errors": errors} if errors else {}))


def shown(request: Request, problem: Response) -> Response:
    """A problem as it is, or as a page for a browser that asks for one."""
    if not wants_page(request):
        return problem
    document = json.loads(bytes(problem.body))
    return page(
        request, "problem.html", problem.status_code, status=document["status"], detail=document["detail"]
    )


def too_large(most: int) -> str:
    return f"the request has more than {most:,} bytes: send a smaller one"


def add_handlers(app: FastAPI) -> None:
    """Make every error of the application a problem details document, or a page that says the same."""

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        headers = {name.lower(): value for name, value in (error.headers or {}).items()}
        detail = {
            404: "there is no such page: the API is under /api/v1, its description at /docs",
            405: f"that method is not allowed here: allowed is {headers.get('allow', 'another one')}",
            413: too_large(request.app.settings.max_body),
        }.get(error.status_code, str(error.detail))
        return shown(request, problem_response(error.status_code, detail, headers))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        errors = [
            {
                "location": ".".join(str(part) for part in each["loc"][1:]),
                "detail": f"{each['msg'][0].lower()}{each['msg'][1:]}",
            }
            for each in error.errors()
        ]
        detail = "; ".join(f"{each['location']}: {each['detail']}" for each in errors)
        return shown(request, problem_response(422, detail, errors=errors))

    async def ours(request: Request, error: Exception) -> Response:
        return shown(request, of_error(error))

    for kind in STATUS:
        app.add_exception_handler(kind, ours)

    async def other_value(request: Request, error: Exception) -> Response:
        # Errors of a spec, its space and its tuners are.
        if not is_ours(error):
            raise error
        return shown(request, of_error(error))

    app.add_exception_handler(ValueError, other_value)

    @app.exception_handler(Exception)
    async def unknown(request: Request, _error: Exception) -> Response:
        # Starlette logs it with its traceback, on the server's side only.
        return shown(request, problem_response(500, "the service failed to answer: its log says why"))
