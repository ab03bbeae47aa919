"""Blocks that failed are tried again in halves: only trials that fail alone fail, and what was too large may fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from study.black_boxes import TrialError
from study.training.block import Block

DIED = ("the worker died", "ActorDiedError", "WorkerCrashedError")
"""How the reason of a block is told whose process ended, perhaps because the system took it for its memory."""
NO_MEMORY = ("MemoryError", "out of memory", "not enough memory", "allocate memory")
"""As Python and Ray, torch on a GPU, and torch on the CPU say it."""
ENOUGH, A_DEATH = 16, 4
"""So many failures of an optimizer of which nothing was trained are enough: it is not split further. A death counts as
several, for a process that died was started again a few times, which takes long."""


class Splitter:
    """Decides what becomes of a block that failed.

    Attributes:
        said: a line about each optimizer whose blocks were too large for the memory.
    """

    def __init__(self) -> None:
        self.said: set[str] = set()
        self._again: list[Block] = []
        self._trained: set[str] = set()
        self._failed: Counter[str] = Counter()
        self._fits: dict[str, int] = {}

    def trained(self, block: Block) -> None:
        """A block was trained."""
        self._trained.add(block.optimizer)

    def split(self, block: Block, error: TrialError) -> int:
        """How many blocks are tried in the place of one that failed for good: two halves, or none.

        None where it is a single trial, or where all of its optimizer's fail.
        """
        too_large = any(sign in error.headline for sign in NO_MEMORY)
        died = any(sign in error.headline for sign in DIED)
        optimizer = block.optimizer
        if not too_large:  # a smaller one may fit
            self._failed[optimizer] += A_DEATH if died else 1
        hopeless = optimizer not in self._trained and self._failed[optimizer] >= ENOUGH
        if block.lanes == 1 or hopeless:
            return 0
        half = -(-block.lanes // 2)
        if too_large:
            self._fits[optimizer] = half
            self.said.add(
                f"{optimizer}: {block.lanes} trials at once did not fit into memory: {half} at once"
            )
        halves = list(cut(block, half, narrow=too_large or died))
        self._again += reversed(halves)
        return len(halves)

    def waiting(self) -> Iterator[Block]:
        """The blocks that are to be tried in the place of others, also what comes meanwhile."""
        while self._again:
            yield self._again.pop()

    def fitting(self, block: Block) -> list[Block]:
        """A block in parts of a size that fits into memory, as far as is known."""
        width = max(block.lanes, block.width)
        most = self._fits.get(block.optimizer, width)
        return [block] if width <= most else list(cut(block, most, narrow=True))


def cut(block: Block, lanes: int, *, narrow: bool) -> Iterator[Block]:
    """A block in parts of so many lanes, at most; `narrow` has them trained by a program of no more lanes, either."""
    width = min(lanes, block.width or lanes) if narrow else 0
    for start in range(0, block.lanes, lanes):
        yield block.part(slice(start, start + lanes), width)
