"""Training of blocks, each by its method."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch

from study.black_boxes import TrialError
from study.training.black_box import BlackBoxes
from study.training.block import Block, Outcome
from study.training.checkpoints import NOWHERE, Checkpoints
from study.training.fused import Fused
from study.training.one_by_one import OneByOne
from study.training.program import Programs
from study.training.resolve import Study, StudyOptimizer
from study.training.torch_class import AnyKind
from study.workloads.threads import one_thread


class Method(Protocol):
    """A way to train a block."""

    @staticmethod
    def takes(kind: AnyKind) -> bool:
        """Whether it can train with an optimizer."""
        ...

    @staticmethod
    def most_lanes(study: Study, optimizer: StudyOptimizer) -> int:
        """How many trials a block should have at most."""
        ...

    def train(self, block: Block) -> Outcome:
        """Train every lane of `block` for `block.recipe.steps` steps."""
        ...


METHODS: dict[str, type[Method]] = {"fused": Fused, "one-by-one": OneByOne, "black-box": BlackBoxes}


class Trainer:
    """Trains blocks; fused ones are filled up to their own width or else to `lanes`, so that one program serves many.

    Checkpoints of trials that take long are in their optimizer's folder of `checkpoints`; of black boxes' trials among
    temporary files where there is none.
    `compile=False` runs programs operation by operation: about three times as slow a step, but it starts at once.
    """

    def __init__(
        self,
        lanes: int = 0,
        device: str = "cpu",
        *,
        compile: bool = True,
        checkpoints: Mapping[str, Path] = NOWHERE,
    ) -> None:
        self.programs = Programs(compile=compile)
        self.device = where = torch.device(device)
        self.black_boxes, kept = BlackBoxes(checkpoints), Checkpoints(checkpoints, device)
        self._methods: dict[str, Method] = {
            "fused": Fused(lanes, where, self.programs, kept),
            "one-by-one": OneByOne(where, self.programs, kept),
            "black-box": self.black_boxes,
        }

    def follow(self, block: Block) -> Generator[Callable[[], Outcome], None, Outcome]:
        """Train the trial of a block that may be stopped, going on after each point of its curve.

        What it gives then tells the outcome so far. Raises TrialError when it fails.
        """
        return self.black_boxes.follow(block)

    def forget(self, block: Block) -> None:
        """Remove what is kept of a trial that has been stopped."""
        self.black_boxes.forget(block)

    def close(self) -> None:
        """End the processes of black boxes."""
        self.black_boxes.close()

    def train(self, block: Block) -> Outcome:
        """Train every lane of `block`.

        Raises ValueError when the method or the optimizer refuses it, TrialError when a black box fails.
        """
        with one_thread():
            outcome = self._methods[block.recipe.method].train(block)
        return replace(outcome, warning=self.programs.warning or outcome.warning)


def attempt(trainer: Trainer, block: Block) -> Outcome:
    """What `trainer.train` gives; what it raises, a foreign module anything, as a TrialError with the traceback.

    Not on a GPU, except that it has no room: after other errors its process may be unable to go on, and has to end.
    """
    try:
        return trainer.train(block)
    except TrialError:
        raise
    except Exception as error:
        on_gpu = trainer.device.type != "cpu"
        if on_gpu and not isinstance(error, torch.OutOfMemoryError):
            raise
        lines = traceback.format_exc().strip()
    if on_gpu:
        torch.cuda.empty_cache()  # the exception that held the tensors is gone
    raise TrialError(lines.splitlines()[-1], lines)
