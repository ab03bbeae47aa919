"""The routes under /api/v1: each parses, asks, and shows."""

from fastapi import APIRouter

from study.service.api.documentation import PROBLEMS
from study.service.api.routes import answers, figures, studies, trials

router = APIRouter(prefix="/api/v1", responses=PROBLEMS)
for each in (studies, trials, answers, figures):
    router.include_router(each.router)
