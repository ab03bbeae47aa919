"""Answers as pictures: numbers in their shape, and files as the command line draws them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from analysis.stored_figures import FIGURES, OF_SEVERAL, FigureRequest
from analysis.views import View
from study.service.answers.panels import PanelsDocument, PanelsRequest, Shown, panels
from study.service.api.routes.parameters import (
    At,
    Axes,
    Defaults,
    Noise,
    Service,
    Step,
    Studies,
    Where,
    Within,
    first_of,
    reply,
    versions_of,
)
from study.service.guard.problems import Problem

FIGURE_TYPES = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}
router = APIRouter()


@router.get("/panels", response_model=PanelsDocument)
async def get_panels(
    request: Request,
    service: Service,
    study: Studies,
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
    key = ("panels", wanted, await versions_of(service, study))
    answer = await service.reads.of_study(first_of(study), key, lambda store: panels(store, wanted))
    return reply(request, answer)


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
    study: Studies,
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

    def draw(store: Any) -> bytes:
        return figure_bytes(FIGURES[kind](store, wanted), f".{format}")

    key = ("figure", kind, format, wanted, await versions_of(service, study))
    answer = await service.reads.of_study(
        first_of(study), key, draw, FIGURE_TYPES[format], one_at_a_time=True
    )
    return reply(request, answer)
