"""Server-sent events: what a listener hears, and that all listeners share one poller."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi.sse import KEEPALIVE_COMMENT
from sqlalchemy import event

from storage.records import Trials
from storage.store import open_store
from study.service.app import Service

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.service.studies.events.POLL_SECONDS", 0.1)


Heard = list[tuple[str, dict[str, Any]]]


async def heard(stream: AsyncIterator[bytes]) -> Heard:
    """The events that come next on a stream, and their data; comments and the retry time are passed over."""
    async for part in stream:
        events = [
            dict(line.split(": ", 1) for line in event.splitlines() if ": " in line)
            for event in part.decode().split("\n\n")
        ]
        found = [(fields["event"], json.loads(fields["data"])) for fields in events if "event" in fields]
        if found:
            return found
    raise AssertionError("the stream ended")


async def test_a_listener_hears_all_then_what_changes(
    app: Service, url: str, trials: Callable[..., Trials]
) -> None:
    events = app.state.backend.events
    stream = events.listen(None)
    assert [(kind, data.get("name")) for kind, data in await heard(stream)] == [
        ("study", "half"),
        ("study", "small"),
        ("ready", None),
    ]
    with open_store(url, create=True) as store:
        store.append("half", "adam", trials(1))
    ((kind, data),) = await asyncio.wait_for(heard(stream), 10)
    assert (kind, data["name"], data["trials"]) == ("study", "half", 95)
    with open_store(url, create=True) as store:
        store.delete("small")
    assert await asyncio.wait_for(heard(stream), 10) == [("deleted", {"name": "small"})]
    await stream.aclose()


async def test_what_changed_here_is_told_at_once(
    app: Service, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.service.studies.events.POLL_SECONDS", 1000)
    backend = app.state.backend
    stream = backend.events.listen(None)
    await heard(stream)
    with open_store(url, create=True) as store:
        store.delete("small")
    backend.progress.forget()
    await backend.events.refresh()
    assert await asyncio.wait_for(heard(stream), 10) == [("deleted", {"name": "small"})]
    await stream.aclose()


async def test_a_listener_of_one_study(app: Service) -> None:
    stream = app.state.backend.events.listen("small")
    study, ready = await heard(stream)
    assert study[1]["name"] == "small"
    assert ready == ("ready", {"studies": 1})
    await stream.aclose()


async def test_many_listeners_ask_the_store_as_one_does(app: Service) -> None:
    backend = app.state.backend
    asked = []
    event.listen(
        backend.reads.store().database.engine, "before_cursor_execute", lambda *a: asked.append(a[2])
    )
    streams = [backend.events.listen(None) for _ in range(200)]
    await asyncio.gather(*(heard(stream) for stream in streams))
    asked.clear()
    await asyncio.sleep(1.1)
    assert 0 < len(asked) < 50
    for stream in streams:
        await stream.aclose()
    await asyncio.sleep(0.2)  # what was being asked
    asked.clear()
    await asyncio.sleep(0.8)
    assert asked == []  # and nobody asks when nobody listens


async def test_heartbeats_and_the_end(app: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.service.studies.events.HEARTBEAT_SECONDS", 0.05)
    events = app.state.backend.events
    stream = events.listen("small")
    await heard(stream)
    assert await anext(stream) == KEEPALIVE_COMMENT
    events.close()
    assert [part async for part in stream] in ([], [KEEPALIVE_COMMENT])


async def test_a_cold_start_reads_the_studies_once_for_all(app: Service) -> None:
    backend = app.state.backend
    asked: list[str] = []
    event.listen(
        backend.reads.store().database.engine, "before_cursor_execute", lambda *a: asked.append(a[2])
    )
    streams = [backend.events.listen(None) for _ in range(200)]
    first = await asyncio.gather(*(heard(stream) for stream in streams))
    assert all(events == first[0] for events in first)
    assert sum("min(CASE" in statement for statement in asked) == 4  # optimizers of two studies
    await asyncio.gather(*(stream.aclose() for stream in streams))


async def test_all_who_hang_up_at_once_are_let_go(app: Service) -> None:
    events = app.state.backend.events
    streams = [events.listen(None) for _ in range(200)]
    await asyncio.gather(*(heard(stream) for stream in streams))
    waiting = [asyncio.create_task(heard(stream)) for stream in streams]
    await asyncio.sleep(0.1)
    for task in waiting:
        task.cancel()
    await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 2)
    await asyncio.gather(*(stream.aclose() for stream in streams))
    assert all(task.cancelled() for task in waiting)
