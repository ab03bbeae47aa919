"""Workloads: the training problems that a study can name. They are imported when asked for, and torch with them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from study.lazy import Lazy

if TYPE_CHECKING:
    from study.workloads.draws import Draws
    from study.workloads.module import ModuleWorkload, WorkloadError, error_rate
    from study.workloads.workload import Batch, Carry, Params, Phase, Workload

WORKLOADS: Lazy[Callable[..., Workload]] = Lazy(
    {
        "digits-mlp": "study.workloads.own:digits_mlp",
        "digits-cnn": "study.workloads.own:digits_cnn",
        "digits-cnn-bn": "study.workloads.own:digits_cnn_bn",
        "mnist-mlp": "study.workloads.own:mnist_mlp",
        "mnist-cnn-bn": "study.workloads.own:mnist_cnn_bn",
        "wrn": "study.workloads.image_models:wrn",
        "resnet-cifar": "study.workloads.image_models:resnet_cifar",
        "resnet": "study.workloads.image_models:resnet_four_stages",
        "resnext": "study.workloads.image_models:resnext",
        "densenet": "study.workloads.image_models:densenet",
        "avagrad-equation-11": "study.workloads.synthetic:avagrad_stochastic",
        "rastrigin": "study.workloads.synthetic:rastrigin",
        "rosenbrock": "study.workloads.synthetic:rosenbrock",
        "noisy-quadratic": "study.workloads.synthetic:noisy_quadratic",
        "char-lstm": "study.workloads.language:char_lstm",
        "word-lstm": "study.workloads.language:word_lstm",
        "dcgan": "study.workloads.gan:dcgan",
        "transformer": "study.workloads.translation:transformer",
    }
)
"""Name in a study file -> factory; further keys of the study file's workload are its arguments."""
_HOMES = {
    "Batch": "workload",
    "Carry": "workload",
    "Params": "workload",
    "Phase": "workload",
    "Workload": "workload",
    "Draws": "draws",
    "ModuleWorkload": "module",
    "WorkloadError": "module",
    "error_rate": "module",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"study.workloads.{_HOMES[name]}"), name)


__all__ = [
    "WORKLOADS",
    "Batch",
    "Carry",
    "Draws",
    "ModuleWorkload",
    "Params",
    "Phase",
    "Workload",
    "WorkloadError",
    "error_rate",
]
