"""One value for all who ask at once."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Shared(Generic[Value]):
    """What `make` gives, at most `seconds` old; who asks while it is being made waits for the same one.

    Errors are raised for all who wait, and not kept.
    """

    def __init__(self, make: Callable[[], Awaitable[Value]], seconds: float) -> None:
        self._make = make
        self._seconds = seconds
        self._kept: list[Value] = []
        self._since = -math.inf
        self._task: asyncio.Task[Value] | None = None

    async def get(self) -> Value:
        if self._kept and time.monotonic() - self._since <= self._seconds:
            return self._kept[0]
        if self._task is None:
            self._task = asyncio.create_task(self._run())
            self._task.add_done_callback(self._finished)
        # Shielded: others wait for it too when the first who asked goes away.
        return await asyncio.shield(self._task)

    def forget(self) -> None:
        """Make it anew for whoever asks from now on, also if one is being made: it may be older than the change."""
        self._since, self._task = -math.inf, None

    async def _run(self) -> Value:
        started = time.monotonic()
        value = await self._make()
        if self._task is asyncio.current_task():  # not forgotten meanwhile
            self._kept, self._since = [value], started
        return value

    def _finished(self, task: asyncio.Task[Value]) -> None:
        if self._task is task:
            self._task = None
        if not task.cancelled():
            task.exception()  # else asyncio complains when nobody waits any more
