"""The application: routes, errors, and the guard around all of it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp

from study.service.answers.reads import Reads
from study.service.api import documentation, optuna_pages, page_routes, routes
from study.service.api.routes.parameters import Backend
from study.service.guard.problems import add_handlers
from study.service.guard.security import Guard
from study.service.jobs.jobs import Jobs
from study.service.pages import assets
from study.service.settings import Settings
from study.service.studies.events import Events
from study.service.studies.launching import Launcher
from study.service.studies.progress import Progress


class Service(FastAPI):
    """An application with the guard outermost: errors of the framework pass through it too."""

    settings: Settings

    def build_middleware_stack(self) -> ASGIApp:
        return Guard(super().build_middleware_stack(), self.settings)

    def openapi(self) -> dict[str, Any]:
        return documentation.describe(self)


def create_app(settings: Settings) -> Service:
    """The service as an ASGI application. Nothing is opened or started before the first request that needs it."""
    reads = Reads(settings.storage)
    jobs = Jobs(settings)
    progress = Progress(reads, jobs)
    launcher = Launcher(settings, reads, jobs)
    backend = Backend(settings, reads, progress, Events(progress), launcher)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        backend.events.close()
        backend.reads.close()
        jobs.cluster.leave()

    app = Service(
        title="Tunability",
        version=importlib.metadata.version("tunability"),
        summary="How sensitive is an optimizer to its hyperparameters, and what does tuning them cost?",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.settings = settings
    app.state.backend = backend
    add_handlers(app)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=settings.max_body)
    app.include_router(routes.router)
    app.include_router(documentation.router)
    app.include_router(page_routes.router)
    app.include_router(assets.router)
    documentation.add_assets(app)
    app.mount(optuna_pages.PREFIX, optuna_pages.OptunaPages(settings.storage, reads))
    return app
