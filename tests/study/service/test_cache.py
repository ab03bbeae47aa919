"""The cache: computed once for all who ask meanwhile, bounded, errors not kept."""

import asyncio
import threading

import pytest

from study.service.cache import Answer, Cache

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
    cache, made = Cache(most_bytes=100), []

    async def get(key: str, size: int = 24) -> None:
        await cache.get(key, lambda: made.append(key) or Answer(b"x" * size))

    for key in ("a", "b", "c", "d", "a", "e", "a", "b"):
        await get(key)
    assert made == ["a", "b", "c", "d", "e", "b"]
    await get("large", 50)
    await get("large", 50)
    assert made[-2:] == ["large", "large"]  # too large to keep
    await get("a")
    assert made.count("a") == 1
