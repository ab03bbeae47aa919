"""What a worker does: it trains the blocks that it is given, and says how they ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

from ray import tune

from study.black_boxes import TrialError
from study.training.black_box import may_be_stopped
from study.training.block import Block, Outcome
from study.training.program import prepare_process
from study.training.trainer import Trainer, attempt

SHORT_SECONDS = 1.0
"""So long several black-box trials that are handed out at once are to take; Ray Tune takes a tenth of it for one."""
SECONDS_HELD = 0.2
"""So often a worker that has ended is asked whether it may have the next block."""


class BlockTrainable(tune.Trainable):
    """Trains what it is given in one step; kept alive and given the next by `reset_config`."""

    def setup(self, config: dict[str, Any]) -> None:
        prepare_process()
        self.trainer = Trainer(device=config["device"], checkpoints=config["checkpoints"])
        self.blocks: Sequence[Block] = config["blocks"]
        self._following: Generator[Callable[[], Outcome], None, Outcome] | None = None
        self._ended: dict[str, Any] | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        if self._following is not None:  # it was stopped
            self._following.close()
            self.trainer.forget(self.blocks[0])
            self._following = None
        self.blocks, self._ended = new_config["blocks"], None
        return True

    def cleanup(self) -> None:
        if self._following is not None:
            self._following.close()

    def step(self) -> dict[str, Any]:
        """An outcome, or how it failed, for each block; those that it has no time for are left out.

        Of a block that may be stopped what is known so far, until it is done. Asked again after the end it waits.
        """
        if self._ended:
            time.sleep(SECONDS_HELD)
            return {**self._ended, "results": []}
        if may_be_stopped(self.blocks[0]):
            return self._point(self.blocks[0])
        started, results = time.monotonic(), list[Outcome | TrialError]()
        for block in self.blocks:
            try:
                results.append(attempt(self.trainer, block))
            except TrialError as error:
                results.append(error)
            if time.monotonic() - started > 2 * SHORT_SECONDS:
                break
        return self._end(results, time.monotonic() - started)

    def _point(self, block: Block) -> dict[str, Any]:
        self._following = self._following or self.trainer.follow(block)
        found: Outcome | TrialError
        try:
            return {"results": [next(self._following)()], "ended": False, "done": False}
        except StopIteration as end:
            found = end.value
        except TrialError as error:
            found = error
        self._following = None
        return self._end([found], SHORT_SECONDS)

    def _end(self, results: Sequence[Outcome | TrialError], seconds: float) -> dict[str, Any]:
        self._ended = {"ended": True, "count": len(results), "seconds": seconds, "done": False}
        return {**self._ended, "results": results}
