"""An optimizer as a pure rule, and the `torch.optim.Optimizer` class made from it.

A rule sees ONE trial: dicts of tensors keyed by parameter name, and hyperparameters as 0-d float64 tensors.
`torch.func.vmap` adds the lane axis in fused training; `RuleOptimizer` calls the same function on a model's
own tensors. Derived coefficients such as 1 - beta2 are therefore formed in float64 and rounded once, when they
meet a float32 tensor, as `torch.optim` does with Python floats.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor

Tensors = dict[str, Tensor]
State = dict[
    str, Any
]  # name -> Tensors (an entry a parameter) or Tensor (one for all, listed in Rule.shared)

PAIRS = MappingProxyType({"betas": ("beta1", "beta2")})
"""Arguments that torch spells as a tuple -> the rule's own names."""


@dataclass(frozen=True)
class Hyperparameter:
    """A real hyperparameter: its default, where that comes from, and the allowed range [low, high)."""

    default: float
    source: str
    low: float = 0.0
    high: float = math.inf

    def check(self, name: str, value: object) -> float:
        """Return `value` as a float; raise ValueError when it is no number in [low, high)."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not self.low <= value < min(self.high, sys.float_info.max):  # type: ignore[operator]
            upper = "" if self.high == math.inf else f" and below {self.high:g}"
            raise ValueError(
                f"{name} = {value!r} is not allowed: give a number of at least {self.low:g}{upper}"
            )
        return float(value)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Rule:
    """A pure optimizer.

    `init(params)` gives the state before the first step. `update(grads, state, params, hyperparameters, step)`
    gives (new params, new state); `step` is a 0-d float64 tensor that counts from 1. `shared` names the state
    entries that are one tensor for the whole parameter group rather than one a parameter. `symbols` maps the
    papers' letters to argument names.
    """

    init: Callable[[Tensors], State]
    update: Callable[[Tensors, State, Tensors, Tensors, Tensor], tuple[Tensors, State]]
    hyperparameters: Mapping[str, Hyperparameter]
    symbols: Mapping[str, str]
    shared: tuple[str, ...] = ()

    def settings(self, given: Mapping[str, object]) -> dict[str, float]:
        """Checked values by the rule's own names, from argument names (betas), own names (beta1) or symbols (alpha).

        Raises ValueError for a name that is unknown or given twice, or a value outside its range.
        """
        flat: dict[str, object] = {}
        for name, value in given.items():
            own = PAIRS.get(name, (self.symbols.get(name, name),))
            if not set(own) <= set(self.hyperparameters):
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
        return {name: self.hyperparameters[name].check(name, value) for name, value in flat.items()}

    def own_name(self, axis: str) -> str:
        """The rule's name for an axis; raises ValueError when there is none."""
        name = self.symbols.get(axis, axis)
        if name not in self.hyperparameters:
            raise ValueError(f"no hyperparameter {axis!r}: {self.describe_names()}")
        return name

    def describe_names(self) -> str:
        symbols = [f"{symbol} (= {name})" for symbol, name in self.symbols.items()]
        return "it has " + ", ".join([*self.hyperparameters, *symbols])


class RuleOptimizer(torch.optim.Optimizer):
    """A `torch.optim.Optimizer` around a rule; subclasses come from `optimizer_class`.

    State per parameter: `step` and the rule's entries; a shared entry is kept with every parameter. Parameters of
    a group that have taken equally many steps are updated together, so a norm over "the model" runs over a
    parameter group.
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

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step on every parameter that has a gradient; returns the closure's loss, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            settings = self.rule.settings({key: group[key] for key in self.arguments})
            together: dict[int, list[Tensor]] = defaultdict(list)
            for param in group["params"]:
                if param.grad is None:
                    continue
                if param.grad.is_sparse or param.is_complex():
                    raise RuntimeError(f"{type(self).__name__} takes dense real gradients only")
                together[int(self.state[param].get("step", 0)) + 1].append(param)
            for count, params in together.items():
                self._update(params, settings, count)
        return loss

    def _update(self, members: list[Tensor], settings: dict[str, float], count: int) -> None:
        params = {str(i): param for i, param in enumerate(members)}
        grads = {str(i): param.grad for i, param in enumerate(members) if param.grad is not None}
        hyperparameters = {name: torch.tensor(value, dtype=torch.float64) for name, value in settings.items()}
        step = torch.tensor(float(count), dtype=torch.float64)
        state = self.rule.init(params) if count == 1 else self._gather(params)
        new_params, new_state = self.rule.update(grads, state, params, hyperparameters, step)
        for name, param in params.items():
            param.copy_(new_params[name])
            own = {key: value if key in self.rule.shared else value[name] for key, value in new_state.items()}
            self.state[param] = {"step": count, **own}

    def _gather(self, params: Tensors) -> State:
        first = self.state[params["0"]]
        return {
            key: first[key] if key in self.rule.shared else {n: self.state[p][key] for n, p in params.items()}
            for key in first
            if key != "step"
        }


def optimizer_class(name: str, rule: Rule, doc: str) -> type[RuleOptimizer]:
    """The `torch.optim.Optimizer` class `name` of a rule, with torch's argument names and the rule's defaults."""
    arguments: dict[str, Any] = {"params": inspect.Parameter.empty}
    defaults = {own: hyperparameter.default for own, hyperparameter in rule.hyperparameters.items()}
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
        "__module__": rule.update.__module__,
    }
    return type(name, (RuleOptimizer,), body)


def bias_correction(beta: Tensor, step: Tensor) -> Tensor:
    """1 - beta^step. The exp/log form keeps the compiler from repeating a power for every weight."""
    return -torch.expm1(step * torch.log(beta))
