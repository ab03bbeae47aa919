"""A study whose names are resolved to rules, torch classes and workloads: this runs what import paths name.

What can be told without torch, which takes seconds to import, is refused before it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from storage.declare import ORDERED
from study.black_boxes import BlackBox, Label
from study.spec import (
    BlackBoxSpec,
    OptimizerSpec,
    SpecError,
    StudySpec,
    Tell,
    WorkloadSpec,
    load_spec,
    silent,
)
from study.training.block import Choice, Recipe
from study.training.named import (
    black_box,
    check_workload_settings,
    complete_arguments,
    optimizer_named,
    optimizer_unloaded,
    source_sha256,
    workload_named,
)

if TYPE_CHECKING:
    from study.training.torch_class import AnyKind
    from study.workloads import Workload

Values = Mapping[str, NDArray[np.float64]]
IDENTITY_VERSION = 1
"""Of what `Study.identity` writes; a change of it needs a migration of what is stored."""


@dataclass(frozen=True)
class StudyOptimizer:
    """An optimizer of a study, with the rule or class that its name leads to."""

    spec: OptimizerSpec
    kind: AnyKind

    @property
    def name(self) -> str:
        """Of the algorithm: a name of `OPTIMIZERS`, or an import path; of a black box, whatever it makes of it."""
        return self.spec.name

    @property
    def key(self) -> str:
        """What the study and the store call it."""
        return self.spec.key

    @property
    def options(self) -> dict[str, Any]:
        """What is not a number for each trial, by name."""
        return self.kind.settings(self.spec.settings)[1]

    def hyperparameters(self, cells: Values) -> dict[str, NDArray[np.float64]]:
        """The optimizer's own names -> one value a trial (B,), from the axes' values (B,) and what stays fixed.

        Raises ValueError when an axis sets nothing, or two axes or an axis and a setting the same.
        """
        count = len(next(iter(cells.values())))
        fixed = self.kind.settings(self.spec.settings)[0]
        columns: dict[str, NDArray[np.float64]] = {}
        for axis, values in cells.items():
            scales = self._scales(axis)
            name = "lr" if scales else self.target(axis)
            if name in columns or (not scales and (name in fixed or name in self.spec.settings)):
                raise ValueError(f"{name} is given twice (axis {axis!r}): give it once")
            columns[name] = values * self._fixed_lr() if scales else values
        return {name: np.full(count, value) for name, value in fixed.items()} | columns

    def check(self, axes: Values) -> None:
        """Raise ValueError when a setting, an axis or one of its values is not allowed."""
        self.kind.settings(self.spec.settings)
        unknown = [axis for axis in self.spec.axes if axis not in axes]
        if unknown:
            raise ValueError(
                f"axes names {unknown[0]!r}, which the space does not have: it has {', '.join(axes)}"
            )
        shown = {self.target(axis): axis for axis in axes if not self._scales(axis)}
        first = {axis: values[:1] for axis, values in axes.items()}
        for axis, values in axes.items():
            others = {name: np.repeat(one, len(values)) for name, one in first.items()}
            columns = self.hyperparameters(others | {axis: values})
            for i in range(len(values)):
                one = {name: float(column[i]) for name, column in columns.items()}
                self.kind.check_values(one, self.options, shown)

    def _scales(self, axis: str) -> bool:
        return axis == "factor" and axis not in self.spec.axes and not isinstance(self.kind, Label)

    def _fixed_lr(self) -> float:
        if isinstance(self.kind, Label):
            raise TypeError("the axis 'factor' of a black box multiplies nothing")
        return self.kind.fixed_lr(self.spec.settings)

    def target(self, axis: str) -> str:
        """The hyperparameter that an axis sets; raises ValueError when there is none."""
        name = self.spec.axes.get(axis)
        if name is None:
            return self.kind.own_name(axis)
        self.kind.check_target(name)
        return name


@dataclass(frozen=True)
class Study:
    """A study file with what its names lead to."""

    spec: StudySpec
    workload: Workload | BlackBox
    optimizers: tuple[StudyOptimizer, ...]
    choices: Mapping[str, Choice] = field(default_factory=dict)
    """Optimizer -> how it is trained."""

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def is_black_box(self) -> bool:
        return isinstance(self.workload, BlackBox)

    @property
    def trained(self) -> Workload:
        """The workload, of which steps are taken here. Raises TypeError for a black box."""
        if isinstance(self.workload, BlackBox):
            raise TypeError(f"{self.workload.spec.name} is a black box: no step of it is taken here")
        return self.workload

    @property
    def training(self) -> WorkloadSpec:
        """What the study file says about training. Raises TypeError for a black box."""
        if isinstance(self.spec.workload, BlackBoxSpec):
            raise TypeError(f"{self.spec.workload.name} is a black box: its training is its own")
        return self.spec.workload

    @property
    def trials_each(self) -> int:
        """Trials of each optimizer."""
        return self.spec.space.size * self.spec.seeds

    def identity(self, optimizer: StudyOptimizer) -> dict[str, Any]:
        """What makes trials of one optimizer comparable, as JSON types: all that decides a trial but cell and seed.

        Every default is written out, so that a changed one never changes what stored trials were. Needs a choice.
        """
        if isinstance(self.workload, BlackBox):
            return self._black_box_identity(self.workload, optimizer)
        workload, choice = self.training, self.choices[optimizer.key]
        chosen = {"method": choice.method, "compile": choice.compile, "lanes": choice.lanes}
        return {
            **chosen,
            **written_identity(self.spec, workload, optimizer.spec),
            "version": IDENTITY_VERSION,
            "arguments": complete_arguments(workload.name, workload.settings),
            "settings": optimizer.kind.complete(optimizer.spec.settings),
            "metric": self.workload.metric,
            "data_sha256": self.workload.data_hash(),
            "sources": {path: source_sha256(path) for path in self.import_paths(optimizer)},
        }

    def _black_box_identity(self, box: BlackBox, optimizer: StudyOptimizer) -> dict[str, Any]:
        """The same of a black box: what it is given, and what is known of its code."""
        spec = box.spec
        words = {axis: list(words) for axis, words in self.spec.space.words.items()}
        return {
            "version": IDENTITY_VERSION,
            "function": spec.function,
            "command": spec.command,
            "environment": dict(spec.environment),
            "optimizer": optimizer.name,
            "settings": optimizer.kind.complete(optimizer.spec.settings),
            "axes": {axis: optimizer.spec.axes.get(axis) for axis in self.spec.space.names},
            "metric": box.metric,
            "worst": spec.worst_value,
            "method": "black-box",
            "compile": False,
            "lanes": 1,
            "sources": dict(box.sources),
            **({"stop": spec.stop.model_dump(mode="json")} if spec.stop else {}),
            **({ORDERED: words} if words else {}),
        }

    def import_paths(self, optimizer: StudyOptimizer) -> list[str]:
        """What is foreign of the workload and an optimizer."""
        if isinstance(self.spec.workload, BlackBoxSpec):
            return [self.spec.workload.function] if self.spec.workload.function else []
        return [name for name in (self.spec.workload.name, optimizer.name) if ":" in name]

    def identities(self) -> dict[str, dict[str, Any]]:
        """The identity of every optimizer, by its key."""
        return {optimizer.key: self.identity(optimizer) for optimizer in self.optimizers}

    def extent(self) -> dict[str, Any]:
        """The study file as JSON types, without what is left at its default."""
        return self.spec.model_dump(mode="json", exclude_defaults=True)

    def recipe(self, optimizer: StudyOptimizer) -> Recipe:
        """How this study trains with one of its optimizers."""
        return self.recipe_by(optimizer, self.choices[optimizer.key])

    def recipe_by(self, optimizer: StudyOptimizer, choice: Choice) -> Recipe:
        """How this study would train with one of its optimizers and a choice."""
        options = tuple(sorted(optimizer.options.items()))
        if isinstance(self.spec.workload, BlackBoxSpec):
            given = {
                "spec": self.spec.workload.model_dump(mode="json"),
                "base": os.getcwd(),
                "resources": self.spec.resources.model_dump(mode="json"),
                "words": {optimizer.target(axis): words for axis, words in self.spec.space.words.items()},
                "integers": [optimizer.target(axis.name) for axis in self.spec.space.axes if axis.is_whole],
            }
            settings, method = json.dumps(given, sort_keys=True), choice.method
            return Recipe(self.spec.workload.name, optimizer.name, options, settings=settings, method=method)
        workload = self.training
        return Recipe(
            workload=workload.name,
            optimizer=optimizer.name,
            options=options,
            steps=workload.steps,
            weight_decay=workload.weight_decay,
            clip_norm=workload.clip_norm,
            schedule=optimizer.spec.schedule or workload.schedule,
            dtype=self.spec.dtype,
            settings=workload.arguments,
            method=choice.method,
            compile=choice.compile,
        )


def written_identity(spec: StudySpec, workload: WorkloadSpec, optimizer: OptimizerSpec) -> dict[str, Any]:
    """What a study file alone says of an optimizer's `Study.identity`."""
    chosen = {"method": spec.method, "lanes": spec.lanes}
    return {
        "workload": workload.name,
        "steps": workload.steps,
        "weight_decay": workload.weight_decay.model_dump(mode="json"),
        "clip_norm": workload.clip_norm,
        "schedule": (optimizer.schedule or workload.schedule).model_dump(mode="json"),
        "optimizer": optimizer.name,
        "axes": {axis: optimizer.axes.get(axis) for axis in spec.space.names},
        "dtype": spec.dtype,
        **{name: value for name, value in chosen.items() if value},
    }


def load_study(path: Path, tell: Tell = silent) -> Study:
    """Read and resolve a study file; `tell` as for `study.spec.parse_spec`. Raises SpecError."""
    return resolve(load_spec(path, tell), str(path))


def resolve(spec: StudySpec, source: str = "study", *, allow_imports: bool = True) -> Study:
    """Look up what the names of `spec` lead to, and check settings, axes and their values.

    Import paths run their modules; without `allow_imports` they are refused. Raises SpecError naming `source` and the
    place of everything that is wrong.
    """
    check_names(spec, source, allow_imports=allow_imports)
    errors: list[dict[str, str]] = []
    workload: Workload | BlackBox
    given = spec.workload
    try:
        if isinstance(given, BlackBoxSpec):
            workload = black_box(given, allow_imports=allow_imports)
        else:
            workload = workload_named(given.name, given.arguments, allow_imports=allow_imports)
    except ValueError as error:
        errors.append(_problem("workload", error))

    def kind_of(name: str) -> AnyKind:
        return (
            Label() if isinstance(given, BlackBoxSpec) else optimizer_named(name, allow_imports=allow_imports)
        )

    optimizers, wrong = _optimizers_of(spec, kind_of)
    _refuse(errors + wrong, source)
    return Study(spec, workload, optimizers)


def check_names(spec: StudySpec, source: str = "study", *, allow_imports: bool = True) -> None:
    """Raise SpecError, as `resolve` does, for names, settings, axes and values of ours, without importing torch."""
    if isinstance(spec.workload, BlackBoxSpec):
        return
    errors: list[dict[str, str]] = []
    workload = spec.workload
    if ":" not in workload.name:
        try:
            check_workload_settings(workload.name, workload.arguments, allow_imports=allow_imports)
        except ValueError as error:
            errors.append(_problem("workload", error))
    _, wrong = _optimizers_of(spec, optimizer_unloaded)
    _refuse(errors + wrong, source)


def _optimizers_of(
    spec: StudySpec, kind_of: Callable[[str], AnyKind | None]
) -> tuple[tuple[StudyOptimizer, ...], list[dict[str, str]]]:
    """Those whose kind is known, and what is wrong with any."""
    axes = {axis.name: np.array(axis.values) for axis in spec.space.axes}
    optimizers, errors = [], []
    for i, each in enumerate(spec.optimizers):
        place = f"optimizers.{i}"
        try:
            kind = kind_of(each.name)
        except ValueError as error:
            errors.append(_problem(place, error))
            continue
        if kind is None:
            continue
        optimizer = StudyOptimizer(each, kind)
        try:
            optimizer.check(axes)
        except ValueError as error:
            errors.append(_problem(place, error, each.key))
        optimizers.append(optimizer)
    return tuple(optimizers), errors


def _problem(place: str, error: ValueError, shown: str = "") -> dict[str, str]:
    return {"location": place, "detail": f"{shown or place}: {error}"}


def _refuse(errors: list[dict[str, str]], source: str) -> None:
    if errors:
        raise SpecError(f"{source}: " + "; ".join(error["detail"] for error in errors), errors)
