"""A workload that is somebody's own training code, seen from outside: a Python function or a command."""

from __future__ import annotations

import math
import shlex
import string
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from study.spec.strict import Strict

WORST = 1e6
"""What a diverged trial counts as where a study file names nothing."""
OF_A_TRIAL = ("optimizer", "seed", "folder", "checkpoints")
"""What a command may name beside hyperparameters; `folder` is the one that it runs in."""


class StopSpec(Strict):
    """When a trial that tells its learning curve is stopped as hopeless, among those of its optimizer.

    stop = { method = "median", warmup_steps = 3 }   # worse than the median of the others at the same step
    stop = { method = "asha", first_step = 2 }       # at steps 2, 8, 32, ...: not among the best 1/reduction_factor

    They are Optuna's MedianPruner and SuccessiveHalvingPruner. Steps are those that trials tell.
    """

    method: Literal["median", "asha"]
    startup_trials: int = Field(5, ge=0, description="Of median: so many trials end before any is stopped.")
    warmup_steps: int = Field(0, ge=0, description="Of median: no trial is stopped before this step.")
    first_step: int = Field(1, ge=1, description="Of asha: the step of the first rung.")
    reduction_factor: int = Field(4, ge=2, description="Of asha: one of so many goes on at a rung.")

    @model_validator(mode="after")
    def _check(self) -> StopSpec:
        others = {"median": ("first_step", "reduction_factor"), "asha": ("startup_trials", "warmup_steps")}
        for name in others[self.method]:
            if getattr(self, name) == type(self).model_fields[name].default:
                continue
            raise ValueError(f"{name} is nothing that method = {self.method!r} has: leave it out")
        return self


class BlackBoxSpec(Strict):
    """Training code of any kind, which is called or run once a trial. One of `function` and `command` is given.

    [workload]
    function = "my_training:train"     # train(hyperparameters, optimizer, seed): a number, a dict of metrics, or a
                                       # generator of (step, metrics), of which the last counts
    command = "python train.py --lr {lr} --seed {seed}"   # run without a shell; prints JSON objects, one a line
    metric = "val_loss"
    goal = "minimize"                  # or "maximize", which stores the negative as negated_METRIC
    worst = 10.0                       # what a diverged trial counts as; 1e6 by default, or -1e6
    timeout = 3600                     # seconds; a trial that takes longer has failed
    environment = { DATA = "/data" }   # further environment variables
    folder = "."                       # where a command runs; by default in a new folder for each trial
    sources = ["train.py", "net.py"]   # files that decide trials: changed ones make another recipe
    stop = { method = "median" }       # stop hopeless trials early, see StopSpec
    checkpoints = "/shared/folder"     # where trials keep checkpoints; by default in the user's cache
    """

    function: str | None = Field(None, pattern=r"^[\w.]+:\w+$")
    command: str | None = Field(None, min_length=1)
    metric: str = Field(min_length=1, max_length=200)
    goal: Literal["minimize", "maximize"] = "minimize"
    worst: float | None = Field(None, allow_inf_nan=False)
    timeout: float | None = Field(None, gt=0, allow_inf_nan=False, description="Seconds.")
    environment: Mapping[str, str] = {}
    folder: str | None = None
    sources: tuple[str, ...] = Field((), strict=False)
    stop: StopSpec | None = None
    checkpoints: str | None = Field(None, min_length=1)

    @field_validator("environment")
    @classmethod
    def _names(cls, environment: Mapping[str, str]) -> Mapping[str, str]:
        for name, value in environment.items():
            if not name or "=" in name or "\0" in name + value:
                raise ValueError(f"{name!r} = {value!r} is no environment variable: give NAME = 'text'")
        return environment

    @model_validator(mode="after")
    def _check(self) -> BlackBoxSpec:
        if (self.function is None) == (self.command is None):
            raise ValueError("give one of function = 'module:name' and command = 'program arguments'")
        if self.function is not None and self.folder is not None:
            raise ValueError("folder is where a command runs: a function runs where the study does")
        if self.command is not None:
            self._check_words(self.words)
        return self

    @staticmethod
    def _check_words(words: list[str]) -> None:
        for word in words:
            try:
                parsed = [*string.Formatter().parse(word)]
            except ValueError as error:
                raise ValueError(f"command: {word!r} ({error}): write {{{{ and }}}} for braces") from None
            for _, name, form, conversion in parsed:
                if name is not None and (not name.isidentifier() or form or conversion):
                    raise ValueError(
                        f"command: {word!r} has a placeholder that is no name: write {{lr}}, or {{{{ and }}}}"
                    )

    @property
    def name(self) -> str:
        """The function's path or the command line."""
        return self.function or self.command or ""

    @property
    def words(self) -> list[str]:
        """The command's words, placeholders in them. Raises ValueError when a quotation does not end."""
        try:
            words = shlex.split(self.command or "")
        except ValueError as error:
            raise ValueError(f"command is not allowed ({error}): write it as for a shell") from None
        if self.command is not None and not words:
            raise ValueError("command is empty: give a program and its arguments")
        return words

    @property
    def placeholders(self) -> set[str]:
        """The names in braces in a command."""
        parsed = (part for word in self.words for part in string.Formatter().parse(word))
        return {name for _, name, _, _ in parsed if name}

    @property
    def stored_metric(self) -> str:
        """The metric as it is stored, to be minimised."""
        return self.metric if self.goal == "minimize" else f"negated_{self.metric}"

    @property
    def worst_value(self) -> float:
        """What a diverged trial counts as, in the metric's own direction."""
        return self.sign * WORST if self.worst is None else self.worst

    @property
    def sign(self) -> float:
        """What the metric is multiplied with to be minimised."""
        return 1.0 if self.goal == "minimize" else -1.0


def is_black_box(given: Any) -> bool:
    """Whether a workload, as a study file writes it or parsed, is one."""
    if isinstance(given, Mapping):
        return "name" not in given and ("function" in given or "command" in given)
    return isinstance(given, BlackBoxSpec)


class ResourcesSpec(Strict):
    """What each trial of a black box needs, or each block on a GPU; as many run at once as the cluster has room for.

    [resources]
    cpu = 2
    gpu = 0.5                          # a share of one, or whole ones
    memory = "4 GB"                    # Ray counts it; it does not hold a trial to it
    """

    cpu: float = Field(1.0, ge=0, le=100_000, allow_inf_nan=False)
    gpu: float = Field(0.0, ge=0, le=100_000, allow_inf_nan=False)
    memory: str | None = None

    @field_validator("memory")
    @classmethod
    def _size(cls, memory: str | None) -> str | None:
        if memory is not None:
            size_in_bytes(memory)
        return memory

    @model_validator(mode="after")
    def _check(self) -> ResourcesSpec:
        if self.cpu == self.gpu == 0:
            raise ValueError("cpu and gpu are 0: a trial needs some of one")
        if self.gpu > 1 and self.gpu != math.floor(self.gpu):
            raise ValueError(f"gpu = {self.gpu} is not allowed: give a share of one, or whole ones")
        return self

    @property
    def amounts(self) -> dict[str, float]:
        """As Ray names them; memory in bytes."""
        wanted = {"CPU": self.cpu, "GPU": self.gpu, "memory": size_in_bytes(self.memory or "0 B")}
        return {name: amount for name, amount in wanted.items() if amount}


UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def size_in_bytes(text: str) -> float:
    """`"4 GB"` as a number of bytes. Raises ValueError for what is no size.

    >>> size_in_bytes("1.5 GiB")
    1610612736.0
    """
    number = text.rstrip("BKMGTi ")
    unit = text[len(number) :].strip()
    try:
        size = float(number) * UNITS[unit]
    except (KeyError, ValueError):
        size = math.nan
    if not 0 <= size < math.inf:
        raise ValueError(f"{text!r} is no size: give a number with a unit, such as '4 GB' or '512 MiB'")
    return size
