"""What of a rule needs torch: the `torch.optim.Optimizer` class made from it, and what rules do with tensors.

A rule sees ONE trial; here it is given a model's own tensors, those of a parameter group at once.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from study.optimizers.rule import PAIRS, Hyperparameter, Options, Rule, State, Tensors


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


def bias_correction(beta: Tensor, step: Tensor) -> Tensor:
    """1 - beta^step. The exp/log form keeps the compiler from repeating a power for every weight."""
    return -torch.expm1(step * torch.log(beta))


def without_decay(hyperparameters: Tensors) -> Tensors:
    """The same with `weight_decay` 0, for a rule that has applied it already."""
    return {**hyperparameters, "weight_decay": torch.zeros_like(hyperparameters["weight_decay"])}
