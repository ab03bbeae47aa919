"""Connections that cost: large headers, slow ones, very many; each on a real socket, in this process."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from study.service.guard import connections
from study.service.guard.connections import HEAD_BYTES, REQUEST_BYTES, Connection

GET = b"GET / HTTP/1.1\r\nhost: here\r\n"
POST = b"POST / HTTP/1.1\r\nhost: here\r\n"
Scenario = Callable[[int, ServerState], Awaitable[Any]]


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Says how long the body is, or, without having read it, that nobody may ask."""
    length = 0
    if scope["path"] != "/refused":
        while True:
            message = await receive()
            length += len(message.get("body", b""))
            if not message.get("more_body"):
                break
    if scope["path"] == "/slow":
        await asyncio.sleep(0.7)
    status = 401 if scope["path"] == "/refused" else 200
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"8")]})
    await send({"type": "http.response.body", "body": f"{length:08}".encode()})


def serve(scenario: Scenario) -> Any:
    async def main() -> Any:
        config = uvicorn.Config(answer, http=Connection, lifespan="off", log_config=None)
        config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(config, state, {}), "127.0.0.1", 0)
        try:
            return await asyncio.wait_for(scenario(server.sockets[0].getsockname()[1], state), 30)
        finally:
            server.close()
            for each in list(state.connections):
                each.transport.abort()  # type: ignore[union-attr]
            await asyncio.sleep(0.01)

    return asyncio.run(main())


async def ask(port: int, *parts: bytes) -> bytes:
    """What comes back until the connection is closed; b"" where it is just closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = b""
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        while piece := await reader.read(65_536):
            found += piece
    except ConnectionError:
        pass
    finally:
        writer.close()
    return found


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.3)
    return


def status(found: bytes) -> int:
    return int(found.split()[1]) if found else 0


def test_requests_within_the_limits_are_answered() -> None:
    async def scenario(port: int, _state: ServerState) -> None:
        close = b"connection: close\r\n"
        assert status(await ask(port, GET, close, b"a: " + b"x" * (HEAD_BYTES - 200), b"\r\n\r\n")) == 200
        both = await ask(port, GET + b"\r\n" + GET + close + b"\r\n")  # at once, one after the other
        assert both.count(b"200 OK") == 2
        body = b"y" * 1_000_000
        found = await ask(port, POST, close, b"content-length: 1000000\r\n\r\n", body)
        assert found.endswith(b"01000000")

    serve(scenario)


@pytest.mark.parametrize(
    "parts",
    [
        [GET, *[b"a: " + b"x" * 1_000 + b"\r\n"] * 80, b"\r\n"],
        [GET + b"a: " + b"x" * 70_000 + b"\r\n\r\n"],
        [GET, b"a: " + b"x" * 70_000],
        [GET, *[b"b" * 16_384] * 400],
        [b"GET /" + b"x" * 70_000],
        [POST, b"transfer-encoding: chunked\r\n\r\n0\r\n", *[b"a: " + b"x" * 1_000 + b"\r\n"] * 80],
    ],
    ids=["many", "one", "unfinished", "endless name", "a long path", "after the body"],
)
def test_headers_are_bounded(parts: list[bytes]) -> None:
    async def scenario(port: int, state: ServerState) -> None:
        assert status(await ask(port, *parts)) in (0, 431)  # or it closes while more is sent
        await asyncio.sleep(0.05)
        assert not state.tasks

    serve(scenario)


def test_a_request_is_bounded_also_where_nobody_reads_it() -> None:
    async def scenario(port: int, _state: ServerState) -> None:
        head = b"POST /refused HTTP/1.1\r\nhost: here\r\ncontent-length: 999999999\r\n\r\n"
        found = await ask(port, head, *[b"x" * 65_536] * (REQUEST_BYTES // 65_536 + 20))
        assert status(found) in (0, 401)

    serve(scenario)


@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        ([], 0),
        ([GET], 408),
        ([POST, b"content-length: 5\r\n\r\n", b"abc"], 0),
        ([b"POST /refused HTTP/1.1\r\nhost: here\r\ncontent-length: 5\r\n\r\nabc"], 401),
        ([GET + b"\r\n", GET], 200),
    ],
    ids=["silent", "headers", "body", "body that nobody reads", "second request"],
)
@pytest.mark.usefixtures("hurried")
def test_slow_connections_time_out(parts: list[bytes], wanted: int) -> None:
    async def scenario(port: int, state: ServerState) -> None:
        assert status(await asyncio.wait_for(ask(port, *parts), 5)) == wanted
        await asyncio.sleep(0.05)
        assert not state.connections

    serve(scenario)


@pytest.mark.usefixtures("hurried")
def test_answers_may_take_their_time() -> None:
    async def scenario(port: int, _state: ServerState) -> None:
        found = await ask(port, b"GET /slow HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n")
        assert status(found) == 200

    serve(scenario)


def test_of_very_many_that_wait_the_oldest_are_closed() -> None:
    async def scenario(port: int, state: ServerState) -> None:
        some = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(150)))
        await asyncio.sleep(0.1)
        assert len(state.connections) == connections.MOST_WAITING
        assert status(await ask(port, GET + b"connection: close\r\n\r\n")) == 200
        assert await some[0][0].read() == b""
        for _, writer in some:
            writer.close()

    serve(scenario)
