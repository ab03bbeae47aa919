"""What a study file names: optimizers and workloads of ours by name, anybody's by import path ("package.module:name").

Modules are looked for where Python finds them, and in the current folder last.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from search_spaces import nearest_name
from study.optimizers import OPTIMIZERS, Rule, RuleOptimizer
from study.training.torch_class import TorchClass
from study.workloads import WORKLOADS, Workload

Kind = Rule | TorchClass


def optimizer_named(name: str, *, allow_imports: bool = True) -> Kind:
    """A rule, or any other torch optimizer.

    Raises ValueError when there is none of that name, or what the path leads to is neither.
    """
    if ":" not in name:
        return OPTIMIZERS[known("optimizer", name, OPTIMIZERS)].rule
    found = imported(name, allow=allow_imports)
    if isinstance(found, Rule):
        return found
    if isinstance(found, type) and issubclass(found, RuleOptimizer) and "rule" in vars(found):
        return found.rule  # a subclass of such a class may do something else, and is run as it is
    if isinstance(found, type) and issubclass(found, torch.optim.Optimizer) and found is not RuleOptimizer:
        return TorchClass(found)
    raise ValueError(f"{name} is no optimizer: give the path of a torch.optim.Optimizer class or a Rule")


def workload_named(name: str, *, allow_imports: bool = True) -> Workload:
    """A workload. Raises ValueError when there is none of that name, or what the path leads to is none."""
    if ":" not in name:
        return WORKLOADS[known("workload", name, WORKLOADS)]
    found = imported(name, allow=allow_imports)
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


def imported(path: str, *, allow: bool = True) -> Any:
    """What `package.module:name` leads to. Raises ValueError, one line, when it cannot be imported or may not."""
    if not allow:
        raise ValueError(
            f"{path[:100]!r} is no name: import paths are allowed by tunability serve --allow-imports"
        )
    return _imported(path)


@functools.cache
def _imported(path: str) -> Any:
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
