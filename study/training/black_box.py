"""Trials of a black box: its function is called, or its command run, once a trial."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from storage.failures import masked
from storage.records import OWN_COLUMNS, STOPPED_AT, cell_keys
from study.black_boxes import Command, Function, Label, TrialError
from study.black_boxes.box import Results, last_of
from study.spec import BlackBoxSpec
from study.training.block import Block, Outcome
from study.training.resolve import Study, StudyOptimizer
from study.training.torch_class import AnyKind

CHECKPOINTS = Path(tempfile.gettempdir()) / "tunability"
"""A folder for checkpoints where none is given."""
ATTEMPTS = 3
"""How often a trial that fails is tried."""
SECRET = re.compile("KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
"""Names of environment variables whose values a trial's last lines are shown without."""
SHORTEST_SECRET = 6
"""Characters; what is shorter may be any word."""


class BlackBoxes:
    """Trains blocks of one lane. A function's process stays for the next trial.

    Trials find their checkpoints in folders of their own in their optimizer's of `checkpoints`, as long as they have
    not ended.
    """

    def __init__(self, checkpoints: Mapping[str, Path]) -> None:
        self._checkpoints = checkpoints
        self.made: dict[str, Function | Command] = {}

    @staticmethod
    def takes(kind: AnyKind) -> bool:
        """Whether it can train with an optimizer."""
        return isinstance(kind, Label)

    @staticmethod
    def most_lanes(study: Study, optimizer: StudyOptimizer) -> int:
        """One: each trial fails alone."""
        del study, optimizer
        return 1

    def train(self, block: Block) -> Outcome:
        """Train the only lane of `block`. Raises TrialError when it failed as often as it may."""
        return last_of(self.follow(block))

    def follow(self, block: Block) -> Generator[Callable[[], Outcome], None, Outcome]:
        """The same, going on after every point of the learning curve with a function that gives the outcome so far.

        Closed, it ends the trial.
        """
        given = json.loads(block.recipe.settings)
        spec = spec_of(block.recipe.settings)
        if block.recipe.settings not in self.made:
            base = Path(given["base"])
            if (
                not base.is_dir()
            ):  # on another machine than the driver's, which sends modules and nothing else
                base = Path.cwd()
            self.made[block.recipe.settings] = (Function if spec.function else Command)(spec, base)
        runs = self.made[block.recipe.settings]
        with own_folder(self._folder_of(block)) as checkpoints:
            arguments = {
                "hyperparameters": hyperparameters_of(block, given["words"], given["integers"]),
                "optimizer": block.recipe.optimizer,
                "seed": block.seed,
                "resources": given["resources"],
                "checkpoints": str(checkpoints),
            }
            for attempt in range(1, ATTEMPTS + 1):
                started = time.perf_counter()
                following = runs.follow(arguments)
                try:
                    while True:
                        yield functools.partial(so_far, spec, block, next(following), started)
                except StopIteration as end:
                    results: Results = end.value
                    break
                except TrialError as error:
                    if attempt == ATTEMPTS:
                        raise without_secrets(error, {**os.environ, **spec.environment}) from None
                    if error.folder:
                        shutil.rmtree(error.folder, ignore_errors=True)  # only the last one's is kept
                finally:
                    following.close()
            shutil.rmtree(checkpoints, ignore_errors=True)
        return outcome_of(spec, block, results, time.perf_counter() - started)

    def forget(self, block: Block) -> None:
        """Remove the checkpoints of a trial that was stopped."""
        shutil.rmtree(self._folder_of(block), ignore_errors=True)

    def close(self) -> None:
        """End the processes of functions."""
        for made in self.made.values():
            if isinstance(made, Function):
                made.end()

    def _folder_of(self, block: Block) -> Path:
        return self._checkpoints.get(block.optimizer, CHECKPOINTS) / name_of(block)


@contextlib.contextmanager
def own_folder(path: Path) -> Iterator[Path]:
    """A path for a folder that nobody else has meanwhile: where another driver has it, a new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_suffix(".lock")
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            with tempfile.TemporaryDirectory(prefix="tunability-") as other:
                yield Path(other)
            return
        try:
            yield path
        finally:
            lock.unlink(missing_ok=True)


def without_secrets(error: TrialError, environment: Mapping[str, str]) -> TrialError:
    """The error, its texts without what the environment of the trial has under names of secrets."""
    secrets = [
        value for name, value in environment.items() if SECRET.search(name) and len(value) >= SHORTEST_SECRET
    ]
    return TrialError(masked(error.reason, secrets), masked(error.lines, secrets), error.folder)


@functools.lru_cache(maxsize=32)
def spec_of(settings: str) -> BlackBoxSpec:
    """Of a recipe's settings."""
    return BlackBoxSpec.model_validate_json(json.dumps(json.loads(settings)["spec"]))


def may_be_stopped(block: Block) -> bool:
    """Whether its trial tells how far it is, so that it can be stopped as hopeless."""
    return block.recipe.method == "black-box" and spec_of(block.recipe.settings).stop is not None


def name_of(block: Block) -> str:
    """A name for a trial among those of a study."""
    (cell,) = cell_keys(block.cells)
    return hashlib.sha256(f"{block.optimizer},{cell},{block.seed}".encode()).hexdigest()[:32]


def hyperparameters_of(
    block: Block, words: Mapping[str, Sequence[str]], integers: Collection[str]
) -> dict[str, Any]:
    """Axes and settings of the only trial of a block by name: words of ordered axes, integers or floats of others."""
    given: dict[str, Any] = {name: float(values[0]) for name, values in block.hyperparameters.items()}
    given |= {name: int(given[name]) for name in integers}
    given |= {name: texts[given[name]] for name, texts in words.items()}
    return given | dict(block.recipe.options)


def so_far(spec: BlackBoxSpec, block: Block, results: Results, started: float) -> Outcome:
    """What it would be if the trial that started then ended now."""
    return outcome_of(spec, block, results.so_far(), time.perf_counter() - started)


def outcome_of(spec: BlackBoxSpec, block: Block, results: Results, seconds: float) -> Outcome:
    """What a trial told as an outcome, its metric to be minimised."""
    curve, diverged_at = results.curve, results.diverged_at()
    value = spec.worst_value if diverged_at >= 0 else results.metrics[spec.metric]
    taken = (
        spec.stored_metric,
        *OWN_COLUMNS,
        STOPPED_AT,
        *block.cells,
    )  # such as an lr that is printed again
    others = {name: np.array([each]) for name, each in results.metrics.items() if name not in taken}
    warning = None
    if diverged_at >= 0 and spec.worst is None:
        warning = f"diverged trials count as {spec.worst_value:g}: give another number, worst = ..., if there is one"
    return Outcome(
        {**others, spec.stored_metric: np.array([spec.sign * value])},
        np.array(list(curve), dtype=np.int64),
        spec.sign * np.array([list(curve.values())]),
        np.array([diverged_at]),
        np.array([seconds]),
        warning=warning,
    )
