"""AdaHessian (Yao et al., 2021). https://arxiv.org/abs/2006.00719, Algorithm 1

    h = |Hz · z|, averaged over the kernel of convolution weights (out, in, height, width)
    m = beta1 m + (1 - beta1) g;   v = beta2 v + (1 - beta2) h^2
    w = (1 - lr · weight_decay) w - lr · m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t))^hessian_power + eps)

H is the loss's Hessian, z random signs, so that Hz · z estimates H's diagonal (Hutchinson). The fused trainer computes
it; the torch class takes it: `step(hessian=[...])`, or `set_hessian` before `step`, one tensor for every parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor

from study.optimizers.rule import (
    Arguments,
    Hyperparameter,
    Options,
    Rule,
    State,
    Tensors,
    beta,
    divisor,
    each_tensor,
    pick,
)
from study.optimizers.torch_rule import RuleOptimizer, bias_correction, optimizer_class, zeros

ARGUMENTS: Arguments = {
    "lr": Hyperparameter(0.15, "authors' release"),
    "beta1": beta(0.9, "authors' release"),
    "beta2": beta(0.999, "authors' release"),
    "eps": divisor(1e-4, "authors' release"),
    "weight_decay": Hyperparameter(0.0, "authors' release"),
    "hessian_power": Hyperparameter(1.0, "authors' release"),
}


def init(params: Tensors, options: Options) -> State:
    del options
    return zeros(params, "m", "v")


def update(
    grads: Tensors,
    state: State,
    params: Tensors,
    hyperparameters: Tensors,
    step: Tensor,
    options: Options,
    hessian: Tensors,
) -> tuple[Tensors, State]:
    del options
    lr, beta1, beta2, eps, decay = pick(hyperparameters, "lr beta1 beta2 eps weight_decay")
    power = hyperparameters["hessian_power"]
    step_size = lr / bias_correction(beta1, step)
    v_scale = 1 / bias_correction(beta2, step)
    state = {**state, "h": {key: diagonal(h) for key, h in hessian.items()}}

    def one(w: Tensor, g: Tensor, m: Tensor, v: Tensor, h: Tensor) -> tuple[Tensor, Tensors]:
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * h * h
        denominator = (v * v_scale) ** (power / 2) + eps
        return w - lr * decay * w - step_size * m / denominator, {"m": m, "v": v}

    new_params, new_state = each_tensor(one, params, grads, state)
    return new_params, {"m": new_state["m"], "v": new_state["v"]}


def diagonal(product: Tensor) -> Tensor:
    """|Hz · z|; a convolution's entries get their kernel's mean."""
    h = product.abs()
    return h.mean((2, 3), keepdim=True).expand_as(h) if h.ndim == 4 else h


class HessianOptimizer(RuleOptimizer):
    """A torch optimizer whose rule takes Hz · z next to the gradients."""

    def set_hessian(self, hessian: Iterable[Tensor]) -> None:
        """Take Hz · z of every parameter, in the order of the parameter groups, for the steps to come.

        Raises ValueError when there are not as many tensors as parameters, or shapes differ.
        """
        params = [param for group in self.param_groups for param in group["params"]]
        products = list(hessian)
        if [h.shape for h in products] != [param.shape for param in params]:
            raise ValueError(
                f"hessian has other shapes than the {len(params)} parameters: give Hz · z of each"
            )
        self._products = dict(zip(params, products, strict=True))

    def step(self, closure: Callable[[], Any] | None = None, hessian: Iterable[Tensor] | None = None) -> Any:
        """One step; `hessian` as in `set_hessian`. Raises RuntimeError when it was never given."""
        if hessian is not None:
            self.set_hessian(hessian)
        return super().step(closure)

    def _more(self, params: Tensors) -> tuple[Tensors, ...]:
        products = getattr(self, "_products", {})
        missing = [name for name, param in params.items() if param not in products]
        if missing:
            raise RuntimeError("no Hessian product yet: call set_hessian, or step(hessian=...)")
        return ({name: products[param] for name, param in params.items()},)


RULE = Rule(init, update, ARGUMENTS, second_order=True)
AdaHessian = optimizer_class("AdaHessian", RULE, __doc__, __name__, HessianOptimizer)
