"""Server-sent events: what a listener hears, and that all listeners share one poller."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy import event

from storage.records import Trials
from storage.store import open_store
from study.service.app import Service

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def heard(stream: AsyncIterator[bytes]) -> tuple[str, dict[str, object]]:
    """The next event of a stream and its data; comments and the retry time are passed over."""
    async for part in stream:
        fields = dict(line.split(": ", 1) for line in part.decode().splitlines() if ": " in line)
        if "event" in fields:
            return fields["event"], json.loads(fields["data"])
    raise AssertionError("the stream ended")


async def test_a_listener_hears_all_then_what_changes(
    app: Service, url: str, trials: Callable[..., Trials]
) -> None:
    events = app.state.backend.events
    stream = events.listen(None)
    first = [await heard(stream) for _ in range(3)]
    assert [(kind, data.get("name")) for kind, data in first] == [
        ("study", "half"),
        ("study", "small"),
        ("ready", None),
    ]
    with open_store(url, create=True) as store:
        store.append("half", "adam", trials(1))
    kind, data = await asyncio.wait_for(heard(stream), 10)
    assert (kind, data["name"], data["trials"]) == ("study", "half", 95)
    with open_store(url, create=True) as store:
        store.delete("small")
    assert await asyncio.wait_for(heard(stream), 10) == ("deleted", {"name": "small"})
    await stream.aclose()


async def test_a_listener_of_one_study(app: Service) -> None:
    stream = app.state.backend.events.listen("small")
    assert (await heard(stream))[1]["name"] == "small"
    assert await heard(stream) == ("ready", {"studies": 1})
    await stream.aclose()


async def test_many_listeners_ask_the_store_as_one_does(app: Service) -> None:
    backend = app.state.backend
    asked = []
    event.listen(
        backend.reads.store().database.engine, "before_cursor_execute", lambda *a: asked.append(a[2])
    )
    streams = [backend.events.listen(None) for _ in range(200)]
    for stream in streams:
        while (await heard(stream))[0] != "ready":
            pass
    asked.clear()
    await asyncio.sleep(2)
    assert 0 < len(asked) < 100
    for stream in streams:
        await stream.aclose()
    await asyncio.sleep(0.5)  # what was being asked
    asked.clear()
    await asyncio.sleep(1)
    assert asked == []  # and nobody asks when nobody listens


async def test_heartbeats_and_the_end(app: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.service.events.HEARTBEAT_SECONDS", 0.05)
    events = app.state.backend.events
    stream = events.listen("small")
    while (await heard(stream))[0] != "ready":
        pass
    assert await anext(stream) == b": still here\n\n"
    events.close()
    assert [part async for part in stream] in ([], [b": still here\n\n"])
