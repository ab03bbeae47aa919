"""The routes under /api/v1: each parses, asks, and shows."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

import anyio.to_thread
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.responses import StreamingResponse

from analysis.stored_figures import FIGURES, OF_SEVERAL, FigureRequest
from analysis.views import View
from storage.export import ENCODINGS
from storage.store import Store
from study.service.answers import choices, reads
from study.service.answers.cache import Answer
from study.service.answers.documents import (
    ChoicesDocument,
    CostDocument,
    CountDocument,
    DecisionDocument,
    FailureList,
    LandscapeDocument,
    LogDocument,
    PlanDocument,
    SensitivityDocument,
    SeparabilityDocument,
    SeveralTrialPage,
    StudyDetails,
    StudyDocument,
    StudyList,
    SuboptimalityDocument,
    TrialDetails,
    TrialPage,
)
from study.service.answers.panels import CellDocument, PanelsDocument, PanelsRequest, Shown, cell, panels
from study.service.answers.reads import Reads, TrialQuery, encode
from study.service.answers.ridges import separability
from study.service.api.documentation import PROBLEMS, SPEC_BODY
from study.service.guard.incoming import read_mapping
from study.service.guard.problems import Problem
from study.service.settings import Settings
from study.service.studies.events import Events
from study.service.studies.launching import Launcher
from study.service.studies.progress import Progress, fixed_details

MOST_PER_PAGE = 1_000
LONGEST = 200
MOST_COMPARED = 12
MOST_BUDGET = 1_000_000
FIGURE_TYPES = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}


@dataclass(frozen=True)
class Backend:
    """What the routes work with, one for each application."""

    settings: Settings
    reads: Reads
    progress: Progress
    events: Events
    launcher: Launcher


async def backend_of(request: Request) -> Backend:
    # Not a plain function, for which a thread would be asked on every request.
    found: Backend = request.app.state.backend
    return found


Service = Annotated[Backend, Depends(backend_of)]
StudyName = Annotated[str, Path(max_length=LONGEST, description="A study's name.")]
Optimizer = Annotated[str | None, Query(max_length=LONGEST, description="Only this optimizer.")]
Where = Annotated[
    str | None,
    Query(max_length=2_000, description='Only these trials, e.g. "alpha < 0.1 and seed = 0".'),
]
Step = Annotated[
    int | None,
    Query(ge=1, le=2**31 - 1, description="As it was after so many steps of training, by learning curves."),
]
Axes = Annotated[
    str | None,
    Query(
        max_length=1_000,
        description="Axes to show, e.g. alpha,eps; others are at their best, or `at` a value.",
    ),
]
At = Annotated[
    list[str] | None, Query(max_length=32, description="AXIS=VALUE: where to hold an axis; may be repeated.")
]
Target = Annotated[
    float | None,
    Query(
        ge=0, allow_inf_nan=False, description="Suboptimality that counts as found; the study's own if not."
    ),
]
Within = Annotated[
    str | None,
    Query(
        max_length=LONGEST,
        description="Losses that are tolerated, comma-separated, in units of the metric; by default 0.005,0.01,0.02 "
        "of a rate, those shares of the range of another metric.",
    ),
]
Defaults = Annotated[
    str | None,
    Query(
        max_length=LONGEST, description="Defaults to go by, alpha=0.1,eps=1e-8; the optimizer's own if not."
    ),
]
RunBudget = Annotated[
    int | None, Query(ge=1, le=MOST_PER_PAGE, description="Budget of a run; what all have, or 100.")
]
Noise = Annotated[
    Literal["run", "seed", "mean"] | None,
    Query(description="Runs on one seed each, a seed drawn for each cell, or means; what there is."),
]
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
Tune = Annotated[bool, Query(description="Run the spec's tuners too, when every trial is there.")]
Decision = Annotated[
    Literal["separability", "cost"],
    Query(description="The verdicts on separability, or which optimizer is cheaper to tune."),
]
Budget = Annotated[
    int | None,
    Query(ge=1, le=MOST_BUDGET, description="Most further trials; as many as the study has if not given."),
]
router = APIRouter(prefix="/api/v1", responses=PROBLEMS)


def reply(request: Request, answer: Answer, headers: dict[str, str] | None = None) -> Response:
    """An answer with its ETag, or 304 when the client has it already."""
    headers = {"etag": answer.etag, **(headers or {})}
    given = request.headers.get("if-none-match", "")
    if answer.etag in (each.strip().removeprefix("W/") for each in given.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(answer.body, media_type=answer.media_type, headers=headers)


async def read_spec(request: Request) -> Mapping[str, Any]:
    """The request's body, read in a thread: large ones take their time."""
    body, media_type = await request.body(), request.headers.get("content-type", "")
    return await anyio.to_thread.run_sync(read_mapping, body, media_type)


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
    study: Annotated[
        list[str],
        Query(
            min_length=1, max_length=MOST_COMPARED, description="STUDY or STUDY/OPTIMIZER; may be repeated."
        ),
    ],
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
    versions = (await service.reads.snapshot()).versions
    others = tuple(versions.get(name.partition("/")[0]) for name in names)

    def read(store: Store) -> Answer:
        frame = reads.several_trials(store, names, where, by)
        if kind == "json":
            return reads.several_json(frame, limit, cursor)
        return Answer(b"".join(ENCODINGS[kind](lambda: iter([frame]))), media_of(kind))

    key = ("several", names, where, by, limit, cursor, kind, others)
    answer = await service.reads.of_study(names[0].partition("/")[0], key, read)
    headers = {"link": next_link(request, answer.following)} if answer.following else {}
    if kind != "json":
        headers["content-disposition"] = f'attachment; filename="trials.{kind}"'
    return reply(request, answer, headers)


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
    optimizer: Annotated[str, Path(max_length=LONGEST)],
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


@router.get("/studies/{study}/landscape", response_model=LandscapeDocument)
async def get_landscape(
    request: Request,
    service: Service,
    study: StudyName,
    optimizer: Optimizer = None,
    where: Where = None,
    step: Step = None,
    axes: Axes = None,
    at: At = None,
) -> Response:
    """Each optimizer's metric over the whole grid: mean, standard deviation and number of seeds of every cell.

    With `axes` or `at` over some of its axes only, the others at their best, or held at a value.
    """
    view = View.of_texts(axes, at or ())
    answer = await service.reads.of_study(
        study,
        ("landscape", optimizer, where, view, step),
        lambda store: reads.landscapes(store, study, optimizer, where, view, step),
    )
    return reply(request, answer)


@router.get("/studies/{study}/separability", response_model=SeparabilityDocument)
async def get_separability(
    request: Request,
    service: Service,
    study: StudyName,
    optimizer: Optimizer = None,
    where: Where = None,
    step: Step = None,
    axes: Axes = None,
    at: At = None,
) -> Response:
    """Whether hyperparameters can be tuned one at a time: a verdict for each pair of axes of each optimizer."""
    view = View.of_texts(axes, at or ())
    answer = await service.reads.of_study(
        study,
        ("separability", optimizer, where, view, step),
        lambda store: separability(store, study, optimizer, where, view, step),
    )
    return reply(request, answer)


@router.get("/studies/{study}/sensitivity", response_model=SensitivityDocument)
async def get_sensitivity(
    request: Request,
    service: Service,
    study: StudyName,
    optimizer: Optimizer = None,
    within: Within = None,
    defaults: Defaults = None,
) -> Response:
    """How wide each hyperparameter's good range is, what defaults cost, and how many hyperparameters must be tuned.

    Made once for the trials that there are, which may take a minute.
    """
    answer = await service.reads.of_study(
        study,
        ("sensitivity", optimizer, within, defaults),
        lambda store: reads.sensitivity(store, study, optimizer, within, defaults),
        one_at_a_time=True,
    )
    return reply(request, answer)


@router.get("/studies/{study}/cost", response_model=CostDocument)
async def get_cost(
    request: Request,
    service: Service,
    study: StudyName,
    optimizer: Optimizer = None,
    target: Target = None,
    noise: Noise = None,
    compare: Annotated[bool, Query(description="Every pair of tuners and of optimizers instead.")] = False,
    trials: RunBudget = None,
) -> Response:
    """How many trials each tuner needs to come within the target of the best, with 95% intervals.

    Made once for the trials that there are, which may take a minute.
    """
    answer = await service.reads.of_study(
        study,
        ("cost", optimizer, target, noise, compare, trials),
        lambda store: reads.cost(store, study, optimizer, target, noise, compare, trials),
        one_at_a_time=True,
    )
    return reply(request, answer)


@router.get("/studies/{study}/suboptimality", response_model=SuboptimalityDocument)
async def get_suboptimality(
    request: Request,
    service: Service,
    study: StudyName,
    optimizer: Optimizer = None,
    target: Target = None,
    noise: Noise = None,
    trials: RunBudget = None,
) -> Response:
    """How far each tuner is from the best after each trial, with 95% intervals, and what other targets cost.

    Made once for the trials that there are, which may take a minute.
    """
    answer = await service.reads.of_study(
        study,
        ("suboptimality", optimizer, target, noise, trials),
        lambda store: reads.suboptimality(store, study, optimizer, target, noise, trials),
        one_at_a_time=True,
    )
    return reply(request, answer)


@router.get("/panels", response_model=PanelsDocument)
async def get_panels(
    request: Request,
    service: Service,
    study: Annotated[
        list[str],
        Query(
            min_length=1, max_length=MOST_COMPARED, description="STUDY or STUDY/OPTIMIZER; may be repeated."
        ),
    ],
    axis: Annotated[
        list[str] | None, Query(max_length=2, description="An axis to show; two at most.")
    ] = None,
    at: At = None,
    shown: Annotated[
        Shown, Query(description="What is coloured: means over seeds, or their standard deviation.")
    ] = "mean",
    seed: Annotated[
        int | None, Query(ge=0, le=2**63 - 1, description="Of the trials of this seed alone.")
    ] = None,
    step: Step = None,
) -> Response:
    """What to draw of landscapes side by side: numbers in the shape of the pictures, on one colour scale."""
    held = View.of_texts(None, at or ()).at
    wanted = PanelsRequest(tuple(study), tuple(axis or ()), held, shown, seed, step)
    versions = (await service.reads.snapshot()).versions
    others = tuple(versions.get(name.partition("/")[0]) for name in study)
    answer = await service.reads.of_study(
        study[0].partition("/")[0], ("panels", wanted, others), lambda store: panels(store, wanted)
    )
    return reply(request, answer)


@router.get("/studies/{study}/optimizers/{optimizer}/cell", response_model=CellDocument)
async def get_cell(
    request: Request,
    service: Service,
    study: StudyName,
    optimizer: Annotated[str, Path(max_length=LONGEST)],
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


@router.get(
    "/figures/{kind}.{format}",
    response_class=Response,
    responses={
        200: {"content": {media: {} for media in FIGURE_TYPES.values()}, "description": "The figure."}
    },
)
async def get_figure(
    request: Request,
    service: Service,
    kind: Annotated[str, Path(json_schema_extra={"enum": list(FIGURES)})],
    format: Annotated[Literal["png", "svg", "pdf"], Path()],
    study: Annotated[
        list[str],
        Query(min_length=1, max_length=12, description="STUDY or STUDY/OPTIMIZER; may be repeated."),
    ],
    where: Where = None,
    step: Step = None,
    axes: Axes = None,
    at: At = None,
    pairs: Annotated[bool, Query(description="Of landscapes, a matrix of all pairs of axes.")] = False,
    target: Annotated[
        float | None, Query(ge=0, allow_inf_nan=False, description="Suboptimality that counts as found.")
    ] = None,
    noise: Noise = None,
    within: Within = None,
    defaults: Defaults = None,
) -> Response:
    """A figure as the command line draws it."""
    from analysis.figures import figure_bytes

    if kind not in FIGURES:
        raise Problem(404, f"there is no figure {kind!r}: there are {', '.join(FIGURES)}")
    if len(study) > 1 and kind not in OF_SEVERAL:
        raise Problem(
            422, f"the figure {kind!r} is of one study: give one, or ask for {' or '.join(OF_SEVERAL)}"
        )
    view = View.of_texts(axes, at or ())
    wanted = FigureRequest(
        tuple(study),
        where,
        view=view,
        step=step,
        pairs=pairs,
        target=target,
        noise=noise,
        within=within,
        defaults=defaults,
    )
    snapshot = await service.reads.snapshot()
    others = tuple(snapshot.versions.get(name.partition("/")[0]) for name in study)

    def draw(store: Any) -> bytes:
        return figure_bytes(FIGURES[kind](store, wanted), f".{format}")

    first = study[0].partition("/")[0]
    answer = await service.reads.of_study(
        first, ("figure", kind, format, wanted, others), draw, FIGURE_TYPES[format], one_at_a_time=True
    )
    return reply(request, answer)


@router.get(
    "/events",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}, "description": "A stream that does not end."}},
)
async def stream_events(
    service: Service, study: Annotated[str | None, Query(max_length=LONGEST)] = None
) -> Response:
    """Progress as server-sent events: `study` with a study's progress, `deleted`, `ready` after the first round.

    Every connection begins with all there is, so Last-Event-ID needs no answer of its own.
    """
    headers = {"x-accel-buffering": "no"}
    return StreamingResponse(service.events.listen(study), media_type="text/event-stream", headers=headers)


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
