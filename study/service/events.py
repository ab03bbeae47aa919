"""Server-sent events: one poller for all listeners, who each get what changed since they last heard."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator

from study.service.progress import Progress

POLL_SECONDS = 0.5
HEARTBEAT_SECONDS = 15.0
RETRY_MILLISECONDS = 2_000
log = logging.getLogger("tunability.service")


class Events:
    """The progress of all studies as it is now, and who waits for it to change.

    A listener first hears of every study it asked for, so a connection that broke needs no memory of ours: the event
    `study` carries a `StudyDocument`, `deleted` a name, `ready` ends the first round.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._current: dict[str, str] = {}
        self._changed = asyncio.Condition()
        self._count = 0
        self._listeners = 0
        self._poller: asyncio.Task[None] | None = None
        self.closing = False

    async def listen(self, study: str | None) -> AsyncIterator[bytes]:
        """The stream of one listener, of all studies or one."""
        self._listeners += 1
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())
        try:
            yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
            await self._refresh()
            sent: dict[str, str] = {}
            first = True
            while not self.closing:
                current = {n: t for n, t in self._current.items() if study in (None, n)}
                for name, text in current.items():
                    if sent.get(name) != text:
                        yield self._event("study", text)
                for name in sent.keys() - current.keys():
                    yield self._event("deleted", json.dumps({"name": name}))
                if first:
                    yield self._event("ready", json.dumps({"studies": len(current)}))
                    first = False
                sent = current
                if not await self._wait():
                    yield b": still here\n\n"
        finally:
            self._listeners -= 1
            if self._listeners == 0 and self._poller is not None:
                self._poller.cancel()
                self._poller = None

    def close(self) -> None:
        """End all streams: else a server that shuts down would wait for them."""
        self.closing = True
        if self._poller is not None:
            self._poller.cancel()

    async def _wait(self) -> bool:
        """Whether something changed before it was time for a heartbeat."""
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS), self._changed:
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def _poll(self) -> None:
        try:
            while True:
                await asyncio.sleep(POLL_SECONDS)
                try:
                    await self._refresh()
                except Exception:  # the store may be busy or away for a while; listeners wait
                    log.exception("cannot read the progress of the studies")
                    await asyncio.sleep(10 * POLL_SECONDS)
        finally:
            if self.closing:
                async with self._changed:
                    self._changed.notify_all()

    async def _refresh(self) -> None:
        documents = await self._progress.documents()
        texts = {name: json.dumps(document, allow_nan=False) for name, document in documents.items()}
        if texts != self._current:
            self._current = texts
            self._count += 1
            async with self._changed:
                self._changed.notify_all()

    def _event(self, kind: str, data: str) -> bytes:
        return f"id: {self._count}\nevent: {kind}\ndata: {data}\n\n".encode()
