"""Server-sent events: one poller for all listeners, who each get what changed since they last heard."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from study.service.answers.documents import StudyDocument
from study.service.studies.progress import Progress

POLL_SECONDS = 1.0
HEARTBEAT_SECONDS = 15.0
RETRY_MILLISECONDS = 2_000
log = logging.getLogger("tunability.service")


class Events:
    """The progress of all studies as it is now, and who waits for it to change.

    A listener first hears of every study it asked for, so a connection that broke needs no memory of ours: the event
    `study` carries a `StudyDocument`, `deleted` a name, `ready` ends the first round. Events are made once for all.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._documents: dict[str, StudyDocument] = {}
        self._current: dict[str, bytes] = {}  # study -> its event; replaced, never changed
        self._changed = asyncio.Event()  # of now: the next change has another one
        self._count = 0
        self._listeners = 0
        self._poller: asyncio.Task[None] | None = None
        self._looking = asyncio.Lock()  # else what was read first may come last
        self.closing = False

    async def listen(self, study: str | None) -> AsyncIterator[bytes]:
        """The stream of one listener, of all studies or one."""
        self._listeners += 1
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())
        try:
            yield format_sse_event(retry=RETRY_MILLISECONDS)
            await self.refresh()
            sent: dict[str, bytes] = {}
            first = True
            while not self.closing:
                changed, current = self._changed, self._of(study)
                parts = [event for name, event in current.items() if sent.get(name) is not event]
                parts += [self._event("deleted", {"name": name}) for name in sent.keys() - current.keys()]
                if first:
                    parts.append(self._event("ready", {"studies": len(current)}))
                    first = False
                if parts:
                    yield b"".join(parts)
                sent = current
                if not await heard_within(changed, HEARTBEAT_SECONDS):
                    yield KEEPALIVE_COMMENT
        finally:
            self._listeners -= 1
            if self._listeners == 0 and self._poller is not None:
                self._poller.cancel()
                self._poller = None

    def close(self) -> None:
        """End all streams: else a server that shuts down would wait for them."""
        self.closing = True
        self._tell()
        if self._poller is not None:
            self._poller.cancel()

    def _of(self, study: str | None) -> dict[str, bytes]:
        if study is None:
            return self._current
        return {study: self._current[study]} if study in self._current else {}

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.refresh()
            except Exception:  # the store may be busy or away for a while; listeners wait
                log.exception("cannot read the progress of the studies")
                await asyncio.sleep(10 * POLL_SECONDS)

    async def refresh(self) -> None:
        """Tell all listeners what is new now."""
        async with self._looking:
            await self._look()

    async def _look(self) -> None:
        documents, known = await self._progress.documents(), self._documents
        if documents is known or documents == known:
            return
        self._documents = documents
        self._count += 1
        self._current = {
            name: self._current[name] if known.get(name) == document else self._event("study", document)
            for name, document in documents.items()
        }
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _event(self, kind: str, data: object) -> bytes:
        text = json.dumps(data, allow_nan=False)
        return format_sse_event(data_str=text, event=kind, id=str(self._count))


async def heard_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether an event comes in time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
