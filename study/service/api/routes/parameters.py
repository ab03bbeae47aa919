"""What the routes have in common: what they work with, parameters that mean the same in each, and how they reply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Path, Query, Request, Response

from storage.store import Version
from study.service.answers.cache import Answer
from study.service.answers.reads import Reads
from study.service.settings import Settings
from study.service.studies.events import Events
from study.service.studies.launching import Launcher
from study.service.studies.progress import Progress

MOST_PER_PAGE = 1_000
LONGEST = 200
MOST_COMPARED = 12


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
Studies = Annotated[
    list[str],
    Query(min_length=1, max_length=MOST_COMPARED, description="STUDY or STUDY/OPTIMIZER; may be repeated."),
]
OptimizerName = Annotated[str, Path(max_length=LONGEST)]
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
Noise = Annotated[
    Literal["run", "seed", "mean"] | None,
    Query(description="Runs on one seed each, a seed drawn for each cell, or means; what there is."),
]


def first_of(names: Sequence[str]) -> str:
    """The study of the first of STUDY or STUDY/OPTIMIZER: the one that an answer on several is kept for."""
    return names[0].partition("/")[0]


async def versions_of(service: Backend, names: Sequence[str]) -> tuple[Version | None, ...]:
    """The versions of the studies of STUDY or STUDY/OPTIMIZER: what an answer on several depends on."""
    known = (await service.reads.snapshot()).versions
    return tuple(known.get(name.partition("/")[0]) for name in names)


def reply(request: Request, answer: Answer, headers: dict[str, str] | None = None) -> Response:
    """An answer with its ETag, or 304 when the client has it already."""
    headers = {"etag": answer.etag, **(headers or {})}
    given = request.headers.get("if-none-match", "")
    if answer.etag in (each.strip().removeprefix("W/") for each in given.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(answer.body, media_type=answer.media_type, headers=headers)
