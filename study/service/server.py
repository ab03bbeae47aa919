"""`tunability serve`: checks, prints the address, serves until it is told to stop."""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import re
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

import uvicorn

from storage.errors import MissingDatabaseError, StoreError
from study.service.app import Service, create_app
from study.service.guard.connections import Connection
from study.service.jobs.cluster import ClusterError
from study.service.jobs.jobs import Jobs
from study.service.settings import ServiceError, Settings
from study.service.studies.launching import Launcher

TOKEN = re.compile(r"([?&]token=)[^&\s\"]*")
GRACE_SECONDS = 3
NICER = 10
"""Studies that run on this machine come first: of a busy core, readers get a tenth of what training does."""


class HideToken(logging.Filter):
    """Takes tokens out of the access log's lines."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                TOKEN.sub(r"\1***", each) if isinstance(each, str) else each for each in record.args
            )
        return True


class Server(uvicorn.Server):
    """Ends event streams when it is told to stop, or it would wait for their listeners to go."""

    def __init__(self, config: uvicorn.Config, app: Service) -> None:
        super().__init__(config)
        self._service = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if "analysis.cost.kept" in sys.modules:  # else nothing was replayed
            from analysis.cost.kept import end_workers

            end_workers()
        tell_what_goes_on(self._service.state.backend.launcher)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.state.backend.events.close()
        super().handle_exit(sig, frame)


def serve(storage: str, host: str, port: int, **options: Any) -> None:
    """Serve until SIGINT or SIGTERM; options are those of `Settings`.

    Raises ServiceError when the address cannot be had, StoreError when there is a database that cannot be read.
    """
    with listen(host, port) as listening:
        settings = Settings(absolute(storage), host=host, port=listening.getsockname()[1], **options)
        app = create_app(settings)
        with contextlib.suppress(MissingDatabaseError):  # the first study makes it
            app.state.backend.reads.store()
        launcher: Launcher = app.state.backend.launcher
        launcher.keep_priority()
        if (running := launcher.running_slots()) not in (None, settings.slots):
            print(
                f"the cluster that runs was started with --at-once {running}: {settings.slots} counts for the next one",
                file=sys.stderr,
            )
        os.nice(NICER)
        config = uvicorn.Config(
            app,
            http=Connection,
            log_config=logs(),
            log_level="info",
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        logging.getLogger("uvicorn.access").addFilter(HideToken())
        print(f"open {settings.url}?token={quote(settings.token, safe='')}", flush=True)
        print(f"API: {settings.url}docs; stop with Ctrl-C", file=sys.stderr, flush=True)
        with contextlib.suppress(KeyboardInterrupt):  # which uvicorn passes on when it has shut down
            Server(config, app).run([listening])


def logs() -> dict[str, Any]:
    """Uvicorn's logging, all of it on standard error: a reader of the address need not read on."""
    found = copy.deepcopy(uvicorn.config.LOGGING_CONFIG)
    found["handlers"]["access"]["stream"] = "ext://sys.stderr"
    return found


def tell_what_goes_on(launcher: Launcher) -> None:
    """Say how to get at studies that go on without the service."""
    with contextlib.suppress(StoreError, ClusterError):
        names = launcher.active()
        if names:
            print(
                f"{', '.join(names)}: goes on without the service; tunability serve shows it again, "
                "tunability serve --stop-cluster stops it",
                file=sys.stderr,
                flush=True,
            )


def stop_cluster(storage: str) -> bool:
    """Stop the cluster that services of a database left running, and its jobs; return whether there was one."""
    return Jobs(Settings(absolute(storage))).cluster.stop()


def absolute(storage: str) -> str:
    """The URL of a database, an SQLite file's with its whole path: jobs run in other folders."""
    prefix = "sqlite:///"
    if not storage.startswith(prefix) or storage == prefix:
        return storage
    return prefix + str(Path(storage.removeprefix(prefix)).resolve())


def listen(host: str, port: int) -> socket.socket:
    """A socket on the address. Raises ServiceError with what to do when there is none to be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(2048)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        raise ServiceError(
            f"cannot listen on {host} port {port} ({error.strerror or error}): give another --host or --port"
        ) from None
    return listening
