"""What a study file names: optimizers and workloads of ours by name, anybody's by import path ("package.module:name").

Modules are looked for where Python finds them, and in the current folder last.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from search_spaces import nearest_name
from study.optimizers import OPTIMIZERS, Rule, RuleOptimizer
from study.optimizers.rule import SYMBOLS, refuse_ambiguous
from study.workloads import WORKLOADS, Workload

ITEM = re.compile(r"(\w+)\[(\d+)\]")


@dataclass(frozen=True)
class Unfused:
    """A `torch.optim.Optimizer` class that is no rule of ours: its trials are trained one after another.

    An axis sets an argument of the class (`lr`), or an item of one that is a tuple (`betas[0]`).
    """

    cls: type[torch.optim.Optimizer]

    @functools.cached_property
    def parameters(self) -> dict[str, Any]:
        """Argument -> default, without the model's parameters."""
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        named = [each for each in inspect.signature(self.cls).parameters.values() if each.kind in kinds]
        return {each.name: each.default for each in named[1:]}

    def settings(self, given: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, Any]]:
        """All of `given` as options; raises ValueError for an argument that the class does not take."""
        for name in given:
            self._known(name, name)
        return {}, {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}

    def own_name(self, axis: str) -> str:
        """The argument that an axis of this name sets; raises ValueError when there is none."""
        name = axis if axis in self.parameters else SYMBOLS.get(axis, axis)
        self.check_argument(name)
        refuse_ambiguous(axis, name, self.parameters)
        return name

    def check_argument(self, name: str) -> None:
        """Raise ValueError unless this is an argument, or an item of one."""
        item = ITEM.fullmatch(name)
        self._known(item[1] if item else name, name)

    def _known(self, argument: str, given: str) -> None:
        if argument not in self.parameters:
            raise ValueError(f"no argument {given!r}: it has {', '.join(self.parameters)}")

    def make(
        self, params: list[torch.Tensor], options: Mapping[str, Any], values: Mapping[str, float]
    ) -> torch.optim.Optimizer:
        """The optimizer with the given arguments. Raises what the class raises when they are not allowed."""
        arguments = dict(options)
        for name, value in values.items():
            item = ITEM.fullmatch(name)
            if item:
                whole = list(arguments.get(item[1], self.parameters[item[1]]))
                whole[int(item[2])] = value
                arguments[item[1]] = tuple(whole)
            else:
                arguments[name] = value
        return self.cls(params, **arguments)


def optimizer_named(name: str) -> Rule | Unfused:
    """A rule, which runs fused, or any other torch optimizer, which does not.

    Raises ValueError when there is none of that name, or what the path leads to is neither.
    """
    if ":" not in name:
        return OPTIMIZERS[known("optimizer", name, OPTIMIZERS)].rule
    found = imported(name)
    if isinstance(found, Rule):
        return found
    if isinstance(found, type) and issubclass(found, RuleOptimizer) and "rule" in vars(found):
        return found.rule  # a subclass of such a class may do something else, and is run as it is
    if isinstance(found, type) and issubclass(found, torch.optim.Optimizer) and found is not RuleOptimizer:
        return Unfused(found)
    raise ValueError(f"{name} is no optimizer: give the path of a torch.optim.Optimizer class or a Rule")


def workload_named(name: str) -> Workload:
    """A workload. Raises ValueError when there is none of that name, or what the path leads to is none."""
    if ":" not in name:
        return WORKLOADS[known("workload", name, WORKLOADS)]
    found = imported(name)
    if isinstance(found, type) or not isinstance(found, Workload):
        missing = [part for part in Workload.__annotations__ if not hasattr(found, part)]
        missing += [part for part in vars(Workload) if part[0] != "_" and not hasattr(found, part)]
        lack = f" (it lacks {', '.join(missing)})" if missing and not isinstance(found, type) else ""
        raise ValueError(
            f"{name} is no workload{lack}: give the path of an object as study/workloads/workload.py says"
        )
    return found


def known(kind: str, name: object, names: Mapping[str, object]) -> str:
    """`name`, if it is one of `names`; ValueError with the nearest otherwise."""
    if not isinstance(name, str) or name not in names:
        hint = nearest_name(str(name), names)
        raise ValueError(
            f"unknown {kind} {name!r}{hint}: known are {', '.join(names)}, "
            "or an import path such as package.module:name"
        )
    return name


@functools.cache
def imported(path: str) -> Any:
    """What `package.module:name` leads to. Raises ValueError, one line, when it cannot be imported."""
    module, _, name = path.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:  # whatever a foreign module raises
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ValueError(f"{path} cannot be imported ({reason})") from error


def source_sha256(path: str) -> str:
    """SHA-256 of the file in which what an import path leads to is defined; of nothing when there is none."""
    found = imported(path)
    for defined in (getattr(found, "update", None), found, type(found)):
        try:
            file = inspect.getsourcefile(defined)  # type: ignore[arg-type]
        except TypeError:
            continue
        return hashlib.sha256(Path(file).read_bytes() if file else b"").hexdigest()
    return hashlib.sha256(b"").hexdigest()
