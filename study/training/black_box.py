"""Trials of a black box: its function is called, or its command run, once a trial."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from storage.failures import masked
from storage.records import OWN_COLUMNS
from study.black_boxes import Command, Function, Label, TrialError
from study.black_boxes.box import Results
from study.spec import BlackBoxSpec
from study.training.block import Block, Outcome
from study.training.named import AnyKind
from study.training.resolve import Study, StudyOptimizer

ATTEMPTS = 3
"""How often a trial that fails is tried."""
SECRET = re.compile("KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
"""Names of environment variables whose values a trial's last lines are shown without."""
SHORTEST_SECRET = 6
"""Characters; what is shorter may be any word."""


class BlackBoxes:
    """Trains blocks of one lane. A function's process stays for the next trial."""

    def __init__(self) -> None:
        self._made: dict[str, Function | Command] = {}

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
        given = json.loads(block.recipe.settings)
        spec = BlackBoxSpec.model_validate_json(json.dumps(given["spec"]))
        if block.recipe.settings not in self._made:
            self._made[block.recipe.settings] = (Function if spec.function else Command)(
                spec, Path(given["base"])
            )
        runs = self._made[block.recipe.settings]
        arguments = {
            "hyperparameters": hyperparameters_of(block),
            "optimizer": block.recipe.optimizer,
            "seed": block.seed,
            "resources": given["resources"],
        }
        for attempt in range(1, ATTEMPTS + 1):
            started = time.perf_counter()
            try:
                results = runs.run(arguments)
            except TrialError as error:
                if attempt == ATTEMPTS:
                    raise without_secrets(error, {**os.environ, **spec.environment}) from None
                if error.folder:
                    shutil.rmtree(error.folder, ignore_errors=True)  # only the last one's is kept
            else:
                break
        return outcome_of(spec, block, results, time.perf_counter() - started)


def without_secrets(error: TrialError, environment: Mapping[str, str]) -> TrialError:
    """The error, its texts without what the environment of the trial has under names of secrets."""
    secrets = [
        value for name, value in environment.items() if SECRET.search(name) and len(value) >= SHORTEST_SECRET
    ]
    return TrialError(masked(error.reason, secrets), masked(error.lines, secrets), error.folder)


def hyperparameters_of(block: Block) -> dict[str, Any]:
    """Axes and settings of the only trial of a block by name; whole numbers are integers, whatever else an axis has."""
    numbers = {name: whole(float(values[0])) for name, values in block.hyperparameters.items()}
    return {**numbers, **dict(block.recipe.options)}


def whole(value: float) -> float | int:
    """A number that is whole as an integer, as long as floats tell integers apart."""
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def outcome_of(spec: BlackBoxSpec, block: Block, results: Results, seconds: float) -> Outcome:
    """What a trial told as an outcome, its metric to be minimised."""
    curve, diverged_at = results.curve, results.diverged_at()
    value = spec.worst_value if diverged_at >= 0 else results.metrics[spec.metric]
    taken = (spec.stored_metric, *OWN_COLUMNS, *block.cells)  # such as an lr that is printed again
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
        warning,
    )
