"""What the trials say: landscapes, verdicts, sensitivity, tuning cost."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from analysis.views import View
from study.service.answers import reads
from study.service.answers.documents import (
    CostDocument,
    LandscapeDocument,
    SensitivityDocument,
    SeparabilityDocument,
    SuboptimalityDocument,
)
from study.service.answers.ridges import separability
from study.service.api.routes.parameters import (
    MOST_PER_PAGE,
    At,
    Axes,
    Defaults,
    Noise,
    Optimizer,
    Service,
    Step,
    StudyName,
    Target,
    Where,
    Within,
    reply,
)

RunBudget = Annotated[
    int | None, Query(ge=1, le=MOST_PER_PAGE, description="Budget of a run; what all have, or 100.")
]
router = APIRouter()


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
