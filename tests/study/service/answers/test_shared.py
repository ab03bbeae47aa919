"""One value for all who ask at once: how often it is made, and who gets which."""

import asyncio

import pytest

from study.service.answers.shared import Shared

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Source:
    """Makes 1, 2, 3, ..., each when the test lets it; fails when `failing`."""

    def __init__(self) -> None:
        self.begun = 0
        self.gate = asyncio.Event()
        self.failing = False

    async def make(self) -> int:
        self.begun += 1
        number = self.begun
        await self.gate.wait()
        if self.failing:
            raise ValueError(f"no {number}")
        return number


async def asked(shared: Shared[int]) -> asyncio.Task[int]:
    """Somebody who has asked and waits."""
    task = asyncio.create_task(shared.get())
    await asyncio.sleep(0.01)
    return task


async def test_who_asks_meanwhile_gets_the_same_one() -> None:
    source = Source()
    shared = Shared(source.make, 60)
    asking = [await asked(shared) for _ in range(20)]
    source.gate.set()
    assert await asyncio.gather(*asking) == [1] * 20
    assert await shared.get() == 1  # kept


async def test_it_is_made_again_when_it_is_old() -> None:
    source = Source()
    source.gate.set()
    shared = Shared(source.make, 0)
    assert [await shared.get() for _ in range(3)] == [1, 2, 3]
    shared = Shared(source.make, 0.05)
    assert [await shared.get() for _ in range(3)] == [4, 4, 4]
    await asyncio.sleep(0.06)
    assert await shared.get() == 5


async def test_who_asks_after_a_change_does_not_get_what_was_begun_before_it() -> None:
    source = Source()
    shared = Shared(source.make, 60)
    before = await asked(shared)
    shared.forget()
    after = await asked(shared)
    source.gate.set()
    assert (await before, await after) == (1, 2)
    assert await shared.get() == 2  # the older one is not kept, whichever ended last
    shared.forget()
    assert await shared.get() == 3


async def test_errors_reach_all_and_are_not_kept() -> None:
    source = Source()
    source.failing = True
    shared = Shared(source.make, 60)
    asking = [await asked(shared) for _ in range(3)]
    source.gate.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert [str(error) for error in found] == ["no 1"] * 3
    source.failing = False
    assert await shared.get() == 2


async def test_others_get_it_when_who_asked_first_goes_away() -> None:
    source = Source()
    shared = Shared(source.make, 60)
    first, second = await asked(shared), await asked(shared)
    first.cancel()
    source.gate.set()
    assert await second == 1
    assert first.cancelled()
    assert source.begun == 1
