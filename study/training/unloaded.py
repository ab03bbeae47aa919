"""What our optimizers and workloads take, told by their files without running them: that would import torch.

A wrong name or setting is refused at once by it. What trains is `study.training.named`'s.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from study.optimizers import OPTIMIZERS, Rule, rule
from study.optimizers.rule import Arguments
from study.workloads import WORKLOADS


def unloaded_rule(name: str) -> Rule:
    """One of `OPTIMIZERS` as a rule that checks settings and values, and cannot train."""
    return Rule(_cannot_train, _cannot_train, _arguments_of(OPTIMIZERS.places[name].partition(":")[0]))


def unloaded_parameters(name: str) -> Sequence[inspect.Parameter]:
    """What the factory of one of `WORKLOADS` takes; of a default only that there is one."""
    module, _, function = WORKLOADS.places[name].partition(":")
    (found,) = (
        each for each in _file_of(module).body if isinstance(each, ast.FunctionDef) and each.name == function
    )
    needed = len(found.args.args) - len(found.args.defaults)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return [
        inspect.Parameter(each.arg, kind, default=inspect.Parameter.empty if i < needed else ...)
        for i, each in enumerate(found.args.args)
    ]


@functools.cache
def _arguments_of(module: str) -> Arguments:
    """The `ARGUMENTS` of an optimizer's file, which may make them of another one's."""
    names: dict[str, Any] = dict(vars(rule))
    for statement in _file_of(module).body:
        match statement:
            case ast.ImportFrom(module="study.optimizers"):
                for each in statement.names:
                    other = _arguments_of(f"study.optimizers.{each.name}")
                    names[each.name] = SimpleNamespace(ARGUMENTS=other)
            case ast.ImportFrom(module=str(other_file), names=[ast.alias(name="ARGUMENTS")]):
                return _arguments_of(other_file)
            case ast.AnnAssign(target=ast.Name(id="ARGUMENTS"), value=ast.expr() as value):
                made: Arguments = eval(compile(ast.Expression(value), module, "eval"), names)
                return made
    raise ValueError(f"{module} has no ARGUMENTS: a file of an optimizer says there what it takes")


@functools.cache
def _file_of(module: str) -> ast.Module:
    found = importlib.util.find_spec(module)
    return ast.parse(Path(str(found and found.origin)).read_text(encoding="utf-8"))


def _cannot_train(*given: Any) -> NoReturn:
    del given
    raise TypeError("this rule was not loaded: study.training.named.optimizer_named gives one that trains")
