"""Studies: listed, declared, planned, run, decided, deleted; their progress as it comes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import quote

import anyio.to_thread
from fastapi import APIRouter, Query, Request, Response
from fastapi.sse import EventSourceResponse

from study.service.answers import choices
from study.service.answers.cache import Answer
from study.service.answers.documents import (
    ChoicesDocument,
    DecisionDocument,
    LogDocument,
    PlanDocument,
    StudyDetails,
    StudyDocument,
    StudyList,
)
from study.service.answers.reads import encode
from study.service.api.documentation import SPEC_BODY
from study.service.api.routes.parameters import LONGEST, Backend, Service, StudyName, reply
from study.service.guard.incoming import read_mapping
from study.service.studies.progress import fixed_details

MOST_BUDGET = 1_000_000
Tune = Annotated[bool, Query(description="Run the spec's tuners too, when every trial is there.")]
Decision = Annotated[
    Literal["separability", "cost"],
    Query(description="The verdicts on separability, or which optimizer is cheaper to tune."),
]
Budget = Annotated[
    int | None,
    Query(ge=1, le=MOST_BUDGET, description="Most further trials; as many as the study has if not given."),
]
router = APIRouter()


@router.get("/studies", response_model=StudyList)
async def list_studies(request: Request, service: Service) -> Response:
    """Every stored study and how far it is."""
    return reply(request, await service.progress.listed())


@router.post(
    "/studies",
    status_code=201,
    response_model=StudyDocument,
    responses={200: {"model": StudyDocument, "description": "The study was there already, with this spec."}},
    openapi_extra=SPEC_BODY,
)
async def create_study(request: Request, service: Service, tune: Tune = False) -> Response:
    """Declare a study and have it run when it is its turn. The same spec again is the same study.

    One that was launched before, and stopped or failed, is not launched again by this: resume it.
    """
    given = await read_spec(request)
    name, new = await anyio.to_thread.run_sync(service.launcher.create, given, tune)
    service.progress.forget()
    document = await service.progress.document(name)
    headers = {"location": f"/api/v1/studies/{quote(name)}"}
    return Response(encode(document), 201 if new else 200, headers, "application/json")


async def read_spec(request: Request) -> Mapping[str, Any]:
    """The request's body, read in a thread: large ones take their time."""
    body, media_type = await request.body(), request.headers.get("content-type", "")
    return await anyio.to_thread.run_sync(read_mapping, body, media_type)


@router.get("/choices", response_model=ChoicesDocument)
def list_choices() -> Response:
    """What a study can name: workloads and optimizers with their arguments, schedules, spaces, tuners."""
    return Response(encode(choices.read()), media_type="application/json")


@router.post("/plan", response_model=PlanDocument, openapi_extra=SPEC_BODY)
async def plan_study(request: Request, service: Service) -> Response:
    """What running a spec would take, or what is wrong with it. Writes nothing."""
    given = await read_spec(request)
    return Response(
        encode(await anyio.to_thread.run_sync(service.launcher.plan, given)), media_type="application/json"
    )


@router.post("/studies/{study}/stop", response_model=StudyDocument)
async def stop_study(service: Service, study: StudyName) -> Response:
    """Stop a study that is queued or running; what it stored stays."""
    await anyio.to_thread.run_sync(service.launcher.stop, study)
    service.progress.forget()
    return Response(encode(await service.progress.document(study)), media_type="application/json")


@router.post("/studies/{study}/resume", response_model=StudyDocument)
async def resume_study(service: Service, study: StudyName, tune: Tune = False) -> Response:
    """Have what is missing run; nothing changes when it is queued or running, or nothing is missing."""
    await anyio.to_thread.run_sync(service.launcher.resume, study, tune)
    service.progress.forget()
    return Response(encode(await service.progress.document(study)), media_type="application/json")


@router.get("/studies/{study}/decision", response_model=DecisionDocument)
async def price_decision(
    request: Request, service: Service, study: StudyName, of: Decision, budget: Budget = None
) -> Response:
    """What deciding would take, in trials and seconds. Writes nothing.

    Made once for the trials that there are, which may take a minute.
    """
    most = await budget_of(service, study, budget)
    asked = (await service.reads.snapshot()).launches.get(study, {}).get("asked")  # it may have grown since
    answer = await service.reads.of_study(
        study,
        ("decision", of, most, asked),
        lambda _: service.launcher.price(study, of, most),
        one_at_a_time=True,
    )
    return reply(request, answer)


@router.post("/studies/{study}/decide", response_model=StudyDocument)
async def decide_study(service: Service, study: StudyName, of: Decision, budget: Budget = None) -> Response:
    """Train further seeds until each verdict, or which optimizer is cheaper to tune, is decided, or the budget spent.

    As `run --until-decided` and `tune --until-decided` do it. What is missing of the study itself is trained before.
    """
    most = await budget_of(service, study, budget)
    await anyio.to_thread.run_sync(service.launcher.decide, study, of, most)
    service.progress.forget()
    return Response(encode(await service.progress.document(study)), media_type="application/json")


async def budget_of(service: Backend, study: str, budget: int | None) -> int:
    """As many further trials as the study has by default."""
    return budget or (await service.progress.document(study))["expected"] or 1


@router.delete("/studies/{study}", status_code=204, response_class=Response)
async def delete_study(
    service: Service,
    study: StudyName,
    confirm: Annotated[str | None, Query(max_length=LONGEST, description="The study's name again.")] = None,
) -> Response:
    """Delete a study with all its trials and tuning runs, for good."""
    await anyio.to_thread.run_sync(service.launcher.delete, study, confirm)
    service.progress.forget()
    await service.events.refresh()
    return Response(status_code=204)


@router.get("/studies/{study}/log", response_model=LogDocument)
async def get_log(service: Service, study: StudyName) -> Response:
    """What the study's last job said."""
    job, log = await anyio.to_thread.run_sync(service.launcher.log, study)
    return Response(encode({"job": job, "log": log}), media_type="application/json")


@router.get("/studies/{study}", response_model=StudyDetails)
async def get_study(request: Request, service: Service, study: StudyName) -> Response:
    """A study: its progress, spec (also as a study file), axes and provenance."""
    progress = await service.progress.document(study)
    launch = (await service.reads.snapshot()).launches.get(study, {})
    fixed = await service.reads.of_study(
        study, ("details", encode(launch)), lambda store: fixed_details(store, study, launch)
    )
    return reply(request, Answer(encode({**progress, **json.loads(fixed.body)})))


@router.get(
    "/events",
    response_class=Response,  # FastAPI's own would make every listener's events anew
    responses={200: {"content": {"text/event-stream": {}}, "description": "A stream that does not end."}},
)
async def stream_events(
    service: Service, study: Annotated[str | None, Query(max_length=LONGEST)] = None
) -> Response:
    """Progress as server-sent events: `study` with a study's progress, `deleted`, `ready` after the first round.

    Every connection begins with all there is, so Last-Event-ID needs no answer of its own.
    """
    return EventSourceResponse(service.events.listen(study), headers={"x-accel-buffering": "no"})
