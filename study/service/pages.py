"""The dashboard's pages: rendered here with what is known at once, kept up to date by the scripts in static/."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from study.service import assets, choices, show
from study.service.api import LONGEST, Service, StudyName, reply
from study.service.panels import PanelsRequest, cell, panels
from study.service.problems import STATUS, Problem, of_error
from study.service.ridges import ridges
from study.service.security import content_security_policy

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= show.FILTERS
MOST_COMPARED = 12
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class PageRoute(APIRoute):
    """A route whose errors are pages, with the status and the text that the API gives."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def shown(request: Request) -> Response:
            try:
                return await handle(request)
            except tuple(STATUS) as error:
                problem = json.loads(bytes(of_error(error).body))
                return page(
                    request,
                    "problem.html",
                    problem["status"],
                    status=problem["status"],
                    detail=problem["detail"],
                )

        return shown


router = APIRouter(include_in_schema=False, route_class=PageRoute)
data = APIRouter(prefix="/pages", include_in_schema=False)


def page(request: Request, template: str, code: int = 200, **values: Any) -> Response:
    """A page under a policy that allows inline styles: Plotly makes style elements and attributes for its charts."""
    html = TEMPLATES.get_template(template).render(
        static=f"/static/{assets.version()}", path=request.url.path, **values
    )
    policy = content_security_policy(request.state.nonce, inline_styles=True)
    return HTMLResponse(html, code, {"content-security-policy": policy})


@router.get("/")
async def studies(request: Request, service: Service) -> Response:
    """Every study: progress, state, time left, verdicts."""
    documents = await service.progress.documents()
    return page(request, "studies.html", studies=list(documents.values()))


@router.get("/studies/{study}")
async def study(request: Request, service: Service, study: StudyName) -> Response:
    """One study: landscapes, separability, tuning cost, downloads, log."""
    return page(request, "study.html", study=await service.progress.document(study))


@router.get("/new")
def new(request: Request) -> Response:
    """The form of a new study."""
    return page(request, "new.html", choices=choices.read())


@router.get("/trials")
async def trials(request: Request, service: Service) -> Response:
    """Trials, filtered and sorted as the query says; the script reads it too."""
    documents = await service.progress.documents()
    return page(request, "trials.html", studies=list(documents.values()), query=request.query_params)


@router.get("/compare")
async def compare(request: Request, service: Service) -> Response:
    """Landscapes of several studies and optimizers on one scale."""
    documents = await service.progress.documents()
    chosen = request.query_params.getlist("study")
    return page(request, "compare.html", studies=list(documents.values()), chosen=chosen, most=MOST_COMPARED)


@data.get("/panels")
async def get_panels(
    request: Request,
    service: Service,
    study: Annotated[list[str], Query(min_length=1, max_length=MOST_COMPARED)],
    axis: Annotated[list[str] | None, Query(max_length=2)] = None,
) -> Response:
    """What to draw of the landscapes of STUDY or STUDY/OPTIMIZER, each `study` once."""
    wanted = PanelsRequest(tuple(study), tuple(axis or ()))
    versions = (await service.reads.snapshot()).versions
    others = tuple(versions.get(name.partition("/")[0]) for name in study)
    answer = await service.reads.of_study(
        study[0].partition("/")[0], ("panels", wanted, others), lambda store: panels(store, wanted)
    )
    return reply(request, answer)


@data.get("/ridges")
async def get_ridges(
    request: Request, service: Service, study: str, optimizer: Annotated[str | None, Query()] = None
) -> Response:
    """Verdicts with what to draw of them."""
    answer = await service.reads.of_study(
        study, ("ridges", optimizer), lambda store: ridges(store, study, optimizer)
    )
    return reply(request, answer)


@data.get("/cell")
async def get_cell(
    request: Request,
    service: Service,
    study: Annotated[str, Query(max_length=LONGEST)],
    optimizer: Annotated[str, Query(max_length=LONGEST)],
    at: Annotated[list[str], Query(max_length=32, description="AXIS=VALUE")],
) -> Response:
    """The trials and learning curves of one cell."""
    coordinates = coordinates_of(at)
    answer = await service.reads.of_study(
        study,
        ("cell", optimizer, tuple(coordinates.items())),
        lambda store: cell(store, study, optimizer, coordinates, service.reads.metrics(study)),
    )
    return reply(request, answer)


def coordinates_of(texts: list[str]) -> dict[str, float]:
    """Axis -> value of ``AXIS=VALUE`` texts."""
    try:
        return {name: float(value) for name, _, value in (text.rpartition("=") for text in texts)}
    except ValueError:
        raise Problem(422, f"the cell {', '.join(texts)} is not understood: give AXIS=NUMBER") from None
