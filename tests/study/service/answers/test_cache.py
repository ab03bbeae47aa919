"""The cache: computed once for all who ask meanwhile, bounded, errors not kept."""

import asyncio
import threading
import time

import pytest

from study.service.answers.cache import KEY_BYTES, Answer, Cache

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_many_who_ask_wait_for_one() -> None:
    cache, gate, calls = Cache(), threading.Event(), []

    def make() -> Answer:
        calls.append(1)
        gate.wait(10)
        return Answer(b"made")

    asking = [asyncio.create_task(cache.get("key", make)) for _ in range(50)]
    await asyncio.sleep(0.05)
    asking[0].cancel()  # whoever asked first goes away
    gate.set()
    answers = await asyncio.gather(*asking[1:])
    assert {answer.body for answer in answers} == {b"made"}
    assert (await cache.get("key", make)).etag == answers[0].etag
    assert len(calls) == 1


async def test_errors_reach_all_and_are_not_kept() -> None:
    cache = Cache()

    def fail() -> Answer:
        raise ValueError("no")

    found = await asyncio.gather(*(cache.get("key", fail) for _ in range(3)), return_exceptions=True)
    assert [str(error) for error in found] == ["no"] * 3
    assert (await cache.get("key", lambda: Answer(b"yes"))).body == b"yes"


async def test_the_least_recently_asked_for_goes_first() -> None:
    cache, made = Cache(most_bytes=4 * (24 + KEY_BYTES)), []

    async def get(key: str, size: int = 24) -> None:
        await cache.get(key, lambda: made.append(key) or Answer(b"x" * size))

    for key in ("a", "b", "c", "d", "a", "e", "a", "b"):
        await get(key)
    assert made == ["a", "b", "c", "d", "e", "b"]
    await get("large", KEY_BYTES)
    await get("large", KEY_BYTES)
    assert made[-2:] == ["large", "large"]  # too large to keep
    await get("a")
    assert made.count("a") == 1


async def test_figures_are_made_one_at_a_time_beside_the_rest() -> None:
    cache, drawing, most = Cache(), [], []

    def draw() -> Answer:
        drawing.append(1)
        most.append(len(drawing))
        time.sleep(0.05)
        drawing.pop()
        return Answer(b"")

    figures = [cache.get(("figure", k), draw, one_at_a_time=True) for k in range(6)]
    waiting = asyncio.gather(*figures)
    await asyncio.sleep(0.02)
    assert (await cache.get("other", lambda: Answer(b"at once"))).body == b"at once"
    assert not waiting.done()
    await waiting
    assert most == [1] * 6
