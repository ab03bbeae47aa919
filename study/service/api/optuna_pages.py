"""optuna-dashboard under /optuna, on the same store, for reading only, in a frame of the site's own page.

It expects to be at the root of its host: the few places in its bundle that say so are changed as it is served.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import cast

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from study.service.answers.reads import Reads
from study.service.guard.problems import Problem, problem_response
from study.service.guard.security import SAFE_METHODS
from study.service.pages.rendering import page as framed

PREFIX = "/optuna"
BUNDLE = "/static/bundle.js"
MOVED = {
    'url_prefix:"/dashboard"': f'url_prefix:"{PREFIX}/dashboard"',  # where its pages are
    '(null!=e?e:"")}handleResponse': f'(null!=e?e:"{PREFIX}")}}handleResponse',  # its API
    "`/csv/": f"`{PREFIX}/csv/",
}
# Its own policy: charts need styles made by scripts, and its parallel coordinates compile shaders with eval.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
WORKERS = 2
SECONDS = 10
"""To wait for whoever writes to an SQLite file."""


class OptunaPages:
    """An ASGI application to be mounted; the dashboard is made by the first request that finds a store."""

    def __init__(self, storage: str, reads: Reads) -> None:
        self._storage = storage
        self._reads = reads
        self._app: ASGIApp | None = None
        self._making = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises MissingDatabaseError before there is a store."""
        if scope["path"].removeprefix(PREFIX) in ("", "/") and scope["method"] in SAFE_METHODS:
            await framed(Request(scope, receive), "optuna.html")(scope, receive, send)
            return
        app = await self._answer(scope)
        if not any(name == b"accept-encoding" for name, _ in scope["headers"]):  # which its own code asks for
            scope = {**scope, "headers": [*scope["headers"], (b"accept-encoding", b"identity")]}
        await app(scope, receive, send)

    async def _answer(self, scope: Scope) -> ASGIApp:
        path = scope["path"].removeprefix(PREFIX)
        if scope["method"] not in SAFE_METHODS:
            return refusal()
        if path.startswith("/dashboard"):
            return HTMLResponse(page(), headers={"content-security-policy": POLICY})
        if path == BUNDLE:
            headers = {"cache-control": "private, max-age=86400", "content-encoding": "gzip"}
            return Response(
                await anyio.to_thread.run_sync(bundle), media_type="text/javascript", headers=headers
            )
        async with self._making:
            if self._app is None:
                self._app = await anyio.to_thread.run_sync(self._make)
        return self._app

    def _make(self) -> ASGIApp:
        from a2wsgi import WSGIMiddleware
        from optuna.storages import RDBStorage
        from optuna_dashboard import wsgi

        self._reads.store()  # Optuna would make a database where there is none
        # Optuna fills {SCHEMA_VERSION} into URLs, so a brace of ours is doubled.
        url = self._storage.replace("{", "{{").replace("}", "}}")
        options = {"connect_args": {"timeout": SECONDS}} if url.startswith("sqlite") else {}
        storage = RDBStorage(url, engine_kwargs=options, skip_table_creation=True)
        return cast(ASGIApp, WSGIMiddleware(wsgi(storage), workers=WORKERS))


def refusal() -> Response:
    """Its pages show a `reason`; scripts read the detail."""
    detail = "optuna-dashboard is for reading here: change studies on the service's own pages"
    return problem_response(403, detail, reason=detail)


def page() -> str:
    """Its one page, which finds the bundle here."""
    return replaced(
        (folder() / "index.html").read_text(encoding="utf-8"), {'"/static/': f'"{PREFIX}/static/'}
    )


@cache
def bundle() -> bytes:
    """Its script, compressed."""
    text = (folder() / "public" / "bundle.js").read_text(encoding="utf-8")
    return gzip.compress(replaced(text, MOVED).encode(), compresslevel=6, mtime=0)


def folder() -> Path:
    import optuna_dashboard

    return Path(optuna_dashboard.__file__).parent


def replaced(text: str, changes: Mapping[str, str]) -> str:
    """The text with every change made. Raises Problem when there is nothing to change, as in another version."""
    for before, after in changes.items():
        if before not in text:
            found = version("optuna-dashboard")
            raise Problem(503, f"optuna-dashboard {found} cannot be shown under {PREFIX}: install 0.21.0")
        text = text.replace(before, after)
    return text
