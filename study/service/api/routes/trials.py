"""The trial database: pages, tables, counts, single trials, cells and failures."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import anyio.to_thread
from fastapi import APIRouter, Path, Query, Request, Response
from starlette.responses import StreamingResponse

from storage.export import ENCODINGS
from storage.store import Store
from study.service.answers import reads
from study.service.answers.cache import Answer
from study.service.answers.documents import (
    CountDocument,
    FailureList,
    SeveralTrialPage,
    TrialDetails,
    TrialPage,
)
from study.service.answers.panels import CellDocument, cell
from study.service.answers.reads import TrialQuery
from study.service.api.routes.parameters import (
    LONGEST,
    MOST_PER_PAGE,
    Optimizer,
    OptimizerName,
    Service,
    Studies,
    StudyName,
    Where,
    first_of,
    reply,
    versions_of,
)
from study.service.guard.problems import Problem

TrialFormat = Literal["json", "csv", "parquet"]
ACCEPTED: dict[str, TrialFormat] = {
    "text/csv": "csv",
    "application/vnd.apache.parquet": "parquet",
}
Sort = Annotated[str | None, Query(max_length=LONGEST, description="A column; missing values last.")]
Order = Annotated[Literal["asc", "desc"], Query()]
Form = Annotated[TrialFormat | None, Query(description="By Accept, or JSON, when left out.")]
PAGES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {media: {} for media in ACCEPTED},
        "headers": {"Link": {"schema": {"type": "string"}}},
    }
}
router = APIRouter()


@router.get(
    "/studies/{study}/trials",
    response_model=TrialPage,
    responses=PAGES,
)
async def list_trials(
    request: Request,
    service: Service,
    study: StudyName,
    optimizer: Optimizer = None,
    where: Where = None,
    sort: Sort = None,
    order: Order = "asc",
    limit: Annotated[
        int | None,
        Query(ge=1, le=MOST_PER_PAGE, description="JSON: 100 by default. CSV and Parquet: all by default."),
    ] = None,
    cursor: Annotated[str | None, Query(max_length=2_000, description="`next` of the page before.")] = None,
    format: Form = None,
) -> Response:
    """Trials by optimizer and number, or sorted; a page as JSON, everything streamed as CSV or Parquet."""
    kind = format or accepted(request.headers.get("accept", ""))
    query = TrialQuery(study, optimizer, where, sort, order == "desc")
    metrics = await service.reads.metrics(study)
    if kind == "json":
        size = limit or 100
        answer = await service.reads.of_study(
            study,
            ("trials", query, size, cursor),
            lambda store: reads.trials_json(store, query, metrics, size, cursor),
        )
        link = {"link": next_link(request, answer.following)} if answer.following else None
        return reply(request, answer, link)

    def open_chunks() -> Iterator[bytes]:
        store = service.reads.store()
        return ENCODINGS[kind](lambda: reads.trial_chunks(store, query, metrics, limit, cursor))

    stream = await anyio.to_thread.run_sync(open_chunks)
    first = await anyio.to_thread.run_sync(next, stream, None)  # an error comes before the answer begins
    name = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "_" for letter in study
    )
    headers = {"content-disposition": f'attachment; filename="{name}.{kind}"'}
    return StreamingResponse(in_threads(first, stream), media_type=media_of(kind), headers=headers)


@router.get(
    "/trials",
    response_model=SeveralTrialPage,
    responses=PAGES,
)
async def list_trials_of_several(
    request: Request,
    service: Service,
    study: Studies,
    where: Where = None,
    sort: Sort = None,
    order: Order = "asc",
    limit: Annotated[int, Query(ge=1, le=MOST_PER_PAGE, description="Of JSON.")] = 100,
    cursor: Annotated[int, Query(ge=0, le=2**31 - 1, description="Of JSON: `next` of the page before.")] = 0,
    format: Form = None,
) -> Response:
    """Trials of several studies by one filter, each with its study: a page as JSON, everything as CSV or Parquet."""
    kind = format or accepted(request.headers.get("accept", ""))
    by = sort and f"{'-' if order == 'desc' else ''}{sort}"
    names = tuple(study)
    others = await versions_of(service, names)

    def read(store: Store) -> Answer:
        frame = reads.several_trials(store, names, where, by)
        if kind == "json":
            return reads.several_json(frame, limit, cursor)
        return Answer(b"".join(ENCODINGS[kind](lambda: iter([frame]))), media_of(kind))

    key = ("several", names, where, by, limit, cursor, kind, others)
    answer = await service.reads.of_study(first_of(names), key, read)
    headers = {"link": next_link(request, answer.following)} if answer.following else {}
    if kind != "json":
        headers["content-disposition"] = f'attachment; filename="trials.{kind}"'
    return reply(request, answer, headers)


def accepted(accept: str) -> TrialFormat:
    """The format that an Accept header asks for first, JSON when it names none of ours."""
    for each in accept.split(","):
        found = ACCEPTED.get(each.partition(";")[0].strip().lower())
        if found:
            return found
    return "json"


def media_of(kind: TrialFormat) -> str:
    """The media type of a format."""
    return next(media for media, each in ACCEPTED.items() if each == kind)


def next_link(request: Request, cursor: str) -> str:
    query = [pair for pair in request.query_params.multi_items() if pair[0] != "cursor"]
    return f'<{request.url.path}?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'


async def in_threads(first: bytes | None, rest: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces of a stream, each made in a thread while the others' requests go on."""
    piece = first
    while piece is not None:
        yield piece
        piece = await anyio.to_thread.run_sync(next, rest, None)


@router.get("/studies/{study}/count", response_model=CountDocument)
async def count_trials(
    request: Request, service: Service, study: StudyName, optimizer: Optimizer = None, where: Where = None
) -> Response:
    """How many trials a filter finds."""
    answer = await service.reads.of_study(
        study,
        ("count", optimizer, where),
        lambda store: {"trials": store.count(study, optimizer, where)},
    )
    return reply(request, answer)


@router.get("/studies/{study}/optimizers/{optimizer}/trials/{number}", response_model=TrialDetails)
async def get_trial(
    request: Request,
    service: Service,
    study: StudyName,
    optimizer: OptimizerName,
    number: Annotated[int, Path(ge=0, le=2**31 - 1, description="The trial's number within its optimizer.")],
) -> Response:
    """A trial and its learning curve."""
    metrics = await service.reads.metrics(study)
    answer = await service.reads.of_study(
        study,
        ("trial", optimizer, number),
        lambda store: reads.trial(store, study, optimizer, number, metrics),
    )
    return reply(request, answer)


@router.get("/studies/{study}/optimizers/{optimizer}/cell", response_model=CellDocument)
async def get_cell(
    request: Request,
    service: Service,
    study: StudyName,
    optimizer: OptimizerName,
    at: Annotated[list[str], Query(max_length=32, description="AXIS=NUMBER, once for each axis.")],
) -> Response:
    """The trials of a cell by seed, and learning curves of the first of them; of scattered trials the nearest."""
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
        found = {name: float(value) for name, _, value in (text.rpartition("=") for text in texts)}
    except ValueError:
        found = {}
    if not found or not all(map(math.isfinite, found.values())):
        raise Problem(422, f"the cell {', '.join(texts)} is not understood: give AXIS=NUMBER")
    return found


@router.get("/studies/{study}/failures", response_model=FailureList)
async def list_failures(
    request: Request,
    service: Service,
    study: StudyName,
    optimizer: Optimizer = None,
    limit: Annotated[int, Query(ge=1, le=MOST_PER_PAGE, description="Most failures to give.")] = 100,
) -> Response:
    """Trials that failed for good and are not stored, the last first: why, and the last lines that they wrote.

    They are tried again when the study is resumed; one that is stored is left out from then on.
    """
    counted = (await service.reads.snapshot()).failures.get(study)
    answer = await service.reads.of_study(
        study,
        ("failures", optimizer, limit, counted),
        lambda store: reads.failures(store, study, optimizer, limit),
    )
    return reply(request, answer)
