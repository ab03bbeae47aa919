"""The dashboard's pages: rendered here with what is known at once, kept up to date by scripts."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from analysis.target import DEFAULT_TARGET
from study.service.answers import choices
from study.service.api.routes.parameters import MOST_COMPARED, Service, StudyName
from study.service.pages.rendering import page

ORDER = {"running": 0, "queued": 1}
"""States that come before all others on the first page."""
router = APIRouter(include_in_schema=False)


@router.get("/")
async def studies(request: Request, service: Service) -> Response:
    """Every study: progress, state, time left, verdicts; those that run first, then the newest."""
    documents = await service.progress.documents()
    newest = sorted(documents.values(), key=lambda each: each["last_finished"] or "", reverse=True)
    ordered = sorted(newest, key=lambda each: ORDER.get(each["state"], len(ORDER)))
    return page(request, "studies.html", studies=ordered)


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
    query = request.query_params
    chosen = query.getlist("study") or [""]
    return page(request, "trials.html", studies=list(documents.values()), query=query, chosen=chosen)


@router.get("/compare")
async def compare(request: Request, service: Service) -> Response:
    """Landscapes of several studies and optimizers on one scale."""
    documents = await service.progress.documents()
    chosen = request.query_params.getlist("study")
    return page(
        request,
        "compare.html",
        charts=True,
        studies=list(documents.values()),
        chosen=chosen,
        target=DEFAULT_TARGET,
        most=MOST_COMPARED,
    )
