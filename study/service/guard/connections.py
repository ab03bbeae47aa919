"""What a connection may cost before anybody knows who asks: bytes, seconds, and how many may wait at once."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from weakref import WeakKeyDictionary

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from study.service.settings import Settings

HEAD_BYTES = 65_536
"""Of the request line and its headers."""
REQUEST_BYTES = HEAD_BYTES + 2 * Settings.max_body
"""Of all of a request, as it is sent: chunks may be small, and headers may follow the body."""
REQUEST_SECONDS = 30.0
"""For the headers, from the connection or the last answer on, and again for what follows them."""
MOST_WAITING = 100
"""Connections without a request; of one more the one that has waited longest is closed."""

WAITING: WeakKeyDictionary[ServerState, dict[Connection, None]] = WeakKeyDictionary()


class Connection(HttpToolsProtocol):
    """Uvicorn's protocol within these limits, which it has none of itself: it answers 431, 413 or 408, and closes."""

    _head = _received = 0
    _complete = True
    _refused = False
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_longer()
        self._cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        in_head = self in self._waiting
        self._received += len(data)
        super().data_received(data)
        if in_head and self in self._waiting:  # not even its headers are complete
            self._head = max(self._head, self._received)
        if self._head > HEAD_BYTES:
            self._refuse(431, f"the request has more than {HEAD_BYTES:,} bytes of headers: send fewer")
        elif self._received > REQUEST_BYTES:
            self._refuse(413, f"the request has more than {REQUEST_BYTES:,} bytes: send a smaller one")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head, self._complete = 0, False
        if self not in self._waiting:  # it came together with the one before
            self._wait()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head += len(name) + len(value) + 4
        if self._head <= HEAD_BYTES:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head += len(self.url)
        if self._head <= HEAD_BYTES:
            self._wait_no_longer()
            self._start_deadline()
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._head <= HEAD_BYTES:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._head > HEAD_BYTES:
            return
        self._complete, self._received = True, 0
        super().on_message_complete()
        if self.cycle is not None and self.cycle.response_complete:
            self._wait()
        else:
            self._cancel()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._complete and self.cycle.response_complete:
            self._wait()

    def _wait(self) -> None:
        self._wait_no_longer()
        self._waiting[self] = None
        self._start_deadline()
        if len(self._waiting) > MOST_WAITING:
            oldest = next(iter(self._waiting))
            oldest._wait_no_longer()
            oldest.transport.abort()

    def _wait_no_longer(self) -> None:
        self._waiting.pop(self, None)

    @property
    def _waiting(self) -> dict[Connection, None]:
        """The connections of this server that wait, the one that has waited longest first."""
        return WAITING.setdefault(self.server_state, {})

    def _start_deadline(self) -> None:
        self._cancel()
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._too_slow)

    def _cancel(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        if self._received and self in self._waiting:
            self._refuse(408, f"the request took more than {REQUEST_SECONDS:g} seconds: send it faster")
        else:
            self.transport.abort()

    def _refuse(self, status: int, detail: str) -> None:
        """Close the connection, with an answer where none has begun. Whoever asks is unknown, so it says little."""
        if self.transport.is_closing():
            return
        self._refused = True
        self.logger.warning("refused a connection: %s", detail)
        if self.cycle is None or self.cycle.response_complete:
            body = detail.encode()
            self.transport.write(
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: text/plain; charset=utf-8\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
                + body
            )
        self.transport.close()
        self._cancel()
        self._deadline = self.loop.call_later(1.0, self.transport.abort)  # if it does not read the answer
