"""Computed once for all who ask: a bounded cache of answers on the event loop."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property

import anyio
import anyio.to_thread
from cachetools import LRUCache

MOST_BYTES = 64 * 2**20
KEY_BYTES = 4_096
"""What an answer counts beside its body: keys are as long as filters may be."""
READERS = 4
"""Answers computed at once, each in a thread: more would only wait for the same cores."""


@dataclass(frozen=True)
class Answer:
    """A body as it is sent, and its media type; of a page of trials the cursor of the `following` one."""

    body: bytes
    media_type: str = "application/json"
    following: str | None = None

    @cached_property
    def etag(self) -> str:
        """What tells two bodies apart, as the header has it."""
        return f'"{hashlib.blake2b(self.body, digest_size=12).hexdigest()}"'


class Cache:
    """Answers by key, the least recently asked for dropped first; whoever asks meanwhile waits for the same one.

    Keys have to name everything that an answer depends on. Errors are not kept.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._answers: LRUCache[Hashable, Answer] = LRUCache(most_bytes, size_of)
        self._waiting: dict[Hashable, asyncio.Task[Answer]] = {}
        self._limiter = anyio.CapacityLimiter(READERS)
        self._single = anyio.CapacityLimiter(1)

    async def get(self, key: Hashable, make: Callable[[], Answer], *, one_at_a_time: bool = False) -> Answer:
        """The answer kept under a key, or what `make` computes, in a thread, `one_at_a_time` with its like."""
        kept = self._answers.get(key)
        if kept is not None:
            return kept
        task = self._waiting.get(key)
        if task is None:
            task = self._waiting[key] = asyncio.create_task(
                self._make(key, make, self._single if one_at_a_time else self._limiter)
            )
            task.add_done_callback(lambda done: self._finished(key, done))
        # Shielded: others wait for it too when the first who asked goes away.
        return await asyncio.shield(task)

    def _finished(self, key: Hashable, task: asyncio.Task[Answer]) -> None:
        del self._waiting[key]
        if not task.cancelled():
            task.exception()  # else asyncio complains when nobody waits any more

    async def _make(
        self, key: Hashable, make: Callable[[], Answer], limiter: anyio.CapacityLimiter
    ) -> Answer:
        answer = await anyio.to_thread.run_sync(make, limiter=limiter)
        if size_of(answer) <= self._most_bytes // 4:
            self._answers[key] = answer
        return answer


def size_of(answer: Answer) -> int:
    """Bytes that a kept answer counts as."""
    return len(answer.body) + KEY_BYTES
