"""Any `torch.optim.Optimizer` class as an optimizer of a study."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from search_spaces.symbols import SYMBOLS
from study.black_boxes import Label
from study.optimizers.rule import Rule, refuse_ambiguous

ITEM = re.compile(r"(\w+)\[(\d+)\]")


@dataclass(frozen=True)
class TorchClass:
    """A `torch.optim.Optimizer` class that is no rule of ours, with its own arguments.

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
        self.check_target(name)
        refuse_ambiguous(axis, name, self.parameters)
        return name

    def check_target(self, name: str) -> None:
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

    def check_values(
        self, values: Mapping[str, float], options: Mapping[str, Any], shown: Mapping[str, str]
    ) -> None:
        """Raise ValueError when the class refuses these values of one trial."""
        del shown  # the class's own message names its arguments
        try:
            self.make([torch.zeros(1, requires_grad=True)], options, values)
        except Exception as error:  # whatever a foreign class raises
            given = ", ".join(f"{name} = {value:g}" for name, value in values.items())
            raise ValueError(
                f"{given} is refused ({type(error).__name__}: {error})".splitlines()[0]
            ) from error

    def fixed_lr(self, settings: Mapping[str, Any]) -> float:
        """The given or default learning rate. Raises ValueError when it has no number."""
        lr = settings.get("lr", self.parameters.get("lr"))
        if not isinstance(lr, (int, float)):
            raise ValueError("the axis 'factor' multiplies lr, which has no number here: give one, lr = 0.1")
        return float(lr)

    def complete(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """All arguments, as JSON types or as texts: those given, and the defaults."""
        defaults = {
            name: value for name, value in self.parameters.items() if value is not inspect.Parameter.empty
        }
        return {name: as_json(value) for name, value in {**defaults, **self.settings(settings)[1]}.items()}


Kind = Rule | TorchClass
AnyKind = Kind | Label


def as_json(value: Any) -> Any:
    """A value as JSON types, or as a text that tells it from others."""
    if isinstance(value, list | tuple):
        return [as_json(each) for each in value]
    return value if isinstance(value, bool | int | float | str | None) else repr(value)
