"""What Ray Tune asks for in the driver's process: what to train next, when to stop, whom to tell."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from study.black_boxes import TrialError
from study.running.launch.worker import SHORT_SECONDS
from study.training.black_box import may_be_stopped
from study.training.block import Block, Outcome

TIMED, MOST_AT_ONCE = 4, 200
"""Black-box trials that are timed before several are handed out at once, and the most of these."""
SECONDS_TO_REUSE, MOST_SECONDS_TO_START = 1.0, 60.0
"""What has waited longer for an actor waits for a new one; and the longest that others wait for that."""


class BlockSearcher(Searcher):
    """Hands Ray Tune the blocks in order; None among them means that more come after the next outcome."""

    def __init__(self, blocks: Iterator[Block | None], settings: dict[str, Any]) -> None:
        super().__init__()
        self._blocks = blocks
        self._settings = settings
        self._again = deque[Block]()
        self._out: dict[str, Sequence[Block]] = {}
        self._seconds = deque[float](maxlen=2 * TIMED)
        self._starting: dict[str, float] = {}
        self._reported: dict[str, int] = {}

    def suggest(self, trial_id: str) -> Any:
        if self._again:
            found = [self._again.popleft()]
        else:
            found = []
            for block in self._blocks:
                if block is None:
                    break
                found.append(block)
                if len(found) >= self._at_once(block):
                    break
            else:
                if not found:
                    return None if self._out else Searcher.FINISHED  # what is out may come back
        if not found:
            return None
        self._out[trial_id] = found
        self.starting(trial_id)
        return {"blocks": found, **self._settings}

    def _at_once(self, block: Block) -> int:
        """How many blocks like this one to hand out at once."""
        if block.recipe.method != "black-box" or may_be_stopped(block) or len(self._seconds) < TIMED:
            return 1
        mean = sum(self._seconds) / len(self._seconds)
        return max(1, min(int(SHORT_SECONDS / max(mean, 1e-9)), MOST_AT_ONCE))

    def reported(self, trial_id: str, blocks: int) -> None:
        """How many of the blocks that were handed out need not be again."""
        self._reported[trial_id] = blocks

    def has_reported(self, trial_id: str) -> bool:
        """Whether it is known how the blocks that were handed out ended."""
        return trial_id in self._reported

    def starting(self, trial_id: str) -> None:
        """What was handed out waits for an actor."""
        self._starting[trial_id] = time.monotonic()

    def started(self, trial_id: str) -> None:
        """An actor has what was handed out."""
        self._starting.pop(trial_id, None)

    def starting_for(self) -> float:
        """Seconds that something has been waiting for its actor."""
        return time.monotonic() - min(self._starting.values(), default=math.inf)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        blocks, done = self._out.pop(trial_id, ()), self._reported.get(trial_id, 0)
        self.started(trial_id)
        if done:
            if result and not error and not may_be_stopped(blocks[0]):
                self._seconds.append(result["seconds"] / result["count"])
            self._again.extend(blocks[done:])
        elif len(blocks) > 1:
            self._again.extend(blocks)

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("a study is resumed by running it again")

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Ray pickles a tuner for its own way of resuming, which is not ours

    def blocks_of(self, trial_id: str) -> Sequence[Block]:
        """What a running trial of Ray Tune's trains."""
        return self._out[trial_id]


class Stopper(tune.Stopper):
    """Stops trials that are hopeless; and those that have ended, once none waits for its actor to be started.

    For Ray Tune gives what waits to the actor of one that ends, and stops the other that is still importing torch: then
    blocks that take less than that would all be trained by the same worker, and the rest of the cluster do nothing.
    """

    def __init__(
        self, searcher: BlockSearcher, hopeless: Callable[[Block, Outcome], bool] | None = None
    ) -> None:
        self._searcher, self._hopeless = searcher, hopeless
        self._held_since: float | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        if not result["ended"]:
            (block,), (so_far,) = self._searcher.blocks_of(trial_id), result["results"]
            return self._hopeless is not None and self._hopeless(block, so_far)
        if self._searcher.starting_for() < SECONDS_TO_REUSE:
            self._held_since = None
            return True
        self._held_since = self._held_since or time.monotonic()
        return time.monotonic() - self._held_since > MOST_SECONDS_TO_START

    def stop_all(self) -> bool:
        return False

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as above


class Reporter(tune.Callback):
    """Passes outcomes and final failures on as they arrive, in the driver's process."""

    def __init__(
        self,
        searcher: BlockSearcher,
        on_outcome: Callable[[Block, Outcome], None],
        on_failure: Callable[[Block, TrialError], None],
    ) -> None:
        self._searcher = searcher
        self._on_outcome = on_outcome
        self._on_failure = on_failure
        self.error: Exception | None = None

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._searcher.started(trial.trial_id)

    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._searcher.starting(trial.trial_id)  # again, for its worker died

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as above; the callables hold the open store

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if self._searcher.has_reported(trial.trial_id) or not (result["ended"] or result["done"]):
            return
        self._searcher.reported(trial.trial_id, len(result["results"]))
        try:
            for block, found in zip(trial.config["blocks"], result["results"], strict=False):
                if isinstance(found, TrialError):
                    self._on_failure(block, found)
                elif may_be_stopped(block) and not result["ended"]:
                    self._on_outcome(block, replace(found, stopped=True))
                else:
                    self._on_outcome(block, found)
        except Exception as error:
            self.error = error  # Tune raises another one in its place
            raise

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        if len(trial.config["blocks"]) > 1 or self._searcher.has_reported(trial.trial_id):
            return  # they are handed out again, one by one; or its worker died when all was done
        lines = (
            Path(trial.error_file).read_text(encoding="utf-8").strip().splitlines()
            if trial.error_file
            else []
        )
        reason = lines[-1].strip() if lines else "the worker died"
        try:
            self._on_failure(trial.config["blocks"][0], TrialError(reason, "\n".join(lines)))
        except Exception as error:
            self.error = error  # as above
            raise
