"""An optimizer as a pure rule. What it takes is checked here, without importing torch.

A rule sees ONE trial: dicts of tensors keyed by parameter name, and hyperparameters as 0-d float64 tensors.
`torch.func.vmap` adds the lane axis in fused training; `torch_rule.RuleOptimizer` calls the same function on a
model's own tensors. Derived coefficients such as 1 - beta2 are therefore formed in float64 and rounded once, when they
meet a float32 tensor, as `torch.optim` does with Python floats.

What varies from lane to lane is a `Hyperparameter`, a real number; what changes the program is an `Option`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from search_spaces.symbols import SYMBOLS

if TYPE_CHECKING:
    from torch import Tensor

Tensors = dict[str, "Tensor"]
State = dict[
    str, Any
]  # name -> Tensors (an entry a parameter) or Tensor (one for all, listed in Rule.shared)
Options = Mapping[str, Any]  # bool, int or str, by argument name

PAIRS = MappingProxyType({"betas": ("beta1", "beta2")})
"""Arguments that torch spells as a tuple -> the rule's own names."""


@dataclass(frozen=True)
class Hyperparameter:
    """A real hyperparameter: its default, where that comes from, and the allowed range [low, high).

    `open` excludes `low` itself. With `of`, the default is a multiple of that hyperparameter, and None stands for it.
    """

    default: float
    source: str
    low: float = 0.0
    high: float = math.inf
    open: bool = False
    of: str | None = None

    def check(self, name: str, value: object) -> float:
        """`value` as a float; raises ValueError when it is no number in the range."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if (
            not number
            or not self.low <= value < min(self.high, sys.float_info.max)  # type: ignore[operator]
            or (self.open and value == self.low)
        ):
            lower = f"above {self.low:g}" if self.open else f"of at least {self.low:g}"
            upper = "" if self.high == math.inf else f" and below {self.high:g}"
            raise ValueError(f"{name} = {value!r} is not allowed: give a number {lower}{upper}")
        return float(value)  # type: ignore[arg-type]

    def __str__(self) -> str:
        return f"{self.default:g}" + (f" · {self.of}" if self.of else "")


@dataclass(frozen=True)
class Option:
    """A setting that changes the program: one of `choices`, or any integer from 1 on when there are none."""

    default: bool | int | str
    source: str
    choices: tuple[bool | str, ...] = ()

    def check(self, name: str, value: object) -> bool | int | str:
        """`value`; raises ValueError when it is not allowed."""
        if self.choices:
            fits = any(
                value is choice or (isinstance(value, str) and value == choice) for choice in self.choices
            )
            allowed = "one of " + ", ".join(map(str, self.choices))
        else:
            fits = isinstance(value, int) and not isinstance(value, bool) and value >= 1
            allowed = "a whole number of at least 1"
        if not fits:
            raise ValueError(f"{name} = {value!r} is not allowed: give {allowed}")
        return value  # type: ignore[return-value]

    def __str__(self) -> str:
        others = ", ".join(str(choice) for choice in self.choices if choice != self.default)
        return str(self.default) + (f" (or {others})" if others else "")


FLAG = (False, True)
Arguments = dict[str, Hyperparameter | Option]


@dataclass(frozen=True)
class Rule:
    """A pure optimizer.

    `init(params, options)` gives the state before the first step.
    `update(grads, state, params, hyperparameters, step, options)` gives (new params, new state), new tensors all of
    them; `step` is a 0-d float64 tensor that counts from 1. Next to the rule's own, `hyperparameters` holds
    `base_lr`: `lr` without the learning-rate schedule. With `second_order`, `update` takes one argument more: Hz·z
    for every parameter, H the loss's Hessian and z random signs.
    `arguments` come in the order of the torch class's signature; `lr` must be among them, before all that are
    multiples of it. `shared` names the state entries that are one tensor for the whole parameter group rather than
    one a parameter.
    """

    init: Callable[[Tensors, Options], State]
    update: Callable[..., tuple[Tensors, State]]
    arguments: Arguments
    shared: tuple[str, ...] = ()
    second_order: bool = False

    def __post_init__(self) -> None:
        if "lr" not in self.hyperparameters:
            raise ValueError(
                "a rule needs the hyperparameter 'lr', which schedules and weight decay refer to"
            )

    @cached_property
    def hyperparameters(self) -> dict[str, Hyperparameter]:
        return {name: each for name, each in self.arguments.items() if isinstance(each, Hyperparameter)}

    @cached_property
    def options(self) -> dict[str, Option]:
        return {name: each for name, each in self.arguments.items() if isinstance(each, Option)}

    def settings(self, given: Mapping[str, object]) -> tuple[dict[str, float], dict[str, bool | int | str]]:
        """Checked hyperparameters by the rule's own names, and options, all of those with their defaults.

        `given` may use argument names (betas), own names (beta1) or the papers' letters (eta). Raises ValueError
        for a name that is unknown or given twice, or a value that is not allowed.
        """
        flat: dict[str, object] = {}
        for name, value in given.items():
            own = PAIRS.get(name, (name if name in self.arguments else SYMBOLS.get(name, name),))
            if not set(own) <= set(self.arguments):
                raise ValueError(f"no hyperparameter {name!r}: {self.describe_names()}")
            values = (value,) if len(own) == 1 else value
            if not isinstance(values, (tuple, list)) or len(values) != len(own):
                raise ValueError(
                    f"{name} = {value!r} is not allowed: give {len(own)} numbers, e.g. [0.9, 0.999]"
                )
            for key, one in zip(own, values, strict=True):
                if key in flat:
                    raise ValueError(f"{key} is given twice (as {name!r} and by another name): give it once")
                flat[key] = one
        numbers = {
            name: each.check(name, flat[name])
            for name, each in self.hyperparameters.items()
            if name in flat and not (each.of and flat[name] is None)
        }
        options = {
            name: each.check(name, flat.get(name, each.default)) for name, each in self.options.items()
        }
        return numbers, options

    def fill(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """`given` values (numbers or arrays) with the defaults of all other hyperparameters."""
        filled: dict[str, Any] = {}
        for name, each in self.hyperparameters.items():
            default = each.default * filled[each.of] if each.of else each.default
            filled[name] = given.get(name, default)
        return filled

    def state_size(self, params: Tensors, options: Options) -> int:
        """Numbers in the state for a model with these parameters."""
        state = self.init(params, options)
        entries = [entry.values() if isinstance(entry, dict) else [entry] for entry in state.values()]
        return sum(tensor.numel() for tensors in entries for tensor in tensors)

    def own_name(self, axis: str) -> str:
        """The hyperparameter that an axis of this name sets; raises ValueError when there is none, or two."""
        name = axis if axis in self.hyperparameters else SYMBOLS.get(axis, axis)
        if name not in self.hyperparameters:
            raise ValueError(f"no hyperparameter {axis!r}: {self.describe_names()}")
        refuse_ambiguous(axis, name, self.hyperparameters)
        return name

    def check_target(self, name: str) -> None:
        """Raise ValueError unless this is a hyperparameter."""
        if name not in self.hyperparameters:
            raise ValueError(f"no hyperparameter {name!r}: {self.describe_names()}")

    def check_values(self, values: Mapping[str, float], options: Options, shown: Mapping[str, str]) -> None:
        """Raise ValueError when a value of one trial is not allowed; `shown` are names to say instead of own ones."""
        del options
        for name, value in values.items():
            self.hyperparameters[name].check(shown.get(name, name), value)

    def fixed_lr(self, settings: Mapping[str, object]) -> float:
        """The learning rate of given settings, or the default."""
        return float(self.fill(self.settings(settings)[0])["lr"])

    def complete(self, settings: Mapping[str, object]) -> dict[str, Any]:
        """All arguments by the rule's own names: those given, and the defaults, multiples of another as texts."""
        numbers, options = self.settings(settings)
        defaults = {
            name: str(each) if each.of else each.default for name, each in self.hyperparameters.items()
        }
        return {**defaults, **numbers, **options}

    def describe_names(self) -> str:
        letters = [
            f"{symbol} (= {name})"
            for symbol, name in SYMBOLS.items()
            if name in self.arguments and symbol not in self.arguments
        ]
        return "it has " + ", ".join([*self.arguments, *letters])


def refuse_ambiguous(axis: str, name: str, arguments: Container[str]) -> None:
    """Raise ValueError when `axis` is an argument's own `name` and the papers' letter for another one."""
    other = SYMBOLS.get(axis, name)
    if other != name and other in arguments:
        raise ValueError(
            f"{axis!r} is its own argument and the papers' letter for {other}: "
            f'say which is meant, axes = {{ {axis} = "{name}" }} or axes = {{ {axis} = "{other}" }}'
        )


def pick(hyperparameters: Tensors, names: str) -> list[Tensor]:
    """The values of space-separated `names`, in that order."""
    return [hyperparameters[name] for name in names.split()]


def each_tensor(
    one: Callable[..., tuple[Tensor, Tensors]], params: Tensors, grads: Tensors, state: State
) -> tuple[Tensors, State]:
    """Apply `one(w, g, **entries) -> (new w, new entries)` to every parameter with its own state entries."""
    own = {name: entry for name, entry in state.items() if isinstance(entry, dict)}
    new_params: Tensors = {}
    new_state: State = {name: {} for name in own}
    for key, w in params.items():
        new_params[key], entries = one(w, grads[key], **{name: entry[key] for name, entry in own.items()})
        for name, value in entries.items():
            new_state[name][key] = value
    return new_params, new_state


def beta(default: float, source: str) -> Hyperparameter:
    """A decay rate of a running average: in [0, 1)."""
    return Hyperparameter(default, source, high=1.0)


def divisor(default: float, source: str) -> Hyperparameter:
    """An eps that something is divided by: above 0."""
    return Hyperparameter(default, source, open=True)


def shrink(params: Tensors, share: Tensor) -> Tensors:
    """Decoupled weight decay: every parameter smaller by `share` of itself."""
    return {key: w * (1 - share) for key, w in params.items()}
