"""The dashboard's pages: rendered here with what is known at once, kept up to date by scripts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from study.service.answers import choices
from study.service.answers.panels import PanelsRequest, cell, panels
from study.service.answers.ridges import ridges
from study.service.api.routes import LONGEST, Service, StudyName, reply
from study.service.guard.problems import Problem
from study.service.pages.rendering import page
from study.spec import TuningSpec

MOST_COMPARED = 12
router = APIRouter(include_in_schema=False)
data = APIRouter(prefix="/pages", include_in_schema=False)


@router.get("/")
async def studies(request: Request, service: Service) -> Response:
    """Every study: progress, state, time left, verdicts."""
    documents = await service.progress.documents()
    return page(request, "studies.html", studies=list(documents.values()))


@router.get("/studies/{study}")
async def study(request: Request, service: Service, study: StudyName) -> Response:
    """One study: landscapes, separability, tuning cost, downloads, log."""
    return page(request, "study.html", charts=True, study=await service.progress.document(study))


@router.get("/new")
def new(request: Request, service: Service) -> Response:
    """The form of a new study."""
    allow_imports = service.settings.allow_imports
    return page(request, "new.html", choices=choices.read(), allow_imports=allow_imports)


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
    first = documents.get(chosen[0].partition("/")[0]) if chosen else None
    return page(
        request,
        "compare.html",
        charts=True,
        studies=list(documents.values()),
        chosen=chosen,
        target=first["target"] if first else TuningSpec().target,
        most=MOST_COMPARED,
    )


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
    metrics = await service.reads.metrics(study)
    answer = await service.reads.of_study(
        study,
        ("cell", optimizer, tuple(coordinates.items())),
        lambda store: cell(store, study, optimizer, coordinates, metrics),
    )
    return reply(request, answer)


def coordinates_of(texts: list[str]) -> dict[str, float]:
    """Axis -> value of ``AXIS=VALUE`` texts."""
    try:
        return {name: float(value) for name, _, value in (text.rpartition("=") for text in texts)}
    except ValueError:
        raise Problem(422, f"the cell {', '.join(texts)} is not understood: give AXIS=NUMBER") from None
