"""An optimizer as a pure rule, and the `torch.optim.Optimizer` class made from it.

A rule sees ONE trial: dicts of tensors keyed by parameter name, and hyperparameters as 0-d float64 tensors.
`torch.func.vmap` adds the lane axis in fused training; `RuleOptimizer` calls the same function on a model's
own tensors. Derived coefficients such as 1 - beta2 are therefore formed in float64 and rounded once, when they
meet a float32 tensor, as `torch.optim` does with Python floats.

What varies from lane to lane is a `Hyperparameter`, a real number; what changes the program is an `Option`.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor

from search_spaces.symbols import SYMBOLS

Tensors = dict[str, Tensor]
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
        """Return `value` as a float; raise ValueError when it is no number in the range."""
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
        """Return `value`; raise ValueError when it is not allowed."""
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


class RuleOptimizer(torch.optim.Optimizer):
    """A `torch.optim.Optimizer` around a rule; subclasses come from `optimizer_class`.

    State per parameter: `step` and the rule's entries; a shared entry is kept with every parameter. Parameters of
    a group that have taken equally many steps are updated together, so a norm over "the model" runs over a
    parameter group. A group's `base_lr` is its `lr` when it was added, before any scheduler.
    """

    rule: ClassVar[Rule]
    arguments: ClassVar[tuple[str, ...]]

    def __init__(self, params: Iterable[Any], *args: Any, **kwargs: Any) -> None:
        bound = inspect.signature(type(self)).bind(params, *args, **kwargs)
        bound.apply_defaults()
        defaults = dict(bound.arguments)
        super().__init__(defaults.pop("params"), defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        self.rule.settings({key: group[key] for key in self.arguments})
        group.setdefault("base_lr", group["lr"])

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step on every parameter that has a gradient; returns the closure's loss, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            numbers, options = self.rule.settings({key: group[key] for key in self.arguments})
            base = self.rule.fill({**numbers, "lr": group["base_lr"]})
            hyperparameters = {
                name: torch.tensor(value, dtype=torch.float64)
                for name, value in {**base, "lr": numbers["lr"], "base_lr": group["base_lr"]}.items()
            }
            together: dict[int, list[Tensor]] = defaultdict(list)
            for param in group["params"]:
                if param.grad is None:
                    continue
                if param.grad.is_sparse or param.is_complex():
                    raise RuntimeError(f"{type(self).__name__} takes dense real gradients only")
                together[int(self.state[param].get("step", 0)) + 1].append(param)
            for count, params in together.items():
                self._update(params, hyperparameters, options, count)
        return loss

    def _update(self, members: list[Tensor], hyperparameters: Tensors, options: Options, count: int) -> None:
        params = {str(i): param for i, param in enumerate(members)}
        # copies: a rule may keep a gradient, and the model's own is written again
        grads = {str(i): param.grad.clone() for i, param in enumerate(members) if param.grad is not None}
        step = torch.tensor(float(count), dtype=torch.float64)
        state = self.rule.init(params, options) if count == 1 else self._gather(params)
        new_params, new_state = self.rule.update(
            grads, state, params, hyperparameters, step, options, *self._more(params)
        )
        for name, param in params.items():
            param.copy_(new_params[name])
            own = {key: value if key in self.rule.shared else value[name] for key, value in new_state.items()}
            self.state[param] = {"step": count, **own}

    def _more(self, params: Tensors) -> tuple[Tensors, ...]:
        """What `update` takes beyond gradients."""
        del params
        return ()

    def _gather(self, params: Tensors) -> State:
        first = self.state[params["0"]]
        return {
            key: first[key] if key in self.rule.shared else {n: self.state[p][key] for n, p in params.items()}
            for key in first
            if key != "step"
        }


def refuse_ambiguous(axis: str, name: str, arguments: Container[str]) -> None:
    """Raise ValueError when `axis` is an argument's own `name` and the papers' letter for another one."""
    other = SYMBOLS.get(axis, name)
    if other != name and other in arguments:
        raise ValueError(
            f"{axis!r} is its own argument and the papers' letter for {other}: "
            f'say which is meant, axes = {{ {axis} = "{name}" }} or axes = {{ {axis} = "{other}" }}'
        )


def optimizer_class(
    name: str, rule: Rule, doc: str | None, module: str, base: type[RuleOptimizer] = RuleOptimizer
) -> type[RuleOptimizer]:
    """The `torch.optim.Optimizer` class `name` of a rule, with torch's argument names and the rule's defaults.

    `module` is where it can be imported from under that name.
    """
    arguments: dict[str, Any] = {"params": inspect.Parameter.empty}
    defaults = {
        own: None if isinstance(each, Hyperparameter) and each.of else each.default
        for own, each in rule.arguments.items()
    }
    for own, default in defaults.items():
        pair = next(((argument, names) for argument, names in PAIRS.items() if own in names), None)
        if pair is None:
            arguments[own] = default
        elif own == pair[1][0]:
            arguments[pair[0]] = tuple(defaults[each] for each in pair[1])
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(key, kind, default=d) for key, d in arguments.items()])
    body = {
        "rule": rule,
        "arguments": tuple(arguments)[1:],
        "__signature__": signature,
        "__doc__": doc,
        "__module__": module,
    }
    return type(name, (base,), body)


def zeros(params: Tensors, *names: str) -> State:
    """State entries that start as zeros, a tensor for every parameter."""
    return {name: {key: torch.zeros_like(w) for key, w in params.items()} for name in names}


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


def bias_correction(beta: Tensor, step: Tensor) -> Tensor:
    """1 - beta^step. The exp/log form keeps the compiler from repeating a power for every weight."""
    return -torch.expm1(step * torch.log(beta))


def beta(default: float, source: str) -> Hyperparameter:
    """A decay rate of a running average: in [0, 1)."""
    return Hyperparameter(default, source, high=1.0)


def divisor(default: float, source: str) -> Hyperparameter:
    """An eps that something is divided by: above 0."""
    return Hyperparameter(default, source, open=True)


def shrink(params: Tensors, share: Tensor) -> Tensors:
    """Decoupled weight decay: every parameter smaller by `share` of itself."""
    return {key: w * (1 - share) for key, w in params.items()}


def without_decay(hyperparameters: Tensors) -> Tensors:
    """The same with `weight_decay` 0, for a rule that has applied it already."""
    return {**hyperparameters, "weight_decay": torch.zeros_like(hyperparameters["weight_decay"])}
